//! Plugins that were made for other hosts: the system interface that toolchains
//! expect (WASI preview 1), and Extism's kits.

use gm_integration_tests::home;
use gm_integration_tests::records::text;
use gm_integration_tests::skip::below_l4;
use gm_integration_tests::{Ended, Home, Package, Repository};
use serde_json::{Value, json};

const WASI: &str = "com.test.wasi";
const EXTISM: &str = "com.test.extism";
const EVENT: &str = "{\"hook\":\"on_commit_analyzed\",\"data\":{\"n\":1}}\n";

/// A module that opens a path, prints what it reads there and replies with it,
/// or with the errno of the first call that failed. With flags for `path_open`
/// it writes a small document to the path first.
fn reader(path: &str, flags: u32) -> Vec<u8> {
    let len = path.len();
    let source = format!(
        r#"(module
          (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
          (memory (export "memory") 4)
          (data (i32.const 16) "{path}")
          (data (i32.const 1024) "{{\"errno\":00}}")
          (data (i32.const 2048) "{{\"kept\":17}}\n")
          (func (export "gm_alloc") (param i32) (result i32) (i32.const 65536))
          (func $failed (param $errno i32) (result i32)
            (i32.store8 (i32.const 1033) (i32.add (i32.const 48) (i32.div_u (local.get $errno) (i32.const 10))))
            (i32.store8 (i32.const 1034) (i32.add (i32.const 48) (i32.rem_u (local.get $errno) (i32.const 10))))
            (call $reply (i32.const 1024) (i32.const 12)))
          (func $buffer (param $address i32) (param $len i32)
            (i32.store (i32.const 512) (local.get $address))
            (i32.store (i32.const 516) (local.get $len)))
          (func (export "on_commit_analyzed") (param i32 i32) (result i32) (local $errno i32) (local $fd i32)
            (local.set $errno (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const {len})
              (i32.const {flags}) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 520)))
            (if (local.get $errno) (then (return (call $failed (local.get $errno)))))
            (local.set $fd (i32.load (i32.const 520)))
            (if (i32.const {flags}) (then
              (call $buffer (i32.const 2048) (i32.const 11))
              (local.set $errno (call $write (local.get $fd) (i32.const 512) (i32.const 1) (i32.const 524)))
              (if (local.get $errno) (then (return (call $failed (local.get $errno)))))
              (drop (call $seek (local.get $fd) (i64.const -11) (i32.const 2) (i32.const 528)))))
            (call $buffer (i32.const 131072) (i32.const 60000))
            (local.set $errno (call $read (local.get $fd) (i32.const 512) (i32.const 1) (i32.const 524)))
            (if (local.get $errno) (then (return (call $failed (local.get $errno)))))
            (call $buffer (i32.const 131072) (i32.load (i32.const 524)))
            (drop (call $write (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 528)))
            (drop (call $reply (i32.const 131072) (i32.load (i32.const 524))))
            (call $close (local.get $fd))))"#
    );
    Package::assemble(&source)
}

/// A repository with one document in its work tree.
fn repository() -> Repository {
    let repository = Repository::of(1);
    let docs = std::path::Path::new(repository.text()).join("docs");
    std::fs::create_dir_all(&docs).unwrap();
    std::fs::write(docs.join("a.json"), "{\"a\":1}").unwrap();
    repository
}

fn read(repository: &Repository, filesystem: &str, code: &[u8]) -> (Ended, Value) {
    let home = Home::new();
    let package = Package::with_code(WASI, code)
        .permission("filesystem", filesystem)
        .permission("host_api", "[\"log:write\"]");
    home.load(&package);
    let run = home.run(repository, &["--logs"]);
    run.expect_exit(0);
    let reply = run.replies(WASI, "on_commit_analyzed")[0]["reply"].clone();
    (run, reply)
}

const NOT_CAPABLE: i32 = 76;
const NOT_FOUND: i32 = 44;

#[test]
fn a_file_that_is_not_granted_is_not_opened_and_named_in_a_record() {
    for path in ["etc/passwd", "$REPO/docs/a.json"] {
        let (run, reply) = read(&repository(), "false", &reader(path, 0));
        assert_eq!(reply, json!({"errno": NOT_CAPABLE}));
        let denied = run.of(WASI, "denied");
        let [denied] = denied[..] else {
            panic!("not one denial: {run:#?}")
        };
        let whole = if path.starts_with('$') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        assert_eq!(text(denied, "what"), whole);
        assert_eq!(text(denied, "call"), "file_read");
    }
}

