//! A live run's place in the home, and the sweep of what a crash left.
//!
//! `state/run/<instance>/lock` is held by flock while the run lives, so only
//! instances whose lock is free are swept, and only groups whose name carries
//! their number. Sweeping, and making a new one up to its lock, are done by one
//! process of a home at a time: else a sweep could take a directory whose lock is
//! not held yet for a dead run's.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gm_manifest::{Code, Refusal};
use mind_gpg::{Identity, RevocationTarget};
use serde::{Deserialize, Serialize};

use crate::home::{Dir, Home, Lock};
use crate::spawn;

const FILE: &str = "instance.json";
/// Held while the instance lives.
pub const LOCK: &str = "lock";
/// In `state/`: held by who sweeps or begins.
const BEGIN_LOCK: &str = "run.lock";
/// How long a start waits for others that sweep and begin.
const BEGIN_TIME: Duration = Duration::from_secs(30);
/// How long a new instance's own lock may be held by who only looks whether it lives.
const LOOK_TIME: Duration = Duration::from_secs(1);
/// The most bytes of `instance.json`: names and digests of some dozens of plugins.
const MAX_FILE: u64 = 4 << 20;

/// What `instance.json` says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The boot that it belongs to: pids of another boot mean nothing.
    pub boot_id: String,
    /// Process id of the broker.
    pub pid: u32,
    /// Start time of the broker in clock ticks since the boot, so that a
    /// process id given again is told apart.
    pub start_ticks: u64,
    /// Directories of the instance's groups.
    pub cgroups: Vec<PathBuf>,
    /// Plugins that were started.
    #[serde(default)]
    pub plugins: Vec<Guest>,
}

/// A plugin's process that an instance started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Guest {
    /// The plugin.
    pub id: String,
    /// The author's primary key, and the key that signed.
    pub keys: Vec<String>,
    /// Digests of the statement and of each file.
    pub digests: Vec<String>,
    /// Process id on the host.
    pub pid: u32,
    /// Its start time, as in [`Facts`].
    pub start_ticks: u64,
    /// Directories of its groups.
    pub groups: Vec<PathBuf>,
}

impl Guest {
    /// A process with this id that runs the plugin, in these groups.
    #[must_use]
    pub fn new(identity: &Identity, pid: u32, groups: Vec<PathBuf>) -> Self {
        let files = identity
            .artifacts
            .iter()
            .map(|artifact| artifact.sha256.to_string());
        Self {
            id: identity.id.to_string(),
            keys: vec![
                identity.fingerprint.to_string(),
                identity.subkey.to_string(),
            ],
            digests: std::iter::once(identity.digest.to_string())
                .chain(files)
                .collect(),
            pid,
            start_ticks: start_ticks(pid),
            groups,
        }
    }

    /// Whether the process is still there, and still the same.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.start_ticks != 0 && start_ticks(self.pid) == self.start_ticks
    }

    /// Whether a revocation takes the trust from it.
    #[must_use]
    pub fn is_covered_by(&self, target: &RevocationTarget) -> bool {
        match target {
            RevocationTarget::Plugin(id) => self.id == id.as_str(),
            RevocationTarget::Key(key) => self.keys.iter().any(|own| own == key.as_str()),
            RevocationTarget::Artifact(digest) => self.digests.contains(&digest.to_string()),
        }
    }

    /// Kills it with all that its groups hold.
    pub fn kill(&self) {
        self.groups.iter().for_each(|group| kill_below(group));
        // Where it has no group of its own; one that was given again is not it.
        if self.lives()
            && let Some(pid) = i32::try_from(self.pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// The plugins that the instance in this directory says it started; an unreadable
/// file names none.
#[must_use]
pub fn guests(dir: &Dir) -> Vec<Guest> {
    let facts = dir.read(FILE, MAX_FILE).ok().flatten();
    let facts = facts.and_then(|text| serde_json::from_slice::<Facts>(&text).ok());
    let facts = facts.filter(|facts| facts.boot_id == boot_id());
    let marker = format!(
        "gm-{}",
        dir.path().file_name().unwrap_or_default().to_string_lossy()
    );
    let mut guests = facts.map(|facts| facts.plugins).unwrap_or_default();
    for guest in &mut guests {
        guest.groups.retain(|group| {
            let straight = group
                .components()
                .all(|part| part != std::path::Component::ParentDir);
            straight && group.ancestors().any(|above| is_ours(above, &marker))
        });
    }
    guests
}

/// A run that lives; its directory is gone when it is dropped.
#[derive(Debug)]
pub struct Instance {
    /// 16 random hex digits.
    pub name: String,
    runs: Dir,
    dir: Dir,
    facts: Mutex<Facts>,
    _lock: Lock,
}

impl Instance {
    /// Sweeps what dead instances of the home left, then makes the directory of a
    /// new one and takes its lock.
    ///
    /// # Errors
    /// Class `store`.
    pub fn begin(home: &Home) -> Result<Self, Refusal> {
        let _only_us = home.state()?.lock_file_within(BEGIN_LOCK, BEGIN_TIME)?;
        sweep(home)?;
        Self::make(home)
    }

    fn make(home: &Home) -> Result<Self, Refusal> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| {
            Refusal::new(Code::InternalPanic, format!("no random bytes: {error}"))
        })?;
        let name = format!("{:016x}", u64::from_le_bytes(random));
        let runs = home.run()?;
        let dir = runs.make(&name)?;
        let lock = dir.lock_file_within(LOCK, LOOK_TIME)?;
        Ok(Self {
            name,
            runs,
            dir,
            facts: Mutex::default(),
            _lock: lock,
        })
    }

    /// Where it keeps its files.
    #[must_use]
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Writes down which groups are ours, before anything is started in them.
    ///
    /// # Errors
    /// Class `store`.
    pub fn describe(&self, cgroups: Vec<PathBuf>) -> Result<(), Refusal> {
        let pid = std::process::id();
        self.write(|facts| {
            let plugins = std::mem::take(&mut facts.plugins);
            *facts = Facts {
                boot_id: boot_id(),
                pid,
                start_ticks: start_ticks(pid),
                cgroups,
                plugins,
            };
        })
    }

    /// Writes down a plugin's process, before it is told to go on.
    ///
    /// # Errors
    /// Class `store`.
    pub fn started(&self, guest: Guest) -> Result<(), Refusal> {
        self.write(|facts| {
            facts.plugins.retain(|other| other.id != guest.id);
            facts.plugins.push(guest);
        })
    }

    fn write(&self, change: impl FnOnce(&mut Facts)) -> Result<(), Refusal> {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut facts);
        let text = serde_json::to_vec(&*facts)
            .map_err(|error| Refusal::new(Code::InternalPanic, error.to_string()))?;
        self.dir.write(FILE, &text)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // What can't be removed is swept by the next start.
        let _ = self.runs.remove_tree(&self.name);
    }
}

