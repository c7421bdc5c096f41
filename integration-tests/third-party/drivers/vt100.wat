;; Shows what a terminal of 4 lines and 20 columns shows after these bytes.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "lib" "memory" (memory 1))
  (import "lib" "wasm_alloc" (func $alloc (param i32) (result i32)))
  (import "lib" "create" (func $create (param i32 i32 i32) (result i32)))
  (import "lib" "process" (func $process (param i32 i32 i32)))
  (import "lib" "screen_contents" (func $contents (param i32) (result i64)))
@prelude@
  (data $input "@input@")

  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (local $screen i32) (local $at i32) (local $out i64)
    (local.set $screen (call $create (i32.const 4) (i32.const 20) (i32.const 0)))
    (local.set $at (call $alloc (i32.const @input.len@)))
    (memory.init $input (local.get $at) (i32.const 0) (i32.const @input.len@))
    (call $process (local.get $screen) (local.get $at) (i32.const @input.len@))
    (local.set $out (call $contents (local.get $screen)))
    (call $say (i32.wrap_i64 (i64.shr_u (local.get $out) (i64.const 32)))
      (i32.wrap_i64 (local.get $out)))))
