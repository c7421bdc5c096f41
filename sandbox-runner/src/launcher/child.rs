//! The child between clone and exec: one straight list of steps, each where
//! it must stand.
//!
//! Runs no engine and reads no plugin byte (the kernel copies the code). A
//! step that fails is reported to the launcher by number and errno, and the
//! process ends: nothing is skipped.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use gm_protocol::plan::{Control, FD_CODE, HOSTNAME, INNER_ID};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Signal, set_parent_process_death_signal, setsid, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::grants::Grants;
use super::libraries::Libraries;
use super::limits::Bounds;
use super::mounts::{self, Content};
use super::sys::{self, Network};

/// Exit status of a child that could not put its walls up.
pub(crate) const WALL_MISSING: i32 = 30;
/// Lowest number that a descriptor may keep while 0–5 are put in order.
const ASIDE: RawFd = 16;

macro_rules! steps {
    ($($name:ident = $number:literal, $wall:ident, $text:literal;)*) => {
        /// A step of a child, as it is reported over the start channel.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Step { $($name = $number),* }
        impl Step {
            /// The step of a reported number.
            pub(crate) fn of(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
            /// The wall that the step belongs to.
            pub(crate) const fn wall(self) -> Control {
                match self { $(Self::$name => Control::$wall),* }
            }
            /// Its name, for people.
            pub(crate) const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

steps! {
    Groups = 1, Uid, "setgroups";
    Gid = 2, Uid, "setresgid";
    Uid = 3, Uid, "setresuid";
    NoUserNs = 4, UserNs, "max_user_namespaces = 0";
    Session = 5, PidNs, "setsid";
    Hostname = 6, UtsNs, "sethostname";
    Null = 7, Descriptors, "open /dev/null";
    Private = 8, Mounts, "make the mount tree private";
    Root = 9, Mounts, "mount the root tmpfs";
    Code = 10, Mounts, "copy the code";
    Pivot = 11, Mounts, "pivot_root";
    Detach = 12, Mounts, "detach the old root";
    ReadOnly = 13, Mounts, "make the root read-only";
    Bounding = 14, Caps, "drop the bounding set";
    Ambient = 15, Caps, "drop the ambient set";
    Capabilities = 16, Caps, "capset";
    Limits = 17, Descriptors, "setrlimit";
    NoNewPrivs = 18, Caps, "no_new_privs";
    DeathSignal = 19, PidNs, "parent-death signal";
    Descriptors = 20, Descriptors, "put descriptors in order";
    Exec = 21, Descriptors, "execveat";
    Grant = 22, Mounts, "attach a granted path";
    Data = 23, Mounts, "mount $DATA";
    Libraries = 24, Mounts, "attach a library";
}

/// All that a child needs, made before the clone so that it allocates little.
#[derive(Debug)]
pub(crate) struct Child<'a> {
    /// The engine; `None` = a trial, which ends well where exec would be.
    pub(crate) exec: Option<Exec<'a>>,
    /// Whether `setgroups` is allowed: not where the gid map was written
    /// without privilege.
    pub(crate) drop_groups: bool,
    /// Whose network it has.
    pub(crate) network: Network,
    /// Where the root is mounted.
    pub(crate) scratch: &'a Path,
    /// Options of the root tmpfs.
    pub(crate) root_options: CString,
    /// What lies in the root.
    pub(crate) contents: Vec<Content<'a>>,
    /// What of the host it may read, and what it may write.
    pub(crate) grants: Grants,
    /// What its engine is linked with.
    pub(crate) libraries: Libraries,
    /// Resource limits.
    pub(crate) bounds: Bounds,
    /// The machine's largest capability.
    pub(crate) last_cap: u32,
}

/// What is executed, with which descriptors.
#[derive(Debug)]
pub(crate) struct Exec<'a> {
    /// Opened and hashed by the launcher.
    pub(crate) engine: BorrowedFd<'a>,
    /// `argv`; the environment is empty.
    pub(crate) argv: Vec<CString>,
    /// Descriptors by their number in the engine, ascending from 3.
    pub(crate) fds: Vec<(RawFd, BorrowedFd<'a>)>,
}

/// Waits for the launcher's word on `start`, walls this process in and
/// becomes the engine.
pub(crate) fn live(child: &Child<'_>, start: &OwnedFd) -> ! {
    go(start, || walk(child, start))
}

/// Waits for the word on `start`, takes the steps of `walk`, and tells there which
/// of them failed.
pub(super) fn go(start: &OwnedFd, walk: impl FnOnce() -> Result<TrialDone, (Step, Errno)>) -> ! {
    let mut go = [0];
    match rustix::io::retry_on_intr(|| rustix::io::read(start, &mut go)) {
        Ok(1) => {}
        // The launcher died, or changed its mind: nothing was done yet.
        _ => sys::exit_now(WALL_MISSING),
    }
    match walk() {
        Ok(_trial) => sys::exit_now(0),
        Err((step, errno)) => {
            let mut report = [step as u8, 0, 0, 0, 0];
            let (_, number) = report.split_at_mut(1);
            number.copy_from_slice(&errno.raw_os_error().to_le_bytes());
            let _ = rustix::io::write(start, &report);
            sys::exit_now(WALL_MISSING)
        }
    }
}

/// A trial went all the way.
pub(super) struct TrialDone;

fn walk(child: &Child<'_>, start: &OwnedFd) -> Result<TrialDone, (Step, Errno)> {
    // Before any file is made: a tmpfs takes no file of an unmapped id. The
    // capabilities stay, since the uid left isn't 0 in this namespace.
    become_inner_id(child.drop_groups)?;
    // While /proc is still there; from here on unshare(CLONE_NEWUSER) = ENOSPC.
    forbid_user_namespaces().map_err(at(Step::NoUserNs))?;
    setsid().map_err(at(Step::Session))?;
    umask(Mode::from_raw_mode(0o077));
    rustix::system::sethostname(HOSTNAME.as_bytes()).map_err(at(Step::Hostname))?;
    // While /dev is still there.
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(at(Step::Null))?;
    // Needs the capabilities, so before they go.
    let executable = mounts::build(
        child.scratch,
        &child.root_options,
        &child.contents,
        &child.grants,
        &child.libraries,
    )?;
    drop_capabilities(child.last_cap)?;
    // From here on only the engine's and the start channel are left to be closed
    // by exec. Before the limits: the launcher's own, of which this is a copy, may
    // take up more numbers than RLIMIT_NOFILE leaves.
    let engine = child.exec.as_ref();
    let engine = engine.map(|exec| put_in_order(exec, executable.as_ref(), &null));
    let engine = engine.transpose().map_err(at(Step::Descriptors))?;
    // After the code was written: RLIMIT_FSIZE would have stopped it.
    child.bounds.set().map_err(at(Step::Limits))?;
    // For the filters that the engine installs without a capability.
    set_no_new_privs(true).map_err(at(Step::NoNewPrivs))?;
    // After the last id change, which would clear it. The launcher may have
    // died just before, and across a pid namespace getppid() doesn't tell:
    // the start channel does.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Step::DeathSignal))?;
    if hung_up(start) {
        sys::exit_now(WALL_MISSING);
    }
    let (Some(exec), Some(engine)) = (&child.exec, engine) else {
        return Ok(TrialDone);
    };
    match execute(&engine, &exec.argv).map_err(at(Step::Exec))? {}
}

pub(super) fn at(step: Step) -> impl Fn(Errno) -> (Step, Errno) {
    move |errno| (step, errno)
}

pub(super) fn become_inner_id(drop_groups: bool) -> Result<(), (Step, Errno)> {
    if drop_groups {
        set_thread_groups(&[]).map_err(at(Step::Groups))?;
    }
    let (uid, gid) = (Uid::from_raw(INNER_ID), Gid::from_raw(INNER_ID));
    set_thread_res_gid(gid, gid, gid).map_err(at(Step::Gid))?;
    set_thread_res_uid(uid, uid, uid).map_err(at(Step::Uid))
}

pub(super) fn forbid_user_namespaces() -> Result<(), Errno> {
    let path = c"/proc/sys/user/max_user_namespaces";
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, b"0").map(drop)
}

/// The bounding set first: dropping it needs `CAP_SETPCAP`.
pub(crate) fn drop_capabilities(last_cap: u32) -> Result<(), (Step, Errno)> {
    for cap in 0..=last_cap {
        let bit = 1_u64
            .checked_shl(cap)
            .ok_or((Step::Bounding, Errno::RANGE))?;
        rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit))
            .map_err(at(Step::Bounding))?;
    }
    clear_ambient_capability_set().map_err(at(Step::Ambient))?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets).map_err(at(Step::Capabilities))
}

