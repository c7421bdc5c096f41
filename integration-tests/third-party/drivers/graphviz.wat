;; Lays a graph out: the text of the graph, of the format and of the engine.
(module
  (import "gm" "reply" (func $reply (param i32 i32) (result i32)))
  (import "lib" "memory" (memory 1))
  (import "lib" "graphviz_render" (func $render (param i32 i32 i32 i32) (result i32)))
  (import "lib" "graphviz_last_error" (func $error (result i32)))
@prelude@
  (data $input "@input@\00")
  (data $format "plain\00")
  (data $engine "dot\00")

  (func (export "on_commit_analyzed") (param i32 i32) (result i32) (local $at i32) (local $out i32)
    (local.set $at (call $room))
    (memory.init $input (local.get $at) (i32.const 0) (i32.const @input.len@))
    (memory.init $format (i32.add (local.get $at) (i32.const 60000)) (i32.const 0) (i32.const 6))
    (memory.init $engine (i32.add (local.get $at) (i32.const 60008)) (i32.const 0) (i32.const 4))
    (local.set $out (call $render (local.get $at)
      (i32.add (local.get $at) (i32.const 60000))
      (i32.add (local.get $at) (i32.const 60008))
      (i32.add (local.get $at) (i32.const 60016))))
    (if (i32.eqz (local.get $out)) (then (return (call $say (call $error) (i32.const 200)))))
    (call $say (local.get $out) (i32.load (i32.add (local.get $at) (i32.const 60016))))))
