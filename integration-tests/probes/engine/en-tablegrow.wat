;; A table of 4096 more entries at a time, until the host says no.
(module
(;prelude;)
  (table $grows 1 externref)
  (func (export "gm_command") (param $ptr i32) (param $len i32) (result i32)
    (local $was i32)
    (drop (call $begin (local.get $ptr) (local.get $len)))
    (loop $more
      (local.set $was (table.grow $grows (ref.null extern) (i32.const 4096)))
      (if (i32.lt_s (local.get $was) (i32.const 0)) (then (unreachable)))
      (br_if $more (i32.lt_u (local.get $was) (i32.const 500000000))))
    (call $say (i32.const 160) (i32.const 2) (local.get $was))))
