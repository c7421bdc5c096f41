;; Says no in `init`, with a reason that tries to look like more than one line.
(module
  (import "gm" "fail" (func $fail (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "no lamp\n\1b[31mrun ended")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "init") (param i32 i32) (result i32)
    (drop (call $fail (i32.const 16) (i32.const 22)))
    (i32.const 1))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (i32.const 0)))
