//! The outer process: launcher and broker in one, for the one probe.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Instant;

use gm_protocol::link::{self, LAST_SEQ};
use gm_protocol::message::{FromRunner, Last};
use gm_protocol::orders::WaitStatus;
use gm_protocol::plan::{FD_LINK, LANDLOCK_NEWEST};
use gm_protocol::wire;
use gm_sandbox_runner::apart::Layer;
use gm_sandbox_runner::launcher::apart::{Apart, Counted, Living, Order, landlock_abi};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::command::{Filters, Request};
use super::inside::Told;
use super::start::{Failed, Started, instance, memfd};
use super::twin;
use super::walls::{Paths, Walls};

/// What lies where a plugin's code does: something to read, nothing to run.
const CODE: &[u8] = b"a probe is hosted here; there is no code\n";
/// Longest report of a probe.
const LINE: usize = 8192;
/// Packets that are read of a probe; what comes after is left in the socket.
const PACKETS: usize = 1024;
/// There is no such probe.
const UNKNOWN: i32 = 64;

/// Carries it out and prints what happened; the exit code.
pub(super) fn run(request: &Request, out: &mut impl Write) -> Result<u8, Failed> {
    let abi = landlock_abi().min(LANDLOCK_NEWEST);
    let mut walls = Walls::of(request.profile, paths(request), abi).map_err(Failed::broken)?;
    match request.filters {
        Filters::Own | Filters::Bare => {}
        Filters::Mutant(number) => {
            let filters = super::walls::mutant(request.profile, number);
            walls.filters = filters.map_err(Failed::broken)?;
        }
        Filters::Tracing => {
            let filters = gm_policy::mutation::tracing(request.profile.engine());
            walls.filters = filters.map_err(Failed::broken)?;
            walls.running = true;
        }
    }
    for line in what_is_weaker(request) {
        print(out, &line)?;
    }
    if request.words.is_empty() {
        let outcome = twin::run(request, &walls, abi)?;
        print(out, &format!("twin={outcome}"))?;
        return Ok(0);
    }
    let ended = host(request, &walls, abi)?;
    for line in ended.lines() {
        print(out, &line)?;
    }
    Ok(if ended.ending == Ending::Exited(UNKNOWN) {
        64
    } else {
        0
    })
}

fn print(out: &mut impl Write, line: &str) -> Result<(), Failed> {
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(Failed::broken)
}

fn what_is_weaker(request: &Request) -> Vec<String> {
    let layers = request.without.layers();
    let layers = layers.map(|layer| format!("ABLATED layer={}", layer.as_str()));
    let changes = request
        .changes
        .iter()
        .map(|change| format!("CHANGED {change}"));
    let filters = match request.filters {
        Filters::Own | Filters::Bare => None,
        Filters::Mutant(number) => Some(format!("CHANGED mutant:{number}")),
        Filters::Tracing => Some("CHANGED trace".to_owned()),
    };
    layers.chain(changes).chain(filters).collect()
}

/// A mutant is one of the policy without granted paths.
fn paths(request: &Request) -> Paths<'_> {
    match request.filters {
        Filters::Own => Paths {
            granted: request.value("granted"),
            data: request.value("data").is_some(),
        },
        Filters::Bare | Filters::Mutant(_) | Filters::Tracing => Paths::default(),
    }
}

/// Paths as the probe has them: in its own tree the granted ones lie elsewhere.
fn words(request: &Request) -> Vec<String> {
    let hosts_tree = request.without.has(Layer::Mount);
    let inside = |word: &String| match word.split_once('=') {
        Some(("granted", _)) if !hosts_tree => "granted=/grant/0".to_owned(),
        Some(("data", _)) if !hosts_tree => "data=/data".to_owned(),
        _ => word.clone(),
    };
    let id = request.words.iter().take(1).cloned();
    id.chain(request.words.iter().skip(1).map(inside)).collect()
}

#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Exited(i32),
    Signal(i32),
    Forbidden(i32),
    TimedOut,
}

struct Ended {
    line: Option<String>,
    counted: Counted,
    /// The first call that the process said it was refused.
    call: Option<(i32, [u64; 6])>,
    ending: Ending,
}

impl Ended {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.line.iter().cloned().collect();
        let Counted {
            oom_kills,
            pids_refused,
        } = self.counted;
        lines.push(format!(
            "group oom_kills={oom_kills} pids_refused={pids_refused}"
        ));
        if let Some((nr, args)) = &self.call {
            let args: Vec<_> = args.iter().map(|arg| format!("{arg:#x}")).collect();
            lines.push(format!("call nr={nr} args={}", args.join(",")));
        }
        lines.push(match &self.ending {
            Ending::Exited(status) => format!("ending=exited:{status}"),
            Ending::Signal(signal) => format!("ending=signal:{signal}"),
            Ending::Forbidden(nr) => format!("ending=forbidden:{nr}"),
            Ending::TimedOut => "ending=timed_out".to_owned(),
        });
        lines
    }
}

