//! A small stand-in for the broker: starts the real launcher and gives orders.

use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gm_protocol::orders::{
    Answer, Bootstrap, Collected, Done, Doorbell, Fault, FdKind, HostReport, Looked, Order, Ready,
    Stage, Started, Task,
};
use gm_protocol::plan::{Engine, Limits};
use gm_protocol::{link, wire};
use ipc_channel::ipc::{IpcOneShotServer, IpcReceiver, IpcSender};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tempfile::TempDir;

/// Limits of a modest plugin.
pub(crate) const WASM: Limits = Limits {
    memory_bytes: 32 << 20,
    pids: 1,
    cpu_percent: 50,
    file_bytes: 0,
    cpu_seconds: 0,
};
/// Limits of a compile process.
pub(crate) const COMPILE: Limits = Limits {
    memory_bytes: 64 << 20,
    pids: 8,
    cpu_percent: 100,
    file_bytes: 4096,
    cpu_seconds: 5,
};

static INSTANCES: AtomicU32 = AtomicU32::new(0);

/// The launcher, seen from its broker.
pub(crate) struct Broker {
    pub(crate) process: Child,
    pub(crate) bell: Option<Doorbell>,
    pub(crate) orders: IpcSender<Order>,
    pub(crate) answers: IpcReceiver<Answer>,
    pub(crate) host: HostReport,
    no: u64,
    _dir: TempDir,
}

/// A running child and what the broker holds of it.
pub(crate) struct Held {
    pub(crate) started: Started,
    pub(crate) pidfd: OwnedFd,
    pub(crate) kill: Option<OwnedFd>,
    link: OwnedFd,
}

impl Held {
    /// Asks the engine from inside.
    pub(crate) fn ask(&self, question: &str) -> String {
        rustix::net::send(
            &self.link,
            question.as_bytes(),
            rustix::net::SendFlags::NOSIGNAL,
        )
        .unwrap();
        let mut answer = vec![0; 1 << 16];
        let n = rustix::io::read(&self.link, &mut answer).unwrap();
        assert!(n > 0, "the engine died over {question:?}");
        String::from_utf8_lossy(&answer[..n]).into_owned()
    }

    /// Tells the engine something that it doesn't survive.
    pub(crate) fn tell(&self, order: &str) {
        rustix::net::send(
            &self.link,
            order.as_bytes(),
            rustix::net::SendFlags::NOSIGNAL,
        )
        .unwrap();
    }

    pub(crate) fn proc(&self, file: &str) -> std::path::PathBuf {
        format!("/proc/{}/{file}", self.started.pid).into()
    }
}

impl Broker {
    /// Starts a launcher with this program as each engine.
    pub(crate) fn start() -> Self {
        Self::with("")
            .0
            .expect("the launcher says what this machine gives")
    }

    /// The same with a broker.toml; also names the instance.
    pub(crate) fn with(config: &str) -> (Result<Self, Fault>, String) {
        let dir = installed();
        std::fs::write(dir.path().join("broker.toml"), config).unwrap();
        let instance = instance();
        (Self::at(dir, &instance), instance)
    }

    /// Starts the launcher of `dir`, which is the home as well.
    pub(crate) fn at(dir: TempDir, instance: &str) -> Result<Self, Fault> {
        let (server, path) = IpcOneShotServer::<Ready>::new().unwrap();
        let hello = Bootstrap {
            server: path,
            nonce: [7; 32],
            instance: instance.to_owned(),
            home: dir.path().display().to_string(),
            examine: false,
        };
        let mut bytes = [0; 4096];
        let used = wire::encode(&hello, &mut bytes).unwrap();
        let (process, bell) = launch(dir.path(), &bytes[..used]);
        let (_, ready) = server.accept().unwrap();
        assert_eq!(ready.nonce, [7; 32]);
        let bell = Some(bell);
        let (orders, answers) = (ready.orders, ready.answers);
        ready.host.map(|host| Self {
            process,
            bell,
            orders,
            answers,
            host,
            no: 0,
            _dir: dir,
        })
    }