#[test]
fn a_granted_file_is_opened_and_read_as_a_toolchain_does_it() {
    if below_l4() {
        return;
    }
    let granted = "{ read = [\"$REPO/docs\"] }";
    let (run, reply) = read(&repository(), granted, &reader("$REPO/docs/a.json", 0));
    assert_eq!(reply, json!({"a": 1}));
    // What it printed is in its log, though no line had ended.
    let lines = run.of(WASI, "log");
    assert!(lines.iter().any(|line| text(line, "text") == "{\"a\":1}"));
    let (_, reply) = read(&repository(), granted, &reader("$REPO/docs/b.json", 0));
    assert_eq!(reply, json!({"errno": NOT_FOUND}));
    let (_, reply) = read(&repository(), granted, &reader("$REPO/docs/../x", 0));
    assert_eq!(reply, json!({"errno": NOT_CAPABLE}));
    // Reading alone was granted.
    let (_, reply) = read(&repository(), granted, &reader("$REPO/docs/a.json", 9));
    assert_eq!(reply, json!({"errno": NOT_CAPABLE}));
}

#[test]
fn what_is_written_is_read_back_where_writing_is_granted() {
    if below_l4() {
        return;
    }
    let granted = "{ write = [\"$DATA\"] }";
    let (_, reply) = read(&repository(), granted, &reader("$DATA/x", 9));
    assert_eq!(reply, json!({"kept": 17}));
}

#[test]
fn a_plugin_that_exits_with_a_status_ends_with_it() {
    let home = Home::new();
    let code = Package::assemble(
        r#"(module
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 4)
          (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
          (func (export "on_commit_analyzed") (param i32 i32) (result i32)
            (call $exit (i32.const 3)) (i32.const 0)))"#,
    );
    home.load(&Package::with_code(WASI, &code));
    let run = home.run_events(EVENT, &[]);
    run.expect_exit(1);
    // The first of its lives: another one was tried.
    let ended = run.of(WASI, "ended")[0];
    assert_eq!(text(ended, "ending"), "trapped");
    assert_eq!(text(ended, "detail"), "the plugin exited with status 3");
}

