//! The groups of one instance, `<parent>/gm-<instance>/…`, and the sweep of
//! those that a crash left.
//!
//! On v2 a group that hands controllers down may hold no process itself, so
//! where the parent is their own group, broker and launcher move to the leaf `host`
//! for the time of the run.

use std::fs::File;
use std::path::Path;

use gm_protocol::orders::Fault;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, getpid, getppid};

use super::group::{Group, GroupLimits, Site};
use super::tree::{Control, Place, Tree};
use super::{keyed, read, remove, write};

/// The limits of the trial group: small, and none of them the default.
const TRIAL: GroupLimits = GroupLimits {
    memory_bytes: 16 << 20,
    pids: 1,
    cpu_percent: 50,
};

/// All groups of one instance.
#[derive(Debug)]
pub(crate) struct Instance {
    /// `gm-<instance>` in each hierarchy.
    roots: Vec<Site>,
    /// Where our two processes came from, if they moved: the v2 parent.
    moved_from: Option<std::path::PathBuf>,
    next: u32,
}

impl Instance {
    /// Makes the instance's groups and tries one of each kind. A controller
    /// that can't be used is left out; the sentence says why.
    pub(crate) fn plant(tree: &Tree, name: &str, owner: Option<u32>) -> (Self, Vec<String>) {
        let mut instance = Self {
            roots: Vec::new(),
            moved_from: None,
            next: 1,
        };
        let mut gaps = Vec::new();
        for place in &tree.places {
            match instance.plant_one(place, name, owner) {
                Ok(site) => instance.roots.push(site),
                Err(why) => gaps.push(why),
            }
        }
        for control in [Control::Memory, Control::Pids, Control::Cpu] {
            if let Err(fault) = instance.try_out(control) {
                gaps.push(format!("cgroup {}: {fault}", control.name()));
                instance.leave_out(control);
            }
        }
        (instance, gaps)
    }

    fn plant_one(&mut self, place: &Place, name: &str, owner: Option<u32>) -> Result<Site, String> {
        let parent = Site {
            dir: place.dir.clone(),
            path: place.path.clone(),
            v2: place.v2,
            controls: place.controls.clone(),
        };
        let root = parent.below(name);
        let plugins = root.below("plugins");
        let told = |what: &str| {
            let dir = place.dir.display().to_string();
            let what = what.to_owned();
            move |e: std::io::Error| format!("cgroup: {what} below {dir}: {e}")
        };
        std::fs::create_dir(&root.dir).map_err(told("mkdir"))?;
        let made = std::fs::create_dir(&plugins.dir).and_then(|()| {
            give(&[&root.dir, &plugins.dir], owner)?;
            if place.v2 && !root.has(Control::Plain) {
                self.hand_down(&parent, &root, &plugins)
            } else {
                Ok(())
            }
        });
        if made.is_err() {
            let host = root.below("host").dir;
            if host.exists() {
                self.hand_back(&root, &host);
            }
            let _ = remove(&plugins.dir);
            let _ = remove(&root.dir);
        }
        made.map_err(told("set up"))?;
        Ok(root)
    }

    /// v2: enables the controllers from the parent down to `plugins`.
    fn hand_down(&mut self, parent: &Site, root: &Site, plugins: &Site) -> std::io::Result<()> {
        let wanted: Vec<String> = root
            .controls
            .iter()
            .map(|c| format!("+{}", c.name()))
            .collect();
        let wanted = wanted.join(" ");
        if !all_enabled(&parent.dir, &root.controls) {
            self.enable(parent, &root.below("host"), &wanted)?;
        }
        for site in [root, plugins] {
            write(&site.dir, "cgroup.subtree_control", &wanted)?;
            if !all_enabled(&site.dir, &root.controls) {
                return Err(std::io::Error::other("a controller was not enabled"));
            }
        }
        Ok(())
    }

    /// Enables controllers in the parent. The root, and a group without processes, take
    /// them as they are; from the broker's own group its two processes move down first.
    fn enable(&mut self, parent: &Site, host: &Site, wanted: &str) -> std::io::Result<()> {
        let ask = || write(&parent.dir, "cgroup.subtree_control", wanted);
        match ask() {
            Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy => {}
            result => return result,
        }
        std::fs::create_dir(&host.dir)?;
        self.moved_from = Some(parent.dir.clone());
        let asked = self.move_down(parent, host).and_then(|()| ask());
        asked.map_err(|e| match e.kind() {
            std::io::ErrorKind::ResourceBusy => std::io::Error::other(
                "other processes are in this group, so it can't hand controllers down; \
                 start the broker in a group of its own, or name one as isolation.cgroup_parent",
            ),
            _ => e,
        })
    }

