//! All that children are made from: engines, ids, groups, the level that was
//! found by trying. Made once, at the start.
//!
//! The constants of a child are put together here and nowhere else.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gm_protocol::orders::{Fault, HostReport, Started};
use gm_protocol::plan::{ASSETS_PATH, CODE_PATH, Control, Engine, WARM_PATH};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::cgroup::{Group, GroupLimits, Instance, Tree, sweep};
use super::child::{Child, Exec};
use super::engines::{Engines, Vetted, file_name};
use super::fault::{config, refused, wall};
use super::grants::Grants;
use super::ids::{Ids, Places, Range, Slots, lock_file};
use super::level::{Given, Tried};
use super::libraries::Libraries;
use super::limits::Bounds;
use super::look::{Expected, Host};
use super::mounts::{self, Content};
use super::orders::{Accepted, Granted};
use super::probe::{self, Planted};
use super::settings::Settings;
use super::start::{Process, start};
use super::sweeper::Sweeper;
use super::sys::{self, Network};

/// Limits of the trial child: it does nothing.
const TRIAL: GroupLimits = GroupLimits {
    memory_bytes: 16 << 20,
    pids: 1,
    cpu_percent: 100,
};

/// How often, and after which pause, the file of an instance is tried that a sweep
/// has locked: it looks, and goes on.
const HOLD_TRIES: u32 = 100;
const HOLD_PAUSE: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct House {
    engines: Engines,
    slots: Slots,
    instance: Instance,
    cgroup_mode: &'static str,
    settings: Settings,
    scratch: PathBuf,
    given: Given,
    pub(crate) host: Host,
    last_cap: u32,
    memory_bytes: u64,
    live: (PathBuf, File),
    sweeper: Option<Sweeper>,
}

/// A child that runs, and what must be given back after it.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) group: Group,
    pub(crate) ids: Ids,
    pub(crate) expected: Expected,
    /// We sent SIGKILL while it still lived.
    pub(crate) killed_by_us: bool,
}

/// What is mounted into a child's tree.
#[derive(Debug, Default)]
struct Mounted {
    grants: Grants,
    libraries: Libraries,
}

impl House {
    /// Opens, checks and tries everything. `home` holds broker.toml.
    pub(crate) fn open(home: &Path, instance: &str, broker: BorrowedFd<'_>) -> Result<Self, Fault> {
        let euid = rustix::process::geteuid().as_raw();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let settings = Settings::read(home, euid, &passwd)?;
        let io = |step: &'static str| move |e: std::io::Error| config(step, e.to_string());
        let places = Places::make(euid)?;
        let slots = slots(euid, &settings, &places, &passwd)?;
        probe::own_walls()?;
        let tree = Tree::find(&settings.cgroup_parent).map_err(io("cgroup"))?;
        sweep(&tree, &places.live);
        let live = hold(&places.live, instance)?;
        let engines = Engines::open().map_err(io("engines"))?;
        let (planted, group_gaps) =
            Instance::plant(&tree, &format!("gm-{instance}"), settings.run_as);
        let mut house = Self {
            engines,
            memory_bytes: planted.memory_bytes(),
            cgroup_mode: tree.mode(),
            scratch: places.scratch,
            given: Given::of(Tried {
                child: Ok(()),
                shared: true,
                groups: false,
                group_gaps: Vec::new(),
            }),
            host: Host::own()?,
            last_cap: last_cap()?,
            slots,
            instance: planted,
            settings,
            live,
            sweeper: None,
        };
        // Before there is anything that it would have to clear away.
        house.sweeper = Some(Sweeper::leave(&mut house)?);
        let child = house.trial(broker);
        let (shared, groups) = (house.slots.shared(), house.instance.complete());
        house.given = Given::of(Tried {
            child,
            shared,
            groups,
            group_gaps,
        });
        Ok(house)
    }

    /// One child with every wall, that ends where exec would be.
    fn trial(&mut self, broker: BorrowedFd<'_>) -> Result<(), Fault> {
        let ids = self.slots.take()?;
        let (_, mut group) = self.instance.group(&TRIAL, self.settings.run_as)?;
        let processes = (!self.slots.shared()).then_some(1);
        let bounds = Bounds {
            file_bytes: 0,
            memory_bytes: TRIAL.memory_bytes,
            processes,
            cpu_seconds: None,
        };
        let result = self
            .child(None, Vec::new(), Mounted::default(), bounds)
            .and_then(|child| start(&child, &ids, &group, broker));
        let left = group.remove();
        match result {
            Ok(_) if left.is_empty() => Ok(()),
            Ok(_) => Err(refused("cgroup: rmdir", left.join(", "))),
            Err(fault) => Err(fault),
        }
    }

