//! Single calls that walls or the broker are made with.

use std::os::fd::AsFd as _;

use gm_protocol::orders::WaitStatus;
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, ResolveFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::child::{Outcome, in_child, miss, wrong};
use super::sys as raw;
use crate::launcher::sys;

/// 32-bit calls.
#[cfg(target_arch = "x86_64")]
pub(super) fn ia32() -> Outcome {
    let probe = || match raw::ia32_getpid() {
        pid if pid > 0 => Ok("a call by int 0x80 was answered".into()),
        other => Err(wrong(format!("a call by int 0x80 gave {other}"))),
    };
    let seen = in_child(&[], probe)?;
    match (seen.said, seen.status) {
        (Some(said), Some(WaitStatus::Exited(0))) => said,
        (None, Some(WaitStatus::Signaled(signal))) => {
            Err(wrong(format!("not in this kernel (signal {signal})")))
        }
        (said, status) => Err(wrong(format!("{said:?}, {status:?}"))),
    }
}

/// Other architectures have no such calls.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn ia32() -> Outcome {
    Err(wrong("not on this architecture"))
}

/// Calls of the x32 ABI.
pub(super) fn x32() -> Outcome {
    let probe = || {
        raw::x32_getpid()
            .map(|_| "a call by an x32 number was answered".into())
            .map_err(miss("a call by an x32 number"))
    };
    in_child(&[], probe)?.outcome()
}

/// `PR_SET_MDWE`.
pub(super) fn mdwe() -> Outcome {
    let probe = || {
        raw::refuse_exec_gain()
            .map(|()| "set".into())
            .map_err(miss("PR_SET_MDWE"))
    };
    in_child(&[], probe)?.outcome()
}

/// `PR_SET_SPECULATION_CTRL`.
pub(super) fn speculation() -> Outcome {
    let probe = || {
        raw::no_store_bypass()
            .map(|()| "store bypass switched off".into())
            .map_err(miss("PR_SET_SPECULATION_CTRL"))
    };
    in_child(&[], probe)?.outcome()
}

/// A pidfd of this process.
pub(super) fn pidfd() -> Outcome {
    pidfd_open(getpid(), PidfdFlags::empty())
        .map(|_| "opened".into())
        .map_err(miss("pidfd_open"))
}

/// Descriptors marked by range.
pub(super) fn close_range() -> Outcome {
    let probe = || {
        sys::close_on_exec_from(3)
            .map(|()| "marked".into())
            .map_err(miss("close_range"))
    };
    in_child(&[], probe)?.outcome()
}

/// An open that follows no link.
pub(super) fn openat2() -> Outcome {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(CWD, "/proc/self/exe", flags, Mode::empty(), resolve).map_or_else(
        |errno| match errno {
            Errno::LOOP => Ok("a link was refused".into()),
            other => Err(miss("openat2")(other)),
        },
        |_| Err(wrong("a link was followed")),
    )
}

/// A memfd that nobody can write any more.
pub(super) fn memfd_seals() -> Outcome {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = rustix::fs::memfd_create(c"gm-probe", flags).map_err(miss("memfd_create"))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals).map_err(miss("F_ADD_SEALS"))?;
    match rustix::io::write(file.as_fd(), b"x") {
        Err(Errno::PERM) => Ok("a sealed one refused a write".into()),
        other => Err(wrong(format!("a write to a sealed one gave {other:?}"))),
    }
}
