//! The linear memory of the plugin: one reservation of address space made
//! before the walls, of which pages become usable one by one.
//!
//! Every access of the host goes through [`Guest::read`] and [`Guest::write`],
//! which know the bound; no reference to guest memory ever leaves this file.

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect};

/// Address space kept for one memory: the 4 GiB that a 32-bit address spans,
/// 4 GiB for the constant offset of an access, and a guard behind. Compiled
/// code has no bounds check of its own: it relies on these pages faulting.
pub(crate) const SPAN: usize = (8 << 30) + (256 << 20);

/// Where the memory in use starts and how much address space it has; for the
/// trap handler.
static BASE: AtomicUsize = AtomicUsize::new(0);

/// Whether an address lies in the linear memory or its guards.
pub(crate) fn holds(address: usize) -> bool {
    let base = BASE.load(Ordering::Relaxed);
    base != 0
        && address
            .checked_sub(base)
            .is_some_and(|offset| offset < SPAN)
}

/// A reservation and how much of it is usable.
#[derive(Debug)]
pub(crate) struct Guest {
    base: NonNull<u8>,
    usable: AtomicUsize,
}

// SAFETY: the address is shared, the memory behind it is only touched through
// copies below, and the process that runs guest code has one thread.
unsafe impl Send for Guest {}
// SAFETY: as above.
unsafe impl Sync for Guest {}

impl Guest {
    /// Reserves address space; none of it is usable yet.
    pub(crate) fn reserve() -> Result<Self, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches
        // no existing one.
        let base = unsafe { mmap_anonymous(null_mut(), SPAN, ProtFlags::empty(), flags) }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        BASE.store(base.addr().get(), Ordering::Relaxed);
        Ok(Self {
            base,
            usable: AtomicUsize::new(0),
        })
    }

    /// The first byte, for compiled code.
    pub(crate) const fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Usable bytes.
    pub(crate) fn len(&self) -> usize {
        self.usable.load(Ordering::Relaxed)
    }

    /// Makes the first `bytes` usable. Fresh pages read as zero.
    pub(crate) fn grow_to(&self, bytes: usize) -> Result<(), Errno> {
        let old = self.len();
        let more = bytes.checked_sub(old).ok_or(Errno::INVAL)?;
        if bytes > SPAN / 2 {
            return Err(Errno::NOMEM);
        }
        if more == 0 {
            return Ok(());
        }
        // SAFETY: `old` is at most SPAN (line above), the size of this mapping.
        let start = unsafe { self.base.add(old) };
        let rw = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the range lies in our own mapping, holds nothing yet, and
        // becoming writable invalidates no reference.
        unsafe { mprotect(start.as_ptr().cast::<c_void>(), more, rw) }?;
        self.usable.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// A copy of `len` bytes from `offset` on; None if not all are usable.
    pub(crate) fn read(&self, offset: u32, len: u32) -> Option<Vec<u8>> {
        let (offset, len) = self.within(offset, len)?;
        let mut copy = Vec::<u8>::with_capacity(len);
        // SAFETY: `within` checked that offset and length are usable bytes.
        let from = unsafe { self.base.add(offset) };
        // SAFETY: `from` has `len` readable bytes and `copy` room for as many;
        // they can't overlap, as the arena is another mapping. Guest code
        // stands still: the process has one thread.
        unsafe { from.copy_to_nonoverlapping(NonNull::new(copy.as_mut_ptr())?, len) };
        // SAFETY: the first `len` bytes were just written.
        unsafe { copy.set_len(len) };
        Some(copy)
    }

    /// Copies `bytes` to `offset`; None if not all of it is usable.
    pub(crate) fn write(&self, offset: u32, bytes: &[u8]) -> Option<()> {
        let (offset, len) = self.within(offset, u32::try_from(bytes.len()).ok()?)?;
        // SAFETY: `within` checked that offset and length are usable bytes.
        let to = unsafe { self.base.add(offset) };
        // SAFETY: `to` has `len` writable bytes in a mapping of its own, so
        // they can't overlap `bytes`, and nobody holds a reference to them.
        unsafe { bytes.as_ptr().copy_to_nonoverlapping(to.as_ptr(), len) };
        Some(())
    }

    fn within(&self, offset: u32, len: u32) -> Option<(usize, usize)> {
        let (offset, len) = (usize::try_from(offset).ok()?, usize::try_from(len).ok()?);
        (offset.checked_add(len)? <= self.len()).then_some((offset, len))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // SAFETY: our own mapping, whole; compiled code that knew the address
        // was dropped with its store before this last owner.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), SPAN) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_usable_pages_is_read_or_written() {
        let guest = Guest::reserve().unwrap();
        assert_eq!(guest.read(0, 1), None);
        guest.grow_to(65536).unwrap();
        assert_eq!(guest.write(65532, b"abcd"), Some(()));
        assert_eq!(guest.read(65532, 4), Some(b"abcd".to_vec()));
        assert_eq!(guest.read(65533, 4), None);
        assert_eq!(guest.write(65533, b"abcd"), None);
        assert_eq!(guest.read(u32::MAX, u32::MAX), None);
        assert_eq!(guest.read(65536, 0), Some(Vec::new()));
    }

    #[test]
    fn memory_never_shrinks_and_never_outgrows_its_addresses() {
        let guest = Guest::reserve().unwrap();
        guest.grow_to(131_072).unwrap();
        assert_eq!(guest.grow_to(65536), Err(Errno::INVAL));
        assert_eq!(guest.grow_to(SPAN), Err(Errno::NOMEM));
        assert_eq!(guest.len(), 131_072);
    }
}
