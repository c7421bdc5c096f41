;; Keeps values in its own storage. Does what each event says, which is told by
;; the places of its bytes:
;;     {"o":"s","k":"aaaa","v":[1]}
;; o: s sets v, g gets it, d deletes it, l lists the keys that begin as k does
;; with one letter. f sets v and puts a node, then fails; t sets v, then traps;
;; b sets v and puts a node. What g, d and l gave is its reply, {"got":…}. A
;; host's answer that is an error is the hook's status. Needs storage and
;; nodes:write.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "gm" "result" (func $result (param i32 i32) (result i32)))
  (import "gm" "node_put" (func $node_put (param i32 i32) (result i32)))
  (import "gm" "storage_get" (func $get (param i32 i32) (result i64)))
  (import "gm" "storage_list" (func $list (param i32 i32) (result i64)))
  (import "gm" "storage_set" (func $set (param i32 i32 i32 i32) (result i32)))
  (import "gm" "storage_delete" (func $delete (param i32 i32) (result i32)))
  (memory (export "memory") 8)
  (data (i32.const 16) "{\"id\":\"test:kept\",\"kind\":\"test\"}")
  (data (i32.const 262144) "{\"got\":")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))

  ;; Replies with what lies behind {"got": and is so long.
  (func $got (param $len i32) (result i32)
    (i32.store8 (i32.add (i32.const 262151) (local.get $len)) (i32.const 0x7d))
    (call $reply (i32.const 262144) (i32.add (local.get $len) (i32.const 8))))

  ;; Fetches a result and replies with it; an error is passed on.
  (func $fetched (param $len i64) (result i32)
    (if (i64.lt_s (local.get $len) (i64.const 0)) (then (return (i32.wrap_i64 (local.get $len)))))
    (drop (call $result (i32.const 262151) (i32.const 100000)))
    (call $got (i32.wrap_i64 (local.get $len))))

  (func (export "on_commit_analyzed") (param $ptr i32) (param $len i32) (result i32)
    (local $what i32) (local $key i32) (local $status i32)
    (local.set $what (i32.load8_u offset=6 (local.get $ptr)))
    (local.set $key (i32.add (local.get $ptr) (i32.const 14)))
    (if (i32.eq (local.get $what) (i32.const 0x67)) ;; g
      (then (return (call $fetched (call $get (local.get $key) (i32.const 4))))))
    (if (i32.eq (local.get $what) (i32.const 0x6c)) ;; l
      (then (return (call $fetched (call $list (local.get $key) (i32.const 1))))))
    (if (i32.eq (local.get $what) (i32.const 0x64)) ;; d
      (then
        (local.set $status (call $delete (local.get $key) (i32.const 4)))
        (if (i32.lt_s (local.get $status) (i32.const 0)) (then (return (local.get $status))))
        (i32.store8 (i32.const 262151) (i32.add (i32.const 48) (local.get $status)))
        (return (call $got (i32.const 1)))))
    (local.set $status
      (call $set (local.get $key) (i32.const 4)
        (i32.add (local.get $ptr) (i32.const 24)) (i32.sub (local.get $len) (i32.const 25))))
    (if (i32.ne (local.get $status) (i32.const 0)) (then (return (local.get $status))))
    (if (i32.eq (local.get $what) (i32.const 0x73)) (then (return (i32.const 0)))) ;; s
    (if (i32.eq (local.get $what) (i32.const 0x74)) (then (unreachable))) ;; t
    (local.set $status (call $node_put (i32.const 16) (i32.const 32)))
    (if (i32.lt_s (local.get $status) (i32.const 0)) (then (return (local.get $status))))
    (i32.eq (local.get $what) (i32.const 0x66)))) ;; f
