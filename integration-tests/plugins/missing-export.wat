;; Lacks the hook that its manifest lists.
(module
  (memory (export "memory") 4)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096)))
