;; Reads the last byte that 32 bits can name: far outside its memory.
(module
  (memory (export "memory") 4)
  (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "on_commit_analyzed") (param i32 i32) (result i32)
    (i32.load8_u (i32.const 0xffffffff))))
