//! `abi = "extism-1"` behind the shipped profile: every function of the kernel,
//! honest and hostile.

use gm_protocol::message::{FromRunner, Last, ToRunner, TrapClass};
use gm_protocol::plan::{Abi, Hook, HostOp, HostOps, PluginSetup};

use crate::broker::{Plugin, task};
use crate::filters::of_profile;
use crate::played::Called;

/// All 32 functions, under names of their own.
const IMPORTS: &str = r#"
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "length_unsafe" (func $length_unsafe (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "load_u64" (func $load_u64 (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "input_set" (func $input_set (param i64 i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "output_length" (func $output_length (result i64)))
  (import "extism:host/env" "output_offset" (func $output_offset (result i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "error_get" (func $error_get (result i64)))
  (import "extism:host/env" "reset" (func $reset))
  (import "extism:host/env" "memory_bytes" (func $memory_bytes (result i64)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
  (import "extism:host/env" "http_status_code" (func $http_status_code (result i32)))
  (import "extism:host/env" "http_headers" (func $http_headers (result i64)))
  (import "extism:host/env" "log_trace" (func $log_trace (param i64)))
  (import "extism:host/env" "log_debug" (func $log_debug (param i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "log_warn" (func $log_warn (param i64)))
  (import "extism:host/env" "log_error" (func $log_error (param i64)))
  (import "extism:host/env" "get_log_level" (func $get_log_level (result i32)))
"#;

/// A block that holds a text of the module's memory.
const BLOCK: &str = r#"
  (func $block (param $at i32) (param $len i32) (result i64) (local $to i64) (local $i i32)
    (local.set $to (call $alloc (i64.extend_i32_u (local.get $len))))
    (block $done (loop $more
      (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
      (call $store_u8 (i64.add (local.get $to) (i64.extend_i32_u (local.get $i)))
        (i32.load8_u (i32.add (local.get $at) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $more)))
    (local.get $to))
"#;

fn setup() -> PluginSetup {
    PluginSetup {
        abi: Abi::Extism1,
        ..task()
    }
}

/// A module whose hook has `body`; texts lie at 16 ({"hello":true}, 14 bytes)
/// and 64 (words.txt, 9 bytes).
fn text(body: &str) -> String {
    format!(
        r#"(module {IMPORTS}
          (memory (export "memory") 1)
          (data (i32.const 16) "{{\"hello\":true}}")
          (data (i32.const 64) "words.txt")
          {BLOCK}
          (func (export "on_commit_analyzed") (result i32) (local $a i64) (local $b i64)
            {body}))"#
    )
}

fn plugin(body: &str) -> Plugin {
    Plugin::with(&text(body), setup(), of_profile("wasm", None), b"").loaded()
}

fn called(body: &str) -> Called {
    plugin(body).call(b"{\"n\":1}")
}

/// The ending of a call that breaks the contract.
fn broken(body: &str) {
    let trap = Last::Trap {
        class: TrapClass::HostCall,
        refused_grow: false,
    };
    let ending = plugin(body).dies(b"{\"n\":1}");
    assert_eq!(ending, (Some(trap), Some(102), None), "{body}");
}

#[test]
fn the_input_is_the_document_and_the_output_is_the_reply() {
    // Eight bytes at a time, and the rest one by one, as kits do.
    let echo = r"
        (local.set $a (call $alloc (call $input_length)))
        (block $tail (loop $more
          (br_if $tail (i64.gt_u (i64.add (local.get $b) (i64.const 8)) (call $input_length)))
          (call $store_u64 (i64.add (local.get $a) (local.get $b)) (call $input_load_u64 (local.get $b)))
          (local.set $b (i64.add (local.get $b) (i64.const 8)))
          (br $more)))
        (block $done (loop $more
          (br_if $done (i64.ge_u (local.get $b) (call $input_length)))
          (call $store_u8 (i64.add (local.get $a) (local.get $b)) (call $input_load_u8 (local.get $b)))
          (local.set $b (i64.add (local.get $b) (i64.const 1)))
          (br $more)))
        (call $output_set (local.get $a) (call $input_length))
        (i32.const 0)";
    let mut plugin = plugin(echo);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(100_000));
    for document in ["{}", "{\"n\":12345}", &long, "{ }"] {
        let called = plugin.call(document.as_bytes());
        assert_eq!(called.status, 0);
        assert!(called.document.as_deref() == Some(document.as_bytes()));
    }
    assert_eq!(plugin.stop(), (None, Some(0), None));
}

#[test]
fn the_input_can_be_handed_out_as_a_block() {
    let called = called(
        "(call $output_set (call $input_offset) (call $length (call $input_offset)))
         (i32.wrap_i64 (i64.sub (call $output_length) (call $input_length)))",
    );
    assert_eq!(
        (called.status, called.document.as_deref()),
        (0, Some(&b"{\"n\":1}"[..]))
    );
}

#[test]
fn no_output_is_no_reply_and_what_is_no_object_fails_the_call() {
    assert_eq!(called("(i32.const 0)").document, None);
    let empty = called("(call $output_set (i64.const 0) (i64.const 0)) (i32.const 0)");
    assert_eq!((empty.status, empty.document), (0, None));
    let plain = called(
        "(call $output_set (call $block (i32.const 64) (i32.const 9)) (i64.const 9)) (i32.const 0)",
    );
    assert_eq!(plain.status, 1);
    assert_eq!(plain.document.unwrap(), b"the output is not a JSON object");
    let long = called(
        "(local.set $a (call $alloc (i64.const 1048577)))
         (call $output_set (local.get $a) (i64.const 1048577)) (i32.const 0)",
    );
    assert_eq!(long.status, 1);
    assert_eq!(
        long.document.unwrap(),
        b"the output is longer than a reply may be"
    );
}

#[test]
fn an_error_is_told_with_its_text() {
    let set = "(local.set $a (call $block (i32.const 64) (i32.const 9)))
        (call $error_set (local.get $a))";
    let seen = called(&format!("{set} (i32.const 7)"));
    assert_eq!(
        (seen.status, seen.document.as_deref()),
        (7, Some(&b"words.txt"[..]))
    );
    // Also where the function says that all went well, as the kits' own host does.
    let seen = called(&format!("{set} (i32.const 0)"));
    assert_eq!(
        (seen.status, seen.document.as_deref()),
        (1, Some(&b"words.txt"[..]))
    );
    let seen = called(&format!(
        "{set} (call $error_set (i64.const 0)) (i32.const 0)"
    ));
    assert_eq!((seen.status, seen.document), (0, None));
    let seen = called("(i32.const 5)");
    assert_eq!((seen.status, seen.document), (5, None));
    let seen = called(&format!(
        "{set} (i32.eqz (i64.eq (call $error_get) (local.get $a))) (call $error_set (i64.const 0))"
    ));
    assert_eq!(seen.status, 0);
}

#[test]
fn blocks_have_lengths_and_freed_ones_have_none() {
    let seen = called(
        "(local.set $a (call $alloc (i64.const 10)))
         (local.set $b (call $length_unsafe (local.get $a)))
         (call $free (local.get $a))
         (i32.wrap_i64 (i64.add (i64.mul (local.get $b) (i64.const 100))
           (i64.add (call $length (local.get $a)) (call $length (i64.const 99999)))))",
    );
    assert_eq!(seen.status, 1000);
}

#[test]
fn a_new_call_begins_with_no_block_of_the_one_before() {
    let mut plugin = plugin(
        "(if (i64.gt_u (call $memory_bytes) (i64.const 4096)) (then unreachable))
         (drop (call $alloc (i64.const 100000)))
         (call $output_set (call $block (i32.const 16) (i32.const 14)) (i64.const 14))
         (i32.const 0)",
    );
    for _ in 0..200 {
        assert_eq!(plugin.call(b"{}").document.unwrap(), b"{\"hello\":true}");
    }
}

#[test]
fn a_plugin_may_set_its_own_input_and_forget_all_blocks() {
    let seen = called(
        "(local.set $a (call $block (i32.const 64) (i32.const 9)))
         (call $input_set (local.get $a) (i64.const 5))
         (local.set $b (i64.add (call $input_length) (i64.extend_i32_u (call $input_load_u8 (i64.const 4)))))
         (call $reset)
         (i32.wrap_i64 (i64.add (local.get $b) (i64.add (call $memory_bytes) (i64.add (call $output_offset) (call $input_length)))))",
    );
    assert_eq!(seen.status, 5 + i32::from(b's'));
}

#[test]
fn offsets_outside_of_every_block_end_the_plugin() {
    for offset in ["0", "1", "63", "1048576", "9223372036854775807", "-1", "-8"] {
        broken(&format!("(call $load_u8 (i64.const {offset}))"));
        broken(&format!(
            "(i32.wrap_i64 (call $load_u64 (i64.const {offset})))"
        ));
    }
    for (store, value) in [
        ("store_u8", "(i32.const 1)"),
        ("store_u64", "(i64.const 1)"),
    ] {
        broken(&format!(
            "(call ${store} (i64.const -1) {value}) (i32.const 0)"
        ));
        broken(&format!(
            "(call ${store} (i64.add (call $alloc (i64.const 16)) (i64.const 16)) {value}) (i32.const 0)"
        ));
    }
}

#[test]
fn a_freed_block_is_neither_loaded_nor_handed_over() {
    let freed =
        "(local.set $a (call $block (i32.const 64) (i32.const 9))) (call $free (local.get $a))";
    for then in [
        "(call $load_u8 (local.get $a))",
        "(call $store_u8 (local.get $a) (i32.const 1)) (i32.const 0)",
        "(call $output_set (local.get $a) (i64.const 9)) (i32.const 0)",
        "(call $error_set (local.get $a)) (i32.const 0)",
        "(call $log_info (local.get $a)) (i32.const 0)",
        "(i32.wrap_i64 (call $var_get (local.get $a)))",
    ] {
        broken(&format!("{freed} {then}"));
    }
    // A key is the host's from the call on.
    broken(
        "(local.set $a (call $block (i32.const 64) (i32.const 9)))
         (drop (call $var_get (local.get $a))) (call $load_u8 (local.get $a))",
    );
}

#[test]
fn ranges_that_leave_their_block_end_the_plugin() {
    let block = "(local.set $a (call $block (i32.const 64) (i32.const 9)))";
    for (offset, len) in [
        ("0", "10"),
        ("1", "9"),
        ("0", "-1"),
        ("-1", "2"),
        ("16", "1"),
    ] {
        let range = format!("(i64.add (local.get $a) (i64.const {offset})) (i64.const {len})");
        broken(&format!("{block} (call $output_set {range}) (i32.const 0)"));
        broken(&format!("{block} (call $input_set {range}) (i32.const 0)"));
    }
    broken(&format!(
        "{block} (call $error_set (i64.add (local.get $a) (i64.const 1))) (i32.const 0)"
    ));
}

#[test]
fn more_than_the_memory_limit_is_not_given() {
    for len in [
        "8388608",
        "4294967296",
        "9223372036854775807",
        "-1",
        "-16",
        "0",
    ] {
        let seen = called(&format!("(i64.eqz (call $alloc (i64.const {len})))"));
        assert_eq!(seen.status, 1, "{len}");
    }
    // Blocks and linear memory are paid for out of one purse.
    let seen = called(
        "(drop (call $alloc (i64.const 6000000)))
         (i32.add (memory.grow (i32.const 64)) (i32.const 1))",
    );
    assert_eq!(seen.status, 0);
    let seen = called("(i32.add (memory.grow (i32.const 64)) (i32.const 1))");
    assert_eq!(seen.status, 2);
}

#[test]
fn blocks_without_end_are_a_matter_of_memory() {
    let body = "(loop $more (local.set $a (call $alloc (i64.const 1)))
        (br_if $more (i64.ne (local.get $a) (i64.const 0)))) unreachable";
    let trap = Last::Trap {
        class: TrapClass::Unreachable,
        refused_grow: true,
    };
    assert_eq!(plugin(body).dies(b"{}"), (Some(trap), Some(102), None));
}

#[test]
fn variables_stay_from_call_to_call_and_can_be_taken_away() {
    let mut plugin = plugin(
        "(local.set $a (call $var_get (call $block (i32.const 64) (i32.const 5))))
         (if (i64.eqz (local.get $a))
           (then (call $var_set (call $block (i32.const 64) (i32.const 5))
                   (call $block (i32.const 16) (i32.const 14))))
           (else (call $output_set (local.get $a) (call $length (local.get $a)))
             (call $var_set (call $block (i32.const 64) (i32.const 5)) (i64.const 0))))
         (i32.const 0)",
    );
    for _ in 0..3 {
        assert_eq!(plugin.call(b"{}").document, None);
        assert_eq!(plugin.call(b"{}").document.unwrap(), b"{\"hello\":true}");
    }
}

#[test]
fn variables_have_a_most_of_bytes() {
    let set = |bytes: u32| {
        format!(
            "(call $var_set (call $block (i32.const 64) (i32.const 5)) (call $alloc (i64.const {bytes})))"
        )
    };
    let mut fits = plugin(&format!(
        "{} {} (i32.const 0)",
        set(900_000),
        set(1_000_000)
    ));
    assert_eq!(fits.call(b"{}").status, 0);
    let over = plugin(&format!("{} (i32.const 0)", set(1_048_576)));
    let trap = Last::Trap {
        class: TrapClass::HostCall,
        refused_grow: true,
    };
    assert_eq!(over.dies(b"{}"), (Some(trap), Some(102), None));
}

#[test]
fn a_value_of_the_configuration_is_a_text_or_json() {
    // The host of these tests answers with the key, which is no JSON: as it is.
    let seen = called(
        "(local.set $a (call $config_get (call $block (i32.const 16) (i32.const 14))))
         (call $output_set (local.get $a) (call $length (local.get $a))) (i32.const 0)",
    );
    assert_eq!(seen.document.unwrap(), b"{\"hello\":true}");
    assert_eq!(
        seen.asked,
        [(HostOp::ConfigGet, 0, b"{\"hello\":true}".to_vec())]
    );
}

#[test]
fn each_level_of_the_log_is_one_of_ours() {
    let log =
        |level: &str| format!("(call $log_{level} (call $block (i32.const 64) (i32.const 9)))");
    let all = ["trace", "debug", "info", "warn", "error"]
        .map(log)
        .concat();
    let seen = called(&format!("{all} (call $get_log_level)"));
    assert_eq!(seen.status, 0);
    let expected: Vec<_> = (0..5)
        .map(|level| (HostOp::Log, level, b"words.txt".to_vec()))
        .collect();
    assert_eq!(seen.asked, expected);
}

#[test]
fn before_any_request_there_is_no_status_and_no_header() {
    let seen = called("(i32.add (call $http_status_code) (i32.wrap_i64 (call $http_headers)))");
    assert_eq!(seen.status, 0);
}

/// Answers one request with `answer`; what was asked, and the call's reply.
fn answered(answer: &str) -> (serde_json::Value, Called) {
    let url = r#"{"url":"http://a.b/","method":"post","headers":{"x-a":"1"}}"#;
    let body = format!(
        "(local.set $a (call $http_request
           (call $block (i32.const 1024) (i32.const {})) (call $block (i32.const 64) (i32.const 5))))
         (local.set $b (call $http_headers))
         (if (i64.ne (local.get $b) (i64.const 0))
           (then (call $log_info (local.get $b))))
         (call $output_set (local.get $a) (call $length (local.get $a)))
         (call $http_status_code)",
        url.len()
    );
    let data = format!("(data (i32.const 1024) {url:?})");
    let source = text(&body).replace(
        "(data (i32.const 16)",
        &format!("{data} (data (i32.const 16)"),
    );
    let mut plugin = Plugin::with(&source, setup(), of_profile("wasm", None), b"").loaded();
    plugin.begin(Hook::OnCommitAnalyzed, b"{}");
    let (id, asked) = match plugin.peer.recv() {
        FromRunner::Host { id, op, bytes, .. } => {
            assert_eq!(op, HostOp::HttpRequest);
            (id, serde_json::from_slice(&bytes).unwrap())
        }
        other => panic!("{other:?} instead of a request"),
    };
    let failed = answer.is_empty();
    let done = ToRunner::HostDone {
        id,
        status: if failed {
            -8
        } else {
            i64::try_from(answer.len()).unwrap()
        },
        more: false,
        bytes: answer.into(),
    };
    plugin.peer.send(&done);
    (asked, plugin.until_done())
}

#[test]
fn a_request_is_one_of_ours_and_its_answer_is_told_in_three_parts() {
    let answer = r#"{"status":201,"headers":[["b","2"],["a","1"]],"body":"{\"c\":3}"}"#;
    let (asked, called) = answered(answer);
    let expected = serde_json::json!({
        "method": "POST",
        "url": "http://a.b/",
        "headers": [["x-a", "1"]],
        "body_base64": "d29yZHM=",
    });
    assert_eq!(asked, expected);
    assert_eq!(called.status, 201);
    assert_eq!(
        called.asked,
        [(HostOp::Log, 2, br#"{"a":"1","b":"2"}"#.to_vec())]
    );
    let (_, called) = answered(r#"{"status":0,"headers":[],"body_base64":"e30="}"#);
    assert_eq!(
        (called.status, called.document.as_deref()),
        (0, Some(&b"{}"[..]))
    );
}

#[test]
fn a_request_that_failed_has_no_status_and_no_body() {
    let (_, called) = answered("");
    assert_eq!(
        (called.status, called.document, called.asked),
        (0, None, vec![])
    );
}

#[test]
fn a_command_is_a_function_of_its_name_and_may_say_anything() {
    let echo = r#"(import "extism:host/env" "input_offset" (func $input (result i64)))
        (import "extism:host/env" "input_length" (func $length (result i64)))
        (import "extism:host/env" "output_set" (func $output (param i64 i64)))
        (func (export "count_all") (result i32) (call $output (call $input) (call $length)) (i32.const 4))"#;
    let mut plugin = Plugin::with(
        &small(echo, "(i32.const 0)"),
        setup(),
        of_profile("wasm", None),
        b"",
    )
    .loaded();
    let mut asked = |document: &[u8]| plugin.call_hook(Hook::Command, document);
    let called = asked(br#"{"schema":"gm.command/1","name":"count-all","args":["a \"b\"","c"]}"#);
    assert_eq!(called.status, 0);
    assert_eq!(
        called.document.unwrap(),
        br#"{"status":4,"text":"a \"b\"\nc"}"#
    );
    let called = asked(br#"{"name":"count-all","args":[]}"#);
    assert_eq!(called.document.unwrap(), br#"{"status":4,"text":""}"#);
    for odd in [r#"["a\nb"]"#, r#"["a","\n"]"#, r#"["a","b\u000a"]"#] {
        let called = asked(format!(r#"{{"name":"count-all","args":{odd}}}"#).as_bytes());
        assert_eq!(called.status, -1, "{odd}");
        let text = String::from_utf8(called.document.unwrap()).unwrap();
        assert!(text.starts_with("an argument holds a line end"), "{text}");
    }
    // What else a terminal would make of it is the command's own matter.
    let called = asked(br#"{"name":"count-all","args":["a\r","\\n"]}"#);
    assert_eq!(
        called.document.unwrap(),
        br#"{"status":4,"text":"a\r\n\\n"}"#
    );
    for other in [&br#"{"name":"other","args":[]}"#[..], b"{}", b"x"] {
        let called = asked(other);
        assert_eq!(called.status, -1);
        assert_eq!(called.document.unwrap(), b"the module has no such command");
    }
}

fn small(imports: &str, body: &str) -> String {
    format!(
        "(module {imports} (memory (export \"memory\") 1)
           (data (i32.const 16) \"{{\\\"hello\\\":true}}\")
           (func (export \"on_commit_analyzed\") (result i32) {body}))"
    )
}

#[test]
fn functions_of_gm_are_there_beside_and_set_the_reply_too() {
    let imports = r#"(import "gm" "reply" (func $reply (param i32 i32) (result i32)))
        (import "gm" "node_get" (func $get (param i32 i32) (result i64)))"#;
    let body = "(drop (call $get (i32.const 16) (i32.const 14))) (call $reply (i32.const 16) (i32.const 14))";
    let mut plugin = Plugin::with(
        &small(imports, body),
        setup(),
        of_profile("wasm", None),
        b"",
    )
    .loaded();
    let called = plugin.call(b"{}");
    assert_eq!(called.document.unwrap(), b"{\"hello\":true}");
    assert_eq!(called.asked.len(), 1);
}

#[test]
fn kits_before_1_0_import_from_another_module() {
    let imports = r#"(import "env" "extism_input_length" (func $length (result i64)))
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))"#;
    let body = "(i32.add (call $yield) (i32.wrap_i64 (call $length)))";
    let mut plugin = Plugin::with(
        &small(imports, body),
        setup(),
        of_profile("wasm", None),
        b"",
    )
    .loaded();
    assert_eq!(plugin.call(b"12345").status, 5);
}

#[test]
fn what_reads_the_host_outside_of_a_hook_ends_the_plugin() {
    let early = r#"(import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
        (import "extism:host/env" "config_get" (func $config (param i64) (result i64)))
        (func (export "_initialize") (drop (call $config (call $alloc (i64.const 4)))))"#;
    let seen = Plugin::with(
        &small(early, "(i32.const 0)"),
        setup(),
        of_profile("wasm", None),
        b"",
    );
    let trap = Last::Trap {
        class: TrapClass::HostCall,
        refused_grow: false,
    };
    assert_eq!(seen.peer.ending(), (Some(trap), Some(102), None));
}

#[test]
fn constructors_run_once_in_place_of_the_reactors_function() {
    let early = r#"(global $n (mut i32) (i32.const 0))
        (func $add (param i32) (global.set $n (i32.add (global.get $n) (local.get 0))))
        (func (export "__wasm_call_ctors") (call $add (i32.const 1)))
        (func (export "_initialize") (call $add (i32.const 10)))
        (func (export "_start") (call $add (i32.const 100)))"#;
    let mut plugin = Plugin::with(
        &small(early, "(global.get $n)"),
        setup(),
        of_profile("wasm", None),
        b"",
    )
    .loaded();
    assert_eq!(plugin.call(b"{}").status, 1);
    assert_eq!(plugin.call(b"{}").status, 1);
}

#[test]
fn a_hook_that_is_not_there_fails_the_call() {
    let mut plugin = plugin("(i32.const 0)");
    assert_eq!(plugin.call_hook(Hook::Shutdown, b"{}").status, -1);
    assert_eq!(plugin.call(b"{}").status, 0);
}

#[test]
fn a_document_that_does_not_fit_fails_the_call() {
    let mut little = setup();
    little.memory_bytes = 80 << 10;
    let mut plugin = Plugin::with(
        &text("(i32.const 0)"),
        little,
        of_profile("wasm", None),
        b"",
    )
    .loaded();
    let long = vec![b' '; 100 << 10];
    let called = plugin.call(&long);
    assert_eq!(called.status, -1);
    assert_eq!(
        called.document.unwrap(),
        b"there is no memory left for the document"
    );
    assert_eq!(plugin.call(b"{}").status, 0);
}

#[test]
fn what_the_grant_lost_after_compiling_is_not_loaded() {
    let mut narrower = setup();
    narrower.host_ops = HostOps::NONE.with(HostOp::Log);
    let seen = Plugin::with(
        &text("(i32.const 0)"),
        narrower,
        of_profile("wasm", None),
        b"",
    );
    assert_eq!(seen.peer.ending(), (None, Some(104), None));
}
