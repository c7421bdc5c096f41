//! The walls that a process puts round itself: Landlock, then seccomp.
//!
//! What the launcher put up (namespaces, ids, mounts, limits) is only looked
//! at and reported. There is no way past a wall that fails: the process ends.

#[cfg(feature = "apart")]
pub mod apart;
pub(crate) mod begin;
mod landlock;
pub mod last;
pub(crate) mod sys;

use std::ffi::CStr;
use std::io;

use gm_protocol::PROTOCOL;
use gm_protocol::link::LinkError;
use gm_protocol::message::{FromRunner, Report, ToRunner};
use gm_protocol::plan::{Control, Filters, Setup};
use gm_protocol::runner_end::RunnerEnd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

pub use sys::arena::{Arena, arena};

/// Proof that Landlock and the *loading* filter are up in this process, and
/// that the host has looked at it from outside. Only [`put_up`] makes one.
#[must_use]
pub(crate) struct Walled {
    running: Vec<gm_protocol::plan::SockFilter>,
}

/// Why a wall is not up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum WallError {
    #[error("could not restrict file access by Landlock: {0}")]
    Landlock(String),
    #[error("opening / after Landlock gave {0:?}, not EACCES")]
    RootOpens(Option<Errno>),
    #[error("could not install the seccomp layer {0}: {1}")]
    Seccomp(&'static str, io::Error),
    #[error("a call of the soft layer was not refused")]
    SoftLayer,
    #[error("could not read the process's own state: {0}")]
    SelfRead(#[from] io::Error),
    #[error("could not talk to the host: {0}")]
    Link(#[from] LinkError),
    #[error("the host said something else than Go")]
    NoGo,
    #[cfg(feature = "hosting")]
    #[error("the engine did not run its own warm-up")]
    WarmUp,
}

impl WallError {
    /// The control that is missing and the errno, for the last words.
    pub(crate) fn claim(&self) -> (Control, i32) {
        let errno = |error: &io::Error| error.raw_os_error().unwrap_or(0);
        match self {
            Self::Landlock(_) => (Control::Landlock, 0),
            Self::RootOpens(seen) => (Control::Landlock, seen.map_or(0, Errno::raw_os_error)),
            Self::Seccomp(_, error) => (Control::Seccomp, errno(error)),
            Self::SoftLayer => (Control::Seccomp, 0),
            Self::SelfRead(error) => (Control::Caps, errno(error)),
            Self::Link(_) | Self::NoGo => (Control::Descriptors, 0),
            // /warm is part of the mount tree.
            #[cfg(feature = "hosting")]
            Self::WarmUp => (Control::Mounts, 0),
        }
    }
}

/// Puts the walls up, reports them, and waits until the host has seen them
/// from outside.
pub(crate) fn put_up(setup: &Setup, link: &mut RunnerEnd) -> Result<Walled, WallError> {
    let landlock_abi = landlock::restrict(setup)?;
    root_is_shut()?; // the filters below would kill us for asking
    let mut report = look(landlock_abi)?;
    install(&setup.filters)?;
    report.soft_refused = soft_refuses();
    if !report.soft_refused {
        return Err(WallError::SoftLayer);
    }
    link.send(&FromRunner::Report(report))?;
    match link.recv()? {
        ToRunner::Go => Ok(Walled {
            running: setup.filters.running.clone(),
        }),
        _ => Err(WallError::NoGo),
    }
}

impl Walled {
    /// Installs the last filter. What this gives must exist before the first
    /// instruction of a plugin runs.
    pub(crate) fn narrow(self) -> Result<Narrowed, WallError> {
        sys::install_filter(&self.running).map_err(|e| WallError::Seccomp("running", e))?;
        Ok(Narrowed(()))
    }
}

/// Proof that the *running* filter is up. Only [`Walled::narrow`] makes one.
#[must_use]
pub(crate) struct Narrowed(());

fn install(filters: &Filters) -> Result<(), WallError> {
    // `soft` and `veto` are installed while `seccomp` is still unrestricted;
    // `loading` allows it once more, for `running`.
    for (name, program) in [
        ("soft", &filters.soft),
        ("veto", &filters.veto),
        ("loading", &filters.loading),
    ] {
        sys::install_filter(program).map_err(|e| WallError::Seccomp(name, e))?;
    }
    Ok(())
}

/// Landlock must refuse what the empty mount tree would still show.
fn root_is_shut() -> Result<(), WallError> {
    match rustix::fs::open(
        "/",
        OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::ACCESS) => Ok(()),
        Err(other) => Err(WallError::RootOpens(Some(other))),
        Ok(_) => Err(WallError::RootOpens(None)),
    }
}

/// `clone3` is in the soft layer of every profile, as libc must fall back to
/// `clone`, whose flags a filter can see. With no arguments it can do nothing.
fn soft_refuses() -> bool {
    sys::clone3_errno() == Some(libc::ENOSYS)
}

fn look(landlock_abi: u32) -> Result<Report, WallError> {
    let (uids, gids) = sys::ids()?;
    Ok(Report {
        protocol: PROTOCOL,
        uids,
        gids,
        caps: capabilities()?,
        no_new_privs: sys::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0)? == 1,
        dumpable: sys::prctl(libc::PR_GET_DUMPABLE, 0, 0)? != 0,
        landlock_abi,
        root_refused: true, // or `root_is_shut` had ended it
        soft_refused: false,
        fds: (0..64)
            .filter(|fd| sys::is_open(*fd))
            .fold(0, |seen, fd| seen | 1 << fd),
    })
}

