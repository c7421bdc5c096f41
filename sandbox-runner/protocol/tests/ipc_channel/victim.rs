//! The attacked end, in a process of its own: this very test binary, told by its
//! environment what to read with.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gm_protocol::link::{Budget, Link, LinkError, Wait};
use ipc_channel::TryRecvError;
use ipc_channel::ipc::IpcOneShotServer;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::attack;

/// Names the kind of a victim to its process.
const KIND: &str = "GM_VICTIM";
/// In front of each line that a victim says; the harness says others.
const SAYS: &str = "victim: ";
/// What a victim gives each call for waiting.
const TIMEOUT: Duration = Duration::from_millis(200);
/// Generous: only what hangs is ended by it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a victim reads with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ipc-channel of bytes.
    Channel,
    /// An ipc-channel of a type that contains itself.
    Nested,
    /// A set of ipc-channels.
    Set,
    /// Our link.
    Link,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Channel, Self::Nested, Self::Set, Self::Link];

    fn name(self) -> String {
        format!("{self:?}")
    }
}

/// A type that contains itself: no wire type of ours does.
#[derive(Debug, Serialize, Deserialize)]
enum Nest {
    Leaf,
    More(Box<Nest>),
}

impl Nest {
    fn depth(&self) -> usize {
        match self {
            Self::Leaf => 0,
            Self::More(below) => 1 + below.depth(),
        }
    }
}

#[test]
#[ignore = "the victim's own life; the controls start it"]
fn victim() {
    let Ok(name) = std::env::var(KIND) else {
        return;
    };
    match Kind::ALL.into_iter().find(|kind| kind.name() == name) {
        Some(Kind::Channel) => on_channel::<Vec<u8>>(Vec::len),
        Some(Kind::Nested) => on_channel::<Nest>(Nest::depth),
        Some(Kind::Set) => on_set(),
        Some(Kind::Link) => on_link(),
        None => panic!("no victim {name}"),
    }
}

/// Says how it ended and holds what it has, to be looked at from outside for as
/// long as its starter likes.
fn end(error: &dyn std::fmt::Display) {
    say(&format!("error {error}"));
    let _ = std::io::stdin().read(&mut [0]);
}

fn say(text: &str) {
    println!("{SAYS}{text}");
    std::io::stdout().flush().unwrap();
}

fn on_channel<T: Serialize + for<'de> Deserialize<'de>>(size: impl Fn(&T) -> usize) {
    let (server, path) = IpcOneShotServer::<T>::new().unwrap();
    say(&format!("at {path}"));
    let (receiver, first) = server.accept().unwrap();
    say(&format!("first {}", size(&first)));
    loop {
        match receiver.try_recv_timeout(TIMEOUT) {
            Ok(message) => say(&format!("message {}", size(&message))),
            Err(TryRecvError::Empty) => say("timeout"),
            Err(error) => return end(&error),
        }
    }
}

#[expect(clippy::disallowed_types, reason = "to show why it is not allowed")]
fn on_set() {
    let (server, path) = IpcOneShotServer::<Vec<u8>>::new().unwrap();
    say(&format!("at {path}"));
    let (receiver, first) = server.accept().unwrap();
    let mut set = ipc_channel::ipc::IpcReceiverSet::new().unwrap();
    set.add(receiver).unwrap();
    say(&format!("first {}", first.len()));
    loop {
        match set.try_select_timeout(TIMEOUT) {
            Ok(results) => say(&format!("messages {}", results.len())),
            Err(error) => say(&format!("none {error:?}")),
        }
    }
}

fn on_link() {
    let name = format!("gm-victim-{}", std::process::id());
    let listener = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
    rustix::net::bind(&listener, &address).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    say(&format!("at @{name}"));
    let socket = rustix::net::accept_with(&listener, SocketFlags::CLOEXEC).unwrap();
    let budget = Budget {
        frames: 20_000,
        bytes: 64 << 20,
    };
    let mut link = Link::new(socket, budget);
    say("first 0");
    loop {
        let wait = Wait {
            deadline: Instant::now() + TIMEOUT,
            wake: None,
        };
        match link.recv(wait) {
            Ok(_) => say("message 0"),
            Err(LinkError::TimedOut) => say("timeout"),
            Err(error) => return end(&error),
        }
    }
}

/// A running victim, seen by its attacker. Killed when dropped.
pub(crate) struct Victim {
    child: Child,
    lines: Receiver<String>,
    place: String,
}

impl Victim {
    /// Starts one that waits for whoever comes first.
    pub(crate) fn start(kind: Kind) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "most victims die, so each is a process"
        )]
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "victim::victim", "--ignored", "--nocapture"])
            .env(KIND, kind.name())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (to_lines, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The harness ends no line before a test's first one.
                let said = line.split_once(SAYS).map(|(_, said)| said.to_owned());
                if said.is_some_and(|said| to_lines.send(said).is_err()) {
                    return;
                }
            }
        });
        let mut victim = Self {
            child,
            lines,
            place: String::new(),
        };
        victim.place = victim.waits_for("at ");
        victim
    }

    /// Connects, and is accepted with this message; a link needs none.
    pub(crate) fn meet(&self, first: &[u8]) -> OwnedFd {
        let socket = attack::reach(&self.place);
        if !self.place.starts_with('@') {
            assert!(attack::send(&socket, &attack::message(first)));
        }
        self.waits_for("first ");
        socket
    }

    /// Where it listens.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The next thing that it says, if it comes in time.
    pub(crate) fn says(&self, within: Duration) -> Option<String> {
        self.lines.recv_timeout(within).ok()
    }

    /// Waits until it says this; the rest of that line.
    pub(crate) fn waits_for(&self, beginning: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let said = self.says(left);
            let said = said.unwrap_or_else(|| panic!("the victim never said {beginning:?}"));
            if let Some(rest) = said.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// Whether it falls silent for five of its timeouts: it is inside a call.
    pub(crate) fn is_stuck(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match self.says(5 * TIMEOUT) {
                None => return self.child_lives(),
                Some(said) => assert_eq!(said, "timeout"),
            }
        }
        false
    }

    fn child_lives(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        status.is_ok_and(|status| !status.contains("State:\tZ"))
    }

    /// Waits for its death; how it died and what it said about it.
    pub(crate) fn dies(mut self) -> (ExitStatus, String) {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "the victim lives on");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        let _ = stderr.read_to_string(&mut text);
        // The harness tells a failed test's panic on stdout or stderr.
        text.extend(self.lines.try_iter());
        (status, text)
    }

    /// How many descriptors it holds.
    pub(crate) fn descriptors(&self) -> usize {
        let place = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(place).unwrap().count()
    }

    /// Its memory in use, in KiB.
    pub(crate) fn resident_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.unwrap().parse().unwrap()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a process was ended by a panic of a test.
pub(crate) fn panicked(status: ExitStatus) -> bool {
    status.code() == Some(101)
}

/// Whether nothing in the process could have caught its end.
pub(crate) fn aborted(status: ExitStatus) -> bool {
    [Some(6), Some(11)].contains(&status.signal())
}
