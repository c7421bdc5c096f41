;; Puts its one node anew, each time with another number, at each event and
;; whenever another plugin changed one: two of them keep each other going. A test
;; writes the node's name in place of NAME. An answer that is an error is the
;; hook's status. Needs nodes:write.
(module
  (import "gm" "node_put" (func $node_put (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (global $count (mut i32) (i32.const 0))
  (data (i32.const 16) "{\"id\":\"test:NAME\",\"kind\":\"test\",\"data\":{\"n\":1000}}")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func $put (param i32 i32) (result i32)
    (local $status i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    ;; The last two digits.
    (i32.store8 (i32.const 62) (i32.add (i32.const 48) (i32.div_u (global.get $count) (i32.const 10))))
    (i32.store8 (i32.const 63) (i32.add (i32.const 48) (i32.rem_u (global.get $count) (i32.const 10))))
    (local.set $status (call $node_put (i32.const 16) (i32.const 50)))
    (select (local.get $status) (i32.const 0) (i32.lt_s (local.get $status) (i32.const 0))))
  (export "on_commit_analyzed" (func $put))
  (export "on_node_updated" (func $put)))
