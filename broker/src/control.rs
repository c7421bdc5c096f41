//! How a verb ends plugins of runs that live: it has written down what is no
//! longer allowed, tells every instance, and kills the groups of one that does
//! not answer.
//!
//! Both ends belong to the home's owner; the socket lies in a directory of mode
//! 0700. Nothing that arrives here can start or allow anything.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gm_manifest::{Code, Refusal};
use mind_gpg::RevocationTarget;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ending::EndingKind;
use crate::home::{Dir, Home};
use crate::hub::Hub;
use crate::instance::{self, Guest};
use crate::supervise::Hosted;

/// The socket's name in an instance's directory.
const SOCKET: &str = "control.sock";
/// How long an instance may take to answer.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// Until a plugin that an instance was told of must be gone.
const GONE_TIME: Duration = Duration::from_millis(900);
/// The longest request or answer.
const MAX_LINE: u64 = 4096;

/// What is to end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// An id, a fingerprint or a digest, as `gm plugin revoke` takes it.
    target: String,
    /// Revoked; else the operator's own word.
    revoked: bool,
}

impl Stop {
    /// All that a revocation covers.
    #[must_use]
    pub fn revoked(target: &RevocationTarget) -> Self {
        Self {
            target: target.to_string(),
            revoked: true,
        }
    }

    /// One plugin, which may be started again later.
    #[must_use]
    pub fn by_operator(id: &gm_manifest::PluginId) -> Self {
        Self {
            target: id.to_string(),
            revoked: false,
        }
    }

    fn ending(&self) -> EndingKind {
        if self.revoked {
            EndingKind::Revoked
        } else {
            EndingKind::KilledByOperator
        }
    }
}

/// The instance's end: answers until [`Control::finish`].
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    over: OwnedFd,
}

impl Control {
    /// Listens in the directory of a live instance.
    ///
    /// # Errors
    /// Class `store`.
    pub fn open(dir: &Dir) -> Result<Self, Refusal> {
        let open = || -> std::io::Result<Self> {
            // An earlier run of the same instance is over, and so is its socket.
            dir.remove(SOCKET).map_err(std::io::Error::other)?;
            let listener = UnixListener::bind(socket(dir))?;
            listener.set_nonblocking(true)?;
            Ok(Self {
                listener,
                over: eventfd(0, EventfdFlags::CLOEXEC)?,
            })
        };
        open().map_err(|error| {
            Refusal::new(
                Code::of_store(error.kind()),
                format!("could not make {SOCKET}: {error}"),
            )
        })
    }

    /// Ends what it is told to end.
    pub fn serve(&self, hub: &Hub, plugins: &[Hosted]) {
        loop {
            let mut fds = [
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::new(&self.over, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            let [_, over] = &fds;
            if !over.revents().is_empty() {
                return;
            }
            while let Ok((stream, _)) = self.listener.accept() {
                // A peer that sends nothing sensible gets no answer; it kills then.
                let _ = answer(stream, hub, plugins);
            }
        }
    }

    /// Ends [`Control::serve`].
    pub fn finish(&self) {
        // Only a counter at its maximum refuses, and then it is readable.
        let _ = rustix::io::write(&self.over, &1_u64.to_ne_bytes());
    }
}

fn answer(stream: UnixStream, hub: &Hub, plugins: &[Hosted]) -> std::io::Result<()> {
    let Some(stop) = receive::<Stop>(&stream)? else {
        return Ok(());
    };
    let Ok(target) = RevocationTarget::parse(&stop.target) else {
        return Ok(());
    };
    let mut stopped = Vec::new();
    for plugin in plugins
        .iter()
        .filter(|plugin| target.covers(&plugin.identity))
    {
        hub.stop(plugin.index, stop.ending());
        stopped.push(plugin.source.id.as_str());
    }
    send(&stream, &json!({"stopped": stopped}))
}

fn receive<T: for<'de> Deserialize<'de>>(stream: &UnixStream) -> std::io::Result<Option<T>> {
    stream.set_read_timeout(Some(ANSWER_TIME))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line).ok())
}

fn send(mut stream: &UnixStream, message: &impl Serialize) -> std::io::Result<()> {
    stream.set_write_timeout(Some(ANSWER_TIME))?;
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// The socket by a path that is always short enough (unix(7): 107 bytes).
fn socket(dir: &Dir) -> PathBuf {
    PathBuf::from(format!(
        "/proc/self/fd/{}/{SOCKET}",
        dir.as_fd().as_raw_fd()
    ))
}

/// Tells every live instance of this home, and of what `gm plugin try` runs,
/// and waits until its plugins are gone. Gives how many were ended.
///
/// # Errors
/// Class `store`: an instance could not be asked. All others were
/// told, and what is written stays written.
pub fn end_everywhere(home: &Home, stop: &Stop) -> Result<usize, Refusal> {
    let mut guests = Vec::new();
    let mut failed = Ok(());
    for runs in home.all_runs()? {
        for name in runs.names()? {
            match live(&runs, &name) {
                Ok(Some(dir)) => guests.extend(end_in(&dir, stop)),
                Ok(None) => {}
                // One that ended just now left nothing to be asked.
                Err(refusal) if runs.names()?.contains(&name) => failed = failed.and(Err(refusal)),
                Err(_) => {}
            }
        }
    }
    let deadline = Instant::now() + GONE_TIME;
    while guests.iter().any(Guest::lives) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    guests
        .iter()
        .filter(|guest| guest.lives())
        .for_each(Guest::kill);
    failed.map(|()| guests.len())
}

/// The directory of an instance, if it lives.
fn live(runs: &Dir, name: &std::ffi::OsStr) -> Result<Option<Dir>, Refusal> {
    let Some(dir) = runs.child(name)? else {
        return Ok(None);
    };
    let lives = dir.is_locked(instance::LOCK)?;
    Ok(lives.then_some(dir))
}

/// The plugins of one instance that must end; told to it, or killed here.
fn end_in(dir: &Dir, stop: &Stop) -> Vec<Guest> {
    let Ok(target) = RevocationTarget::parse(&stop.target) else {
        return Vec::new();
    };
    let mut guests = instance::guests(dir);
    guests.retain(|guest| guest.lives() && guest.is_covered_by(&target));
    let told = UnixStream::connect(socket(dir)).and_then(|stream| {
        send(&stream, stop)?;
        receive::<serde_json::Value>(&stream)
    });
    if !matches!(told, Ok(Some(_))) {
        guests.iter().for_each(Guest::kill);
    }
    guests
}
