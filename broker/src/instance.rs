//! A live run's place in the home, and the sweep of what a crash left.
//!
//! `state/run/<instance>/lock` is held by flock while the run lives, so only
//! instances whose lock is free are swept, and only groups whose name carries
//! their number.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gm_manifest::{Code, Refusal};
use serde::{Deserialize, Serialize};

use crate::home::{Dir, Home, Lock};

const FILE: &str = "instance.json";

/// What `instance.json` says.
#[derive(Debug, Default, Serialize, Deserialize)]
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
}

/// A run that lives; its directory is gone when it is dropped.
#[derive(Debug)]
pub struct Instance {
    /// 16 random hex digits.
    pub name: String,
    runs: Dir,
    dir: Dir,
    _lock: Lock,
}

impl Instance {
    /// Makes the directory and takes its lock.
    pub fn begin(home: &Home) -> Result<Self, Refusal> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Refusal::new(Code::InternalIo, format!("no random bytes: {error}")))?;
        let name = format!("{:016x}", u64::from_le_bytes(random));
        let runs = home.run()?;
        let dir = runs.make(&name)?;
        let lock = dir.try_lock("lock")?.ok_or_else(|| {
            Refusal::new(Code::StoreLocked, "another process holds the lock of a new instance")
        })?;
        Ok(Self { name, runs, dir, _lock: lock })
    }

    /// Writes down which groups are ours, before anything is started in them.
    pub fn describe(&self, cgroups: Vec<PathBuf>) -> Result<(), Refusal> {
        let pid = std::process::id();
        let facts = Facts { boot_id: boot_id(), pid, start_ticks: start_ticks(pid), cgroups };
        let text = serde_json::to_vec(&facts)
            .map_err(|error| Refusal::new(Code::InternalIo, error.to_string()))?;
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
pub fn sweep(home: &Home) -> Result<Vec<String>, Refusal> {
    let runs = home.run()?;
    let mut swept = Vec::new();
    for name in runs.names()? {
        let name = name.to_string_lossy().into_owned();
        if name.len() != 16 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        let Some(dir) = runs.child(&name)? else { continue };
        let Some(_lock) = dir.try_lock("lock")? else { continue };
        if let Some(text) = dir.read(FILE, 64 * 1024)?
            && let Ok(facts) = serde_json::from_slice::<Facts>(&text)
            && facts.boot_id == boot_id()
        {
            let marker = format!("gm-{name}");
            facts.cgroups.iter().filter(|group| is_ours(group, &marker)).for_each(|group| remove_group(group));
        }
        runs.remove_tree(&name)?;
        swept.push(name);
    }
    Ok(swept)
}

/// Only a directory of a cgroup mount that carries the instance's own name.
fn is_ours(group: &Path, marker: &str) -> bool {
    group.starts_with("/sys/fs/cgroup")
        && group.components().all(|part| part != std::path::Component::ParentDir)
        && group.file_name().is_some_and(|name| name == marker)
}

/// Kills what is left in a group and below it, and removes it. Bounded: a
/// group that stays busy is left to the next sweep.
pub fn remove_group(group: &Path) {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        kill_below(group);
        if remove_below(group) || Instant::now() >= deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn children(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(group) else { return Vec::new() };
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
    let empty = children(group).iter().map(|child| remove_below(child)).fold(true, |all, one| all && one);
    match std::fs::remove_dir(group) {
        Ok(()) => empty,
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
    let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    after_name.split_whitespace().nth(19).and_then(|field| field.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_that_carry_the_instances_name_are_removed() {
        let marker = "gm-0123456789abcdef";
        assert!(is_ours(Path::new("/sys/fs/cgroup/memory/x/gm-0123456789abcdef"), marker));
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
