;; Puts one node, the same at every event, then fails at every event whose
;; document is longer than 4 KiB, so that what it put there is undone. Its hook
;; also fails if the put is refused, with the host's answer as status. Needs
;; nodes:write.
(module
  (import "gm" "node_put" (func $node_put (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "{\"id\":\"test:shared\",\"kind\":\"test\"}")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param $ptr i32) (param $len i32) (result i32)
    (local $new i32)
    (local.set $new (call $node_put (i32.const 16) (i32.const 34)))
    (if (i32.lt_s (local.get $new) (i32.const 0)) (then (return (local.get $new))))
    (i32.gt_u (local.get $len) (i32.const 4096))))
