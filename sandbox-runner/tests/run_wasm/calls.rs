//! Calls in both directions, as the ABI describes them.

use gm_protocol::plan::{Hook, HostOp, HostOps};

use crate::broker::hook;
use crate::broker::{Plugin, task};
use crate::filters::of_profile;

const REPLY: &str = r#"(import "gm" "reply" (func $reply (param i32 i32) (result i32)))"#;
const FAIL: &str = r#"(import "gm" "fail" (func $fail (param i32 i32) (result i32)))"#;
const LOG: &str = r#"(import "gm" "log" (func $log (param i32 i32 i32) (result i32)))"#;

#[test]
fn a_plugin_answers_events_until_it_is_told_to_stop() {
    let body = "(drop (call $reply (i32.const 16) (i32.const 14))) (i32.const 0)";
    let mut plugin = Plugin::start(&hook(REPLY, body)).loaded();
    for _ in 0..3 {
        let called = plugin.call(b"{}");
        assert_eq!(
            (called.status, called.document.as_deref()),
            (0, Some(&b"{\"hello\":true}"[..]))
        );
    }
    assert_eq!(plugin.stop(), (None, Some(0), None));
}

#[test]
fn a_runner_ends_when_the_host_is_gone() {
    let mut plugin = Plugin::start(&hook("", "(i32.const 0)")).loaded();
    let (dead, _) = gm_protocol::link::pair().unwrap();
    let budget = gm_protocol::link::Budget {
        frames: 1,
        bytes: 1,
    };
    drop(std::mem::replace(
        &mut plugin.peer.link,
        gm_protocol::link::Link::new(dead, budget),
    ));
    assert_eq!(plugin.peer.child.wait().unwrap().code(), Some(0));
}

#[test]
fn no_reply_and_a_failure_without_text_are_told_apart_from_empty_ones() {
    let mut plugin = Plugin::start(&hook("", "(i32.const 0)")).loaded();
    let called = plugin.call(b"{}");
    assert_eq!((called.status, called.document), (0, None));
    let mut plugin = Plugin::start(&hook(
        FAIL,
        "(drop (call $fail (i32.const 16) (i32.const 0))) (i32.const 3)",
    ))
    .loaded();
    let called = plugin.call(b"{}");
    assert_eq!((called.status, called.document), (3, Some(vec![])));
}

#[test]
fn a_reply_that_is_no_json_object_is_invalid() {
    // From the second byte on it's no object.
    let body = "(call $reply (i32.const 17) (i32.const 13))";
    let mut plugin = Plugin::start(&hook(REPLY, body)).loaded();
    let called = plugin.call(b"{}");
    assert_eq!((called.status, called.document), (-3, None));
}

#[test]
fn events_and_results_of_many_frames_arrive_whole() {
    let import = r#"(import "gm" "node_get" (func $get (param i32 i32) (result i64)))
        (import "gm" "result" (func $result (param i32 i32) (result i32)))
        (import "gm" "reply" (func $reply (param i32 i32) (result i32)))"#;
    // Asks with the whole event, fetches what comes back behind it, replies with that.
    let body = "(local $size i32)
        (drop (memory.grow (i32.const 60)))
        (local.set $size (i32.wrap_i64 (call $get (local.get $ptr) (local.get $len))))
        (drop (call $result (i32.const 1500000) (local.get $size)))
        (call $reply (i32.const 1500000) (local.get $size))";
    let text = hook(import, body).replace(
        "(memory (export \"memory\") 1)",
        "(memory (export \"memory\") 20)",
    );
    let mut plugin = Plugin::start(&text).loaded();
    let event = format!("{{\"a\":\"{}\"}}", "x".repeat(900_000));
    let called = plugin.call(event.as_bytes());
    assert_eq!(called.status, 0);
    assert!(called.document.as_deref() == Some(event.as_bytes()));
    assert!(called.asked == [(HostOp::NodeGet, 0, event.into_bytes())]);
}

#[test]
fn an_argument_over_the_cap_is_too_big() {
    let import = r#"(import "gm" "node_put" (func $put (param i32 i32) (result i32)))"#;
    let text = hook(import, "(call $put (i32.const 0) (i32.const 1100000))").replace(
        "(memory (export \"memory\") 1)",
        "(memory (export \"memory\") 20)",
    );
    let called = Plugin::start(&text).loaded().call(b"{}");
    assert_eq!((called.status, called.asked), (-4, vec![]));
}

#[test]
fn an_event_is_emitted_with_its_topic() {
    let import = r#"(import "gm" "event_emit" (func $emit (param i32 i32 i32 i32) (result i32)))"#;
    let body = "(call $emit (i32.const 64) (i32.const 5) (i32.const 16) (i32.const 14))";
    let called = Plugin::start(&hook(import, body)).loaded().call(b"{}");
    assert_eq!(
        called.asked,
        [(HostOp::EventEmit, 0, b"words{\"hello\":true}".to_vec())]
    );
}

#[test]
fn what_a_start_function_logs_arrives_with_the_first_call() {
    let early = format!(
        "{LOG} (func $early (drop (call $log (i32.const 3) (i32.const 64) (i32.const 5)))) (start $early)"
    );
    let mut plugin = Plugin::start(&hook(
        &early,
        "(call $log (i32.const 1) (i32.const 64) (i32.const 9))",
    ))
    .loaded();
    let called = plugin.call(b"{}");
    let lines = [
        (HostOp::Log, 3, b"words".to_vec()),
        (HostOp::Log, 1, b"words.txt".to_vec()),
    ];
    assert_eq!(called.asked, lines);
}

