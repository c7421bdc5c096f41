//! Starts the launcher and gives it orders. The only place in the broker that
//! starts a process.
//!
//! Nothing here reads a plugin's bytes: they travel as sealed memfds. A fault
//! on this leg is an internal fault: no resynchronisation, no second launcher.

pub(crate) mod bootstrap;
pub mod privileges;
mod sys;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gm_manifest::{Code, Refusal};
use gm_protocol::orders::{
    Answer, Collected, Done, Doorbell, Fault, FaultKind, FdKind, HostReport, Looked, Order, Stage,
    Started, Task,
};
use gm_protocol::plan::{Asset, Engine, Limits};
use gm_protocol::trials::Tried;
use ipc_channel::ipc::{IpcReceiver, IpcSender};

/// How long one order may take. A child's own set-up has 5 s in the launcher.
const ORDER_TIME: Duration = Duration::from_secs(10);

/// The running launcher.
#[derive(Debug)]
pub struct Launcher {
    host: HostReport,
    dead: AtomicBool,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    process: std::process::Child,
    orders: IpcSender<Order>,
    bell: Doorbell,
    /// Until the first order.
    answers: Option<IpcReceiver<Answer>>,
    ears: Option<Ears>,
    no: u64,
}

/// Hears answers on a thread of its own: a `recv` of an ipc-channel has no
/// deadline that covers a peer which stops in the middle of a message. Made at
/// the first order, when the broker has given up its privileges: credentials
/// belong to threads.
#[derive(Debug)]
struct Ears {
    asks: Sender<()>,
    answers: Receiver<Option<Answer>>,
}

impl Ears {
    fn open(receiver: IpcReceiver<Answer>) -> Self {
        let (asks, asked) = channel::<()>();
        let (given, answers) = channel::<Option<Answer>>();
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                if given.send(receiver.recv().ok()).is_err() {
                    return;
                }
            }
        });
        Self { asks, answers }
    }

    fn hear(&self, at_most: Duration) -> Result<Option<Answer>, RecvTimeoutError> {
        self.asks
            .send(())
            .map_err(|_| RecvTimeoutError::Disconnected)?;
        self.answers.recv_timeout(at_most)
    }
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The launcher says no, or could not.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The launcher is gone or broken: the run ends.
    #[error("the launcher does not answer: {0}")]
    Dead(String),
}

/// A started process: what the launcher said, and what reaches it from here.
#[derive(Debug)]
pub struct Child {
    /// What the launcher said.
    pub started: Started,
    /// Readable once the process is dead.
    pub pidfd: OwnedFd,
    /// The open `cgroup.kill` of its group, where the kernel has it.
    pub kill: Option<OwnedFd>,
}

impl Child {
    /// Kills the whole group at once, where the kernel offers that to its
    /// owner. The launcher's `Kill` must follow all the same.
    pub fn kill_group(&self) {
        if let Some(kill) = &self.kill {
            // A failure leaves the launcher's SIGKILL, which always follows.
            let _ = rustix::io::write(kill, b"1");
        }
    }

