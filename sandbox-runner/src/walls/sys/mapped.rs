//! The bytes of a file of our own mount tree, read in place.
//!
//! Nobody writes to such a file: its file system is read-only for all that can
//! reach it, and whoever wrote it ended before this process began.

use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};

use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// Maps the whole file, for the rest of the process's life.
pub(crate) fn read_only(file: BorrowedFd<'_>) -> Result<&'static [u8], Errno> {
    let len = usize::try_from(fstat(file)?.st_size).map_err(|_| Errno::OVERFLOW)?;
    if len == 0 {
        return Ok(&[]); // mmap(2) refuses an empty mapping
    }
    // SAFETY: a new mapping at an address of the kernel's choice touches no
    // existing one.
    let base = unsafe { mmap(null_mut(), len, ProtFlags::READ, MapFlags::PRIVATE, file, 0) }?;
    let base = NonNull::new(base).ok_or(Errno::NOMEM)?;
    // SAFETY: `len` readable bytes, never unmapped; callers pass a file of the
    // launcher's read-only tree, which neither changes nor shrinks.
    Ok(unsafe { std::slice::from_raw_parts(base.as_ptr().cast_const().cast(), len) })
}
