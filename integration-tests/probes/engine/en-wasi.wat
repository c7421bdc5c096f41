;; Files and sockets by WASI, with nothing granted: a path of the host's, one that
;; goes up, the root itself, a directory that the host might have opened, a socket.
;; `refused` is said of the errno by which this is denied (76 not capable; 8 no such
;; descriptor, 57 no socket), `other` of any other.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir"
    (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_accept"
    (func $sock_accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_symlink"
    (func $path_symlink (param i32 i32 i32 i32 i32) (result i32)))
(;prelude;)
  (data (i32.const 512) "/etc/passwd")
  (data (i32.const 544) "../../../../etc/passwd")
  (data (i32.const 576) "refused")
  (data (i32.const 592) "other")
  (func $opened (param $path i32) (param $size i32) (result i32)
    (call $path_open (i32.const 3) (i32.const 1) (local.get $path) (local.get $size)
      (i32.const 0) (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 8192)))
  (func (export "gm_command") (param $ptr i32) (param $len i32) (result i32)
    (local $variant i32) (local $errno i32) (local $expected i32)
    (local.set $variant (call $begin (local.get $ptr) (local.get $len)))
    (local.set $expected (i32.const 76))
    (if (i32.eq (local.get $variant) (i32.const 2)) (then (local.set $expected (i32.const 8))))
    (if (i32.eq (local.get $variant) (i32.const 4)) (then (local.set $expected (i32.const 57))))
    (block $done
      (local.set $errno (call $opened (i32.const 512) (i32.const 11)))
      (br_if $done (i32.eqz (local.get $variant)))
      (local.set $errno (call $opened (i32.const 544) (i32.const 22)))
      (br_if $done (i32.eq (local.get $variant) (i32.const 1)))
      (local.set $errno (call $fd_readdir (i32.const 4) (i32.const 8192) (i32.const 4096)
        (i64.const 0) (i32.const 8188)))
      (br_if $done (i32.eq (local.get $variant) (i32.const 2)))
      (local.set $errno (call $path_symlink (i32.const 512) (i32.const 11) (i32.const 3)
        (i32.const 160) (i32.const 2)))
      (br_if $done (i32.eq (local.get $variant) (i32.const 3)))
      (local.set $errno (call $sock_accept (i32.const 3) (i32.const 0) (i32.const 8192))))
    (if (i32.eq (local.get $errno) (local.get $expected))
      (then (return (call $say (i32.const 576) (i32.const 7) (local.get $errno)))))
    (if (local.get $errno)
      (then (return (call $say (i32.const 592) (i32.const 5) (local.get $errno)))))
    (call $say (i32.const 160) (i32.const 2) (i32.const 0))))
