//! The shipped `gm-run-wasm` and `gm-compile-wasm` under the shipped profiles.
//!
//! Needs root (the peer is put into a root of its own) and the binaries of
//! `scripts/build`.

mod broker;
mod calls;
mod compiler;
mod filters;
mod memory;
mod traps;
mod walls;

/// A module whose hook has `body`, after `before` at its top level.
fn hook(before: &str, body: &str) -> String {
    format!(
        r#"(module
          {before}
          (memory (export "memory") 1)
          (data (i32.const 16) "{{\"hello\":true}}")
          (data (i32.const 64) "words.txt")
          (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
          (func (export "on_commit_analyzed") (param $ptr i32) (param $len i32) (result i32)
            {body}))"#
    )
}
