;; Hands a script to a plugin of Extism's kit for JavaScript, then a text to the
;; script: two calls in one event, which its own host makes one after the other in
;; a new instance each time.
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
  (import "extism:host/env" "input_set" (func $set (param i64 i64)))
  (import "lib" "memory" (memory 1))
  (import "lib" "register_function" (func $register (result i32)))
  (import "lib" "invoke" (func $invoke (result i32)))
  (data $script "@script@")
  (data $input "@input@")

  ;; Makes the next call's input of bytes in the memory.
  (func $give (param $at i32) (param $len i32) (local $to i64) (local $i i32)
    (local.set $to (call $alloc (i64.extend_i32_u (local.get $len))))
    (loop $more
      (call $store (i64.add (local.get $to) (i64.extend_i32_u (local.get $i)))
        (i32.load8_u (i32.add (local.get $at) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $i) (local.get $len))))
    (call $set (local.get $to) (i64.extend_i32_u (local.get $len))))

  (func (export "on_commit_analyzed") (result i32) (local $at i32) (local $status i32)
    (local.set $at (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
    (memory.init $script (local.get $at) (i32.const 0) (i32.const @script.len@))
    (call $give (local.get $at) (i32.const @script.len@))
    (local.set $status (call $register))
    (if (local.get $status) (then (return (local.get $status))))
    (memory.init $input (local.get $at) (i32.const 0) (i32.const @input.len@))
    (call $give (local.get $at) (i32.const @input.len@))
    (call $invoke)))
