;; Blocks in blocks, five thousand deep, each with a way out of all.
(module
  (memory (export "memory") 1)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (block $out
      @repeat 5000 block local.get 0 br_if $out
      @
      @repeat 5000 end
      @)
    (i32.const 0)))
