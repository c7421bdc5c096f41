//! The one process that `gm-init` starts: cloned, given its descriptors, and
//! executed from a descriptor.

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::null;

use gm_protocol::plan::FD_EXEC;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, setrlimit};

use super::exit_now;

/// Exit status of a child that could not be executed.
const NOT_EXECUTED: i32 = 127;

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: Pid,
    /// Readable once it is dead.
    pub(crate) pidfd: OwnedFd,
}

/// What a process is executed with.
pub(crate) struct Exec<'a> {
    /// The file; nothing can be executed but by this descriptor.
    pub(crate) file: BorrowedFd<'a>,
    /// Its name for itself.
    pub(crate) name: &'a CStr,
    /// Its descriptors 0, 1 and 2.
    pub(crate) standard: [BorrowedFd<'a>; 3],
    /// Takes the errno if it can't be executed; closed by an exec.
    pub(crate) failed: BorrowedFd<'a>,
}

/// Starts a process with a copy of our memory, which becomes `exec` at once.
///
/// For a process with one thread only: the child makes a few system calls and
/// takes no lock and no memory.
pub(crate) fn start(exec: &Exec<'_>) -> io::Result<Started> {
    let mut pidfd: i32 = -1;
    let flags = libc::CLONE_PIDFD | libc::SIGCHLD;
    // SAFETY: no CLONE_VM and no stack, so the child has a copy of this memory, as
    // after fork(2). With CLONE_PIDFD the kernel writes one `int` to the third
    // argument, which lives.
    let result = unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags,
            0_usize,
            &raw mut pidfd,
            0_usize,
            0_usize,
        )
    };
    if result == 0 {
        become_it(exec)
    }
    let pid = i32::try_from(result).ok().and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|_| result > 0) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the kernel has just put a new descriptor there; nothing else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Started { pid, pidfd })
}

fn become_it(exec: &Exec<'_>) -> ! {
    let errno = execute(exec).err().unwrap_or(Errno::INVAL);
    let _ = rustix::io::write(exec.failed, &errno.raw_os_error().to_le_bytes());
    exit_now(NOT_EXECUTED)
}

fn execute(exec: &Exec<'_>) -> Result<(), Errno> {
    for (number, fd) in (0..).zip(exec.standard) {
        // SAFETY: three integers. The child uses no value that owned `number`: it
        // runs straight to its exec or its end.
        let result = unsafe { libc::syscall(libc::SYS_dup3, fd.as_raw_fd(), number, 0) };
        checked(result)?;
    }
    let file = rustix::io::fcntl_dupfd_cloexec(exec.file, FD_EXEC)?;
    if file.as_raw_fd() != FD_EXEC {
        return Err(Errno::BUSY);
    }
    // From here on no descriptor of this number can be made: the exec below is the
    // last that the filter lets through.
    let most = u64::from(FD_EXEC.unsigned_abs());
    let most = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(Resource::Nofile, most)?;
    // SAFETY: three integers; it changes a flag of descriptors.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    checked(result)?;
    // A program of others expects to die of it; std has set it to ignored.
    // SAFETY: the default action runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let arguments: [*const c_char; 2] = [exec.name.as_ptr(), null()];
    let environment: [*const c_char; 1] = [null()];
    // SAFETY: path and arguments end in a NUL and both lists in a null pointer;
    // the kernel copies them. It returns only if it fails.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execveat,
            FD_EXEC,
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    checked(result)
}

fn checked(result: libc::c_long) -> Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}
