;; Counts the places that a source map's text names: the library calls back once
;; for each. Its buffers are Rust vectors behind a pointer to their bytes.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "lib" "memory" (memory 1))
  (import "lib" "allocate_mappings" (func $allocate (param i32) (result i32)))
  (import "lib" "parse_mappings" (func $parse (param i32) (result i32)))
  (import "lib" "by_generated_location" (func $each (param i32)))
@prelude@
  (global $count (mut i32) (i32.const 0))
  (data $input "@input@")

  (func (export "mapping_callback") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1))))

  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (local $at i32)
    (global.set $count (i32.const 0))
    (local.set $at (call $allocate (i32.const @input.len@)))
    (memory.init $input (local.get $at) (i32.const 0) (i32.const @input.len@))
    (call $each (call $parse (local.get $at)))
    (i32.store8 (call $room) (i32.add (i32.const 48) (global.get $count)))
    (call $say (call $room) (i32.const 1))))
