;; A call that there is, with another type.
(module
  (import "gm" "reply" (func $reply (param i64 i64) (result i64)))
  (memory (export "memory") 1)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (i32.wrap_i64 (call $reply (i64.const 0) (i64.const 0)))))