    /// What the launcher tells the broker at the start.
    pub(crate) fn report(&self) -> HostReport {
        let (engines, missing) = self.engines.report();
        HostReport {
            level: self.given.level,
            gaps: self.given.gaps.clone(),
            cgroup_mode: self.cgroup_mode.to_owned(),
            landlock_abi: sys::landlock_abi().unwrap_or(0),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            uids: self.slots.bounds(),
            uid_shared: self.slots.shared(),
            memory_bytes: self.memory_bytes,
            engines,
            missing,
            groups: self.instance.directories(),
        }
    }

    /// What probes make their groups from.
    pub(crate) fn planted(&mut self) -> Planted<'_> {
        Planted {
            instance: &mut self.instance,
            owner: self.settings.run_as,
            gaps: &self.given.gaps,
        }
    }

    /// Makes a mount of this file or directory as for a grant, and drops it.
    pub(crate) fn try_grant(&mut self, granted: &Granted) -> Result<(), Fault> {
        let own_uid = !self.slots.shared();
        let ids = self.slots.take()?;
        Grants::try_one(granted, &ids, own_uid)
    }

    /// Starts a child for an accepted order.
    pub(crate) fn start(
        &mut self,
        order: &Accepted,
        broker: BorrowedFd<'_>,
    ) -> Result<(Running, Started), Fault> {
        self.given.enough(self.settings.min)?;
        if order.limits.memory_bytes > self.memory_bytes {
            return Err(refused(
                "limits",
                "more memory than all plugins together may be given",
            ));
        }
        let own_uid = !self.slots.shared();
        let mut bounds = order.bounds(own_uid);
        if self.instance.complete() {
            // Twice what the group allows: the kernel asks this limit first, and only
            // the group counts what it refused. It also gives an ended process's
            // place in the count by uid back later than its place in the group.
            bounds.processes = bounds.processes.map(|most| most.saturating_mul(2));
        }
        let ids = self.slots.take()?;
        let (number, mut group) = self
            .instance
            .group(&order.group_limits(), self.settings.run_as)?;
        let result = self.launch(order, bounds, &ids, &group, broker);
        let (process, expected, digest) = match result {
            Ok(started) => started,
            Err(fault) => {
                group.remove();
                return Err(fault);
            }
        };
        let started = Started {
            child: number,
            pid: process.pid.as_raw_nonzero().get().unsigned_abs(),
            uid: ids.uid,
            gid: ids.gid,
            uid_shared: !own_uid,
            level: self.given.level,
            cgroups: group.paths(),
            engine_digest: digest,
        };
        Ok((
            Running {
                process,
                group,
                ids,
                expected,
                killed_by_us: false,
            },
            started,
        ))
    }

    fn launch(
        &self,
        order: &Accepted,
        bounds: Bounds,
        ids: &Ids,
        group: &Group,
        broker: BorrowedFd<'_>,
    ) -> Result<(Process, Expected, String), Fault> {
        let binary = self.engines.binary(order.engine)?;
        let warm = self.engines.warm(order.engine)?;
        let libraries = self.engines.libraries(order.engine)?;
        let own_uid = !self.slots.shared();
        let contents = contents(order, warm);
        let expected = Expected::new(order, bounds, own_uid, !contents.is_empty())?;
        let exec = exec(order, binary)?;
        let mounted = Mounted {
            grants: Grants::prepare(order, ids, own_uid)?,
            libraries: Libraries::prepare(libraries, own_uid)?,
        };
        let child = Child {
            network: network_of(order.engine),
            ..self.child(Some(exec), contents, mounted, bounds)?
        };
        let process = start(&child, ids, group, broker)?;
        Ok((process, expected, binary.digest.clone()))
    }

    fn child<'a>(
        &'a self,
        exec: Option<Exec<'a>>,
        contents: Vec<Content<'a>>,
        mounted: Mounted,
        bounds: Bounds,
    ) -> Result<Child<'a>, Fault> {
        let Mounted { grants, libraries } = mounted;
        let inodes = grants.inodes().saturating_add(libraries.inodes());
        let root_options = text(mounts::options(&contents, inodes))?;
        Ok(Child {
            exec,
            drop_groups: !self.slots.shared(),
            network: Network::Own,
            scratch: &self.scratch,
            root_options,
            contents,
            grants,
            libraries,
            bounds,
            last_cap: self.last_cap,
        })
    }

    /// Kills everything that any child could have left running.
    pub(crate) fn kill_all(&self) {
        self.instance.kill_all();
    }

    /// Gives everything back, when no child is left.
    pub(crate) fn close(mut self) {
        self.forget();
        if let Some(sweeper) = self.sweeper.take() {
            sweeper.dismiss();
        }
    }

    /// Kills and removes whatever a killed launcher left. Uses paths only.
    pub(crate) fn clear(&mut self) {
        self.instance.clear();
        self.forget();
    }

    /// A group that could not be removed is known to later sweeps by the file.
    fn forget(&mut self) {
        if self.instance.remove() {
            let _ = std::fs::remove_file(&self.live.0);
        }
    }
}

