//! One walled process, from the order to its end, whatever it runs.
//!
//! Nothing is told to go on before its walls were read back from inside by
//! its report and from outside by the launcher, and both agree with the plan.
//! Each end goes the same way: kill, wait, counters, group removed, judgement.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use gm_protocol::link::{Budget, Link, LinkError, Wait};
use gm_protocol::message::{FromRunner, Last, Report, ToRunner};
use gm_protocol::orders::{Collected, FaultKind, FdKind, Looked, Stage};
use gm_protocol::plan::{Asset, Engine, Limits, Setup};

use crate::ending::{Cause, Ending, Fixed};
use crate::expect::{self, Expected};
use crate::spawn::{Child, Launcher, SpawnError, link_pair};

/// From the order to the runner's report.
const REPORT_TIME: Duration = Duration::from_secs(5);
/// How long a killed process may take to be seen dead before it is left to
/// the launcher.
const DEAD_TIME: Duration = Duration::from_millis(500);
/// How long a process may take to end by itself after `Stop`.
const STOP_TIME: Duration = Duration::from_secs(2);
/// The most frames that are looked through for last words after a death.
const QUEUED: u32 = 64;

/// What a process is started with.
#[derive(Debug)]
pub struct Order<'a> {
    /// Which binary.
    pub engine: Engine,
    /// Limits for the launcher.
    pub limits: Limits,
    /// Descriptors besides the link.
    pub fds: Vec<(FdKind, BorrowedFd<'a>)>,
    /// Files of the package for the process's own tree.
    pub assets: &'a [Asset],
    /// How much it may send.
    pub budget: Budget,
    /// Readable = end it now.
    pub wake: Option<BorrowedFd<'a>>,
    /// How many paths of the host are granted, and whether there is a `$DATA`.
    pub mounted: (usize, bool),
}

/// A walled process that lives, or has not been collected yet.
#[derive(Debug)]
pub struct Process<'a> {
    launcher: &'a Launcher,
    /// What the launcher said, and what reaches it.
    pub child: Child,
    link: Link,
    wake: Option<BorrowedFd<'a>>,
    engine: Engine,
    limits: Limits,
    mounted: (usize, bool),
    begun: Instant,
    last: Option<Last>,
}

/// What is left of a process.
#[derive(Debug)]
pub struct Dead {
    /// How it ended.
    pub ending: Ending,
    /// Its counters, if the launcher could still give them.
    pub collected: Option<Collected>,
    /// Its life in microseconds.
    pub wall_us: u64,
}

impl<'a> Process<'a> {
    /// Orders the process. No wall of its own is up yet and it has seen no
    /// byte of a plugin.
    pub fn start(launcher: &'a Launcher, order: Order<'a>) -> Result<Self, SpawnError> {
        let (ours, theirs) = link_pair().map_err(|error| SpawnError::Dead(error.to_string()))?;
        let mut fds: Vec<(FdKind, BorrowedFd<'_>)> = vec![(FdKind::Link, theirs.as_fd())];
        fds.extend(order.fds.iter().copied());
        let begun = Instant::now();
        let child = launcher.start_child(order.engine, &order.limits, &fds, order.assets)?;
        Ok(Self {
            launcher,
            child,
            link: Link::new(ours, order.budget),
            wake: order.wake,
            engine: order.engine,
            limits: order.limits,
            mounted: order.mounted,
            begun,
            last: None,
        })
    }

    /// Readable once the process is dead.
    #[must_use]
    pub fn death(&self) -> BorrowedFd<'_> {
        self.child.pidfd.as_fd()
    }

