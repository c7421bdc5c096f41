;; Behaves well. Answers each event with the event itself, so that a run's
;; `reply` records show what came and in which order, and counts them: its
;; report is the count. Needs no permission.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 20)
  (global $seen (mut i32) (i32.const 0))
  (global $at (mut i32) (i32.const 0))
  ;; The count is written before byte 32, the text goes on behind it.
  (data (i32.const 32) " events\"}")

  (func (export "gm_alloc") (param $size i32) (result i32)
    (select (i32.const 4096) (i32.const 0) (i32.le_u (local.get $size) (i32.const 1306624))))

  (func (export "on_commit_analyzed") (param $ptr i32) (param $len i32) (result i32)
    (global.set $seen (i32.add (global.get $seen) (i32.const 1)))
    (i32.ne (call $reply (local.get $ptr) (local.get $len)) (i32.const 0)))

  (func $before (param $byte i32)
    (global.set $at (i32.sub (global.get $at) (i32.const 1)))
    (i32.store8 (global.get $at) (local.get $byte)))

  (func (export "shutdown") (param i32 i32) (result i32)
    (local $rest i32)
    (global.set $at (i32.const 32))
    (local.set $rest (global.get $seen))
    (loop $digits
      (call $before (i32.add (i32.const 48) (i32.rem_u (local.get $rest) (i32.const 10))))
      (local.set $rest (i32.div_u (local.get $rest) (i32.const 10)))
      (br_if $digits (local.get $rest)))
    ;; {"report":" back to front
    (call $before (i32.const 0x22)) (call $before (i32.const 0x3a)) (call $before (i32.const 0x22))
    (call $before (i32.const 0x74)) (call $before (i32.const 0x72)) (call $before (i32.const 0x6f))
    (call $before (i32.const 0x70)) (call $before (i32.const 0x65)) (call $before (i32.const 0x72))
    (call $before (i32.const 0x22)) (call $before (i32.const 0x7b))
    (i32.ne
      (call $reply (global.get $at) (i32.sub (i32.const 41) (global.get $at)))
      (i32.const 0))))
