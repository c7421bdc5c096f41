;; Imports a name that the host doesn't have.
(module
  (import "gm" "open_door" (func (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (i32.const 0)))
