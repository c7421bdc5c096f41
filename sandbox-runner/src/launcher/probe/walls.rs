//! The walls that a process puts up itself: filters, Landlock, capabilities. Each is
//! put up in a child and run into; what isn't felt isn't there.

use std::os::fd::AsFd as _;

use gm_protocol::orders::WaitStatus;
use gm_protocol::trials::Miss;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{no_new_privs, set_no_new_privs};

use super::child::{Outcome, in_child, miss, wrong};
use super::sys as raw;
use crate::launcher::child::drop_capabilities;
use crate::launcher::sys::{self, Kind};

/// linux/seccomp.h
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const ALLOW: u32 = 0x7fff_0000;
/// What the probe's filter answers: no other reason gives this one to `getppid`.
const ANSWER: Errno = Errno::XFULL;
/// `LANDLOCK_ACCESS_FS_READ_DIR`, of the first version.
const READ_DIR: u64 = 1 << 3;

/// A filter that gives `getppid` this action and lets everything else pass.
fn about_getppid(action: u32) -> Result<[libc::sock_filter; 4], Miss> {
    let number =
        u32::try_from(libc::SYS_getppid).map_err(|_| wrong("getppid has an odd number"))?;
    let op = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K (linux/bpf_common.h).
    Ok([
        op(0x20, 0, 0, 0),
        op(0x15, 0, 1, number),
        op(0x06, 0, 0, action),
        op(0x06, 0, 0, ALLOW),
    ])
}

fn behind_filter(action: u32) -> Outcome {
    set_no_new_privs(true).map_err(miss("no_new_privs"))?;
    let mut program = about_getppid(action)?;
    raw::install(&mut program).map_err(miss("seccomp"))?;
    match raw::getppid() {
        Err(errno) if errno == ANSWER => Ok("answered by the filter".into()),
        other => Err(wrong(format!("a filtered call gave {other:?}"))),
    }
}

/// A filter whose errno comes back.
pub(super) fn seccomp_errno() -> Outcome {
    let answer = ANSWER.raw_os_error().unsigned_abs();
    in_child(&[], || behind_filter(ERRNO | answer))?.outcome()
}

/// A filter that kills the process.
pub(super) fn seccomp_kill() -> Outcome {
    ended_by_sigsys(KILL_PROCESS)
}

/// A filter that sends a signal which nobody handles.
pub(super) fn seccomp_trap() -> Outcome {
    ended_by_sigsys(TRAP)
}

fn ended_by_sigsys(action: u32) -> Outcome {
    let seen = in_child(&[], || behind_filter(action))?;
    match (seen.said, seen.status) {
        (None, Some(WaitStatus::Signaled(libc::SIGSYS))) => Ok("ended by SIGSYS".into()),
        (Some(Err(miss)), _) => Err(miss),
        (said, status) => Err(wrong(format!("{said:?}, {status:?}"))),
    }
}

/// `PR_SET_NO_NEW_PRIVS`, read back.
pub(super) fn no_new_privileges() -> Outcome {
    let probe = || {
        set_no_new_privs(true).map_err(miss("no_new_privs"))?;
        match no_new_privs() {
            Ok(true) => Ok("set".into()),
            other => Err(wrong(format!("set, and reads {other:?}"))),
        }
    };
    in_child(&[], probe)?.outcome()
}

/// Everything given up, the bounding set too, and read back.
pub(super) fn capabilities(last_cap: u32) -> Outcome {
    let probe = || {
        drop_capabilities(last_cap).map_err(|(step, errno)| miss(step.text())(errno))?;
        match held()?.into_iter().next() {
            None => Ok("none left in any set".into()),
            Some(line) => Err(wrong(line)),
        }
    };
    // As a plugin has it; where there are no user namespaces, as this user can.
    match in_child(&[Kind::User], probe) {
        Ok(seen) => seen.outcome(),
        Err(_) if rustix::process::geteuid().is_root() => in_child(&[], probe)?.outcome(),
        Err(_) => match held()?.into_iter().find(|line| !line.starts_with("CapBnd")) {
            None => Ok("this user has none".into()),
            Some(line) => Err(wrong(line)),
        },
    }
}

/// The sets that aren't empty, as `/proc` writes them.
fn held() -> Result<Vec<String>, Miss> {
    let status = std::fs::read_to_string("/proc/self/status")
        .map_err(|e| miss("/proc/self/status")(crate::launcher::fault::errno(&e)))?;
    let sets = status
        .lines()
        .filter(|line| line.starts_with("Cap") && !line.ends_with("0000000000000000"));
    Ok(sets.map(|line| line.replace('\t', " ")).collect())
}

/// The version; an absent one says why.
pub(super) fn landlock_abi() -> Outcome {
    match sys::landlock_abi() {
        Some(abi) => Ok(format!("ABI {abi}")),
        None => Err(match raw::landlock_ruleset(READ_DIR) {
            Err(errno) => miss("landlock_create_ruleset")(errno),
            Ok(_) => wrong("it tells no version"),
        }),
    }
}

/// The bit mask of what is mended.
pub(super) fn landlock_errata() -> Outcome {
    raw::landlock_errata()
        .map(|mask| format!("mended: mask {mask:#x}"))
        .map_err(miss("landlock_create_ruleset"))
}

/// A ruleset that is felt: `/` can be opened before it and not behind it.
pub(super) fn landlock() -> Outcome {
    let probe = || {
        let open = || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open("/", flags, Mode::empty())
        };
        open().map_err(miss("open / before"))?;
        set_no_new_privs(true).map_err(miss("no_new_privs"))?;
        let ruleset = raw::landlock_ruleset(READ_DIR).map_err(miss("landlock_create_ruleset"))?;
        raw::landlock_restrict(ruleset.as_fd()).map_err(miss("landlock_restrict_self"))?;
        match open() {
            Err(Errno::ACCESS) => Ok("an open of / was denied".into()),
            other => Err(wrong(format!("an open of / gave {other:?}"))),
        }
    };
    in_child(&[], probe)?.outcome()
}
