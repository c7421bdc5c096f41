//! The group of one child: limits written and read back, counters, the end.
//!
//! A limit that reads back different from what was written is a wall that
//! isn't there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use gm_protocol::orders::{CgroupPaths, Fault};
use gm_protocol::plan::Control as Wall;
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};

use super::tree::Control;
use super::{keyed, read, remove, write};
use crate::launcher::fault;

/// The period that `cpu_percent` is a share of, microseconds; the kernel's default.
const CPU_PERIOD: u64 = 100_000;
/// Rounds of "kill all that is listed" where the kernel can't do it at once.
const KILL_ROUNDS: u32 = 100;

/// Limits of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupLimits {
    /// Bytes; a multiple of the page size, else the kernel would round it.
    pub(crate) memory_bytes: u64,
    /// Processes and threads.
    pub(crate) pids: u32,
    /// Share of one core.
    pub(crate) cpu_percent: u32,
}

/// A directory in one hierarchy.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    pub(super) dir: PathBuf,
    /// As `/proc/PID/cgroup` writes it.
    pub(super) path: String,
    pub(super) v2: bool,
    pub(super) controls: Vec<Control>,
}

impl Site {
    /// The same hierarchy, one level down.
    pub(super) fn below(&self, name: &str) -> Self {
        Self {
            dir: self.dir.join(name),
            path: format!("{}/{name}", self.path.trim_end_matches('/')),
            ..self.clone()
        }
    }

    pub(super) fn has(&self, control: Control) -> bool {
        self.controls.contains(&control)
    }

    /// Writes one controller's limits and reads them back.
    pub(super) fn limit(&self, control: Control, limits: &GroupLimits) -> Result<(), Fault> {
        for (file, value) in settings(control, self, limits) {
            let step = || format!("cgroup: {file}");
            let failed = |e: std::io::Error| fault::wall(wall(control), step(), fault::errno(&e));
            write(&self.dir, file, &value).map_err(failed)?;
            let now = read(&self.dir, file).map_err(failed)?;
            if now != value {
                let detail = format!("wrote {value}, reads {now}");
                return Err(fault::breach(wall(control), &step(), detail));
            }
        }
        Ok(())
    }
}

/// The wall that a controller carries.
pub(super) const fn wall(control: Control) -> Wall {
    match control {
        Control::Memory => Wall::CgroupMemory,
        Control::Cpu => Wall::CgroupCpu,
        Control::Pids | Control::Freezer | Control::Plain => Wall::CgroupPids,
    }
}

/// What to write for `control`, in this order.
fn settings(control: Control, site: &Site, limits: &GroupLimits) -> Vec<(&'static str, String)> {
    let memory = limits.memory_bytes.to_string();
    let quota = u64::from(limits.cpu_percent) * CPU_PERIOD / 100;
    let there = |file: &str| site.dir.join(file).exists();
    match (control, site.v2) {
        (Control::Memory, false) => {
            // memsw must not be below the plain limit, so it comes second. Without
            // swap accounting, swappiness 0 keeps the group from swapping itself out.
            let (file, value) = match there("memory.memsw.limit_in_bytes") {
                true => ("memory.memsw.limit_in_bytes", memory.clone()),
                false => ("memory.swappiness", "0".to_owned()),
            };
            vec![("memory.limit_in_bytes", memory), (file, value)]
        }
        (Control::Memory, true) => {
            let mut list = vec![("memory.max", memory), ("memory.oom.group", "1".to_owned())];
            if there("memory.swap.max") {
                list.push(("memory.swap.max", "0".to_owned()));
            }
            list
        }
        (Control::Pids, _) => vec![("pids.max", limits.pids.to_string())],
        (Control::Cpu, false) => vec![
            ("cpu.cfs_period_us", CPU_PERIOD.to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
        ],
        (Control::Cpu, true) => vec![("cpu.max", format!("{quota} {CPU_PERIOD}"))],
        (Control::Freezer | Control::Plain, _) => Vec::new(),
    }
}

/// What a group's files count, read after the kill and before the removal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) memory_peak: u64,
    pub(crate) oom_kills: u64,
    pub(crate) pids_refused: u64,
    pub(crate) cpu_us: u64,
}

