;; Runs a text as a script, which prints to the log.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "lib" "memory" (memory 1))
  (import "lib" "qjs_init_argv" (func $init (param i32 i32) (result i32)))
  (import "lib" "qjs_destroy" (func $destroy))
@prelude@
  (data $name "qjs\00-e\00")
  (data $input "@input@\00")

  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (local $at i32) (local $done i32)
    (local.set $at (call $room))
    (memory.init $name (local.get $at) (i32.const 0) (i32.const 7))
    (memory.init $input (i32.add (local.get $at) (i32.const 64)) (i32.const 0) (i32.const @input.len@))
    (i32.store offset=16 (local.get $at) (local.get $at))
    (i32.store offset=20 (local.get $at) (i32.add (local.get $at) (i32.const 4)))
    (i32.store offset=24 (local.get $at) (i32.add (local.get $at) (i32.const 64)))
    (i32.store offset=28 (local.get $at) (i32.const 0))
    (local.set $done (call $init (i32.const 3) (i32.add (local.get $at) (i32.const 16))))
    (call $destroy)
    (local.get $done)))
