;; A call of another host.
(module
  (import "env" "system" (func $system (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (call $system (local.get 0))))