/// The open files by which a group is joined and killed.
#[derive(Debug)]
pub(crate) struct Handle {
    /// The v2 directory, for `CLONE_INTO_CGROUP`.
    pub(crate) directory: OwnedFd,
    /// Its `cgroup.kill`, open for writing; 5.14 and later.
    pub(crate) kill: Option<OwnedFd>,
}

/// The group of one child, in each hierarchy that we use. Not removed when
/// dropped: [`Group::remove`] says what is left.
#[derive(Debug)]
pub(crate) struct Group {
    sites: Vec<Site>,
    handle: Option<Handle>,
}

impl Group {
    /// Makes the directories and writes the limits; on a fault none is left.
    pub(super) fn make(sites: Vec<Site>, limits: &GroupLimits) -> Result<Self, Fault> {
        let mut group = Self {
            sites,
            handle: None,
        };
        match group.fill(limits) {
            Ok(()) => Ok(group),
            Err(fault) => {
                group.remove();
                Err(fault)
            }
        }
    }

    fn fill(&mut self, limits: &GroupLimits) -> Result<(), Fault> {
        for site in &self.sites {
            let control = site.controls.first().copied().unwrap_or(Control::Plain);
            std::fs::create_dir(&site.dir)
                .map_err(|e| fault::wall(wall(control), "cgroup: mkdir", fault::errno(&e)))?;
            for control in &site.controls {
                site.limit(*control, limits)?;
            }
        }
        let unified = self.sites.iter().find(|site| site.v2);
        self.handle = unified.map(|site| open(&site.dir)).transpose()?;
        Ok(())
    }