    /// Only our own two processes are ours to move, and only if they are in the parent.
    fn move_down(&self, parent: &Site, host: &Site) -> std::io::Result<()> {
        let there = read(&parent.dir, "cgroup.procs")?;
        for pid in [Some(getpid()), getppid()].into_iter().flatten() {
            let pid = pid.as_raw_nonzero().to_string();
            if there.lines().any(|line| line == pid) {
                write(&host.dir, "cgroup.procs", &pid)?;
            }
        }
        Ok(())
    }

    fn move_back(&mut self, host: &Path) {
        let Some(parent) = self.moved_from.take() else {
            return;
        };
        for pid in read(host, "cgroup.procs").unwrap_or_default().lines() {
            let _ = write(&parent, "cgroup.procs", pid);
        }
    }

    /// Makes a group with `control` only, limits it, removes it.
    fn try_out(&self, control: Control) -> Result<(), Fault> {
        let Some(root) = self.roots.iter().find(|site| site.has(control)) else {
            return Err(crate::launcher::fault::breach(
                super::group::wall(control),
                "cgroup: find",
                "no such hierarchy is mounted, or not within reach",
            ));
        };
        let mut site = root.below("plugins").below("0");
        site.controls = vec![control];
        Group::make(vec![site], &TRIAL)?.remove();
        Ok(())
    }

    fn leave_out(&mut self, control: Control) {
        for site in &mut self.roots {
            site.controls.retain(|c| *c != control);
        }
        let unused = |site: &Site| site.controls.is_empty() && !site.v2;
        for site in self.roots.iter().filter(|site| unused(site)) {
            let _ = remove(&site.below("plugins").dir);
            let _ = remove(&site.dir);
        }
        self.roots.retain(|site| !unused(site));
    }

    /// Whether this controller can be used.
    pub(crate) fn has(&self, control: Control) -> bool {
        self.roots.iter().any(|site| site.has(control))
    }

    /// Whether memory, processes and cpu can all be limited.
    pub(crate) fn complete(&self) -> bool {
        [Control::Memory, Control::Pids, Control::Cpu]
            .iter()
            .all(|c| self.has(*c))
    }

    /// The next group, with its limits. Its number is never used again.
    pub(crate) fn group(
        &mut self,
        limits: &GroupLimits,
        owner: Option<u32>,
    ) -> Result<(u32, Group), Fault> {
        let number = self.next;
        self.next = number
            .checked_add(1)
            .ok_or_else(|| crate::launcher::fault::refused("cgroup", "out of numbers"))?;
        let name = number.to_string();
        let sites: Vec<Site> = self
            .roots
            .iter()
            .map(|root| root.below("plugins").below(&name))
            .collect();
        let dirs: Vec<_> = sites.iter().map(|site| site.dir.clone()).collect();
        let group = Group::make(sites, limits)?;
        let dirs: Vec<&Path> = dirs.iter().map(AsRef::as_ref).collect();
        // Not a wall: without it the broker can't remove the directory after us.
        let _ = give(&dirs, owner);
        Ok((number, group))
    }

    /// `gm-<instance>` in each hierarchy, absolute.
    pub(crate) fn directories(&self) -> Vec<String> {
        self.roots
            .iter()
            .map(|site| site.dir.display().to_string())
            .collect()
    }

