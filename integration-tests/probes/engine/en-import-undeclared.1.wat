;; A call of the host that there isn't.
(module
  (import "gm" "shell" (func $shell (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (call $shell (local.get 0) (local.get 1))))