#[test]
fn files_of_the_package_are_read_inside_the_runner() {
    let import = r#"(import "gm" "asset_read" (func $read (param i32 i32 i64 i32) (result i64)))
        (import "gm" "result" (func $result (param i32 i32) (result i32)))"#;
    let read = |name_len, offset, most| {
        let body = format!("(drop (call $result (i32.const 512) (i32.const 16)))
            (i32.wrap_i64 (call $read (i32.const 64) (i32.const {name_len}) (i64.const {offset}) (i32.const {most})))");
        let text = hook(import, &body);
        Plugin::with(&text, task(), of_profile("wasm", None), b"-hello-")
            .loaded()
            .call(b"{}")
            .status
    };
    assert_eq!(read(9, 0, 100), 5);
    assert_eq!(read(9, 3, 100), 2);
    assert_eq!(read(9, 0, 2), 2);
    assert_eq!(read(9, 9, 2), 0);
    assert_eq!(read(9, -1, 2), -3);
    assert_eq!(read(8, 0, 2), -2);
}

#[test]
fn a_result_stays_until_the_next_one_and_is_cut_to_its_room() {
    let import = r#"(import "gm" "config_get" (func $get (param i32 i32) (result i64)))
        (import "gm" "result" (func $result (param i32 i32) (result i32)))"#;
    let body = "(drop (call $get (i32.const 64) (i32.const 9)))
        (drop (call $result (i32.const 512) (i32.const 4)))
        (call $result (i32.const 520) (i32.const 100))
        (i32.load8_u (i32.const 528)) i32.add (i32.load8_u (i32.const 515)) i32.add";
    let called = Plugin::start(&hook(import, body)).loaded().call(b"{}");
    assert_eq!(called.status, 9 + i32::from(b't') + i32::from(b'd'));
}

#[test]
fn a_module_without_memory_for_the_event_fails_the_call() {
    let text = hook("", "(i32.const 0)").replace("(i32.const 1024)", "(i32.const 0)");
    let called = Plugin::start(&text).loaded().call(b"{}");
    assert_eq!(called.status, -1);
    assert_eq!(
        called.document.unwrap(),
        b"gm_alloc gave no memory for the document"
    );
}

#[test]
fn a_hook_that_is_not_there_fails_the_call() {
    let mut plugin = Plugin::start(&hook("", "(i32.const 0)")).loaded();
    assert_eq!(plugin.call_hook(Hook::Shutdown, b"{}").status, -1);
    assert_eq!(plugin.call(b"{}").status, 0);
}

#[test]
fn the_input_is_given_back_after_the_hook() {
    let free = r#"(global $freed (mut i32) (i32.const 0))
        (func (export "gm_free") (param i32 i32) (global.set $freed (i32.add (local.get 0) (local.get 1))))"#;
    let mut plugin = Plugin::start(&hook(free, "(global.get $freed)")).loaded();
    assert_eq!(plugin.call(b"{}").status, 0);
    assert_eq!(plugin.call(b"{}").status, 1026);
}

#[test]
fn an_import_that_the_grant_lost_after_compiling_is_not_loaded() {
    let mut narrower = task();
    narrower.host_ops = HostOps::NONE;
    let seen = Plugin::with(
        &hook(LOG, "(i32.const 0)"),
        narrower,
        of_profile("wasm", None),
        b"",
    )
    .peer
    .ending();
    assert_eq!(seen, (None, Some(104), None));
}

#[test]
fn calls_of_storage_carry_key_and_value_and_what_is_got_is_a_result() {
    let imports = r#"(import "gm" "storage_set" (func $set (param i32 i32 i32 i32) (result i32)))
        (import "gm" "storage_get" (func $get (param i32 i32) (result i64)))
        (import "gm" "storage_list" (func $list (param i32 i32) (result i64)))
        (import "gm" "storage_delete" (func $delete (param i32 i32) (result i32)))
        (import "gm" "result" (func $result (param i32 i32) (result i32)))"#;
    let body = "(drop (call $set (i32.const 64) (i32.const 5) (i32.const 16) (i32.const 14)))
        (drop (call $get (i32.const 64) (i32.const 9)))
        (drop (call $delete (i32.const 64) (i32.const 5)))
        (call $result (i32.const 512) (i32.const 100))
        (drop (call $list (i32.const 64) (i32.const 0)))";
    let called = Plugin::start(&hook(imports, body)).loaded().call(b"{}");
    assert_eq!(
        called.asked,
        [
            (HostOp::StorageSet, 0, b"words{\"hello\":true}".to_vec()),
            (HostOp::StorageGet, 0, b"words.txt".to_vec()),
            (HostOp::StorageDelete, 0, b"words".to_vec()),
            (HostOp::StorageList, 0, b"".to_vec()),
        ]
    );
    // The stand-in for the host gives back what it was asked; to delete has no result.
    assert_eq!(called.status, 9);
}

#[test]
fn a_command_is_a_hook_like_any_other() {
    let text = hook("", "(i32.const 0)").replace("on_commit_analyzed", "gm_command");
    let mut commanded = task();
    commanded.hooks = vec![Hook::Command];
    let mut plugin = Plugin::with(&text, commanded, of_profile("wasm", None), b"").loaded();
    assert_eq!(plugin.call_hook(Hook::Command, b"{}").status, 0);
    assert_eq!(plugin.call(b"{}").status, -1);
}
