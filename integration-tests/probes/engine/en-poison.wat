;; Leaves a mark in memory, a global and a table, then traps. Asked again, it must not
;; find any of them: `ok` with how many it found is an escape.
(module
(;prelude;)
  (table $kept 1 externref)
  (global $mark (mut i32) (i32.const 0))
  (func (export "gm_command") (param $ptr i32) (param $len i32) (result i32)
    (drop (call $begin (local.get $ptr) (local.get $len)))
    (if (i32.or (global.get $mark) (i32.load (i32.const 8192)))
      (then (return (call $say (i32.const 160) (i32.const 2)
        (i32.add (global.get $mark) (i32.load (i32.const 8192)))))))
    (global.set $mark (i32.const 1))
    (i32.store (i32.const 8192) (i32.const 1))
    (unreachable)))
