//! The outer process: launcher and broker in one, for the one probe.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Instant;

use gm_protocol::PROTOCOL;
use gm_protocol::link::{self, Budget, LAST_SEQ, Link, Wait};
use gm_protocol::message::{FromRunner, Last, Report, ToRunner};
use gm_protocol::orders::{Fault, WaitStatus};
use gm_protocol::plan::{LANDLOCK_NEWEST, Setup};
use gm_protocol::wire;
use gm_sandbox_runner::apart::Layer;
use gm_sandbox_runner::launcher::apart::{Apart, Living, Order, landlock_abi};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::command::Request;
use super::inside::Told;
use super::look;
use super::walls::{Paths, Walls};

/// What lies where a plugin's code does: something to read, nothing to run.
const CODE: &[u8] = b"a probe is hosted here; there is no code\n";
/// Longest report of a probe.
const LINE: usize = 8192;
/// Packets that are read of a probe; what comes after is left in the socket.
const PACKETS: usize = 1024;
/// There is no such probe.
const UNKNOWN: i32 = 64;

/// Why nothing was found out.
pub(super) struct Failed {
    pub(super) why: String,
    pub(super) exit: u8,
}

impl Failed {
    fn wall(why: impl std::fmt::Display) -> Self {
        Self {
            why: why.to_string(),
            exit: 30,
        }
    }

    fn broken(why: impl std::fmt::Display) -> Self {
        Self {
            why: why.to_string(),
            exit: 70,
        }
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::wall(fault)
    }
}

/// Carries it out and prints what happened; the exit code.
pub(super) fn run(request: &Request, out: &mut impl Write) -> Result<u8, Failed> {
    let abi = landlock_abi().min(LANDLOCK_NEWEST);
    let hosts_tree = request.without.has(Layer::Mount);
    let paths = Paths {
        granted: request.value("granted"),
        data: request.value("data").is_some(),
    };
    let mut walls = Walls::of(request.profile, paths, abi).map_err(Failed::broken)?;
    if let Some(number) = request.mutant {
        walls.filters = super::walls::mutant(request.profile, number).map_err(Failed::broken)?;
    }
    let told = Told {
        memory_bytes: walls.limits.memory_bytes,
        running: walls.running,
        without: request.without,
        changes: request.changes.clone(),
        words: words(request, hosts_tree),
    };
    let print = |out: &mut dyn Write, line: &str| {
        writeln!(out, "{line}")
            .and_then(|()| out.flush())
            .map_err(Failed::broken)
    };
    for layer in request.without.layers() {
        print(out, &format!("ABLATED layer={}", layer.as_str()))?;
    }
    for change in &request.changes {
        print(out, &format!("CHANGED {change}"))?;
    }
    if let Some(number) = request.mutant {
        print(out, &format!("CHANGED mutant:{number}"))?;
    }
    let ended = host(request, &walls, &told, abi)?;
    if let Some(line) = &ended.line {
        print(out, line)?;
    }
    let counted = ended.counted;
    print(
        out,
        &format!(
            "group oom_kills={} pids_refused={}",
            counted.oom_kills, counted.pids_refused
        ),
    )?;
    print(out, &format!("ending={}", ended.ending))?;
    match ended.ending == format!("exited:{UNKNOWN}") {
        true => Ok(64),
        false => Ok(0),
    }
}

/// Paths as the probe has them: in its own tree the granted ones lie elsewhere.
fn words(request: &Request, hosts_tree: bool) -> Vec<String> {
    let inside = |word: &String| match word.split_once('=') {
        Some(("granted", _)) if !hosts_tree => "granted=/grant/0".to_owned(),
        Some(("data", _)) if !hosts_tree => "data=/data".to_owned(),
        _ => word.clone(),
    };
    let id = request.words.iter().take(1).cloned();
    id.chain(request.words.iter().skip(1).map(inside)).collect()
}

struct Ended {
    line: Option<String>,
    counted: gm_sandbox_runner::launcher::apart::Counted,
    ending: String,
}