    /// Until when, absolutely, a step that starts now may take.
    #[must_use]
    pub fn until(&self, at_most: Duration) -> Wait<'a> {
        Wait {
            deadline: Instant::now() + at_most,
            wake: self.wake,
        }
    }

    /// Sends the walls, hears the report, reads the process back from outside,
    /// and only then says `Go`.
    pub fn wall_in(&mut self, setup: Setup) -> Result<(Report, Looked), Cause> {
        let wait = Wait {
            deadline: self.begun + REPORT_TIME,
            wake: self.wake,
        };
        let abi = setup.landlock_abi;
        self.send(&ToRunner::Setup(Box::new(setup)), &[], wait)?;
        let FromRunner::Report(report) = self.recv(wait)? else {
            return Err(Cause::Link("the report was due".into()));
        };
        expect::report(&report, abi, self.engine)
            .map_err(|(control, why)| Cause::Wall(control, why))?;
        let looked = self.look(Stage::Walled)?;
        match self.link.arrived() {
            Ok(None) => {}
            Ok(Some(FromRunner::Last(last))) => {
                self.last = Some(last);
                return Err(Cause::Gone);
            }
            Ok(Some(_)) => return Err(Cause::Link("a message before Go".into())),
            Err(error) => return Err(self.cause(error)),
        }
        self.send(&ToRunner::Go, &[], wait)?;
        Ok((report, looked))
    }

    /// Reads the process back from outside and compares with the plan.
    pub fn look(&mut self, stage: Stage) -> Result<Looked, Cause> {
        let looked = match self.launcher.look(self.child.started.child, stage) {
            Ok(looked) => looked,
            Err(SpawnError::Dead(_)) => return Err(Cause::Launcher),
            Err(SpawnError::Fault(fault)) => {
                return Err(match fault.kind {
                    FaultKind::Wall(control) => Cause::Wall(control, fault.to_string()),
                    _ => Cause::Gone,
                });
            }
        };
        let expected = Expected {
            started: &self.child.started,
            limits: &self.limits,
            mounted: self.mounted,
            engine: self.engine,
            stage,
        };
        match expect::looked(&looked, &expected) {
            Ok(()) => Ok(looked),
            Err((control, why)) => Err(Cause::Wall(control, why)),
        }
    }

    /// Sends a message and the parts of its document.
    pub fn send(&mut self, first: &ToRunner, document: &[u8], wait: Wait<'_>) -> Result<(), Cause> {
        let sent = self.link.send_document(first, document, wait);
        sent.map_err(|error| self.cause(error))
    }

    /// Waits until it may send so much more: an honest one that is too fast is
    /// slowed down, not ended.
    pub fn pace(&mut self, next: Budget, wait: Wait<'_>) -> Result<(), Cause> {
        let paced = self.link.pace(next, wait);
        paced.map_err(|error| self.cause(error))
    }

    /// Receives the next message; its last words end it.
    pub fn recv(&mut self, wait: Wait<'_>) -> Result<FromRunner, Cause> {
        match self.link.recv(wait) {
            Ok(FromRunner::Last(last)) => {
                self.last = Some(last);
                Err(Cause::Gone)
            }
            Ok(message) => Ok(message),
            Err(error) => Err(self.cause(error)),
        }
    }

    /// Receives the rest of a document, at most `cap` bytes in all.
    pub fn recv_parts(
        &mut self,
        first: Vec<u8>,
        more: bool,
        cap: usize,
        wait: Wait<'_>,
    ) -> Result<Vec<u8>, Cause> {
        let whole = self.link.recv_parts(first, more, cap, wait);
        whole.map_err(|error| self.cause(error))
    }

    /// Ends the process and says how it ended.
    #[must_use]
    pub fn end(mut self, cause: Cause) -> Dead {
        let id = self.child.started.child;
        let (gone, cause) = match cause {
            // It ends by itself: nothing of ours must be taken for its end.
            Cause::Stopped => match self.child.wait_dead(STOP_TIME) {
                true => (true, cause),
                false => (false, Cause::FixedDeadline(self.stop(), STOP_TIME)),
            },
            Cause::Gone => (self.child.wait_dead(DEAD_TIME), cause),
            _ => (false, cause),
        };
        if !gone {
            self.child.kill_group();
            let killed = self.launcher.kill(id);
            // Never wait on it for longer: a traced or stuck leader is the
            // launcher's to reap.
            if killed.is_ok() {
                let _ = self.child.wait_dead(DEAD_TIME);
            }
        }
        let collected = self.launcher.collect(id).ok();
        let last = self
            .last
            .take()
            .or_else(|| match self.link.drain_last(QUEUED) {
                Some(FromRunner::Last(last)) => Some(last),
                _ => None,
            });
        let launcher_died = self.launcher.is_dead();
        let cause = if launcher_died {
            Cause::Launcher
        } else {
            cause
        };
        Dead {
            ending: Ending::judge(&cause, collected.as_ref(), last),
            collected,
            wall_us: self
                .begun
                .elapsed()
                .as_micros()
                .try_into()
                .unwrap_or(u64::MAX),
        }
    }

    /// Kills the process, whatever it is doing, and gives its counters: nobody asks
    /// how it ended.
    pub fn dismiss(self) -> Option<Collected> {
        self.end(Cause::Woken).collected
    }

    /// What `Stop` is for what runs in it.
    #[must_use]
    pub const fn stop(&self) -> Fixed {
        match self.engine {
            Engine::Program => Fixed::EndOfInput,
            _ => Fixed::Stop,
        }
    }

    fn cause(&self, error: LinkError) -> Cause {
        match error {
            LinkError::Closed => Cause::Gone,
            LinkError::TimedOut => Cause::Deadline,
            // The one who rang says why.
            LinkError::Woken => Cause::Woken,
            other => Cause::Link(other.to_string()),
        }
    }
}

/// An anonymous file for what is read once and never changed again. Never
/// executable: code runs from the plugin's own mount tree.
pub fn memfd(name: &str) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::MemfdFlags;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3.
        Err(rustix::io::Errno::INVAL) => rustix::fs::memfd_create(name, flags),
        made => made,
    }
}

/// Seals a [`memfd`] for good: no write, no other size, no other seal.
pub fn seal(fd: &OwnedFd) -> rustix::io::Result<()> {
    use rustix::fs::SealFlags;
    let all = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(fd, all)
}
