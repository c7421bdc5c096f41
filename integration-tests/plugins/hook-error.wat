;; Answers every event with an error, and means no harm.
(module
  (import "gm" "fail" (func $fail (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "not today")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (drop (call $fail (i32.const 16) (i32.const 9)))
    (i32.const 7)))