    /// What all children together may be given: the parent's limit or the
    /// machine's memory, whichever is less.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let machine = std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| {
                let line = text
                    .lines()
                    .find_map(|line| line.strip_prefix("MemTotal:"))?;
                line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()
            });
        let machine = machine.map_or(0, |kib| kib.saturating_mul(1024));
        let limit = self
            .roots
            .iter()
            .find(|site| site.has(Control::Memory))
            .and_then(|site| match site.v2 {
                false => keyed(&site.dir, "memory.stat", "hierarchical_memory_limit"),
                true => site
                    .dir
                    .ancestors()
                    .filter_map(|d| read(d, "memory.max").ok()?.parse().ok())
                    .min(),
            });
        machine.min(limit.unwrap_or(u64::MAX))
    }

    /// Kills everything in every group of the instance.
    pub(crate) fn kill_all(&self) {
        for site in self.roots.iter().filter(|site| site.v2) {
            let _ = write(&site.below("plugins").dir, "cgroup.kill", "1");
        }
    }

    /// Removes the instance's own directories, when no child is left; false = one
    /// is still there.
    pub(crate) fn remove(&mut self) -> bool {
        let mut all = true;
        for site in std::mem::take(&mut self.roots) {
            let _ = remove(&site.below("plugins").dir);
            let host = site.below("host").dir;
            if site.v2 && host.exists() {
                self.hand_back(&site, &host);
            }
            all &= remove(&site.dir).is_ok();
        }
        all
    }

    /// Kills every process of the instance's children, and removes their groups.
    pub(crate) fn clear(&mut self) {
        self.kill_all();
        for site in &self.roots {
            clear_plugins(&site.below("plugins").dir);
        }
    }

    /// v2: gives the processes back to the parent that they came from, and takes the
    /// controllers from it first. A parent that we are not in keeps them: another
    /// instance may just be about to use them.
    fn hand_back(&mut self, root: &Site, host: &Path) {
        let off: Vec<String> = root
            .controls
            .iter()
            .map(|c| format!("-{}", c.name()))
            .collect();
        let off = off.join(" ");
        let _ = write(&root.dir, "cgroup.subtree_control", &off);
        if let Some(parent) = &self.moved_from {
            let _ = write(parent, "cgroup.subtree_control", &off);
        }
        self.move_back(host);
        let _ = remove(host);
    }
}

/// Whether every one of `controls` is handed down by the group `dir`.
fn all_enabled(dir: &Path, controls: &[Control]) -> bool {
    let enabled = read(dir, "cgroup.subtree_control").unwrap_or_default();
    controls
        .iter()
        .all(|c| enabled.split_whitespace().any(|name| name == c.name()))
}

/// Gives directories (never the files in them) to the uid of the broker.
fn give(dirs: &[&Path], owner: Option<u32>) -> std::io::Result<()> {
    let Some(owner) = owner else { return Ok(()) };
    dirs.iter()
        .try_for_each(|dir| std::os::unix::fs::chown(dir, Some(owner), None))
}

/// Removes what instances that no longer live left below our parent. `live`
/// holds one file per instance, locked as long as its launcher lives.
pub(crate) fn sweep(tree: &Tree, live: &Path) {
    for place in &tree.places {
        let Ok(entries) = std::fs::read_dir(&place.dir) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(instance) = name.to_str().and_then(instance_of) else {
                continue;
            };
            if let Some(_lock) = dead(live, instance) {
                sweep_one(&entry.path());
            }
        }
    }
    forget_swept(tree, live);
}

/// Removes the files of dead instances that have no group left anywhere.
fn forget_swept(tree: &Tree, live: &Path) {
    for entry in std::fs::read_dir(live).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let group = format!("gm-{name}");
        let gone = |place: &Place| !place.dir.join(&group).exists();
        if instance_of(&group).is_none() || !tree.places.iter().all(gone) {
            continue;
        }
        // Locked until it is gone: who begins just now sees that, and makes another.
        if let Some(_lock) = dead(live, name) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The instance of a directory `gm-<16 lower-case hex digits>`.
fn instance_of(name: &str) -> Option<&str> {
    let digits = name.strip_prefix("gm-")?;
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    (digits.len() == 16 && digits.bytes().all(hex)).then_some(digits)
}

/// The locked file of a dead instance. Only one whose file is there and not locked is
/// known to be dead: one that never had a file is somebody else's.
fn dead(live: &Path, instance: &str) -> Option<File> {
    let file = File::open(live.join(instance)).ok()?;
    let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
    locked.is_ok().then_some(file)
}

fn sweep_one(root: &Path) {
    let plugins = root.join("plugins");
    clear_plugins(&plugins);
    for dir in [plugins, root.join("host"), root.to_owned()] {
        let _ = remove(&dir);
    }
}

/// Kills what lives in the groups of children, and removes these groups.
fn clear_plugins(plugins: &Path) {
    let left = std::fs::read_dir(plugins).into_iter().flatten().flatten();
    for dir in left.map(|entry| entry.path()).filter(|path| path.is_dir()) {
        // All at once where the kernel can: what forks could outrun the list.
        let _ = write(&dir, "cgroup.kill", "1");
        for pid in read(&dir, "cgroup.procs").unwrap_or_default().lines() {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = remove(&dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_swept() {
        assert_eq!(instance_of("gm-0123456789abcdef"), Some("0123456789abcdef"));
        for name in [
            "gm-0123456789ABCDEF",
            "gm-0123",
            "0123456789abcdef",
            "gm-0123456789abcdeg",
            "gm-",
        ] {
            assert_eq!(instance_of(name), None, "{name}");
        }
    }
}
