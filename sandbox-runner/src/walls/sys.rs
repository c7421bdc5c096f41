//! The system calls and raw memory that no crate wraps safely, for the walled
//! binaries. Besides the loading of an artifact and the engine's memory
//! (`engine/`), the only unsafe code there.
//!
//! Nothing here decides anything: each function does one thing, and says what
//! the kernel said.
#![expect(
    unsafe_code,
    reason = "seccomp(2), inherited descriptors, signal handlers, the arena and guest memory have no safe wrapper"
)]

pub(crate) mod arena;
#[cfg(feature = "wasm")]
pub(crate) mod guest;
#[cfg(any(feature = "native", feature = "program"))]
pub(crate) mod mapped;
#[cfg(feature = "program")]
pub(crate) mod process;
#[cfg(any(feature = "hosting", feature = "compile-wasm"))]
pub(crate) mod sealed;
pub(crate) mod signals;
#[cfg(feature = "wasm")]
pub(crate) mod traps;

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use gm_protocol::plan::{FD_CODE, FD_LINK, SockFilter};
use rustix::io::FdFlags;

/// Takes an inherited descriptor as our own, and passes it on to no other program. Once
/// for each number.
pub(crate) fn inherited(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: borrowed for this one call, which fails cleanly where nothing is open.
    let seen = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_setfd(seen, FdFlags::CLOEXEC)?;
    // SAFETY: the descriptor is open (line above), was put there by who started
    // us, and each caller names a number of its own, once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a descriptor of this number is open.
pub(crate) fn is_open(fd: i32) -> bool {
    // SAFETY: borrowed for this one call, and `fcntl(F_GETFD)` only looks.
    let seen = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::io::fcntl_getfd(seen).is_ok()
}

/// A copy of the inherited descriptor of the code.
pub(crate) fn code() -> io::Result<OwnedFd> {
    // SAFETY: borrowed for this one call, which is EBADF where none is open.
    let seen = unsafe { BorrowedFd::borrow_raw(FD_CODE) };
    Ok(rustix::io::fcntl_dupfd_cloexec(seen, 0)?)
}

/// Closes every descriptor from `first` on. Whoever still holds one of them
/// as a value must never use it again.
#[cfg(any(feature = "wasm", feature = "scripts", feature = "native"))]
pub(crate) fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: integers only. Descriptors of ours from `first` on are given up
    // by the caller; a later use of one is a clean EBADF, as none is opened
    // again behind the last filter.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0_u32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes local time UTC, for good: libc would else look for a file that says
/// what it is, at a time when no filter allows that any more.
#[cfg(feature = "js")]
pub(crate) fn live_in_utc() -> io::Result<()> {
    // SAFETY: two live, NUL-terminated strings that libc copies. The process has
    // one thread, and nothing holds a pointer into its environment.
    match unsafe { libc::setenv(c"TZ".as_ptr(), c"UTC0".as_ptr(), 1) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `seccomp(SECCOMP_SET_MODE_FILTER)`: adds one filter to this thread.
pub(crate) fn install_filter(program: &[SockFilter]) -> io::Result<()> {
    let code: Vec<libc::sock_filter> = program
        .iter()
        .map(|op| libc::sock_filter {
            code: op.code,
            jt: op.jt,
            jf: op.jf,
            k: op.k,
        })
        .collect();
    // An empty program is an error of the kernel (EINVAL), never "no filter".
    let len = u16::try_from(code.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let prog = libc::sock_fprog {
        len,
        filter: code.as_ptr().cast_mut(),
    };
    // SAFETY: `prog` and the `len` instructions it points to live until the
    // call returns; the kernel copies them (seccomp(2)) and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0_u32,
            &raw const prog,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `prctl(2)` with plain integers.
pub(crate) fn prctl(option: i32, second: u64, third: u64) -> io::Result<i32> {
    // SAFETY: callers pass options whose arguments are integers; none of them
    // makes the kernel write to our memory.
    match unsafe { libc::prctl(option, second, third, 0_u64, 0_u64) } {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

/// Real, effective and saved ids: of the user, then of the group.
pub(crate) fn ids() -> io::Result<([u32; 3], [u32; 3])> {
    let (mut user, mut group) = ([0; 3], [0; 3]);
    let [real, effective, saved] = &mut user;
    // SAFETY: three distinct live u32, written by the kernel before it returns.
    if unsafe { libc::getresuid(real, effective, saved) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let [real, effective, saved] = &mut group;
    // SAFETY: as above.
    if unsafe { libc::getresgid(real, effective, saved) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((user, group))
}

/// Writes bytes to the link, whatever its state. For handlers and hooks: no
/// heap, no lock; what the kernel refuses is lost.
pub(crate) fn write_link(bytes: &[u8]) {
    // SAFETY: fd 3 is the link for the whole life of the process; if it were
    // closed the write is a clean EBADF.
    let link = unsafe { BorrowedFd::borrow_raw(FD_LINK) };
    let _ = rustix::io::write(link, bytes);
}

/// Ends the process at once with `exit_group(2)`: std's `exit` would first
/// make calls that the last filter kills for.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: never returns and runs nothing of ours.
    unsafe { libc::_exit(status) }
}

/// The errno of a `clone3` with an argument block of no bytes, which can
/// start nothing: EINVAL from the kernel, the filter's errno from a filter.
pub(crate) fn clone3_errno() -> Option<i32> {
    // SAFETY: a size of 0 is refused before the pointer is looked at
    // (kernel/fork.c, copy_clone_args_from_user).
    let result = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<u8>(), 0_usize) };
    if result == -1 {
        io::Error::last_os_error().raw_os_error()
    } else {
        None
    }
}

/// Whether the kernel shares a page with its clock in it (vdso(7)): without one,
/// each look at a clock is a call, which no filter of a plugin allows.
#[cfg(feature = "wasm")]
pub(crate) fn kernel_shares_its_clock() -> bool {
    // SAFETY: takes and returns an integer (getauxval(3)).
    unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) != 0 }
}
