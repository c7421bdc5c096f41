;; Calls itself without end.
(module
  (memory (export "memory") 4)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func $deeper (param i32) (result i32)
    (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0)))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (call $deeper (i32.const 0))))
