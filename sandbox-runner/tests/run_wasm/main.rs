//! The shipped `gm-run-wasm` and `gm-compile-wasm` under the shipped profiles.
//!
//! Needs root (the peer is put into a root of its own) and the binaries of
//! `scripts/build`.

mod broker;
mod filters;

use broker::Plugin;

const HELLO: &str = r#"(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "{\"hello\":true}")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (drop (call $reply (i32.const 16) (i32.const 14)))
    (i32.const 0)))"#;

#[test]
fn a_plugin_answers_events_until_it_is_told_to_stop() {
    let mut plugin = Plugin::start(HELLO).loaded();
    for _ in 0..3 {
        let called = plugin.call(b"{}");
        assert_eq!(
            (called.status, called.document.as_deref()),
            (0, Some(&b"{\"hello\":true}"[..]))
        );
    }
    assert_eq!(plugin.stop(), (None, Some(0), None));
}
