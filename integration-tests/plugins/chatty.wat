;; Asks the host 2,500 times for a node that isn't there, one question after the
;; other, as fast as it is answered. Needs nodes:read.
(module
  (import "gm" "node_get" (func $node_get (param i32 i32) (result i64)))
  (memory (export "memory") 4)
  (data (i32.const 16) "none")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (local $left i32)
    (local.set $left (i32.const 2500))
    (loop $again
      (if (i64.ne (call $node_get (i32.const 16) (i32.const 4)) (i64.const -2))
        (then (return (i32.const 1))))
      (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i32.const 0)))