fn host(request: &Request, walls: &Walls, abi: u32) -> Result<Ended, Failed> {
    let told = Told {
        memory_bytes: walls.limits.memory_bytes,
        running: walls.running,
        without: request.without,
        changes: request.changes.clone(),
        words: words(request),
    };
    let deadline = Instant::now() + request.limit;
    let binary = File::open("/proc/self/exe").map_err(Failed::broken)?;
    let code = memfd(CODE, false)?;
    let granted = paths(request).granted.map(open_directory).transpose()?;
    let (ours, theirs) = link::pair().map_err(Failed::broken)?;
    let raw = ours.try_clone().map_err(Failed::broken)?;
    let mut apart = Apart::open(&instance()?)?;
    let argv = told.words().into_iter().map(CString::new);
    let argv = argv.collect::<Result<_, _>>().map_err(Failed::broken)?;
    let living = apart.start(Order {
        engine: request.profile.engine(),
        limits: &walls.limits,
        own: Some((binary.as_fd(), argv)),
        fds: vec![(FD_LINK, theirs.as_fd())],
        code: Some((code.as_fd(), CODE.len() as u64)),
        granted: granted.as_ref(),
        without: request.without,
        changes: &request.changes,
    })?;
    drop(theirs);
    let mut started = Started::new(ours, living, deadline);
    started.wall_in(request, walls, abi)?;
    let mut living = started.living;
    let (heard, in_time) = listen(&raw, &mut living, deadline)?;
    let own_end = living.status();
    let (status, counted) = living.end()?;
    Ok(Ended {
        line: heard.line(),
        counted,
        call: heard.forbidden,
        ending: heard.ending(in_time.then_some(own_end.unwrap_or(status))),
    })
}

/// What came of the probe.
#[derive(Default)]
struct Heard {
    text: Vec<u8>,
    forbidden: Option<(i32, [u64; 6])>,
}

impl Heard {
    fn take(&mut self, packet: &[u8]) {
        if let Ok((seq, body)) = link::open_frame(packet) {
            if seq == LAST_SEQ
                && let Ok(FromRunner::Last(Last::Forbidden { nr, args })) = wire::decode(body)
            {
                self.forbidden.get_or_insert((nr, args));
            }
            return;
        }
        let room = LINE.saturating_sub(self.text.len());
        self.text.extend(packet.iter().take(room));
    }

    /// The report, without anything that a terminal would act on.
    fn line(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.text);
        let line = text.lines().find(|line| line.starts_with("probe="))?;
        let plain = |c: char| {
            if c.is_ascii_graphic() || c == ' ' {
                c
            } else {
                '?'
            }
        };
        Some(line.chars().map(plain).collect())
    }

    /// The wait status decides; what was said only adds which call it was.
    fn ending(&self, status: Option<WaitStatus>) -> Ending {
        match (status, self.forbidden) {
            (None, _) => Ending::TimedOut,
            (Some(WaitStatus::Exited(status)), _) => Ending::Exited(status),
            (Some(WaitStatus::Signaled(signal)), Some((nr, _)))
                if signal == rustix::process::Signal::SYS.as_raw() =>
            {
                Ending::Forbidden(nr)
            }
            (Some(WaitStatus::Signaled(signal)), _) => Ending::Signal(signal),
        }
    }
}

/// Reads until it is dead, or the time is over (`false`).
fn listen(link: &OwnedFd, living: &mut Living, deadline: Instant) -> Result<(Heard, bool), Failed> {
    let mut heard = Heard::default();
    let mut room = PACKETS;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok((heard, false));
        }
        let events = if room > 0 {
            PollFlags::IN
        } else {
            PollFlags::empty()
        };
        let mut fds = vec![PollFd::from_borrowed_fd(living.pidfd(), PollFlags::IN)];
        if room > 0 {
            fds.push(PollFd::from_borrowed_fd(link.as_fd(), events));
        }
        let timeout = Timespec::try_from(left).map_err(Failed::broken)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Failed::broken(error)),
        }
        let dead = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        drain(link, &mut heard, &mut room);
        if dead {
            return Ok((heard, true));
        }
    }
}

/// Reads what has arrived. At the end of the socket no more is waited for.
fn drain(link: &OwnedFd, heard: &mut Heard, room: &mut usize) {
    let mut buffer = vec![0; link::MAX_FRAME];
    while *room > 0 {
        match rustix::net::recv(link, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
            Ok((_, 0)) => *room = 0,
            Ok((bytes, _)) => {
                *room -= 1;
                heard.take(buffer.get(..bytes).unwrap_or_default());
            }
            Err(_) => return,
        }
    }
}

fn open_directory(path: &str) -> Result<File, Failed> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened
        .map(File::from)
        .map_err(|e| Failed::broken(format!("granted={path}: {e}")))
}
