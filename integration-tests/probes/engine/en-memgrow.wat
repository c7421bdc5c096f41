;; Grows its memory and touches it until the host says no, then gives up as an
;; allocator does: by a MiB at a time, and at once.
(module
(;prelude;)
  (func (export "gm_command") (param $ptr i32) (param $len i32) (result i32)
    (local $was i32)
    (if (call $begin (local.get $ptr) (local.get $len))
      (then
        (local.set $was (memory.grow (i32.const 32000)))
        (if (i32.lt_s (local.get $was) (i32.const 0)) (then (unreachable)))
        (memory.fill (i32.mul (local.get $was) (i32.const 65536)) (i32.const 1) (i32.const 2097152000))
        (return (call $say (i32.const 160) (i32.const 2) (i32.const 32000)))))
    (loop $more
      (local.set $was (memory.grow (i32.const 16)))
      (if (i32.lt_s (local.get $was) (i32.const 0)) (then (unreachable)))
      (memory.fill (i32.mul (local.get $was) (i32.const 65536)) (i32.const 1) (i32.const 1048576))
      (br_if $more (i32.lt_u (local.get $was) (i32.const 32000))))
    (call $say (i32.const 160) (i32.const 2) (local.get $was))))