/// Removes what dead instances of this home left; gives their names.
fn sweep(home: &Home) -> Result<Vec<String>, Refusal> {
    let runs = home.run()?;
    let mut swept = Vec::new();
    for name in runs.names()? {
        let name = name.to_string_lossy().into_owned();
        if name.len() != 16 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        match sweep_one(&runs, &name) {
            Ok(true) => swept.push(name),
            Ok(false) => {}
            // A run that ended meanwhile takes its own directory away.
            Err(refusal) if is_there(&runs, &name)? => return Err(refusal),
            Err(_) => {}
        }
    }
    Ok(swept)
}

fn is_there(runs: &Dir, name: &str) -> Result<bool, Refusal> {
    Ok(runs.names()?.iter().any(|other| other == name))
}

/// Whether it was dead, and is gone.
fn sweep_one(runs: &Dir, name: &str) -> Result<bool, Refusal> {
    let Some(dir) = runs.child(name)? else {
        return Ok(false);
    };
    let Some(_lock) = dir.try_lock(LOCK)? else {
        return Ok(false);
    };
    if let Some(text) = dir.read(FILE, MAX_FILE)?
        && let Ok(facts) = serde_json::from_slice::<Facts>(&text)
        && facts.boot_id == boot_id()
    {
        let marker = format!("gm-{name}");
        facts
            .cgroups
            .iter()
            .filter(|group| is_ours(group, &marker))
            .for_each(|group| remove_group(group));
    }
    spawn::bootstrap::sweep(name);
    runs.remove_tree(name)
}

/// Only a directory of a cgroup mount that carries the instance's own name.
fn is_ours(group: &Path, marker: &str) -> bool {
    group.starts_with("/sys/fs/cgroup")
        && group
            .components()
            .all(|part| part != std::path::Component::ParentDir)
        && group.file_name().is_some_and(|name| name == marker)
}

/// Kills every plugin of an instance's group, and removes it. On v2 the broker
/// itself is in a part of the group that isn't below `plugins`. Bounded: what
/// stays busy, or isn't ours to remove, is left to the launcher's sweeper and
/// to the next sweep.
pub fn remove_group(group: &Path) {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        kill_below(&group.join("plugins"));
        if remove_below(group) || Instant::now() >= deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn children(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(group) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn kill_below(group: &Path) {
    children(group).iter().for_each(|child| kill_below(child));
    if std::fs::write(group.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let pids = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in pids.lines().filter_map(|line| line.parse::<i32>().ok()) {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            // Gone already, or not ours to signal: the rmdir tells.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn remove_below(group: &Path) -> bool {
    // All of them, also when one stays.
    let busy = children(group)
        .iter()
        .filter(|child| !remove_below(child))
        .count();
    match std::fs::remove_dir(group) {
        Ok(()) => busy == 0,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// Field 22 of proc_pid_stat(5).
fn start_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    after_name
        .split_whitespace()
        .nth(19)
        .and_then(|field| field.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_that_carry_the_instances_name_are_removed() {
        let marker = "gm-0123456789abcdef";
        assert!(is_ours(
            Path::new("/sys/fs/cgroup/memory/x/gm-0123456789abcdef"),
            marker
        ));
        for other in [
            "/sys/fs/cgroup/memory/x",
            "/sys/fs/cgroup/gm-0123456789abcdef/..",
            "/home/gm-0123456789abcdef",
            "/sys/fs/cgroup/gm-ffffffffffffffff",
        ] {
            assert!(!is_ours(Path::new(other), marker), "{other}");
        }
    }

    #[test]
    fn a_live_instance_is_not_swept_and_a_dead_one_is() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let (home, _) = crate::home::open(dir.path()).unwrap();
        let live = Instance::begin(&home).unwrap();
        live.describe(Vec::new()).unwrap();
        home.run().unwrap().make("00000000000000aa").unwrap();
        assert_eq!(sweep(&home).unwrap(), ["00000000000000aa"]);
        drop(live);
        assert!(home.run().unwrap().names().unwrap().is_empty());
    }
}
