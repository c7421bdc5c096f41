;; The hash of a text, 64 bits with seed 0, as 16 digits.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "lib" "mem" (memory 1))
  (import "lib" "xxh64" (func $hash (param i32 i32 i64) (result i64)))
@prelude@
  (export "memory" (memory 0))
  (data $input "@input@")

  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (local $at i32) (local $to i32) (local $hash i64)
    (local.set $at (call $room))
    (memory.init $input (local.get $at) (i32.const 0) (i32.const @input.len@))
    (local.set $hash (call $hash (local.get $at) (i32.const @input.len@) (i64.const 0)))
    (local.set $to (local.get $at))
    (loop $more
      (local.set $hash (i64.rotl (local.get $hash) (i64.const 4)))
      (memory.init $hex (local.get $to) (i32.and (i32.wrap_i64 (local.get $hash)) (i32.const 15)) (i32.const 1))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $to) (i32.add (local.get $at) (i32.const 16)))))
    (call $say (local.get $at) (i32.const 16))))
