//! The raw calls of the probes. They run in children that were made for them and
//! end right after; a few answer in the launcher itself and change nothing.
//!
//! Nothing here decides anything: each function is one call, and its result is the
//! kernel's word.
#![expect(
    unsafe_code,
    reason = "clone, seccomp, Landlock, prctl and calls of other ABIs have no safe wrapper"
)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::process::Pid;

use crate::launcher::sys::{Kind, Side, checked};

/// linux/seccomp.h
const SECCOMP_SET_MODE_FILTER: libc::c_uint = 1;
/// linux/landlock.h, 6.15
const CREATE_RULESET_ERRATA: libc::c_uint = 1 << 1;
/// linux/prctl.h, 6.3
const PR_SET_MDWE: libc::c_int = 65;
const PR_MDWE_REFUSE_EXEC_GAIN: libc::c_ulong = 1;

/// `clone(2)`, for machines on which `clone3` is missing: only probes may fall back,
/// so that the rest of the report is there all the same.
pub(super) fn fork_with(kinds: &[Kind]) -> Result<Side, Errno> {
    let mut pidfd: RawFd = -1;
    let signal = u64::from(libc::SIGCHLD.unsigned_abs());
    let pidfd_flag = u64::from(libc::CLONE_PIDFD.unsigned_abs());
    let flags = Kind::flags(kinds) | pidfd_flag | signal;
    let place = (&raw mut pidfd).addr();
    // SAFETY: no stack and no CLONE_VM, so the child has a copy of this one's memory,
    // as after fork(2). The kernel writes only to `pidfd`, which lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, place, 0_usize, 0_usize) };
    if result == 0 {
        return Ok(Side::Child);
    }
    let pid = Pid::from_raw(checked(result)?).ok_or(Errno::INVAL)?;
    // SAFETY: clone succeeded with CLONE_PIDFD, so the kernel has just put a new
    // descriptor there; nothing else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Parent { pid, pidfd })
}

/// Puts this process behind a filter (`seccomp(2)`).
pub(super) fn install(program: &mut [libc::sock_filter]) -> Result<(), Errno> {
    let len = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let prog = libc::sock_fprog {
        len,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `prog` and the instructions that it points to live through the call; the
    // kernel copies them and writes nothing.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SECCOMP_SET_MODE_FILTER,
            0_u32,
            &raw const prog,
        )
    };
    checked(result).map(drop)
}

/// `getppid(2)`, asked of the kernel itself: what the probes' filters are about.
pub(super) fn getppid() -> Result<i32, Errno> {
    // SAFETY: takes nothing and returns an integer.
    let result = unsafe { libc::syscall(libc::SYS_getppid) };
    checked(result)
}

/// `getpid` by its number in the x32 ABI.
pub(super) fn x32_getpid() -> Result<i32, Errno> {
    const X32: libc::c_long = 0x4000_0000;
    // SAFETY: takes nothing and returns an integer; where the ABI isn't there, ENOSYS.
    let result = unsafe { libc::syscall(X32 | libc::SYS_getpid) };
    checked(result)
}

/// `getpid` by the interrupt of 32-bit x86. Where the kernel has no such entry, this
/// process gets a signal.
#[cfg(target_arch = "x86_64")]
pub(super) fn ia32_getpid() -> i64 {
    const GETPID: i64 = 20;
    let mut number = GETPID;
    // SAFETY: the call takes nothing; the registers that old kernels clobber are named,
    // and memory isn't touched.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inout("rax") number,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(nostack, nomem),
        );
    }
    number
}

/// Which known faults of Landlock are mended in this kernel: a bit mask.
pub(super) fn landlock_errata() -> Result<i32, Errno> {
    // SAFETY: with this flag the attribute must be null and its size 0; nothing is read
    // or made.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            CREATE_RULESET_ERRATA,
        )
    };
    checked(result)
}

/// A ruleset that handles these rights of the file system and allows none.
pub(super) fn landlock_ruleset(handled: u64) -> Result<OwnedFd, Errno> {
    // SAFETY: the attribute's first member is these 8 bytes, which live through the call,
    // and their size is given; later members count as 0.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const handled,
            size_of_val(&handled),
            0_u32,
        )
    };
    let number = checked(result)?;
    // SAFETY: the call has just made this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Puts this process behind a ruleset.
pub(super) fn landlock_restrict(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: two integers.
    let result =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) };
    checked(result).map(drop)
}

/// No mapping of this process becomes executable later (6.3).
pub(super) fn refuse_exec_gain() -> Result<(), Errno> {
    let none: libc::c_ulong = 0;
    // SAFETY: integers only.
    let result = unsafe { libc::prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, none, none, none) };
    checked(result.into()).map(drop)
}

/// No speculative store bypass in this process.
pub(super) fn no_store_bypass() -> Result<(), Errno> {
    let (bypass, none): (libc::c_ulong, libc::c_ulong) = (0, 0);
    let disable = libc::c_ulong::from(libc::PR_SPEC_DISABLE);
    // SAFETY: integers only.
    let result = unsafe { libc::prctl(libc::PR_SET_SPECULATION_CTRL, bypass, disable, none, none) };
    checked(result.into()).map(drop)
}
