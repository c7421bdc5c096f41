;; The runner's warm-up, before its walls.
(module
  (import "gm" "log" (func $log (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (func (export "on_commit_analyzed") (param $ptr i32) (param $len i32) (result i32)
    (drop (memory.grow (i32.const 1)))
    (drop (table.grow $t (ref.null func) (i32.const 1)))
    (memory.fill (local.get $ptr) (i32.const 7) (local.get $len))
    (memory.copy (i32.const 0) (local.get $ptr) (local.get $len))
    (drop (call $log (i32.const 0) (local.get $ptr) (local.get $len)))
    (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 8)))
    (drop (call $random (i32.const 8) (i32.const 8)))
    (i32.const 0))
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
  ;; Out of bounds in the library, not in compiled code: the trap that comes
  ;; back as a value.
  (func (export "shutdown") (param i32 i32) (result i32)
    (memory.fill (i32.const -1) (i32.const 0) (i32.const 2))
    (i32.const 0)))
