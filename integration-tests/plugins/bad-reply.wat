;; Replies with text that is no JSON, then with a JSON list, then with more
;; bytes than a reply may have. Fails unless the host answered `invalid` (-3),
;; `invalid` and `too_big` (-4); else its hook ends well, without a reply.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (memory (export "memory") 64)
  (data (i32.const 16) "{\"open\":")
  (data (i32.const 32) "[1,2,3]")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (i32.or
      (i32.or
        (i32.ne (call $reply (i32.const 16) (i32.const 8)) (i32.const -3))
        (i32.ne (call $reply (i32.const 32) (i32.const 7)) (i32.const -3)))
      (i32.ne (call $reply (i32.const 0) (i32.const 2097152)) (i32.const -4)))))
