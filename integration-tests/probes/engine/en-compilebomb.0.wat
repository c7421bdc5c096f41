;; Fifty thousand locals, all alive at once.
(module
  (memory (export "memory") 1)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (local i32 @repeat 49000 i32 @)
    @repeat 9000 (local.set 700 (i32.add (local.get 701) (i32.mul (local.get 40000) (local.get 702))))@
    (local.get 700)))
