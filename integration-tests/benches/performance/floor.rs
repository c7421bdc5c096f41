//! The floors: an echo in another process with no wall round it, the start of a
//! static program, and of the same below bubblewrap.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use gm_integration_tests::process::command;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Most bytes of a packet here.
const MOST: usize = 128 * 1024;

/// A child at the other end of a SEQPACKET pair, killed when dropped.
pub(crate) struct Peer(Child);

impl Peer {
    /// Starts it with the pair's other end as its stdin and stdout.
    pub(crate) fn start(mut command: Command) -> (Self, OwnedFd) {
        let (ours, theirs) = gm_protocol::link::pair().unwrap();
        let output = theirs.try_clone().unwrap();
        let child = command
            .stdin(theirs)
            .stdout(output)
            .stderr(Stdio::inherit());
        (Self(child.spawn().unwrap()), ours)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The bare echo: `write` there and `read` back.
pub(crate) struct Echo {
    socket: File,
    back: Vec<u8>,
    _peer: Peer,
}

impl Echo {
    pub(crate) fn start(program: &Path) -> Self {
        Self::of(command(program, Path::new("/")))
    }

    /// The echo as some command starts it.
    pub(crate) fn of(command: Command) -> Self {
        let (peer, socket) = Peer::start(command);
        Self {
            socket: File::from(socket),
            back: vec![0; MOST],
            _peer: peer,
        }
    }

    /// One round trip.
    pub(crate) fn call(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
        let len = self.socket.read(&mut self.back).unwrap();
        assert_eq!(len, bytes.len(), "the echo is broken");
    }
}

/// From the start of a command to the first answer, in microseconds.
pub(crate) fn start_to_answer(command: Command) -> f64 {
    let begun = Instant::now();
    let mut echo = Echo::of(command);
    echo.call(b"x");
    crate::samples::micros(begun)
}

/// The static echo below bubblewrap; `None` where it isn't installed.
fn bubblewrap(echo: &Path) -> Option<Command> {
    let program = bubblewrap_program()?;
    let mut bwrap = command(program, Path::new("/"));
    bwrap.args(["--unshare-all", "--die-with-parent", "--ro-bind"]);
    bwrap.arg(echo).args(["/echo", "/echo"]);
    Some(bwrap)
}

/// Starts the static echo below bubblewrap for a process that has given up the
/// privileges which that needs. Make it before they are given up.
pub(crate) struct Starter {
    socket: File,
    _peer: Peer,
}

impl Starter {
    /// `None` where bubblewrap isn't installed.
    pub(crate) fn new(echo: &Path) -> Option<Self> {
        bubblewrap_program()?;
        let mut own = command(std::env::current_exe().unwrap(), Path::new("/"));
        own.arg("starter").arg(echo);
        let (peer, socket) = Peer::start(own);
        Some(Self {
            socket: File::from(socket),
            _peer: peer,
        })
    }

    /// [`start_to_answer`], there.
    pub(crate) fn start_to_answer(&mut self) -> f64 {
        self.socket.write_all(&[1]).unwrap();
        let mut micros = [0; 8];
        self.socket.read_exact(&mut micros).unwrap();
        f64::from_le_bytes(micros)
    }
}

/// The starter's own process: a start for each byte.
pub(crate) fn start_for_others(echo: &Path) {
    let mut socket = File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    while socket.read(&mut [0]).unwrap() == 1 {
        let took = start_to_answer(bubblewrap(echo).unwrap());
        socket.write_all(&took.to_le_bytes()).unwrap();
    }
}

fn bubblewrap_program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut all = std::env::split_paths(&path).map(|dir| dir.join("bwrap"));
    all.find(|program| program.is_file())
}

/// Keeps this thread, and whatever it starts from here on, on one CPU.
pub(crate) fn pin() {
    let allowed = sched_getaffinity(None).unwrap();
    let last = (0..CpuSet::MAX_CPU)
        .rfind(|cpu| allowed.is_set(*cpu))
        .unwrap();
    let mut one = CpuSet::new();
    one.set(last);
    sched_setaffinity(None, &one).unwrap();
}

/// Does it on a thread of its own, on one CPU or on all.
pub(crate) fn on<T: Send>(pinned: bool, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if pinned {
                pin();
            }
            work()
        });
        thread.join().unwrap()
    })
}

/// How a row says where it was measured.
pub(crate) fn place(pinned: bool) -> &'static str {
    if pinned { "one CPU" } else { "all CPUs" }
}