/// A plugin of one of Extism's kits, in short: `body` is its hook.
fn extism(imports: &str, body: &str) -> Package {
    let source = format!(
        r#"(module
          (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
          (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
          (import "extism:host/env" "input_offset" (func $input (result i64)))
          (import "extism:host/env" "length" (func $length (param i64) (result i64)))
          (import "extism:host/env" "output_set" (func $output (param i64 i64)))
          (import "extism:host/env" "error_set" (func $error (param i64)))
          {imports}
          (memory (export "memory") 4)
          (func $text (param $bytes i64) (result i64) (local $to i64)
            (local.set $to (call $alloc (i64.const 8)))
            (call $store (local.get $to) (local.get $bytes))
            (local.get $to))
          (func (export "on_commit_analyzed") (result i32) (local $a i64) {body}))"#
    );
    Package::with_code(EXTISM, &Package::assemble(&source)).abi("extism-1")
}

#[test]
fn a_plugin_of_extism_takes_the_event_and_gives_the_reply() {
    let home = Home::new();
    home.load(&extism(
        "",
        "(call $output (call $input) (call $length (call $input))) (i32.const 0)",
    ));
    let run = home.run_events(&EVENT.repeat(3), &[]);
    run.expect_exit(0);
    let replies = run.replies(EXTISM, "on_commit_analyzed");
    assert_eq!(replies.len(), 3);
    assert!(
        replies
            .iter()
            .all(|reply| reply["reply"] == json!({"n": 1}))
    );
    run.expect_ending(EXTISM, "finished");
}

/// The bytes of a text of eight characters, as a number.
fn eight(text: &str) -> u64 {
    u64::from_le_bytes(text.as_bytes().try_into().unwrap())
}

#[test]
fn an_error_of_a_plugin_of_extism_is_the_calls_error() {
    let home = Home::new();
    let body = format!(
        "(call $error (call $text (i64.const {}))) (i32.const 1)",
        eight("no sense")
    );
    home.load(&extism("", &body));
    let run = home.run_events(EVENT, &[]);
    run.expect_exit(1);
    let reply = run.replies(EXTISM, "on_commit_analyzed")[0];
    assert_eq!(text(reply, "status"), "error");
    assert_eq!(text(reply, "error"), "no sense");
}

const CONFIG: &str =
    r#"(import "extism:host/env" "config_get" (func $config (param i64) (result i64)))"#;

#[test]
fn a_plugin_of_extism_reads_what_it_was_granted_of_the_configuration() {
    let home = Home::new();
    home.configure("[config]\n\"lint.own\" = \"{\\\"own\\\":true}\"\n\"lint.not\" = \"{}\"\n");
    // The key's value is the reply; none is no reply.
    let body = |key: &str| {
        format!(
            "(local.set $a (call $config (call $text (i64.const {}))))
             (if (i64.ne (local.get $a) (i64.const 0))
               (then (call $output (local.get $a) (call $length (local.get $a)))))
             (i32.const 0)",
            eight(key)
        )
    };
    let reply = |key: &str| {
        let package = extism(CONFIG, &body(key))
            .permission("host_api", "[\"config:read\"]")
            .permission("config", "[\"lint.own\"]");
        home.load(&package);
        let run = home.run_events(EVENT, &[]);
        run.expect_exit(0);
        let denied = run.of(EXTISM, "denied").len();
        home.gm(&["plugin", "unload", EXTISM]).expect_exit(0);
        let replies = run.replies(EXTISM, "on_commit_analyzed");
        (replies[0]["reply"].clone(), denied)
    };
    assert_eq!(reply("lint.own"), (json!({"own": true}), 0));
    assert_eq!(reply("lint.not"), (Value::Null, 1));
}

#[test]
fn an_import_of_extism_that_is_not_granted_is_refused_with_the_line_to_add() {
    let home = Home::new();
    let http = r#"(import "extism:host/env" "http_request" (func (param i64 i64) (result i64)))"#;
    for (imports, name, line) in [
        (CONFIG, "extism:host/env.config_get", "config:read"),
        (http, "extism:host/env.http_request", "network"),
    ] {
        let package = extism(imports, "(i32.const 0)");
        home.sign(&package);
        let load = home.try_load(&package);
        let refused = load.expect_refused(17, "policy/import-not-granted");
        let said = text(refused, "detail");
        assert!(said.contains(name) && said.contains(line), "{said}");
    }
}

#[test]
fn a_plugin_of_extism_under_our_own_abi_is_told_which_one_it_needs() {
    let home = Home::new();
    let package = Package::of("extism-import");
    home.sign(&package);
    let load = home.try_load(&package);
    let said = load.expect_refused(14, "artifact/import-unknown");
    assert!(
        text(said, "detail").contains("abi = \"extism-1\""),
        "{said:#}"
    );
}

#[test]
fn an_abi_belongs_to_a_kind() {
    let home = Home::new();
    let package = Package::of("observer").kind("lua").abi("extism-1");
    let key = home.secret("key");
    let words = ["gpg", "sign", package.text(), "--key", home::text(&key)];
    home.gm(&words).expect_refused(10, "manifest/bad-value");
}

#[test]
fn an_argument_with_a_line_end_is_not_made_two_of() {
    let home = Home::new();
    let echo = r#"(func (export "echo") (result i32)
        (call $output (call $input) (call $length (call $input))) (i32.const 0))"#;
    home.load(&extism(echo, "(i32.const 0)").command("echo"));
    let typed = |args: &[&str]| home.gm(&[&["plugin", "run", EXTISM, "echo", "--"], args].concat());

    let two = typed(&["a", "b"]);
    two.expect_exit(0);
    assert_eq!(text(two.last(), "text"), "a\nb");

    for args in [&["a\nb"][..], &["a", "\n"]] {
        let refused = typed(args);
        refused.expect_exit(1);
        let error = text(refused.last(), "error");
        assert!(error.starts_with("an argument holds a line end"), "{error}");
        refused.expect_ending(EXTISM, "finished");
    }
}