fn host(request: &Request, walls: &Walls, told: &Told, abi: u32) -> Result<Ended, Failed> {
    let deadline = Instant::now() + request.limit;
    let binary = File::open("/proc/self/exe").map_err(Failed::broken)?;
    let code = code().map_err(Failed::broken)?;
    let granted = request.value("granted").map(open_directory).transpose()?;
    let (ours, theirs) = link::pair().map_err(Failed::broken)?;
    let raw = ours.try_clone().map_err(Failed::broken)?;
    let mut apart = Apart::open(&instance()?)?;
    let argv = told.words().into_iter().map(CString::new);
    let mut living = apart.start(Order {
        engine: request.profile.engine(),
        limits: &walls.limits,
        binary: binary.as_fd(),
        argv: argv.collect::<Result<_, _>>().map_err(Failed::broken)?,
        link: theirs.as_fd(),
        code: (code.as_fd(), CODE.len() as u64),
        granted: granted.as_ref(),
        without: request.without,
        changes: &request.changes,
    })?;
    drop(theirs);
    let mut link = Link::new(
        ours,
        Budget {
            frames: 8,
            bytes: 1 << 20,
        },
    );
    let wait = Wait {
        deadline,
        wake: None,
    };
    let report = walled_in(&mut link, walls, abi, wait)?;
    look::compare(request, &report, living.pid()).map_err(Failed::broken)?;
    link.send(&ToRunner::Go, wait).map_err(Failed::wall)?;
    let (heard, in_time) = listen(&raw, &mut living, deadline)?;
    let own_end = living.status();
    let (status, counted) = living.end()?;
    let ending = match (in_time, own_end.unwrap_or(status)) {
        (false, _) => "timed_out".to_owned(),
        (true, WaitStatus::Exited(status)) => format!("exited:{status}"),
        (true, WaitStatus::Signaled(signal)) => match heard.forbidden {
            Some(nr) if signal == libc_sigsys() => format!("forbidden:{nr}"),
            _ => format!("signal:{signal}"),
        },
    };
    Ok(Ended {
        line: heard.line(),
        counted,
        ending,
    })
}

const fn libc_sigsys() -> i32 {
    rustix::process::Signal::SYS.as_raw()
}

/// The child's walls from inside, up to the word to go.
fn walled_in(
    link: &mut Link,
    walls: &Walls,
    abi: u32,
    wait: Wait<'_>,
) -> Result<Report, Failed> {
    let setup = ToRunner::Setup(Box::new(Setup {
        protocol: PROTOCOL,
        filters: walls.filters.clone(),
        landlock_abi: abi,
        landlock: walls.landlock.clone(),
        role: walls.role.clone(),
    }));
    link.send(&setup, wait).map_err(Failed::wall)?;
    match link.recv(wait) {
        Ok(FromRunner::Report(report)) => Ok(report),
        Ok(FromRunner::Last(Last::Wall { control, errno })) => {
            let all = gm_protocol::plan::Control::ALL;
            let wall = all.get(usize::from(control)).map_or("?", |c| c.as_str());
            Err(Failed::wall(format!("{wall}: {}", Errno::from_raw_os_error(errno))))
        }
        Ok(other) => Err(Failed::wall(format!("no report of the walls but {other:?}"))),
        Err(error) => Err(Failed::wall(format!("no report of the walls: {error}"))),
    }
}

/// What came of the probe.
#[derive(Default)]
struct Heard {
    text: Vec<u8>,
    forbidden: Option<i32>,
}

impl Heard {
    fn take(&mut self, packet: &[u8]) {
        if let Ok((seq, body)) = link::open_frame(packet) {
            if seq == LAST_SEQ
                && let Ok(FromRunner::Last(Last::Forbidden { nr, .. })) = wire::decode(body)
            {
                self.forbidden.get_or_insert(nr);
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
        let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
        Some(line.chars().map(plain).collect())
    }
}

/// Reads until it is dead, or the time is over (`false`).
fn listen(link: &OwnedFd, living: &mut Living, deadline: Instant) -> Result<(Heard, bool), Failed> {
    let mut heard = Heard::default();
    let mut packets = 0;
    let mut buffer = vec![0; link::MAX_FRAME];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok((heard, false));
        }
        let events = if packets < PACKETS { PollFlags::IN } else { PollFlags::empty() };
        let pidfd = living.pidfd();
        let mut fds = [
            PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
            PollFd::from_borrowed_fd(link.as_fd(), events),
        ];
        let timeout = Timespec::try_from(left).map_err(Failed::broken)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(Failed::broken(error)),
        }
        let [dead, _] = fds.map(|fd| !fd.revents().is_empty());
        let mut closed = false;
        while packets < PACKETS {
            match rustix::net::recv(link, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
                Ok((_, 0)) => {
                    closed = true;
                    break;
                }
                Ok((bytes, _)) => {
                    packets += 1;
                    heard.take(buffer.get(..bytes).unwrap_or_default());
                }
                Err(_) => break,
            }
        }
        if dead {
            return Ok((heard, true));
        }
        if closed {
            // Its end alone is still to come.
            packets = PACKETS;
        }
    }
}

fn code() -> std::io::Result<File> {
    let mut file = File::from(memfd_create("code", MemfdFlags::CLOEXEC)?);
    file.write_all(CODE)?;
    Ok(file)
}

fn open_directory(path: &str) -> Result<File, Failed> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.map(File::from).map_err(|e| Failed::broken(format!("granted={path}: {e}")))
}

/// A name for the groups, as the product's instances have them.
fn instance() -> Result<String, Failed> {
    let mut bytes = [0; 8];
    let mut random = File::open("/dev/urandom").map_err(Failed::broken)?;
    random.read_exact(&mut bytes).map_err(Failed::broken)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
