//! What the filters do to the binaries: a forbidden call is named and kills,
//! and no call of the running set is there for nothing.

use std::collections::BTreeSet;

use gm_protocol::message::Last;
use gm_protocol::plan::{Filters, HostOps, Role, SockFilter};

use crate::broker::hook;
use crate::broker::{Peer, Plugin, task, warm};
use crate::filters::of_profile;

/// SIGSYS
const BAD_CALL: i32 = 31;
/// mprotect(2) on x86-64
const MPROTECT: i32 = 10;

const GROW: &str = "(i32.eq (memory.grow (i32.const 1)) (i32.const -1))";

fn without(call: &str) -> Filters {
    let whole = of_profile("wasm", None);
    // Only the last layer lacks it: the loader may need it too.
    Filters {
        running: of_profile("wasm", Some(call)).running,
        ..whole
    }
}

#[test]
fn a_forbidden_call_is_named_and_kills() {
    // Its first page is made usable behind the last filter already.
    let plugin = Plugin::with(&hook("", GROW), task(), without("mprotect"), b"");
    let (last, status, signal) = plugin.peer.ending();
    assert_eq!((status, signal), (None, Some(BAD_CALL)));
    match last {
        Some(Last::Forbidden { nr: MPROTECT, args }) => assert_eq!((args[1], args[2]), (65536, 3)),
        other => panic!("{other:?} instead of the call's number"),
    }
}

#[test]
fn each_call_of_the_running_set_is_needed() {
    let library_trap = "(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2)) (i32.const 0)";
    for (call, body) in [
        ("read", GROW),
        ("write", GROW),
        ("mprotect", GROW),
        ("exit_group", "unreachable"),
        ("fcntl", library_trap),
    ] {
        let plugin = Plugin::with(&hook("", body), task(), without(call), b"");
        let mut peer = plugin.peer;
        // Who lacks `write` can't even say that it's loaded.
        let call = gm_protocol::message::ToRunner::Call {
            call: 1,
            hook: gm_protocol::plan::Hook::OnCommitAnalyzed,
            more: false,
            bytes: b"{}".to_vec(),
        };
        let _ = peer.link.send(&call, crate::broker::soon());
        let (_, _, signal) = peer.ending();
        assert_eq!(signal, Some(BAD_CALL));
    }
}

#[test]
fn a_running_plugin_has_no_executable_memory_but_files_that_nobody_writes() {
    let mut plugin = Plugin::start(&crate::compiler::large()).loaded();
    assert_eq!(plugin.call(b"{}").status, 0);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", plugin.peer.child.id())).unwrap();
    let fields = |line: &str| {
        let mut fields = line.split_whitespace();
        let rights = fields.nth(1).unwrap_or_default().to_owned();
        (rights, fields.nth(3).unwrap_or_default().to_owned())
    };
    let executable = maps
        .lines()
        .map(fields)
        .filter(|(rights, _)| rights.contains('x'));
    // The kernel's own two pages aside.
    let ours: Vec<_> = executable
        .filter(|(_, name)| !name.starts_with("[v"))
        .collect();
    assert!(ours.iter().all(|(rights, _)| rights == "r-xp"), "{maps}");
    // Where each lies is for the kernel to choose anew in every run.
    let files: BTreeSet<_> = ours
        .iter()
        .filter_map(|(_, path)| path.rsplit('/').next())
        .collect();
    assert_eq!(files, BTreeSet::from(["bin", "code", "warm"]), "{maps}");
    assert_eq!(ours.len(), files.len(), "{maps}");
}

#[test]
fn an_empty_filter_is_a_missing_wall_not_an_open_one() {
    for layer in 0..3 {
        let mut filters = of_profile("wasm", None);
        let program: &mut Vec<SockFilter> = match layer {
            0 => &mut filters.soft,
            1 => &mut filters.veto,
            _ => &mut filters.loading,
        };
        program.clear();
        let seen = walled(filters);
        assert_eq!(
            seen,
            (
                Some(Last::Wall {
                    control: 12,
                    errno: libc::EINVAL
                }),
                Some(103),
                None
            )
        );
    }
}

#[test]
fn a_landlock_abi_that_the_kernel_lacks_is_a_missing_wall() {
    let mut peer = start();
    let setup = gm_protocol::plan::Setup {
        protocol: gm_protocol::PROTOCOL,
        filters: of_profile("wasm", None),
        landlock_abi: 10,
        landlock: vec![],
        role: Role::Plugin(task()),
    };
    peer.send(&gm_protocol::message::ToRunner::Setup(Box::new(setup)));
    assert_eq!(
        peer.ending(),
        (
            Some(Last::Wall {
                control: 11,
                errno: 0
            }),
            Some(103),
            None
        )
    );
}

#[test]
fn code_that_is_no_artifact_is_not_loaded() {
    for code in [
        &b""[..],
        b"\0asm\x01\0\0\0",
        b"\x7fELF\x02\x01\x01",
        &[0x7f; 5000],
    ] {
        let mut peer = Peer::start(
            "gm-run-wasm",
            64 << 20,
            &[("code", code), ("warm", &warm())],
            [None, None],
        );
        peer.wall_in(of_profile("wasm", None), Role::Plugin(task()));
        peer.send(&gm_protocol::message::ToRunner::Go);
        assert_eq!(peer.ending(), (None, Some(104), None));
    }
}

#[test]
fn a_runner_reports_what_it_holds() {
    let mut peer = start();
    let mut task = task();
    task.host_ops = HostOps::NONE;
    let report = peer.wall_in(of_profile("wasm", None), Role::Plugin(task));
    assert_eq!((report.uids, report.gids), ([1000; 3], [1000; 3]));
    assert!(report.landlock_abi >= 7);
    assert_eq!(report.fds & 0b1111, 0b1111);
}

fn start() -> Peer {
    Peer::start(
        "gm-run-wasm",
        64 << 20,
        &[("code", b""), ("warm", &warm())],
        [None, None],
    )
}

fn walled(filters: Filters) -> (Option<Last>, Option<i32>, Option<i32>) {
    let mut peer = start();
    let setup = gm_protocol::plan::Setup {
        protocol: gm_protocol::PROTOCOL,
        filters,
        landlock_abi: 7,
        landlock: vec![],
        role: Role::Plugin(task()),
    };
    peer.send(&gm_protocol::message::ToRunner::Setup(Box::new(setup)));
    peer.ending()
}
