//! What the launcher does for one child, with something left out: ids, groups,
//! clone, and its end. The child's own steps are in `steps`.
//!
//! Everything is the instance's own: a uid out of the range, groups below our own
//! one. What a death of ours leaves is swept by the next start, of this or of a
//! launcher.

mod steps;

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gm_protocol::orders::{Fault, WaitStatus};
use gm_protocol::plan::{CODE_PATH, Control, Engine, Limits, WARM_PATH};
use rustix::process::{PidfdFlags, pidfd_open};

use super::cgroup::{Group, GroupLimits, Instance, Tree, sweep};
use super::child::{Child, Exec};
use super::engines::{Engines, file_name, libraries};
use super::fault::{config, refused, wall};
use super::grants::Grants;
use super::house::{hold, last_cap, network_of, slots};
use super::ids::{Ids, Places, Slots};
use super::libraries::Libraries;
use super::mounts::{self, Content};
use super::orders::{Granted, bounds, group_limits};
use super::settings::Settings;
use super::start::{self, Process};
use super::sys::{self, Side};
use crate::apart::{Change, Changes, Layer, Without};

/// How long a killed process may take to be gone.
const REAP: Duration = Duration::from_secs(2);

/// All that children are made from; gives everything back when dropped.
#[derive(Debug)]
pub struct Apart {
    instance: Instance,
    slots: Slots,
    scratch: PathBuf,
    last_cap: u32,
    live: (PathBuf, File),
    /// Hangs up when who started us is gone.
    parent: OwnedFd,
}

