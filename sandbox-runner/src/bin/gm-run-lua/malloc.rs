//! The C library's allocator, served from the arena: an engine in C++ takes
//! memory by `malloc`, and no filter allows `brk` or `mmap`.
//!
//! The whole family is here, as a static link with the C library needs it
//! (glibc manual, "Replacing malloc"). In front of each block lie its start
//! and length. In the binary alone: in a program whose allocator is the C
//! library's own, it would call itself.
#![expect(
    unsafe_code,
    reason = "the C library's allocator is raw memory and foreign functions"
)]

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

/// What `malloc` gives is aligned to this (`max_align_t` of x86-64).
const ALIGN: usize = 16;
/// Pages, for `valloc`.
const PAGE: usize = 4096;

/// What lies in front of a block.
#[repr(C)]
struct Head {
    /// Where the allocation starts, and its layout.
    start: *mut u8,
    align: usize,
    /// Bytes that the caller may use.
    len: usize,
    _pad: usize,
}

const HEAD: usize = size_of::<Head>();

fn take(align: usize, len: usize) -> *mut c_void {
    let align = align.max(ALIGN);
    // The head, rounded up so that what follows is aligned too.
    let front = HEAD.next_multiple_of(align);
    let layout = front
        .checked_add(len)
        .and_then(|size| Layout::from_size_align(size, align).ok());
    let Some(layout) = layout else {
        return null_mut();
    };
    // SAFETY: the size is not 0, it holds the head.
    let start = unsafe { alloc(layout) };
    if start.is_null() {
        return null_mut();
    }
    // SAFETY: `front` bytes are the beginning of this allocation.
    let block = unsafe { start.add(front) };
    let head = Head {
        start,
        align,
        len,
        _pad: 0,
    };
    // SAFETY: the HEAD bytes in front of `block` belong to this allocation and
    // are aligned, since `front` and ALIGN are multiples of 16.
    unsafe { block.cast::<Head>().wrapping_sub(1).write(head) };
    block.cast()
}

/// The head of a block that [`take`] gave.
///
/// # Safety
/// `block` came from [`take`] and was not given back.
unsafe fn head(block: *mut c_void) -> Head {
    // SAFETY: by the caller's word there is a head in front of it.
    unsafe { block.cast::<Head>().wrapping_sub(1).read() }
}

/// `malloc(3)`
#[unsafe(no_mangle)]
extern "C" fn malloc(len: usize) -> *mut c_void {
    take(ALIGN, len)
}

/// `calloc(3)`
#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(len) = count.checked_mul(size) else {
        return null_mut();
    };
    let block = take(ALIGN, len);
    if !block.is_null() {
        // SAFETY: `len` bytes were just taken for this block.
        unsafe { block.write_bytes(0, len) };
    }
    block
}

/// `free(3)`
///
/// # Safety
/// As in C: null, or what this family gave and was not given back yet.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(block: *mut c_void) {
    if block.is_null() {
        return;
    }
    // SAFETY: the caller's word.
    let head = unsafe { head(block) };
    let front = HEAD.next_multiple_of(head.align);
    if let Ok(layout) = Layout::from_size_align(front.wrapping_add(head.len), head.align) {
        // SAFETY: the very layout and start that `take` used.
        unsafe { dealloc(head.start, layout) };
    }
}

/// `realloc(3)`
///
/// # Safety
/// As [`free`].
#[unsafe(no_mangle)]
unsafe extern "C" fn realloc(block: *mut c_void, len: usize) -> *mut c_void {
    if block.is_null() {
        return malloc(len);
    }
    // SAFETY: the caller's word.
    let old = unsafe { head(block) }.len;
    let new = malloc(len);
    if !new.is_null() {
        // SAFETY: both blocks hold that many bytes and are distinct.
        unsafe { new.copy_from_nonoverlapping(block, old.min(len)) };
        // SAFETY: the caller gives the old block up.
        unsafe { free(block) };
    }
    new
}

/// `aligned_alloc(3)`
#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(align: usize, len: usize) -> *mut c_void {
    take(align, len)
}

/// `memalign(3)`
#[unsafe(no_mangle)]
extern "C" fn memalign(align: usize, len: usize) -> *mut c_void {
    take(align, len)
}

/// `posix_memalign(3)`
///
/// # Safety
/// `to` points to a pointer.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, align: usize, len: usize) -> c_int {
    let block = take(align, len);
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's word.
    unsafe { to.write(block) };
    0
}

/// `valloc(3)`
#[unsafe(no_mangle)]
extern "C" fn valloc(len: usize) -> *mut c_void {
    take(PAGE, len)
}

/// `pvalloc(3)`
#[unsafe(no_mangle)]
extern "C" fn pvalloc(len: usize) -> *mut c_void {
    take(PAGE, len.next_multiple_of(PAGE))
}

/// `malloc_usable_size(3)`
///
/// # Safety
/// As [`free`].
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    if block.is_null() {
        return 0;
    }
    // SAFETY: the caller's word.
    unsafe { head(block) }.len
}
