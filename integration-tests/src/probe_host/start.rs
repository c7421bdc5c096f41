//! What a probe's process and a twin's have in common: the link, and the way to `Go`.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use gm_protocol::PROTOCOL;
use gm_protocol::link::{Budget, Link, LinkError, Wait};
use gm_protocol::message::{FromRunner, Last, Report, ToRunner};
use gm_protocol::orders::Fault;
use gm_protocol::plan::{Control, Setup};
use gm_sandbox_runner::launcher::apart::Living;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

use super::command::Request;
use super::look;
use super::walls::Walls;

/// Exit of a wall that could not be put up.
pub(super) const WALL: u8 = 30;

/// How long a process may take from the loss of its namespaces to its death.
const DYING: Duration = Duration::from_millis(200);

/// Why nothing was found out.
pub(super) struct Failed {
    pub(super) why: String,
    pub(super) exit: u8,
}

impl Failed {
    /// A wall could not be put up.
    pub(super) fn wall(why: impl std::fmt::Display) -> Self {
        Self {
            why: why.to_string(),
            exit: WALL,
        }
    }

    /// Something of ours is wrong.
    pub(super) fn broken(why: impl std::fmt::Display) -> Self {
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

/// A process that runs, and the link to it.
pub(super) struct Started {
    pub(super) link: Link,
    pub(super) living: Living,
    deadline: Instant,
}

impl Started {
    pub(super) fn new(ours: OwnedFd, living: Living, deadline: Instant) -> Self {
        let budget = Budget {
            frames: 64,
            bytes: 1 << 20,
        };
        Self {
            link: Link::new(ours, budget),
            living,
            deadline,
        }
    }

    pub(super) fn wait(&self) -> Wait<'static> {
        Wait {
            deadline: self.deadline,
            wake: None,
        }
    }

    /// Has it put its own walls up, looks at all of them, and tells it to go.
    pub(super) fn wall_in(
        &mut self,
        request: &Request,
        walls: &Walls,
        abi: u32,
    ) -> Result<(), Failed> {
        let setup = ToRunner::Setup(Box::new(Setup {
            protocol: PROTOCOL,
            filters: walls.filters.clone(),
            landlock_abi: abi,
            landlock: walls.landlock.clone(),
            role: walls.role.clone(),
        }));
        let wait = self.wait();
        self.link.send(&setup, wait).map_err(unheard)?;
        let report = self.report()?;
        if let Err(why) = look::compare(request, &report, self.living.pid()) {
            // Of one that ends, its namespaces are the first that go.
            return Err(match self.living.wait(Instant::now() + DYING) {
                true => Failed::wall(format!("it ended before it was looked at: {why}")),
                false => Failed::broken(why),
            });
        }
        self.link.send(&ToRunner::Go, wait).map_err(unheard)
    }

    fn report(&mut self) -> Result<Report, Failed> {
        match self.link.recv(self.wait()) {
            Ok(FromRunner::Report(report)) => Ok(report),
            Ok(FromRunner::Last(Last::Wall { control, errno })) => {
                let wall = Control::ALL.get(usize::from(control));
                let wall = wall.map_or("?", |wall| wall.as_str());
                let errno = Errno::from_raw_os_error(errno);
                Err(Failed::wall(format!("{wall}: {errno}")))
            }
            Ok(other) => Err(Failed::wall(format!(
                "no report of the walls but {other:?}"
            ))),
            Err(error) => Err(unheard(error)),
        }
    }
}

/// A process that gave up has closed its link. One that is merely not heard may be well.
fn unheard(error: LinkError) -> Failed {
    let why = format!("no report of the walls: {error}");
    match error {
        LinkError::Closed => Failed::wall(why),
        _ => Failed::broken(why),
    }
}

/// A file in memory.
pub(super) fn memfd(bytes: &[u8], sealed: bool) -> Result<File, Failed> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("code", flags).map_err(Failed::broken)?);
    file.write_all(bytes).map_err(Failed::broken)?;
    file.rewind().map_err(Failed::broken)?;
    if sealed {
        let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, all).map_err(Failed::broken)?;
    }
    Ok(file)
}

/// A name for the groups, as the product's instances have them.
pub(super) fn instance() -> Result<String, Failed> {
    let mut bytes = [0; 8];
    let mut random = File::open("/dev/urandom").map_err(Failed::broken)?;
    random.read_exact(&mut bytes).map_err(Failed::broken)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
