;; Imports a known name with another type: 64-bit pointers.
(module
  (import "gm" "reply" (func (param i64 i64) (result i32)))
  (memory (export "memory") 4)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (i32.const 0)))