/// One child.
#[derive(Debug)]
pub struct Order<'a> {
    /// Whose walls it gets.
    pub engine: Engine,
    /// Its limits.
    pub limits: &'a Limits,
    /// This very binary and its arguments; none = the engine itself.
    pub own: Option<(BorrowedFd<'a>, Vec<CString>)>,
    /// Its descriptors by number, ascending from 3, the link.
    pub fds: Vec<(i32, BorrowedFd<'a>)>,
    /// The bytes that lie where the code does.
    pub code: Option<(BorrowedFd<'a>, u64)>,
    /// A directory that it may read.
    pub granted: Option<&'a File>,
    /// What is left out.
    pub without: Without,
    /// What is weaker.
    pub changes: &'a Changes,
}

/// A child that lives, with what must be given back after it. Ended when dropped.
#[derive(Debug)]
pub struct Living {
    process: Process,
    group: Option<Group>,
    _ids: Ids,
}

/// What a group has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Processes that the kernel ended for want of memory.
    pub oom_kills: u64,
    /// Processes and threads that it refused.
    pub pids_refused: u64,
}

impl Apart {
    /// Opens, checks and makes everything, as the launcher does.
    ///
    /// # Errors
    /// Whatever is missing; nothing is left then.
    pub fn open(instance: &str) -> Result<Self, Fault> {
        let euid = rustix::process::geteuid().as_raw();
        if euid != 0 {
            return Err(refused("start", "layers are left out as root alone"));
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let settings = Settings::parse("", &passwd)?;
        let io = |step: &'static str| move |e: std::io::Error| config(step, e.to_string());
        let places = Places::make(euid)?;
        let slots = slots(euid, &settings, &places, &passwd)?;
        let tree = Tree::find("").map_err(io("cgroup"))?;
        sweep(&tree, &places.live);
        let live = hold(&places.live, instance)?;
        let parent = rustix::process::getppid()
            .and_then(|parent| pidfd_open(parent, PidfdFlags::empty()).ok())
            .ok_or_else(|| config("start", "the parent is gone"))?;
        let last_cap = last_cap()?;
        let (instance, gaps) = Instance::plant(&tree, &format!("gm-{instance}"), None);
        let apart = Self {
            instance,
            slots,
            scratch: places.scratch,
            last_cap,
            live,
            parent,
        };
        match apart.instance.complete() {
            true => Ok(apart),
            false => Err(config("cgroup", gaps.join("; "))),
        }
    }

    /// Starts a child and waits until its walls from outside are up and it runs.
    ///
    /// # Errors
    /// The step that failed; the child is dead then.
    pub fn start(&mut self, order: Order<'_>) -> Result<Living, Fault> {
        let ids = self.ids(order.without)?;
        let group = match order.without.has(Layer::Cgroup) {
            true => None,
            false => Some(
                self.instance
                    .group(&weaker(order.limits, order.changes), None)?
                    .1,
            ),
        };
        let mut held = Held(group);
        let process = self.launch(&order, &ids, held.0.as_ref())?;
        Ok(Living {
            process,
            group: held.0.take(),
            _ids: ids,
        })
    }

    fn ids(&mut self, without: Without) -> Result<Ids, Fault> {
        let ids = self.slots.take()?;
        Ok(match without.has(Layer::Uid) {
            true => ids.named_root(),
            false => ids,
        })
    }

    fn launch(
        &self,
        order: &Order<'_>,
        ids: &Ids,
        group: Option<&Group>,
    ) -> Result<Process, Fault> {
        let (dynamic, found) = (order.engine.has_libraries(), libraries());
        let found = if dynamic { found } else { Ok(Vec::new()) };
        let libraries = Libraries::prepare(&found.map_err(|e| config("libraries", e))?, true)?;
        let granted = order.granted.map(granted).transpose()?;
        let grants = Grants::of(granted.as_ref(), data_bytes(order), ids)?;
        let mut limits = bounds(order.limits, true);
        // As the launcher: the group is to refuse first.
        limits.processes = limits.processes.map(|most| most.saturating_mul(2));
        let engines = match order.own {
            Some(_) => None,
            None => Some(Engines::open().map_err(|e| config("engines", e.to_string()))?),
        };
        let contents = contents(order, engines.as_ref())?;
        let inodes = grants.inodes().saturating_add(libraries.inodes());
        let options = CString::new(mounts::options(&contents, inodes))
            .map_err(|_| refused("start", "a NUL in a text"))?;
        let child = Child {
            exec: Some(exec(order, engines.as_ref())?),
            drop_groups: true,
            network: network_of(order.engine),
            scratch: &self.scratch,
            root_options: options,
            contents,
            grants,
            libraries,
            bounds: limits,
            last_cap: self.last_cap,
        };
        self.begin(&child, order, ids, group)
    }

    fn begin(
        &self,
        child: &Child<'_>,
        order: &Order<'_>,
        ids: &Ids,
        group: Option<&Group>,
    ) -> Result<Process, Fault> {
        let (ours, theirs) = start::channel()?;
        let directory = group.and_then(Group::directory);
        let side = sys::clone_without(order.without, child.network, directory)
            .map_err(|e| wall(start::namespace_forbidden(), "clone3", e))?;
        let mut process = match side {
            Side::Child => {
                drop(ours);
                let way = steps::Way {
                    child,
                    without: order.without,
                    changes: order.changes,
                    ids,
                };
                super::child::go(&theirs, || steps::walk(&way, &theirs))
            }
            Side::Parent { pid, pidfd } => Process::new(pid, pidfd),
        };
        drop(theirs);
        if let Some(group) = group {
            group.attach(process.pid)?;
        }
        start::goes_first(process.pid)?;
        if !order.without.has(Layer::User) {
            start::map_ids(process.pid, ids)?;
        }
        start::say_go(&ours)?;
        let engine = child.exec.as_ref().map(|exec| exec.engine);
        start::follow(&mut process, &ours, engine, self.parent.as_fd())?;
        Ok(process)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.instance.clear();
        if self.instance.remove() {
            let _ = std::fs::remove_file(&self.live.0);
        }
    }
}

/// The kernel's Landlock; 0 = none.
#[must_use]
pub fn landlock_abi() -> u32 {
    sys::landlock_abi().unwrap_or(0)
}

/// A group that is removed if its child did not start.
struct Held(Option<Group>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(group) = &mut self.0 {
            group.kill();
            group.remove();
        }
    }
}

impl Living {
    /// Becomes readable when it is dead.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }

    /// Its status, if it is dead.
    pub fn status(&mut self) -> Option<WaitStatus> {
        self.process.status()
    }

    /// Waits for its death by itself; `false` = it still lives.
    pub fn wait(&mut self, deadline: Instant) -> bool {
        self.process.reap(deadline).is_some()
    }

    /// Its number for us.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process.pid.as_raw_nonzero().get()
    }

    /// Kills it and all of its group.
    pub fn kill(&self) {
        self.process.kill();
        if let Some(group) = &self.group {
            group.kill();
        }
    }

    /// Kills all that is left and gives its status and what its group counted.
    ///
    /// # Errors
    /// It doesn't die, or a group could not be removed.
    pub fn end(mut self) -> Result<(WaitStatus, Counted), Fault> {
        self.kill();
        let status = self.process.reap(Instant::now() + REAP);
        let counters = self.group.as_ref().map(Group::counters).unwrap_or_default();
        let left = self.group.take().map(|mut group| group.remove());
        let left = left.unwrap_or_default();
        match status {
            Some(status) if left.is_empty() => Ok((
                status,
                Counted {
                    oom_kills: counters.oom_kills,
                    pids_refused: counters.pids_refused,
                },
            )),
            Some(_) => Err(refused("cgroup: rmdir", left.join(", "))),
            None => Err(wall(Control::PidNs, "kill", rustix::io::Errno::BUSY)),
        }
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.kill();
        self.process.reap(Instant::now() + REAP);
        if let Some(group) = &mut self.group {
            group.remove();
        }
    }
}

