;; Hands the host an address that lies outside its memory.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 4)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (call $reply (i32.const 0x7fffff00) (i32.const 64))))
