//! Blocks under honest and hostile offsets.

use super::*;
use crate::walls::sys::guest::Guest;

fn kernel(bytes: u64) -> Kernel {
    let budget = Arc::new(Budget::default());
    budget.set(bytes, Arc::new(Guest::reserve().unwrap()));
    Kernel::new(budget)
}

#[test]
fn a_block_holds_what_was_put_in() {
    let mut kernel = kernel(1 << 20);
    let (a, b) = (kernel.alloc(10), kernel.alloc(3));
    assert!(a != 0 && b > a + 10);
    assert_eq!((kernel.length(a), kernel.length(b)), (10, 3));
    kernel.store(a, &7_u64.to_le_bytes()).unwrap();
    kernel.store(a + 9, &[9]).unwrap();
    assert_eq!(kernel.load(a).map(u64::from_le_bytes), Some(7));
    assert_eq!(kernel.bytes(a).unwrap(), [7, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    assert_eq!(kernel.bytes(b).unwrap(), [0; 3]);
    // Eight bytes from the last one on are still the block's own.
    assert_eq!(kernel.load::<8>(b), Some([0; 8]));
}

#[test]
fn no_offset_outside_of_a_block_is_loaded_or_stored() {
    let mut kernel = kernel(1 << 20);
    let a = kernel.alloc(16);
    let b = kernel.alloc(16);
    for at in [
        0,
        1,
        a - 1,
        a + 9,
        a + 16,
        b - 1,
        b + 9,
        b + 16,
        1 << 40,
        u64::MAX,
    ] {
        assert_eq!(kernel.load::<8>(at), None, "{at}");
        assert_eq!(kernel.store(at, &[0; 8]), None, "{at}");
    }
    for at in [0, 1, a + 1, b - 1, u64::MAX] {
        assert_eq!((kernel.length(at), kernel.bytes(at)), (0, None), "{at}");
        kernel.free(at);
    }
    assert_eq!((kernel.length(a), kernel.length(b)), (16, 16));
}

#[test]
fn a_freed_block_is_gone_and_its_memory_comes_back() {
    let mut kernel = kernel(1 << 16);
    for _ in 0..1000 {
        let block = kernel.alloc(1 << 15);
        assert_ne!(block, 0);
        kernel.free(block);
        kernel.free(block);
        assert_eq!(kernel.length(block), 0);
        assert_eq!(kernel.load::<1>(block), None);
        assert_eq!(kernel.store(block, &[1]), None);
    }
    assert_eq!(kernel.used(), 0);
}

#[test]
fn an_offset_from_before_a_reset_means_no_other_block() {
    let mut kernel = kernel(1 << 16);
    let before = kernel.put(b"before").unwrap();
    kernel.reset();
    let after = kernel.put(b"after").unwrap();
    assert_ne!(before, after);
    assert_eq!((kernel.bytes(before), kernel.length(before)), (None, 0));
    assert_eq!(kernel.bytes(after).unwrap(), b"after");
    // The next call has offsets of its own.
    kernel.begin();
    assert_eq!(kernel.put(b"next"), Some(before));
}

#[test]
fn what_is_not_there_is_not_given() {
    let mut kernel = kernel(1 << 16);
    for len in [
        0,
        1 << 16,
        1 << 40,
        i64::MAX.cast_unsigned(),
        u64::MAX - 15,
        u64::MAX,
    ] {
        assert_eq!(kernel.alloc(len), 0, "{len}");
    }
    // Small blocks are paid for with what the map keeps of them.
    let mut count = 0;
    while kernel.alloc(1) != 0 {
        count += 1;
    }
    assert_eq!(count, (1 << 16) / (GRAIN + OVERHEAD));
    kernel.reset();
    assert_ne!(kernel.alloc(1 << 15), 0);
}

#[test]
fn the_input_ends_with_zeroes() {
    let mut kernel = kernel(1 << 16);
    let offset = kernel.put(b"0123456789").unwrap();
    kernel.set_input(offset, 10).unwrap();
    assert_eq!(kernel.input(0), Some(*b"01234567"));
    assert_eq!(kernel.input(8), Some(*b"89\0\0\0\0\0\0"));
    assert_eq!(kernel.input::<1>(9), Some(*b"9"));
    for at in [10, 1 << 40, i64::MAX.cast_unsigned()] {
        assert_eq!(kernel.input::<1>(at), Some([0]), "{at}");
        assert_eq!(kernel.input::<8>(at), Some([0; 8]), "{at}");
    }
    assert_eq!(kernel.input::<8>(u64::MAX), None);
    kernel.free(offset);
    assert_eq!(kernel.input_range().1, 0);
    assert_eq!(kernel.input::<1>(0), Some([0]));
    // An empty document is one all the same.
    let empty = kernel.put(b"").unwrap();
    assert_eq!(
        (kernel.length(empty), kernel.bytes(empty)),
        (0, Some(&[][..]))
    );
}

#[test]
fn the_output_is_a_range_of_one_block() {
    let mut kernel = kernel(1 << 16);
    let a = kernel.put(b"abcdef").unwrap();
    let b = kernel.put(b"ghi").unwrap();
    assert_eq!(kernel.output_bytes(), None);
    for (offset, len) in [
        (a, 7),
        (a + 1, 6),
        (a, b - a + 1),
        (a, u64::MAX),
        (u64::MAX, 2),
        (0, 1),
        (a - 1, 2),
    ] {
        assert_eq!(kernel.set_output(offset, len), None, "{offset} {len}");
    }
    kernel.set_output(a + 1, 3).unwrap();
    assert_eq!(kernel.output_bytes().unwrap(), b"bcd");
    kernel.set_output(0, 0).unwrap();
    assert_eq!(kernel.output_bytes(), None);
    // Freed after it was handed over, it is read once more.
    kernel.set_output(b, 3).unwrap();
    kernel.free(b);
    assert_eq!(kernel.output_bytes().unwrap(), b"ghi");
    assert_eq!((kernel.length(b), kernel.load::<1>(b)), (0, None));
}

#[test]
fn the_error_is_a_block_or_none() {
    let mut kernel = kernel(1 << 16);
    let text = kernel.put(b"no such file").unwrap();
    assert_eq!(kernel.set_error(text + 1), None);
    assert_eq!(kernel.error_bytes(), None);
    kernel.set_error(text).unwrap();
    kernel.free(text);
    assert_eq!(kernel.error_bytes().unwrap(), b"no such file");
    kernel.set_error(0).unwrap();
    assert_eq!(kernel.error_bytes(), None);
    kernel.reset();
    assert_eq!((kernel.error(), kernel.used()), (0, 0));
}