    /// Waits until the process is dead; false = it still lives.
    #[must_use]
    pub fn wait_dead(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut fds = [rustix::event::PollFd::new(
                &self.pidfd,
                rustix::event::PollFlags::IN,
            )];
            let timeout = rustix::event::Timespec::try_from(left).ok();
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

impl Launcher {
    /// Starts the launcher beside the broker's own executable. Call it from
    /// the main thread, before any other thread and before the broker grows.
    pub fn start(home: &Path, instance: &str) -> Result<Self, Refusal> {
        Self::from(bootstrap::begin(home, instance, false)?)
    }

    /// The same, and what it found when it tried each thing by itself: also where it
    /// says that nothing can be started here.
    ///
    /// # Errors
    /// If there is no launcher that answers.
    pub fn examine(
        home: &Path,
        instance: &str,
    ) -> Result<(Result<Self, Refusal>, Vec<Tried>), Refusal> {
        let mut begun = bootstrap::begin(home, instance, true)?;
        let tried = std::mem::take(&mut begun.ready.examined);
        Ok((Self::from(begun), tried))
    }

    fn from(begun: bootstrap::Begun) -> Result<Self, Refusal> {
        let bootstrap::Begun {
            mut process,
            bell,
            ready,
        } = begun;
        let host = match ready.host {
            Ok(host) => host,
            Err(fault) => {
                // It has nothing more to say, and ends by itself.
                drop(bell);
                let _ = process.wait();
                return Err(refusal_of(&fault));
            }
        };
        Ok(Self {
            host,
            dead: AtomicBool::new(false),
            line: Mutex::new(Line {
                process,
                orders: ready.orders,
                bell,
                answers: Some(ready.answers),
                ears: None,
                no: 0,
            }),
        })
    }

    /// What this machine gives.
    #[must_use]
    pub fn host(&self) -> &HostReport {
        &self.host
    }

    /// Directories of a child's groups on this machine.
    #[must_use]
    pub fn groups_of(&self, started: &Started) -> Vec<PathBuf> {
        let Some(number) = Path::new(&started.cgroups.memory).file_name() else {
            return Vec::new();
        };
        self.host
            .groups
            .iter()
            .map(|group| Path::new(group).join("plugins").join(number))
            .collect()
    }

    /// Whether the launcher failed: the run must end.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Starts a walled process.
    pub fn start_child(
        &self,
        engine: Engine,
        limits: &Limits,
        fds: &[(FdKind, BorrowedFd<'_>)],
        assets: &[Asset],
    ) -> Result<Child, SpawnError> {
        let task = Task::Start {
            engine,
            limits: limits.clone(),
            fds: fds.iter().map(|(kind, _)| *kind).collect(),
            assets: assets.to_vec(),
        };
        let raw: Vec<BorrowedFd<'_>> = fds.iter().map(|(_, fd)| *fd).collect();
        let (done, back) = self.order(task, &raw)?;
        let Done::Started(started) = done else {
            return Err(self.fail("another answer than asked for"));
        };
        let mut back = back.into_iter();
        let Some(pidfd) = back.next() else {
            return Err(self.fail("no pidfd came with the answer"));
        };
        Ok(Child {
            started,
            pidfd,
            kill: back.next(),
        })
    }

    /// Reads a child back from outside.
    pub fn look(&self, child: u32, stage: Stage) -> Result<Looked, SpawnError> {
        match self.order(Task::Look { child, stage }, &[])?.0 {
            Done::Looked(looked) => Ok(*looked),
            _ => Err(self.fail("another answer than asked for")),
        }
    }

    /// Whether a file or directory (`O_PATH`) lies where plugins can be granted it.
    ///
    /// # Errors
    /// The launcher's word, or its silence.
    pub fn try_grant(&self, file: BorrowedFd<'_>) -> Result<(), SpawnError> {
        self.order(Task::TryGrant, &[file]).map(drop)
    }

    /// Kills a child and its group.
    pub fn kill(&self, child: u32) -> Result<(), SpawnError> {
        self.order(Task::Kill { child }, &[]).map(|_| ())
    }

    /// Kills a child if it lives, reaps it, reads its counters, removes its group.
    pub fn collect(&self, child: u32) -> Result<Collected, SpawnError> {
        match self.order(Task::Collect { child }, &[])?.0 {
            Done::Collected(collected) => Ok(collected),
            _ => Err(self.fail("another answer than asked for")),
        }
    }

    /// Ends the launcher: it kills what is left, removes its groups and exits.
    pub fn stop(self) {
        let line = self
            .line
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let Line {
            mut process, bell, ..
        } = line;
        drop(bell);
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if !matches!(process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = process.kill();
        let _ = process.wait();
    }

    /// One order at a time; each has one answer.
    fn order(
        &self,
        what: Task,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Done, Vec<OwnedFd>), SpawnError> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_dead() {
            return Err(SpawnError::Dead("it failed before".into()));
        }
        line.exchange(what, fds).inspect_err(|error| {
            if matches!(error, SpawnError::Dead(_)) {
                self.dead.store(true, Ordering::Release);
            }
        })
    }

    fn fail(&self, why: &str) -> SpawnError {
        self.dead.store(true, Ordering::Release);
        SpawnError::Dead(why.into())
    }
}

impl Line {
    fn exchange(
        &mut self,
        what: Task,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(Done, Vec<OwnedFd>), SpawnError> {
        let dead = |why: String| SpawnError::Dead(why);
        self.no += 1;
        let order = Order { no: self.no, what };
        self.orders
            .send(order)
            .map_err(|error| dead(error.to_string()))?;
        self.bell
            .ring(self.no, fds)
            .map_err(|error| dead(error.to_string()))?;
        let deadline = Instant::now() + ORDER_TIME;
        let ring = self
            .bell
            .answer(Some(deadline))
            .map_err(|error| dead(error.to_string()))?;
        let ring = ring.ok_or_else(|| dead("it closed its socket".into()))?;
        if let Some(receiver) = self.answers.take() {
            self.ears = Some(Ears::open(receiver));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let ears = self
            .ears
            .as_ref()
            .ok_or_else(|| dead("its channel was taken".into()))?;
        let answer = ears.hear(left).map_err(|error| dead(error.to_string()))?;
        let answer = answer.ok_or_else(|| dead("its channel broke".into()))?;
        if answer.no != self.no || ring.no != self.no {
            return Err(dead("an answer to another order".into()));
        }
        Ok((answer.result?, ring.fds))
    }
}

/// The refusal that a fault of the launcher amounts to.
#[must_use]
pub fn refusal_of(fault: &Fault) -> Refusal {
    let code = match fault.kind {
        FaultKind::Wall(control) => {
            Code::from_text(&format!("wall/{control}")).unwrap_or(Code::InternalLauncher)
        }
        FaultKind::EngineMissing => Code::WallEngineMissing,
        FaultKind::Config => Code::ConfigBadValue,
        FaultKind::Refused | FaultKind::Gone => Code::InternalLauncher,
    };
    let refusal = Refusal::new(code, fault.to_string());
    match fault.kind {
        FaultKind::Wall(control) => refusal.layer(control.as_str()),
        _ => refusal,
    }
}

/// A connected pair for the link, the broker's end with `SO_PASSRIGHTS` off.
pub fn link_pair() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let (broker, runner) = gm_protocol::link::pair()?;
    sys::refuse_descriptors(broker.as_fd())?;
    Ok((broker, runner))
}
