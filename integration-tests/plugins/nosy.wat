;; Asks for a setting that its manifest doesn't name. Needs config:read. Its hook
;; ends well only if the host answered `denied` (-1).
(module
  (import "gm" "config_get" (func $config_get (param i32 i32) (result i64)))
  (memory (export "memory") 4)
  (data (i32.const 16) "other.secret")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (i64.ne (call $config_get (i32.const 16) (i32.const 12)) (i64.const -1))))
