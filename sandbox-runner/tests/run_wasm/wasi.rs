//! WASI preview 1 as a module meets it behind the shipped profile: what each
//! function answers, and that no argument makes it do more.

use gm_protocol::message::{Last, TrapClass};
use gm_protocol::plan::{HostOp, HostOps};

use crate::broker::{Plugin, hook, task};
use crate::filters::of_profile;
use crate::played::Called;

const SUCCESS: u8 = 0;
const BAD_DESCRIPTOR: u8 = 8;
const FAULT: u8 = 21;
const INVALID: u8 = 28;
const NOT_IMPLEMENTED: u8 = 52;
const NOT_DIRECTORY: u8 = 54;
const NOT_SOCKET: u8 = 57;
const NOT_SUPPORTED: u8 = 58;
const NOT_SEEKABLE: u8 = 70;
const NOT_CAPABLE: u8 = 76;

/// A call: its name and arguments, those of 64 bits with an L behind.
type Asked<'a> = (&'a str, &'a [&'a str]);

fn import(number: usize, (name, args): Asked<'_>, gives: &str) -> String {
    let types: String = args
        .iter()
        .map(|arg| if arg.ends_with('L') { "i64 " } else { "i32 " })
        .collect();
    format!(
        "(import \"wasi_snapshot_preview1\" \"{name}\" (func $f{number} (param {types}) {gives}))"
    )
}

fn call(number: usize, (_, args): Asked<'_>) -> String {
    let args: String = args
        .iter()
        .map(|arg| match arg.strip_suffix('L') {
            Some(wide) => format!("(i64.const {wide})"),
            None => format!("(i32.const {arg})"),
        })
        .collect();
    format!("(call $f{number} {args})")
}

