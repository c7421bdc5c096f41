;; Answers everything that it hears of other plugins with the document itself.
;; Needs no permission.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func $answer (param $ptr i32) (param $len i32) (result i32)
    (call $reply (local.get $ptr) (local.get $len)))
  (export "on_commit_analyzed" (func $answer))
  (export "on_edge_created" (func $answer))
  (export "on_node_updated" (func $answer))
  (export "on_node_accessed" (func $answer))
  (export "on_graph_query" (func $answer))
  (func (export "shutdown") (param i32 i32) (result i32) (i32.const 0)))
