;; Grows its memory by 1 MiB at a time and touches every page of it, until the
;; host says no; then gives up with a trap, as an allocator does.
(module
  (memory (export "memory") 4)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (local $was i32)
    (local $at i32)
    (loop $more
      (local.set $was (memory.grow (i32.const 16)))
      (if (i32.lt_s (local.get $was) (i32.const 0)) (then (unreachable)))
      (local.set $at (i32.mul (local.get $was) (i32.const 65536)))
      (memory.fill (local.get $at) (i32.const 1) (i32.const 1048576))
      (br $more))
    (unreachable)))