/// The union of all five capability sets.
fn capabilities() -> Result<u64, WallError> {
    let sets = rustix::thread::capabilities(None).map_err(io::Error::from)?;
    let mut all = sets.effective.bits() | sets.permitted.bits() | sets.inheritable.bits();
    let ambient = u64::try_from(libc::PR_CAP_AMBIENT_IS_SET).unwrap_or_default();
    for number in 0..64 {
        // EINVAL: the kernel knows no capability of this number, nor a higher one.
        let Ok(bounding) = sys::prctl(libc::PR_CAPBSET_READ, number, 0) else {
            break;
        };
        if bounding == 1 || sys::prctl(libc::PR_CAP_AMBIENT, ambient, number)? == 1 {
            all |= 1 << number;
        }
    }
    Ok(all)
}

/// What every walled process does first: it can't be traced or dumped by its
/// equals, gains no executable memory but from files, and never dies of a
/// closed link or a panic without a word.
pub(crate) fn prepare(name: &CStr) -> Result<(), WallError> {
    // Executed by descriptor, it would be listed under a number.
    rustix::thread::set_name(name).map_err(io::Error::from)?;
    last::arm();
    last::end_at_panic();
    // exec made the process dumpable again.
    sys::prctl(libc::PR_SET_DUMPABLE, 0, 0)?;
    // Both only where the kernel and the processor offer them; neither is a
    // wall that the plan counts.
    let _ = sys::prctl(
        libc::PR_SET_MDWE,
        u64::from(libc::PR_MDWE_REFUSE_EXEC_GAIN),
        0,
    );
    let _ = sys::prctl(
        libc::PR_SET_SPECULATION_CTRL,
        SPEC_STORE_BYPASS,
        SPEC_FORCE_DISABLE,
    );
    // std has set SIGPIPE to ignored before `main`: a closed link is an error.
    sys::signals::report_forbidden_calls()?;
    Ok(())
}

/// `PR_SPEC_STORE_BYPASS` of linux/prctl.h.
const SPEC_STORE_BYPASS: u64 = 0;
/// `PR_SPEC_FORCE_DISABLE` of linux/prctl.h.
const SPEC_FORCE_DISABLE: u64 = 1 << 3;

/// Opens the arena: as large as the first argument says, in bytes, less what
/// something else in the process needs: then the arena's end is reached before the
/// group's limit, and can be told. The launcher passes the process's memory limit.
pub(crate) fn open_arena(arena: &Arena, reserve: u64) -> Result<(), WallError> {
    let limit = std::env::args().nth(1).and_then(|size| size.parse().ok());
    let size = limit.and_then(|limit: u64| usize::try_from(limit.checked_sub(reserve)?).ok());
    let size = size.ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(sys::arena::open(arena, size).map_err(io::Error::from)?)
}
