;; Grows its memory until the host says no, and lives on with what it got.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "{\"modest\":true}")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (loop $more
      (br_if $more (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))))
    (call $reply (i32.const 16) (i32.const 15))))
