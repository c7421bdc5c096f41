;; A call of the host that the manifest asks no permission for.
(module
  (import "gm" "node_put" (func $node_put (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (call $node_put (local.get 0) (local.get 1))))
