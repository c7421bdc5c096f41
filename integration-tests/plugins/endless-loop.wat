;; Never answers its first event.
(module
  (memory (export "memory") 4)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (loop $forever (br $forever))
    (unreachable)))
