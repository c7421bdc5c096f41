;; Two jumps with a hundred and twenty thousand targets each.
(module
  (memory (export "memory") 1)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (block $out
      (block (br_table @repeat 60000 0 1 @ 0 (local.get 0)))
      (block (br_table @repeat 60000 1 0 @ 0 (local.get 1))))
    (i32.const 0)))
