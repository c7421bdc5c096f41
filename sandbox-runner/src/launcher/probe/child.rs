//! A short-lived child that tries one thing, says what came of it, and ends.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use gm_protocol::orders::WaitStatus;
use gm_protocol::trials::Miss;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use super::sys as raw;
use crate::launcher::start::Process;
use crate::launcher::sys::{self, Kind, Side};

/// The most that one probe may take.
pub(super) const PROBE: Duration = Duration::from_secs(4);
/// The most that a child may say.
const MOST_BYTES: usize = 1024;

/// What a probe gives.
pub(super) type Outcome = Result<String, Miss>;

/// A step that failed with `errno`.
pub(super) fn miss(step: &str) -> impl Fn(Errno) -> Miss {
    let step = step.to_owned();
    move |errno| Miss {
        errno: errno.raw_os_error(),
        why: format!("{step}: {errno}"),
    }
}

/// What isn't as it should be, without an errno.
pub(super) fn wrong(why: impl Into<String>) -> Miss {
    Miss {
        errno: 0,
        why: why.into(),
    }
}

/// What a child said, and how it ended.
#[derive(Debug)]
pub(super) struct Seen {
    /// Nothing = it was ended before.
    pub(super) said: Option<Outcome>,
    pub(super) status: Option<WaitStatus>,
}

impl Seen {
    /// What it said; an end before that is a fault.
    pub(super) fn outcome(self) -> Outcome {
        let status = self.status;
        self.said
            .unwrap_or_else(|| Err(wrong(format!("the child ended first: {status:?}"))))
    }
}

/// A child that waits for the word to begin.
pub(super) struct Waiting {
    pub(super) process: Process,
    go: OwnedFd,
    hears: OwnedFd,
}

/// Makes a child with these namespaces, in this group; it does `probe` when told to.
pub(super) fn make(
    kinds: &[Kind],
    group: Option<BorrowedFd<'_>>,
    probe: impl FnOnce() -> Outcome,
) -> Result<Waiting, Miss> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(miss("pipe"));
    let (waits, go) = pipe()?;
    let (hears, says) = pipe()?;
    let side = match group {
        Some(group) => sys::clone_into(group),
        None => match sys::clone_with(kinds) {
            // The rest of the report is wanted all the same.
            Err(Errno::NOSYS) => raw::fork_with(kinds),
            side => side,
        },
    };
    match side.map_err(miss("clone"))? {
        Side::Child => {
            drop((go, hears));
            let mut word = [0];
            if matches!(rustix::io::read(&waits, &mut word), Ok(1)) {
                say(&says, &probe());
            }
            sys::exit_now(0)
        }
        Side::Parent { pid, pidfd } => Ok(Waiting {
            process: Process::new(pid, pidfd),
            go,
            hears,
        }),
    }
}

impl Waiting {
    /// Tells the child to begin, hears what it says and waits for its end.
    pub(super) fn finish(mut self, at_most: Duration) -> Seen {
        let deadline = Instant::now() + at_most;
        let said = self.begin().ok().and_then(|()| hear(&self.hears, deadline));
        let status = self.process.reap(deadline);
        Seen { said, status }
    }

    /// Tells the child to begin.
    pub(super) fn begin(&self) -> Result<(), Miss> {
        rustix::io::write(&self.go, &[1])
            .map(drop)
            .map_err(miss("start"))
    }
}

/// A child of its own for one probe, from beginning to end.
pub(super) fn in_child(kinds: &[Kind], probe: impl FnOnce() -> Outcome) -> Result<Seen, Miss> {
    Ok(make(kinds, None, probe)?.finish(PROBE))
}

/// errno and text in one write.
fn say(to: &OwnedFd, outcome: &Outcome) {
    let (errno, failed, text) = match outcome {
        Ok(text) => (0, 0, text),
        Err(miss) => (miss.errno, 1, &miss.why),
    };
    let mut bytes = vec![failed];
    bytes.extend(errno.to_le_bytes());
    bytes.extend(text.bytes().take(MOST_BYTES - 5));
    let _ = rustix::io::write(to, &bytes);
}

fn hear(from: &OwnedFd, deadline: Instant) -> Option<Outcome> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec::try_from(left).ok()?;
    let mut fds = [PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN)];
    while poll(&mut fds, Some(&timeout)) == Err(Errno::INTR) {}
    if !fds.iter().any(|fd| fd.revents().contains(PollFlags::IN)) {
        return None;
    }
    let mut bytes = vec![0; MOST_BYTES];
    let got = rustix::io::read(from, &mut bytes).ok()?;
    let (failed, rest) = bytes.get(..got)?.split_first()?;
    let (errno, text) = rest.split_first_chunk::<4>()?;
    let text = String::from_utf8_lossy(text).into_owned();
    Some(match failed {
        0 => Ok(text),
        _ => Err(Miss {
            errno: i32::from_le_bytes(*errno),
            why: text,
        }),
    })
}
