;; Runs a program to its end.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "lib" "memory" (memory 1))
  (import "lib" "_start" (func $start))
@prelude@
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (call $start)
    (i32.const 0)))
