;; Logs a line that would paint a terminal, forge a second line and name another
;; plugin. Needs log:write.
(module
  (import "gm" "log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 16) "a\1b[2J\r\ncom.test.other \e2\94\82 I did it \e2\80\ae")
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (i32.lt_s (call $log (i32.const 3) (i32.const 16) (i32.const 38)) (i32.const 0))))