pub(super) fn hung_up(start: &OwnedFd) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(start.as_fd(), PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).map_or(true, |ready| ready > 0)
}

/// 0–2 = /dev/null, then the engine's own; everything else goes at exec.
/// Returns the engine, out of the way.
pub(super) fn put_in_order(
    exec: &Exec<'_>,
    executable: Option<&OwnedFd>,
    null: &OwnedFd,
) -> Result<OwnedFd, Errno> {
    let aside = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, ASIDE);
    let engine = aside(exec.engine)?;
    let null = aside(null.as_fd())?;
    let made = executable.map(|file| (FD_CODE, file.as_fd()));
    let all = exec.fds.iter().copied().chain(made);
    let mut fds: Vec<(RawFd, OwnedFd)> = all
        .map(|(number, fd)| Ok((number, aside(fd)?)))
        .collect::<Result<_, Errno>>()?;
    fds.sort_by_key(|(number, _)| *number);
    let mut next = 0;
    for (number, fd) in &fds {
        for free in next..*number {
            fill(free, &null)?;
        }
        sys::place_at(fd.as_fd(), *number)?;
        next = number + 1;
    }
    for free in next..=5 {
        fill(free, &null)?;
    }
    // Not closed but marked: the engine's must live until exec, the start
    // channel until exec has succeeded.
    sys::close_on_exec_from(6)?;
    Ok(engine)
}

/// What a number is that no descriptor was ordered for.
fn fill(number: RawFd, null: &OwnedFd) -> Result<(), Errno> {
    if number <= 2 {
        return sys::place_at(null.as_fd(), number);
    }
    sys::close_number(number);
    Ok(())
}

pub(super) fn execute(engine: &OwnedFd, argv: &[CString]) -> Result<Infallible, Errno> {
    let none: [&CStr; 0] = [];
    nix::unistd::execveat(engine, c"", argv, &none, nix::fcntl::AtFlags::AT_EMPTY_PATH)
        .map_err(|e| Errno::from_raw_os_error(e as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reported_step_comes_back_by_its_number() {
        assert_eq!(Step::of(Step::Pivot as u8), Some(Step::Pivot));
        assert_eq!(Step::of(0), None);
        assert_eq!(Step::of(25), None);
        assert_eq!(Step::Pivot.wall(), Control::Mounts);
    }
}
