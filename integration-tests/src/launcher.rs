//! A stand-in for the broker at the installed launcher: any order, any descriptor. What a
//! subverted broker could ask for.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use gm_protocol::link;
use gm_protocol::orders::{
    Answer, Bootstrap, Done, Doorbell, Fault, FdKind, Order, Ready, Started, Task,
};
use gm_protocol::plan::{Engine, Limits};
use gm_protocol::wire;
use ipc_channel::ipc::{IpcOneShotServer, IpcReceiver, IpcSender};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tempfile::TempDir;

use crate::bait::random_name;
use crate::binary;
use crate::home::level;
use crate::kernel::{Process, within};
use crate::process::command;
use crate::scene::SOON;

/// Longest wait for one answer.
pub const ANSWER: Duration = Duration::from_secs(10);
const NONCE: [u8; 32] = [7; 32];

/// A launcher of ours, ended when this is dropped.
pub struct Launcher {
    // Hangs up before the process is waited for.
    bell: Doorbell,
    process: Greeted,
    orders: IpcSender<Order>,
    answers: IpcReceiver<Answer>,
    no: u64,
    _home: TempDir,
}

/// A child that it started; the link's other end is held, so that the child waits.
pub struct Held {
    /// What the launcher said of it.
    pub started: Started,
    _link: OwnedFd,
}

/// The process of a launcher, which is not left behind.
pub struct Greeted {
    child: Child,
}

impl Greeted {
    /// Its exit code, once it has ended by itself; none if it lives on for that long.
    pub fn exit_within(&mut self, limit: Duration) -> Option<i32> {
        let mut exit = None;
        within(limit, || {
            exit = self.child.try_wait().ok().flatten();
            exit.is_some()
        });
        exit?.code()
    }
}

impl Drop for Greeted {
    fn drop(&mut self) {
        if self.exit_within(SOON).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Launcher {
    /// Starts one that gives the level of this machine.
    ///
    /// # Errors
    /// What it says that keeps it from starting anything.
    ///
    /// # Panics
    /// If it says nothing.
    pub fn start() -> Result<Self, Fault> {
        Self::with(&format!("[isolation]\nmin = {:?}\n", level()))
    }

    /// Starts one on a home with this configuration.
    ///
    /// # Errors
    /// What it says that keeps it from starting anything.
    ///
    /// # Panics
    /// If it says nothing.
    pub fn with(config: &str) -> Result<Self, Fault> {
        let home = tempfile::Builder::new()
            .prefix("gm-test-launcher-")
            .tempdir()
            .unwrap();
        let file = home.path().join("broker.toml");
        std::fs::write(&file, config).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let (server, path) = IpcOneShotServer::<Ready>::new().unwrap();
        let instance: String = random_name().unwrap().chars().take(16).collect();
        let hello = Bootstrap {
            server: path,
            nonce: NONCE,
            instance,
            home: home.path().display().to_string(),
            examine: false,
        };
        let mut bytes = [0; 4096];
        let used = wire::encode(&hello, &mut bytes).unwrap();
        let (process, bell) = greet(&bytes[..used]);
        let ready = accepted(server);
        assert_eq!(ready.nonce, NONCE);
        ready.host.map(|_| Self {
            process,
            bell,
            orders: ready.orders,
            answers: ready.answers,
            no: 0,
            _home: home,
        })
    }

    /// One order with these descriptors; what became of it.
    ///
    /// # Errors
    /// The launcher's refusal.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn order(&mut self, what: Task, fds: &[BorrowedFd<'_>]) -> Result<Done, Fault> {
        self.no += 1;
        self.orders.send(Order { no: self.no, what }).unwrap();
        self.bell.ring(self.no, fds).unwrap();
        let ring = self.bell.answer(Some(Instant::now() + ANSWER)).unwrap();
        assert_eq!(ring.map(|ring| ring.no), Some(self.no));
        self.answers.recv().unwrap().result
    }

    /// Orders a child, with these descriptors beside its link.
    ///
    /// # Errors
    /// The launcher's refusal.
    ///
    /// # Panics
    /// If the answer is another one.
    pub fn child(
        &mut self,
        engine: Engine,
        limits: Limits,
        others: &[(FdKind, OwnedFd)],
    ) -> Result<Held, Fault> {
        let (ours, theirs) = link::pair().unwrap();
        let kinds = others.iter().map(|(kind, _)| *kind);
        let fds = others.iter().map(|(_, fd)| fd.as_fd());
        let task = Task::Start {
            engine,
            limits,
            fds: std::iter::once(FdKind::Link).chain(kinds).collect(),
            assets: Vec::new(),
        };
        let fds: Vec<_> = std::iter::once(theirs.as_fd()).chain(fds).collect();
        match self.order(task, &fds)? {
            Done::Started(started) => Ok(Held {
                started,
                _link: ours,
            }),
            other => panic!("another answer: {other:?}"),
        }
    }

    /// Announces an order by another number than its own.
    ///
    /// # Panics
    /// If nothing can be sent any more.
    pub fn ring_for_another(&mut self) {
        let what = Task::Kill { child: 1 };
        self.orders.send(Order { no: 5, what }).unwrap();
        self.bell.ring(6, &[]).unwrap();
    }

    /// The names of its children; none but `gm-sweeper` where no plugin was started.
    ///
    /// # Panics
    /// If it is gone.
    #[must_use]
    pub fn children(&self) -> Vec<String> {
        let own = Process::find(self.process.child.id()).unwrap();
        let children = own.descendants();
        children.iter().map(|child| child.status("Name")).collect()
    }

    /// Whether it ends soon.
    pub fn ends(&mut self) -> bool {
        self.process.exit_within(SOON).is_some()
    }
}

/// The launcher's first message. One that never comes is waited for by a thread of its own.
fn accepted(server: IpcOneShotServer<Ready>) -> Ready {
    let (send, ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = send.send(server.accept());
    });
    let ready = ready.recv_timeout(ANSWER);
    let (_, ready) = ready.expect("the launcher says nothing").unwrap();
    ready
}

/// Starts a launcher and writes these bytes as its greeting.
///
/// # Panics
/// If it can't be started.
#[must_use]
pub fn greet(bytes: &[u8]) -> (Greeted, Doorbell) {
    let (ours, theirs) = link::pair().unwrap();
    let (pipe, write) = std::io::pipe().unwrap();
    let mut launcher = command(binary("gm-launcher"), std::path::Path::new("/"));
    let launcher = launcher
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(OwnedFd::from(pipe)))
        .stderr(Stdio::null())
        .process_group(0);
    let child = launcher.spawn().unwrap();
    // It may have ended before all of them were written.
    let _ = (&write).write_all(bytes);
    (Greeted { child }, Doorbell::new(ours))
}

/// A memfd with these bytes; sealed ones nobody can change any more.
///
/// # Panics
/// If there can be none.
#[must_use]
pub fn memfd(bytes: &[u8], sealed: bool) -> OwnedFd {
    let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
    let fd = memfd_create("gm-test", flags).unwrap();
    assert_eq!(rustix::io::write(&fd, bytes).unwrap(), bytes.len());
    if sealed {
        let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&fd, all).unwrap();
    }
    fd
}

/// A file of the host's, for reading.
///
/// # Panics
/// If it isn't there.
#[must_use]
pub fn file(path: &str) -> OwnedFd {
    std::fs::File::open(path).unwrap().into()
}

/// A socket whose other end is gone.
///
/// # Panics
/// If there can be none.
#[must_use]
pub fn socket() -> OwnedFd {
    link::pair().unwrap().0
}
