;; A call of WASI that there isn't.
(module
  (import "wasi_snapshot_preview1" "proc_exec" (func $exec (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (call $exec (local.get 0) (local.get 1))))
