  ;; What every driver shares: room of its own in the library's memory, the
  ;; buffer for the event, and a reply that holds a text.
  ;;
  ;;   $room + 0        texts of the driver
  ;;   $room + 65536    the event
  ;;   $room + 131072   the reply
  (global $room (mut i32) (i32.const 0))
  (data $begin "{\"text\":\"")
  (data $hex "0123456789abcdef")

  ;; Made at the first use: the library's own allocator has its pages, too.
  (func $room (result i32)
    (if (i32.eqz (global.get $room))
      (then (global.set $room (i32.mul (memory.grow (i32.const 16)) (i32.const 65536)))))
    (global.get $room))

  (func (export "gm_alloc") (param $size i32) (result i32)
    (if (i32.gt_u (local.get $size) (i32.const 65536)) (then (return (i32.const 0))))
    (i32.add (call $room) (i32.const 65536)))

  ;; Puts one byte to where the reply goes on; gives where it goes on then.
  (func $put (param $to i32) (param $byte i32) (result i32)
    (i32.store8 (local.get $to) (local.get $byte))
    (i32.add (local.get $to) (i32.const 1)))

  ;; Replies with {"text": ...}; 0 = done.
  (func $say (param $at i32) (param $len i32) (result i32)
    (local $to i32) (local $end i32) (local $byte i32)
    (local.set $to (i32.add (call $room) (i32.const 131072)))
    (memory.init $begin (local.get $to) (i32.const 0) (i32.const 9))
    (local.set $to (i32.add (local.get $to) (i32.const 9)))
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (block $done (loop $more
      (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
      (local.set $byte (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (if (i32.or (i32.eq (local.get $byte) (i32.const 34)) (i32.eq (local.get $byte) (i32.const 92)))
        (then (local.set $to (call $put (local.get $to) (i32.const 92)))))
      (if (i32.lt_u (local.get $byte) (i32.const 32))
        (then
          (local.set $to (call $put (local.get $to) (i32.const 92)))
          (local.set $to (call $put (local.get $to) (i32.const 117)))
          (local.set $to (call $put (local.get $to) (i32.const 48)))
          (local.set $to (call $put (local.get $to) (i32.const 48)))
          (local.set $to (call $put (local.get $to)
            (i32.add (i32.const 48) (i32.shr_u (local.get $byte) (i32.const 4)))))
          (memory.init $hex (local.get $to) (i32.and (local.get $byte) (i32.const 15)) (i32.const 1))
          (local.set $to (i32.add (local.get $to) (i32.const 1))))
        (else (local.set $to (call $put (local.get $to) (local.get $byte)))))
      (br $more)))
    (local.set $to (call $put (local.get $to) (i32.const 34)))
    (local.set $to (call $put (local.get $to) (i32.const 125)))
    (local.set $at (i32.add (call $room) (i32.const 131072)))
    (call $reply (local.get $at) (i32.sub (local.get $to) (local.get $at))))
