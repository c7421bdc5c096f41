//! Bytes of the broker in sealed memory, read in place.
//!
//! Only fully sealed memory is mapped: otherwise a shrink would turn a read
//! into a SIGBUS, and a write would change what was verified.

use std::ffi::c_void;
use std::os::fd::OwnedFd;
use std::ptr::{NonNull, null_mut};

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// A read-only view of a sealed memfd, for the rest of the process's life.
#[derive(Debug)]
pub(crate) struct Sealed {
    bytes: &'static [u8],
}

impl Sealed {
    /// Maps the whole of `memfd` and closes it.
    pub(crate) fn map(memfd: OwnedFd) -> Result<Self, Errno> {
        let needed = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        if !fcntl_get_seals(&memfd)?.contains(needed) {
            return Err(Errno::PERM);
        }
        let len = usize::try_from(fstat(&memfd)?.st_size).map_err(|_| Errno::OVERFLOW)?;
        if len == 0 {
            return Ok(Self { bytes: &[] }); // mmap(2) refuses an empty mapping
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches
        // no existing one.
        let base = unsafe {
            mmap(
                null_mut(),
                len,
                ProtFlags::READ,
                MapFlags::SHARED,
                &memfd,
                0,
            )
        }?;
        let base = NonNull::<c_void>::new(base).ok_or(Errno::NOMEM)?;
        // SAFETY: `len` readable bytes, never unmapped, and the seals checked
        // above keep them from changing or going away.
        let bytes = unsafe { std::slice::from_raw_parts(base.as_ptr().cast_const().cast(), len) };
        Ok(Self { bytes })
    }

    /// The bytes.
    pub(crate) const fn bytes(&self) -> &'static [u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};

    fn memfd(content: &[u8]) -> OwnedFd {
        let fd = memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::io::write(&fd, content).unwrap();
        fd
    }

    #[test]
    fn memory_that_can_still_change_is_refused() {
        let fd = memfd(b"abc");
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW).unwrap();
        assert_eq!(Sealed::map(fd).unwrap_err(), Errno::PERM);
    }

    #[test]
    fn sealed_memory_is_read_in_place() {
        let fd = memfd(b"abc");
        let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&fd, all).unwrap();
        assert_eq!(Sealed::map(fd).unwrap().bytes(), b"abc");
    }
}