/// A module that makes these calls one by one and logs each errno as a byte.
fn asking(calls: &[Asked<'_>], before: &str, body: &str) -> String {
    let imports: String = calls
        .iter()
        .enumerate()
        .map(|(number, asked)| import(number, *asked, "(result i32)"))
        .collect();
    let bytes: String = calls
        .iter()
        .enumerate()
        .map(|(number, asked)| {
            format!(
                "(i32.store8 (i32.const {}) {})",
                3000 + number,
                call(number, *asked)
            )
        })
        .collect();
    hook(
        &format!(
            "{imports} (import \"gm\" \"log\" (func $log (param i32 i32 i32) (result i32))) {before}"
        ),
        &format!(
            "{bytes} (drop (call $log (i32.const 0) (i32.const 3000) (i32.const {}))) {body} (i32.const 0)",
            calls.len()
        ),
    )
}

fn lines(called: &Called, level: u8) -> Vec<String> {
    let lines = called
        .asked
        .iter()
        .filter(|(op, at, _)| *op == HostOp::Log && *at == level);
    lines
        .map(|(_, _, text)| String::from_utf8_lossy(text).into_owned())
        .collect()
}

/// The errnos that a module gets.
fn errnos(calls: &[Asked<'_>]) -> Vec<u8> {
    let called = Plugin::start(&asking(calls, "", "")).loaded().call(b"{}");
    let (_, _, bytes) = called
        .asked
        .into_iter()
        .rfind(|(op, level, _)| (*op, *level) == (HostOp::Log, 0))
        .unwrap();
    bytes
}

fn answers(table: &[(Asked<'_>, u8)]) {
    let calls: Vec<Asked<'_>> = table.iter().map(|(asked, _)| *asked).collect();
    let seen = errnos(&calls);
    assert_eq!(seen.len(), table.len());
    for (((name, args), expected), seen) in table.iter().zip(seen) {
        assert_eq!(seen, *expected, "{name} {args:?}");
    }
}

#[test]
fn a_descriptor_that_is_not_open_is_none_for_any_function() {
    let table: &[(Asked<'_>, u8)] = &[
        (("fd_advise", &["9", "0L", "0L", "0"]), BAD_DESCRIPTOR),
        (("fd_allocate", &["9", "0L", "1L"]), BAD_DESCRIPTOR),
        (("fd_close", &["9"]), BAD_DESCRIPTOR),
        (("fd_datasync", &["-1"]), BAD_DESCRIPTOR),
        (("fd_fdstat_get", &["9", "64"]), BAD_DESCRIPTOR),
        (("fd_fdstat_set_flags", &["9", "0"]), BAD_DESCRIPTOR),
        (("fd_fdstat_set_rights", &["9", "0L", "0L"]), BAD_DESCRIPTOR),
        (("fd_filestat_get", &["9", "64"]), BAD_DESCRIPTOR),
        (("fd_filestat_set_size", &["9", "0L"]), BAD_DESCRIPTOR),
        (
            ("fd_filestat_set_times", &["9", "0L", "0L", "0"]),
            BAD_DESCRIPTOR,
        ),
        (("fd_pread", &["9", "64", "1", "0L", "80"]), BAD_DESCRIPTOR),
        (("fd_prestat_get", &["4", "64"]), BAD_DESCRIPTOR),
        (("fd_prestat_dir_name", &["4", "64", "9"]), BAD_DESCRIPTOR),
        (("fd_pwrite", &["9", "64", "1", "0L", "80"]), BAD_DESCRIPTOR),
        (("fd_read", &["9", "64", "1", "80"]), BAD_DESCRIPTOR),
        (
            ("fd_readdir", &["9", "64", "64", "0L", "80"]),
            BAD_DESCRIPTOR,
        ),
        (("fd_renumber", &["9", "1"]), BAD_DESCRIPTOR),
        (("fd_seek", &["9", "0L", "0", "64"]), BAD_DESCRIPTOR),
        (("fd_sync", &["9"]), BAD_DESCRIPTOR),
        (("fd_tell", &["9", "64"]), BAD_DESCRIPTOR),
        (("fd_write", &["9", "64", "1", "80"]), BAD_DESCRIPTOR),
        (("path_create_directory", &["9", "64", "5"]), BAD_DESCRIPTOR),
        (
            ("path_filestat_get", &["9", "0", "64", "5", "80"]),
            BAD_DESCRIPTOR,
        ),
        (
            (
                "path_filestat_set_times",
                &["9", "0", "64", "5", "0L", "0L", "0"],
            ),
            BAD_DESCRIPTOR,
        ),
        (
            ("path_link", &["9", "0", "64", "5", "9", "64", "5"]),
            BAD_DESCRIPTOR,
        ),
        (
            (
                "path_open",
                &["9", "0", "64", "5", "0", "0L", "0L", "0", "80"],
            ),
            BAD_DESCRIPTOR,
        ),
        (
            ("path_readlink", &["9", "64", "5", "80", "5", "90"]),
            BAD_DESCRIPTOR,
        ),
        (("path_remove_directory", &["9", "64", "5"]), BAD_DESCRIPTOR),
        (
            ("path_rename", &["9", "64", "5", "9", "64", "5"]),
            BAD_DESCRIPTOR,
        ),
        (
            ("path_symlink", &["64", "5", "9", "64", "5"]),
            BAD_DESCRIPTOR,
        ),
        (("path_unlink_file", &["9", "64", "5"]), BAD_DESCRIPTOR),
        (("sock_accept", &["9", "0", "64"]), BAD_DESCRIPTOR),
        (
            ("sock_recv", &["9", "64", "1", "0", "80", "84"]),
            BAD_DESCRIPTOR,
        ),
        (("sock_send", &["9", "64", "1", "0", "80"]), BAD_DESCRIPTOR),
        (("sock_shutdown", &["9", "0"]), BAD_DESCRIPTOR),
    ];
    answers(table);
}

#[test]
fn what_needs_no_descriptor_is_given_empty_or_not_at_all() {
    answers(&[
        (("args_get", &["64", "80"]), SUCCESS),
        (("args_sizes_get", &["64", "80"]), SUCCESS),
        (("environ_get", &["64", "80"]), SUCCESS),
        (("environ_sizes_get", &["64", "80"]), SUCCESS),
        (("clock_res_get", &["0", "64"]), SUCCESS),
        (("clock_res_get", &["2", "64"]), NOT_SUPPORTED),
        (("clock_time_get", &["0", "0L", "64"]), SUCCESS),
        (("clock_time_get", &["1", "0L", "64"]), SUCCESS),
        (("clock_time_get", &["2", "0L", "64"]), NOT_SUPPORTED),
        (("clock_time_get", &["9", "0L", "64"]), NOT_SUPPORTED),
        (("random_get", &["64", "8"]), SUCCESS),
        (("sched_yield", &[]), SUCCESS),
        (("poll_oneoff", &["64", "80", "1", "96"]), NOT_IMPLEMENTED),
        (("proc_raise", &["9"]), NOT_IMPLEMENTED),
    ]);
}

#[test]
fn the_only_argument_is_a_name_and_there_is_no_variable() {
    let calls: &[Asked<'_>] = &[
        ("args_sizes_get", &["64", "68"]),
        ("args_get", &["72", "80"]),
        ("environ_sizes_get", &["88", "92"]),
    ];
    let show = "(drop (call $log (i32.const 4) (i32.const 80) (i32.const 6)))
        (drop (call $log (i32.const 1) (i32.const 64) (i32.const 12)))
        (drop (call $log (i32.const 1) (i32.const 88) (i32.const 8)))";
    let called = Plugin::start(&asking(calls, "", show)).loaded().call(b"{}");
    assert_eq!(lines(&called, 4), ["plugin"]);
    let numbers = |line: &String| -> Vec<u8> { line.bytes().step_by(4).collect() };
    let seen: Vec<_> = lines(&called, 1).iter().map(numbers).collect();
    assert_eq!(seen, [vec![1, 7, 80], vec![0, 0]]);
}

#[test]
fn random_bytes_may_fill_the_whole_memory() {
    answers(&[(("random_get", &["0", "65536"]), SUCCESS)]);
}

#[test]
fn the_standard_streams_are_neither_files_nor_sockets() {
    answers(&[
        (("fd_read", &["0", "64", "0", "80"]), SUCCESS),
        (("fd_read", &["1", "64", "0", "80"]), BAD_DESCRIPTOR),
        (("fd_write", &["0", "64", "0", "80"]), BAD_DESCRIPTOR),
        (("fd_seek", &["1", "0L", "0", "64"]), NOT_SEEKABLE),
        (("fd_tell", &["2", "64"]), NOT_SEEKABLE),
        (("fd_pread", &["0", "64", "0", "0L", "80"]), NOT_SEEKABLE),
        (("fd_fdstat_get", &["1", "64"]), SUCCESS),
        (("fd_filestat_get", &["1", "64"]), SUCCESS),
        (("fd_prestat_get", &["1", "64"]), BAD_DESCRIPTOR),
        (("fd_fdstat_set_flags", &["1", "4"]), INVALID),
        (
            ("fd_readdir", &["1", "64", "64", "0L", "80"]),
            NOT_DIRECTORY,
        ),
        (("sock_send", &["1", "64", "1", "0", "80"]), NOT_SOCKET),
        (("fd_close", &["1"]), SUCCESS),
        (("fd_write", &["1", "64", "0", "80"]), BAD_DESCRIPTOR),
        (("fd_close", &["1"]), BAD_DESCRIPTOR),
    ]);
}

#[test]
fn the_root_is_there_and_gives_nothing_that_is_not_granted() {
    answers(&[
        (("fd_prestat_get", &["3", "200"]), SUCCESS),
        (("fd_prestat_dir_name", &["3", "208", "1"]), SUCCESS),
        (("fd_readdir", &["3", "64", "64", "0L", "80"]), NOT_CAPABLE),
        (("path_create_directory", &["3", "64", "5"]), NOT_CAPABLE),
        (("path_unlink_file", &["3", "64", "5"]), NOT_CAPABLE),
        (
            ("path_link", &["3", "0", "64", "5", "3", "64", "5"]),
            NOT_CAPABLE,
        ),
        (("path_symlink", &["64", "5", "3", "64", "5"]), NOT_CAPABLE),
        (
            ("path_rename", &["3", "64", "5", "3", "64", "5"]),
            NOT_CAPABLE,
        ),
        (
            ("path_readlink", &["3", "64", "5", "80", "5", "90"]),
            NOT_CAPABLE,
        ),
    ]);
}

#[test]
fn a_path_that_is_not_granted_is_told_to_the_host_by_its_whole_name() {
    let text = |open: &str| {
        let opening = (
            "path_open",
            &["3", "0", "400", "10", "0", "0L", "0L", "0", "80"][..],
        );
        asking(&[opening], open, "")
    };
    let asked = |path: &str| {
        let data = format!("(data (i32.const 400) \"{path}\")");
        let mut called = Plugin::start(&text(&data)).loaded().call(b"{}");
        called.asked.retain(|(op, ..)| *op == HostOp::FileRead);
        called
            .asked
            .pop()
            .map(|(_, _, path)| String::from_utf8(path).unwrap())
    };
    assert_eq!(asked("etc/passwd").as_deref(), Some("/etc/passwd"));
    assert_eq!(asked("$REPO/a.md").as_deref(), Some("$REPO/a.md"));
    assert_eq!(asked("./tmp//a.b").as_deref(), Some("/tmp/a.b"));
    // No way upwards, and none that begins elsewhere.
    assert_eq!(asked("tmp/../etc"), None);
    assert_eq!(asked("/etc/hosts"), None);
}

#[test]
fn an_address_outside_the_memory_is_a_fault() {
    for at in ["65536", "65533", "-4", "-1"] {
        answers(&[
            (("args_sizes_get", &[at, "64"]), FAULT),
            (("args_get", &[at, "64"]), FAULT),
            (("args_get", &["64", at]), FAULT),
            (("environ_sizes_get", &["64", at]), FAULT),
            (("clock_time_get", &["0", "0L", at]), FAULT),
            (("clock_res_get", &["0", at]), FAULT),
            (("random_get", &[at, "8"]), FAULT),
            (("random_get", &["64", "-1"]), FAULT),
            (("fd_fdstat_get", &["1", at]), FAULT),
            (("fd_filestat_get", &["1", at]), FAULT),
            (("fd_prestat_get", &["3", at]), FAULT),
            (("fd_prestat_dir_name", &["3", "65536", "1"]), FAULT),
            (("fd_write", &["1", at, "1", "80"]), FAULT),
            (("fd_write", &["1", "64", "0", at]), FAULT),
            (("fd_read", &["0", "64", "0", at]), FAULT),
            (("path_unlink_file", &["3", at, "5"]), NOT_CAPABLE),
            (("path_filestat_get", &["3", "0", at, "5", "80"]), FAULT),
            (
                ("path_filestat_get", &["3", "0", "64", "-1", "80"]),
                INVALID,
            ),
        ]);
    }
}

#[test]
fn buffers_that_point_outside_the_memory_are_a_fault_and_nothing_is_printed() {
    // Address and length of one buffer, at 5000.
    let printing = |address: i64, len: i64, count: &str| {
        let data = format!(
            "(func $set (i32.store (i32.const 5000) (i32.const {address})) (i32.store (i32.const 5004) (i32.const {len}))) (start $set)"
        );
        let text = asking(&[("fd_write", &["1", "5000", count, "80"])], &data, "");
        Plugin::start(&text).loaded().call(b"{}")
    };
    for (address, len, count) in [
        (65530, 9, "1"),
        (-1, 1, "1"),
        (0, -1, "1"),
        (16, 4, "-1"),
        (16, 4, "1024"),
    ] {
        let called = printing(address, len, count);
        let mut answers = called.asked.iter().filter(|(_, level, _)| *level == 0);
        let errno = answers.next().unwrap().2[0];
        // Zeroes behind the first buffer are empty ones, as far as there are any.
        let expected = if count == "1" { FAULT } else { SUCCESS };
        assert_eq!(errno, expected, "{address} {len} {count}");
        assert_eq!(lines(&called, 2).len(), usize::from(expected == SUCCESS));
    }
}

#[test]
fn what_is_printed_goes_to_the_log_line_by_line() {
    let data = r#"(data (i32.const 600) "one\ntwo")
        (func $set
          (i32.store (i32.const 500) (i32.const 600)) (i32.store (i32.const 504) (i32.const 5))
          (i32.store (i32.const 508) (i32.const 605)) (i32.store (i32.const 512) (i32.const 2)))
        (start $set)"#;
    let calls: &[Asked<'_>] = &[
        ("fd_write", &["1", "500", "2", "80"]),
        ("fd_write", &["2", "508", "1", "84"]),
    ];
    let mut plugin = Plugin::start(&asking(calls, data, "")).loaded();
    let called = plugin.call(b"{}");
    assert_eq!(lines(&called, 2), ["one", "two"]);
    assert_eq!(lines(&called, 3), ["wo"]);
    // The line that had not ended came at the end of the call.
    let again = plugin.call(b"{}");
    assert_eq!(lines(&again, 2), ["one", "two"]);
}

#[test]
fn a_module_without_the_log_prints_to_nowhere() {
    let data = r#"(data (i32.const 600) "one\n")
        (func $set (i32.store (i32.const 500) (i32.const 600)) (i32.store (i32.const 504) (i32.const 4)))
        (start $set)"#;
    let import = import(0, ("fd_write", &["1", "500", "1", "80"]), "(result i32)");
    let write = call(0, ("fd_write", &["1", "500", "1", "80"]));
    let text = hook(
        &format!("{import} {data}"),
        &format!("(i32.add {write} (i32.load (i32.const 80)))"),
    );
    let mut silent = task();
    silent.host_ops = HostOps::NONE;
    let called = Plugin::with(&text, silent, of_profile("wasm", None), b"")
        .loaded()
        .call(b"{}");
    assert_eq!((called.status, called.asked), (4, vec![]));
}

#[test]
fn a_flood_of_print_is_cut_to_short_writes() {
    let data = r#"(memory.fill (i32.const 0) (i32.const 120) (i32.const 60000))"#;
    let setup = format!(
        "(func $set {data} (i32.store (i32.const 500) (i32.const 0)) (i32.store (i32.const 504) (i32.const 60000))
          (i32.store (i32.const 508) (i32.const 0)) (i32.store (i32.const 512) (i32.const 60000))) (start $set)"
    );
    let import = import(0, ("fd_write", &["1", "500", "2", "61000"]), "(result i32)");
    let write = call(0, ("fd_write", &["1", "500", "2", "61000"]));
    let text = hook(
        &format!("{import} {setup}"),
        &format!("(drop {write}) (i32.load (i32.const 61000))"),
    );
    let called = Plugin::start(&text).loaded().call(b"{}");
    assert_eq!(called.status, 64 << 10);
    assert!(called.asked.iter().all(|(_, _, line)| line.len() <= 4096));
}

#[test]
fn the_clock_tells_the_time_in_coarse_steps() {
    // Seconds since 1970, in the status.
    let asked: Asked<'_> = ("clock_time_get", &["0", "0L", "64"]);
    let seconds = "(i32.wrap_i64 (i64.div_u (i64.load (i32.const 64)) (i64.const 1000000000)))";
    let body = format!("(drop {}) {seconds}", call(0, asked));
    let text = hook(&import(0, asked, "(result i32)"), &body);
    let said = Plugin::start(&text).loaded().call(b"{}").status;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let off = i64::from(said.cast_unsigned()) - i64::try_from(now.as_secs()).unwrap();
    assert!((-10..=2).contains(&off), "{off} s off");

    // The step in nanoseconds: some milliseconds.
    let asked: Asked<'_> = ("clock_res_get", &["1", "64"]);
    let body = format!("(drop {}) (i32.load (i32.const 64))", call(0, asked));
    let text = hook(&import(0, asked, "(result i32)"), &body);
    let step = Plugin::start(&text).loaded().call(b"{}").status;
    assert!((500_000..=20_000_000).contains(&step), "{step} ns");
}

#[test]
fn random_bytes_differ_from_call_to_call_and_from_process_to_process() {
    let asked: Asked<'_> = ("random_get", &["64", "4"]);
    let body = format!("(drop {}) (i32.load (i32.const 64))", call(0, asked));
    let text = hook(&import(0, asked, "(result i32)"), &body);
    let mut plugin = Plugin::start(&text).loaded();
    let (one, two) = (plugin.call(b"{}").status, plugin.call(b"{}").status);
    let three = Plugin::start(&text).loaded().call(b"{}").status;
    assert!(one != two && one != three && two != three);
}

fn exit(status: &str) -> (String, String) {
    let asked: Asked<'_> = ("proc_exit", &[status]);
    (import(0, ("proc_exit", &["0"]), ""), call(0, asked))
}

#[test]
fn who_exits_with_0_is_done_with_the_call() {
    let reply = r#"(import "gm" "reply" (func $reply (param i32 i32) (result i32)))"#;
    let (import, exit) = exit("0");
    let body = format!("(drop (call $reply (i32.const 16) (i32.const 14))) {exit} unreachable");
    let mut plugin = Plugin::start(&hook(&format!("{import} {reply}"), &body)).loaded();
    for _ in 0..3 {
        let called = plugin.call(b"{}");
        assert_eq!(called.status, 0);
        assert_eq!(called.document.unwrap(), b"{\"hello\":true}");
    }
    assert_eq!(plugin.stop(), (None, Some(0), None));
}

#[test]
fn who_exits_with_another_status_ends_with_it() {
    for (status, seen) in [("3", 3), ("-1", u32::MAX)] {
        let (import, exit) = exit(status);
        let text = hook(&import, &format!("{exit} unreachable"));
        let ending = Plugin::start(&text).loaded().dies(b"{}");
        assert_eq!(
            ending,
            (Some(Last::Exited { status: seen }), Some(102), None)
        );
    }
}

#[test]
fn who_exits_while_it_is_initialized_is_ready_or_not_loaded() {
    let initialize = |status: &str| {
        let (import, exit) = exit(status);
        let early = format!("{import} (func (export \"_initialize\") {exit} unreachable)");
        Plugin::start(&hook(&early, "(i32.const 0)"))
    };
    assert_eq!(initialize("0").loaded().call(b"{}").status, 0);
    let ending = initialize("1").peer.ending();
    assert_eq!(ending, (Some(Last::Exited { status: 1 }), Some(102), None));
}

#[test]
fn what_is_initialized_is_so_once_and_before_the_first_hook() {
    let early = r#"(global $count (mut i32) (i32.const 0))
        (func (export "_initialize") (global.set $count (i32.add (global.get $count) (i32.const 1))))
        (func (export "_start") unreachable)"#;
    let mut plugin = Plugin::start(&hook(early, "(global.get $count)")).loaded();
    assert_eq!(plugin.call(b"{}").status, 1);
    assert_eq!(plugin.call(b"{}").status, 1);
}

#[test]
fn a_trap_after_a_call_of_wasi_is_a_trap_as_ever() {
    let asked: Asked<'_> = ("sched_yield", &[]);
    let text = hook(
        &import(0, asked, "(result i32)"),
        &format!("(drop {}) unreachable", call(0, asked)),
    );
    let trap = Last::Trap {
        class: TrapClass::Unreachable,
        refused_grow: false,
    };
    let ending = Plugin::start(&text).loaded().dies(b"{}");
    assert_eq!(ending, (Some(trap), Some(102), None));
}