pub(super) fn slots(
    euid: u32,
    settings: &Settings,
    places: &Places,
    passwd: &str,
) -> Result<Slots, Fault> {
    if euid != 0 {
        let gid = rustix::process::getegid().as_raw();
        return Ok(Slots::Shared { uid: euid, gid });
    }
    let (first, count) = settings.uids;
    let group = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let range = Range::checked(first, count, passwd, &group)?;
    Ok(Slots::own(places.slots.clone(), range))
}

/// Shows that this instance lives, to whoever sweeps.
///
/// A sweep that sees the file before it is locked takes it for a dead one's, and
/// removes it: then another one is made.
pub(super) fn hold(live: &Path, instance: &str) -> Result<(PathBuf, File), Fault> {
    let path = live.join(instance);
    let failed = |e: std::io::Error| config("instance", e.to_string());
    for _ in 0..HOLD_TRIES {
        let file = lock_file(&path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, &path) => return Ok((path, file)),
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => std::thread::sleep(HOLD_PAUSE),
            Err(e) => return Err(failed(e.into())),
        }
    }
    Err(config("instance", format!("{instance} lives already")))
}

/// Whether the path still leads to this file.
fn is_at(file: &File, path: &Path) -> bool {
    let id = |found: std::fs::Metadata| (found.dev(), found.ino());
    let there = std::fs::symlink_metadata(path).map(id);
    matches!((file.metadata().map(id), there), (Ok(own), Ok(there)) if own == there)
}

/// The largest capability that this kernel knows.
pub(crate) fn last_cap() -> Result<u32, Fault> {
    let path = "/proc/sys/kernel/cap_last_cap";
    let text = std::fs::read_to_string(path)
        .map_err(|e| wall(Control::Caps, path, super::fault::errno(&e)))?;
    text.trim().parse().map_err(|_| config(path, "no number"))
}

/// Asked of the engine alone: no order says it.
pub(super) const fn network_of(engine: Engine) -> Network {
    if engine.shares_network() {
        Network::Host
    } else {
        Network::Own
    }
}

fn contents<'a>(order: &'a Accepted, warm: Option<&'a Vetted>) -> Vec<Content<'a>> {
    use std::os::fd::AsFd as _;
    let content = |path: &str, from, offset, bytes| Content {
        name: path.trim_start_matches('/').to_owned(),
        from,
        offset,
        bytes,
        executable: false,
    };
    let code = order.code.as_ref().map(|(fd, bytes)| Content {
        executable: !order.engine.has_code_file(),
        ..content(CODE_PATH, fd.as_fd(), 0, *bytes)
    });
    let warm = warm.map(|warm| content(WARM_PATH, warm.fd(), 0, warm.bytes));
    let assets = order.assets().map(|(fd, asset)| {
        let path = format!("{ASSETS_PATH}/{}", asset.path);
        content(&path, fd, asset.offset, asset.len)
    });
    code.into_iter().chain(warm).chain(assets).collect()
}

/// `argv[1]` is the memory limit, the size of the engine's arena: the one
/// thing that it must know before it reads its first frame.
fn exec<'a>(order: &'a Accepted, binary: &'a Vetted) -> Result<Exec<'a>, Fault> {
    let engine: Engine = order.engine;
    Ok(Exec {
        engine: binary.fd(),
        argv: vec![
            file_name(engine).to_owned(),
            text(order.limits.memory_bytes.to_string())?,
        ],
        fds: order.fds(),
    })
}

fn text(text: String) -> Result<std::ffi::CString, Fault> {
    std::ffi::CString::new(text).map_err(|_| refused("start", "a NUL in a text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_whose_file_a_sweep_took_makes_another_and_holds_that() {
        let live = std::env::temp_dir().join(format!("gm-hold-{}", std::process::id()));
        std::fs::create_dir(&live).unwrap();
        let path = live.join("00000000000000aa");
        let sweep = lock_file(&path).unwrap();
        flock(&sweep, FlockOperation::NonBlockingLockExclusive).unwrap();
        let swept = path.clone();
        let sweeping = std::thread::spawn(move || {
            std::thread::sleep(3 * HOLD_PAUSE);
            std::fs::remove_file(swept).unwrap();
            drop(sweep);
        });

        let (_, held) = hold(&live, "00000000000000aa").unwrap();

        sweeping.join().unwrap();
        assert!(is_at(&held, &path));
        let twice = hold(&live, "00000000000000aa").unwrap_err();
        assert!(twice.detail.contains("lives already"), "{twice}");
        std::fs::remove_dir_all(live).unwrap();
    }
}
