;; Carries out the commands that begin with these letters: e answers with the
;; document itself as data, r refuses with status 3, f fails, w answers without a
;; status, n answers nothing, l never ends, t traps, p puts a node. Its shutdown traps: no command leads
;; there. Needs nodes:write.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "gm" "fail" (func $fail (param i32 i32) (result i32)))
  (import "gm" "node_put" (func $node_put (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "{\"status\":0,\"data\":")
  (data (i32.const 1024) "{\"status\":3,\"text\":\"not today\"}")
  (data (i32.const 1100) "{\"text\":\"done\"}")
  (data (i32.const 1200) "no such file")
  (data (i32.const 1300) "{\"id\":\"test:command\",\"kind\":\"test\"}")
  (data (i32.const 1400) "{\"status\":0,\"text\":\"put\"}")
  ;; The document lies behind the beginning of the reply.
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (i32.const 0))
  (func (export "shutdown") (param i32 i32) (result i32) (unreachable))
  (func (export "gm_command") (param $ptr i32) (param $len i32) (result i32)
    (local $what i32)
    ;; Behind {"schema":"gm.command/1","name":"
    (local.set $what (i32.load8_u offset=33 (local.get $ptr)))
    (if (i32.eq (local.get $what) (i32.const 0x65)) ;; e
      (then
        (memory.copy (i32.const 4077) (i32.const 16) (i32.const 19))
        (i32.store8 (i32.add (local.get $ptr) (local.get $len)) (i32.const 0x7d))
        (return (call $reply (i32.const 4077) (i32.add (local.get $len) (i32.const 20))))))
    (if (i32.eq (local.get $what) (i32.const 0x72)) ;; r
      (then (return (call $reply (i32.const 1024) (i32.const 31)))))
    (if (i32.eq (local.get $what) (i32.const 0x77)) ;; w
      (then (return (call $reply (i32.const 1100) (i32.const 15)))))
    (if (i32.eq (local.get $what) (i32.const 0x66)) ;; f
      (then
        (drop (call $fail (i32.const 1200) (i32.const 12)))
        (return (i32.const 1))))
    (if (i32.eq (local.get $what) (i32.const 0x6c)) (then (loop $on (br $on)))) ;; l
    (if (i32.eq (local.get $what) (i32.const 0x74)) (then (unreachable))) ;; t
    (if (i32.eq (local.get $what) (i32.const 0x70)) ;; p
      (then
        (drop (call $node_put (i32.const 1300) (i32.const 35)))
        (return (call $reply (i32.const 1400) (i32.const 25)))))
    (i32.const 0)))
