;; Formats a text as dprint's host does, schema version 4: everything crosses in
;; one buffer of the plugin's. Markdown asks back about its blocks of code, and
;; is told that they stay as they are.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "lib" "memory" (memory 1))
  (import "lib" "clear_shared_bytes" (func $clear (param i32) (result i32)))
  (import "lib" "get_shared_bytes_ptr" (func $shared (result i32)))
  (import "lib" "register_config" (func $register (param i32)))
  (import "lib" "set_file_path" (func $set_path))
  (import "lib" "format" (func $format (param i32) (result i32)))
  (import "lib" "get_formatted_text" (func $formatted (result i32)))
  (import "lib" "get_error_text" (func $error (result i32)))
@prelude@
  (data $config "{\"plugin\":{},\"global\":{}}")
  (data $path "@path@")
  (data $input "@input@")

  (func (export "host_write_buffer") (param i32))
  (func (export "host_format") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
  (func (export "host_get_formatted_text") (result i32) (i32.const 0))
  (func (export "host_get_error_text") (result i32) (i32.const 0))

  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (local $done i32)
    (memory.init $config (call $clear (i32.const 25)) (i32.const 0) (i32.const 25))
    (call $register (i32.const 1))
    (memory.init $path (call $clear (i32.const @path.len@)) (i32.const 0) (i32.const @path.len@))
    (call $set_path)
    (memory.init $input (call $clear (i32.const @input.len@)) (i32.const 0) (i32.const @input.len@))
    (local.set $done (call $format (i32.const 1)))
    (if (i32.eq (local.get $done) (i32.const 2))
      (then (return (call $say (call $shared) (call $error)))))
    (if (i32.eqz (local.get $done)) (then (return (i32.const 1))))
    (local.set $done (call $formatted))
    (call $say (call $shared) (local.get $done))))