    /// The v2 directory that the child is cloned into.
    pub(crate) fn directory(&self) -> Option<BorrowedFd<'_>> {
        Some(self.handle.as_ref()?.directory.as_fd())
    }

    /// `cgroup.kill`, for whoever must be able to kill without us.
    pub(crate) fn kill_file(&self) -> Option<BorrowedFd<'_>> {
        Some(self.handle.as_ref()?.kill.as_ref()?.as_fd())
    }

    /// Moves a child that waits into the v1 groups (the v2 one it was born in).
    pub(crate) fn attach(&self, pid: Pid) -> Result<(), Fault> {
        let pid = pid.as_raw_nonzero().to_string();
        for site in self.sites.iter().filter(|site| !site.v2) {
            let control = site.controls.first().copied().unwrap_or(Control::Pids);
            write(&site.dir, "cgroup.procs", &pid).map_err(|e| {
                let step = format!("cgroup: join {}", control.name());
                fault::wall(wall(control), step, fault::errno(&e))
            })?;
        }
        Ok(())
    }

    /// The groups as `/proc/PID/cgroup` names them; "" where there is none.
    pub(crate) fn paths(&self) -> CgroupPaths {
        let path = |control| {
            let site = self.site(control);
            site.map(|site| site.path.clone()).unwrap_or_default()
        };
        CgroupPaths {
            memory: path(Control::Memory),
            pids: path(Control::Pids),
            cpu: path(Control::Cpu),
        }
    }

    /// The first wall whose group isn't in `text`, a `/proc/PID/cgroup`.
    pub(crate) fn missing_in(&self, text: &str) -> Option<Wall> {
        self.sites.iter().find_map(|site| {
            let control = site.controls.first().copied().unwrap_or(Control::Plain);
            let name = if site.v2 { "" } else { control.name() };
            let held = text.lines().any(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                fields
                    .next()
                    .is_some_and(|names| names.split(',').any(|n| n == name))
                    && fields.next() == Some(&site.path)
            });
            (!held).then(|| wall(control))
        })
    }

    /// The limits as the files say them now; 0 where there is none.
    pub(crate) fn limits_now(&self) -> GroupLimits {
        let text = |control, v1: &str, v2: &str| {
            let site = self.site(control)?;
            read(&site.dir, if site.v2 { v2 } else { v1 }).ok()
        };
        let memory = text(Control::Memory, "memory.limit_in_bytes", "memory.max");
        let pids = text(Control::Pids, "pids.max", "pids.max");
        let quota = text(Control::Cpu, "cpu.cfs_quota_us", "cpu.max");
        let quota = quota.as_deref().and_then(|q| q.split(' ').next());
        let percent = |q: u64| u32::try_from(q * 100 / CPU_PERIOD).ok();
        GroupLimits {
            memory_bytes: memory.and_then(|m| m.parse().ok()).unwrap_or(0),
            pids: pids.and_then(|p| p.parse().ok()).unwrap_or(0),
            cpu_percent: quota
                .and_then(|q| q.parse().ok())
                .and_then(percent)
                .unwrap_or(0),
        }
    }

    /// What it has used so far.
    pub(crate) fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        if let Some(Site { dir, v2, .. }) = self.site(Control::Memory) {
            let (peak, events) = match v2 {
                true => ("memory.peak", "memory.events"),
                false => ("memory.max_usage_in_bytes", "memory.oom_control"),
            };
            counters.memory_peak = read(dir, peak)
                .ok()
                .and_then(|p| p.parse().ok())
                .unwrap_or(0);
            counters.oom_kills = keyed(dir, events, "oom_kill").unwrap_or(0);
        }
        if let Some(site) = self.site(Control::Pids) {
            counters.pids_refused = keyed(&site.dir, "pids.events", "max").unwrap_or(0);
        }
        let used = |site: &Site| match site.v2 {
            // Counted on v2 even where the cpu controller isn't (cgroup-v2.rst).
            true => keyed(&site.dir, "cpu.stat", "usage_usec"),
            false => Some(read(&site.dir, "cpuacct.usage").ok()?.parse::<u64>().ok()? / 1000),
        };
        counters.cpu_us = self.sites.iter().find_map(used).unwrap_or(0);
        counters
    }

    /// How often its processor limit has stopped it.
    pub(crate) fn throttled(&self) -> u64 {
        let site = self.site(Control::Cpu);
        site.and_then(|site| keyed(&site.dir, "cpu.stat", "nr_throttled"))
            .unwrap_or(0)
    }

    /// The file that keeps it from swapping itself past its memory limit, if the kernel
    /// has one: [`Group::make`] wrote it and read it back.
    pub(crate) fn swap_bound(&self) -> Option<&'static str> {
        let site = self.site(Control::Memory)?;
        let files = match site.v2 {
            true => &["memory.swap.max"][..],
            false => &["memory.memsw.limit_in_bytes", "memory.swappiness"],
        };
        files
            .iter()
            .copied()
            .find(|file| site.dir.join(file).exists())
    }

    /// Kills every process of the group, whatever it did to get away.
    pub(crate) fn kill(&self) {
        if let Some(kill) = self.kill_file()
            && rustix::io::write(kill, b"1").is_ok()
        {
            return;
        }
        let freezer = self.sites.iter().find(|s| s.v2 || s.has(Control::Freezer));
        let Some(site) = freezer.or(self.sites.first()) else {
            return;
        };
        kill_listed(site);
    }

    /// Removes the directories; what could not be removed is returned.
    pub(crate) fn remove(&mut self) -> Vec<String> {
        self.handle = None;
        let stays = |site: &&Site| remove(&site.dir).is_err();
        self.sites
            .iter()
            .filter(stays)
            .map(|site| site.dir.display().to_string())
            .collect()
    }

    fn site(&self, control: Control) -> Option<&Site> {
        self.sites.iter().find(|site| site.has(control))
    }
}

fn open(dir: &Path) -> Result<Handle, Fault> {
    let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let directory = rustix::fs::open(
        dir,
        flags | OFlags::RDONLY | OFlags::DIRECTORY,
        Mode::empty(),
    )
    .map_err(|e| fault::wall(Wall::CgroupPids, "cgroup: open", e))?;
    let kill = rustix::fs::openat(
        &directory,
        "cgroup.kill",
        flags | OFlags::WRONLY,
        Mode::empty(),
    );
    Ok(Handle {
        directory,
        kill: kill.ok(),
    })
}

/// Freeze, SIGKILL to every pid, thaw, until none is listed: without the
/// freeze a process that forks fast could outrun the list.
fn kill_listed(site: &Site) {
    let (file, on, off) = match site.v2 {
        true => ("cgroup.freeze", "1", "0"),
        false => ("freezer.state", "FROZEN", "THAWED"),
    };
    for _ in 0..KILL_ROUNDS {
        let _ = write(&site.dir, file, on);
        let listed = read(&site.dir, "cgroup.procs").unwrap_or_default();
        for pid in listed
            .lines()
            .filter_map(|line| Pid::from_raw(line.parse().ok()?))
        {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = write(&site.dir, file, off);
        if listed.is_empty() {
            return;
        }
        std::thread::sleep(super::REMOVE_PAUSE);
    }
}
