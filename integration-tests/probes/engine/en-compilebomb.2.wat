;; A hundred thousand functions.
(module
  (memory (export "memory") 1)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  @repeat 100000 (func (param i32) (result i32) (i32.add (local.get 0) (i32.const 7)))@
  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (i32.const 0)))
