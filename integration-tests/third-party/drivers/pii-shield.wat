;; Redacts one line.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "lib" "memory" (memory 1))
  (import "lib" "allocate" (func $allocate (param i32) (result i32)))
  (import "lib" "init_config" (func $configure (param i32 i32)))
  (import "lib" "redact" (func $redact (param i32 i32) (result i64)))
@prelude@
  (data $config "{\"salt\":\"salt\"}")
  (data $input "@input@")

  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (local $at i32) (local $out i64)
    (local.set $at (call $allocate (i32.const 15)))
    (memory.init $config (local.get $at) (i32.const 0) (i32.const 15))
    (call $configure (local.get $at) (i32.const 15))
    (local.set $at (call $allocate (i32.const @input.len@)))
    (memory.init $input (local.get $at) (i32.const 0) (i32.const @input.len@))
    (local.set $out (call $redact (local.get $at) (i32.const @input.len@)))
    (call $say (i32.wrap_i64 (i64.shr_u (local.get $out) (i64.const 32)))
      (i32.wrap_i64 (local.get $out)))))
