;; Loops that never end: a plain one, one that calls, one through a table.
(module
(;prelude;)
  (type $none (func))
  (table 1 funcref)
  (elem (i32.const 0) $idle)
  (func $idle)
  (func (export "gm_command") (param $ptr i32) (param $len i32) (result i32)
    (local $variant i32)
    (local.set $variant (call $begin (local.get $ptr) (local.get $len)))
    (if (i32.eqz (local.get $variant)) (then (loop $on (br $on))))
    (if (i32.eq (local.get $variant) (i32.const 1)) (then (loop $on (call $idle) (br $on))))
    (loop $on (call_indirect (type $none) (i32.const 0)) (br $on))
    (unreachable)))