    /// One order, with the descriptors of its answer.
    pub(crate) fn order(
        &mut self,
        what: Task,
        fds: &[BorrowedFd<'_>],
    ) -> (Result<Done, Fault>, Vec<OwnedFd>) {
        self.no += 1;
        self.orders.send(Order { no: self.no, what }).unwrap();
        let bell = self.bell.as_ref().unwrap();
        bell.ring(self.no, fds).unwrap();
        let ring = bell
            .answer(Some(Instant::now() + Duration::from_secs(10)))
            .unwrap()
            .unwrap();
        let answer = self.answers.recv().unwrap();
        assert_eq!((answer.no, ring.no), (self.no, self.no));
        (answer.result, ring.fds)
    }

    /// Starts an engine that answers questions.
    pub(crate) fn child(&mut self, limits: Limits) -> Result<Held, Fault> {
        self.child_with(
            Engine::Wasm,
            limits,
            vec![(FdKind::Code, sealed(b"the code"))],
        )
    }

    /// The same with these descriptors beside the link.
    pub(crate) fn child_with(
        &mut self,
        engine: Engine,
        limits: Limits,
        others: Vec<(FdKind, OwnedFd)>,
    ) -> Result<Held, Fault> {
        let (ours, theirs) = link::pair().unwrap();
        let mut kinds = vec![FdKind::Link];
        kinds.extend(others.iter().map(|(kind, _)| *kind));
        let mut fds = vec![theirs.as_fd()];
        fds.extend(others.iter().map(|(_, fd)| fd.as_fd()));
        let (result, back) = self.order(
            Task::Start {
                engine,
                limits,
                fds: kinds,
                assets: vec![],
            },
            &fds,
        );
        let Done::Started(started) = result? else {
            panic!("another answer")
        };
        let mut back = back.into_iter();
        Ok(Held {
            started,
            pidfd: back.next().unwrap(),
            kill: back.next(),
            link: ours,
        })
    }

    pub(crate) fn look(&mut self, child: &Held, stage: Stage) -> Result<Looked, Fault> {
        match self
            .order(
                Task::Look {
                    child: child.started.child,
                    stage,
                },
                &[],
            )
            .0?
        {
            Done::Looked(looked) => Ok(*looked),
            other => panic!("another answer: {other:?}"),
        }
    }

    pub(crate) fn collect(&mut self, child: &Held) -> Collected {
        match self
            .order(
                Task::Collect {
                    child: child.started.child,
                },
                &[],
            )
            .0
            .unwrap()
        {
            Done::Collected(collected) => collected,
            other => panic!("another answer: {other:?}"),
        }
    }

    /// Hangs up, as a dying broker does, and waits for the launcher's end.
    pub(crate) fn hang_up(&mut self) {
        self.bell = None;
        self.gone();
    }

    /// Waits until the launcher is gone, one second at most.
    pub(crate) fn gone(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            if self.process.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("the launcher still lives after a second");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.bell = None;
        let _ = self.process.wait();
    }
}

/// A directory with gm-launcher and this program as its engines.
pub(crate) fn installed() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let own = std::env::current_exe().unwrap();
    let copies = [
        (Path::new(env!("CARGO_BIN_EXE_gm-launcher")), "gm-launcher"),
        (&own, "gm-run-wasm"),
        (&own, "gm-compile-wasm"),
        (&own, "gm-http"),
    ];
    for (from, name) in copies {
        let to = dir.path().join(name);
        std::fs::copy(from, &to).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::write(dir.path().join("warm.artifact"), b"warm").unwrap();
    dir
}

/// Starts the launcher of `dir` and writes its bootstrap.
pub(crate) fn launch(dir: &Path, bootstrap: &[u8]) -> (Child, Doorbell) {
    let (ours, theirs) = link::pair().unwrap();
    let (pipe, write) = std::io::pipe().unwrap();
    #[expect(clippy::disallowed_methods, reason = "stands in for the broker")]
    let process = Command::new(dir.join("gm-launcher"))
        .env_clear()
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(OwnedFd::from(pipe)))
        .process_group(0)
        .current_dir("/")
        .spawn()
        .unwrap();
    let _ = (&write).write_all(bootstrap);
    (process, Doorbell::new(ours))
}

/// A name that no other run of this test has.
pub(crate) fn instance() -> String {
    let n = INSTANCES.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}{n:08x}", std::process::id())
}

/// A memfd that nobody can change any more.
pub(crate) fn sealed(bytes: &[u8]) -> OwnedFd {
    let fd = open_memfd();
    rustix::io::write(&fd, bytes).unwrap();
    fcntl_add_seals(
        &fd,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )
    .unwrap();
    fd
}

/// An empty memfd.
pub(crate) fn open_memfd() -> OwnedFd {
    memfd_create("test", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap()
}