fn exec<'a>(order: &'a Order<'_>, engines: Option<&'a Engines>) -> Result<Exec<'a>, Fault> {
    let (engine, argv) = match (&order.own, engines) {
        (Some((binary, argv)), _) => (*binary, argv.clone()),
        (None, Some(engines)) => {
            let memory = CString::new(order.limits.memory_bytes.to_string());
            let memory = memory.map_err(|_| refused("start", "a NUL in a text"))?;
            let name = file_name(order.engine).to_owned();
            (engines.binary(order.engine)?.fd(), vec![name, memory])
        }
        (None, None) => return Err(refused("start", "nothing to execute")),
    };
    Ok(Exec {
        engine,
        argv,
        fds: order.fds.clone(),
    })
}

fn contents<'a>(
    order: &'a Order<'_>,
    engines: Option<&'a Engines>,
) -> Result<Vec<Content<'a>>, Fault> {
    let content = |path: &str, from, bytes| Content {
        name: path.trim_start_matches('/').to_owned(),
        from,
        offset: 0,
        bytes,
        executable: path == CODE_PATH && order.engine == Engine::Program,
    };
    let has_code = order.engine.has_code_file() || order.engine == Engine::Program;
    let code = order.code.filter(|_| has_code);
    let code = code.map(|(from, bytes)| content(CODE_PATH, from, bytes));
    let warm = engines
        .map(|engines| engines.warm(order.engine))
        .transpose()?;
    let warm = warm
        .flatten()
        .map(|warm| content(WARM_PATH, warm.fd(), warm.bytes));
    Ok(code.into_iter().chain(warm).collect())
}

fn granted(directory: &File) -> Result<Granted, Fault> {
    let failed = |e: std::io::Error| config("granted", e.to_string());
    let found = directory.metadata().map_err(failed)?;
    if !found.is_dir() {
        return Err(config("granted", "it is no directory"));
    }
    Ok(Granted {
        fd: directory.try_clone().map_err(failed)?.into(),
        directory: true,
        owner: (found.uid(), found.gid()),
        id: (found.dev(), found.ino()),
    })
}

fn data_bytes(order: &Order<'_>) -> u64 {
    match order.engine.runs_plugin() {
        true => order.limits.file_bytes,
        false => 0,
    }
}

fn weaker(limits: &Limits, changes: &Changes) -> GroupLimits {
    let mut limits = group_limits(limits);
    for change in changes {
        if let Change::Group(name) = change {
            match name.as_str() {
                "memory" => limits.memory_bytes = limits.memory_bytes.saturating_mul(10),
                "pids" => limits.pids = limits.pids.saturating_mul(10),
                _ => limits.cpu_percent = limits.cpu_percent.saturating_mul(10),
            }
        }
    }
    limits
}
