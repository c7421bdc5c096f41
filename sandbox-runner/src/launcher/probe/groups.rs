//! A group for each limit, and a child that runs into it: a limit that nobody feels,
//! or that isn't counted, is none.

use std::time::Duration;

use gm_protocol::orders::WaitStatus;
use gm_protocol::trials::{Miss, Trial};
use rustix::io::Errno;

use super::child::{Outcome, PROBE, Seen, make, wrong};
use crate::launcher::cgroup::{Controller, Group, GroupLimits, Instance};
use crate::launcher::start::Process;
use crate::launcher::sys::{self, Side};

/// What a child may have, unless its own limit is what is tried.
const ROOM: GroupLimits = GroupLimits {
    memory_bytes: 64 << 20,
    pids: 8,
    cpu_percent: 100,
};
/// What a child writes to that may have a quarter of it.
const TOO_MUCH: usize = 64 << 20;
/// How long a child is busy that may have a twentieth of a core.
const BUSY: Duration = Duration::from_millis(250);

/// How often that is tried.
const TRIES: u32 = 3;

/// The groups that probes make theirs in; the reason, if there are none.
pub(super) struct Groups<'a> {
    pub(super) instance: &'a mut Instance,
    pub(super) owner: Option<u32>,
    /// Why a controller could not be used.
    pub(super) gaps: &'a [String],
}

impl Groups<'_> {
    /// All that is tried with groups.
    pub(super) fn all(&mut self) -> Vec<(Trial, Outcome)> {
        let (memory, events) = self.memory();
        vec![
            (Trial::GroupMemory, memory),
            (Trial::GroupEvents, events),
            (Trial::GroupSwap, self.swap()),
            (Trial::GroupPids, self.pids()),
            (Trial::GroupCpu, self.cpu()),
            (Trial::GroupKill, self.kill()),
        ]
    }

    /// The controller can be used, or why not.
    fn needs(&self, control: Controller) -> Result<(), Miss> {
        if self.instance.has(control) {
            return Ok(());
        }
        let name = format!("cgroup {}", control.name());
        // As the level's gaps are said.
        let gaps = || self.gaps.iter().filter_map(|gap| gap.strip_prefix("L4: "));
        let of_it = gaps().filter(|gap| gap.starts_with(&name));
        let general = gaps().filter(|gap| gap.starts_with("cgroup: "));
        let why: Vec<&str> = of_it.chain(general).collect();
        Err(wrong(match why.is_empty() {
            true => format!("{name}: no such controller within reach"),
            false => why.join("; "),
        }))
    }

    /// A group with these limits, what a child in it did, and the group after that.
    fn with<T>(
        &mut self,
        limits: &GroupLimits,
        probe: impl FnOnce() -> Outcome,
        judge: impl FnOnce(Seen, &Group) -> T,
    ) -> Result<T, Miss> {
        let made = self.instance.group(limits, self.owner);
        let (_, mut group) = made.map_err(|fault| wrong(fault.to_string()))?;
        let done = run(&group, probe).map(|seen| judge(seen, &group));
        group.kill();
        let left = group.remove();
        match (done, left.is_empty()) {
            (Ok(done), true) => Ok(done),
            (Ok(_), false) => Err(wrong(format!("can't be removed: {}", left.join(", ")))),
            (Err(miss), _) => Err(miss),
        }
    }

    /// The limit, and its count.
    fn memory(&mut self) -> (Outcome, Outcome) {
        if let Err(miss) = self.needs(Controller::Memory) {
            return (Err(miss.clone()), Err(miss));
        }
        let limits = GroupLimits {
            memory_bytes: 16 << 20,
            ..ROOM
        };
        let tried = self.with(&limits, fill_memory, |seen, group| {
            let counters = group.counters();
            let held = match (&seen.said, seen.status) {
                (None, Some(WaitStatus::Signaled(libc::SIGKILL))) => {
                    Ok("a child over 16 MiB was killed".into())
                }
                (said, status) => Err(wrong(format!(
                    "64 MiB in a group of 16: {said:?}, {status:?}"
                ))),
            };
            let counted = match counters.oom_kills {
                0 => Err(wrong("a kill by the limit was not counted")),
                kills => Ok(format!(
                    "{kills} kill counted, peak {} bytes",
                    counters.memory_peak
                )),
            };
            (held, counted)
        });
        tried.unwrap_or_else(|miss| (Err(miss.clone()), Err(miss)))
    }

    fn swap(&mut self) -> Outcome {
        self.needs(Controller::Memory)?;
        let made = self.instance.group(&ROOM, self.owner);
        let (_, mut group) = made.map_err(|fault| wrong(fault.to_string()))?;
        let bound = group.swap_bound();
        group.remove();
        match bound {
            Some(file) => Ok(format!("{file}, written and read back")),
            None => Err(wrong("this kernel can't bound the swap of a group")),
        }
    }

    fn pids(&mut self) -> Outcome {
        self.needs(Controller::Pids)?;
        let limits = GroupLimits { pids: 1, ..ROOM };
        self.with(&limits, fork, |seen, group| {
            let said = seen.outcome()?;
            match group.counters().pids_refused {
                0 => Err(wrong("a refused process was not counted")),
                _ => Ok(said),
            }
        })?
    }

    fn cpu(&mut self) -> Outcome {
        self.needs(Controller::Cpu)?;
        let limits = GroupLimits {
            cpu_percent: 5,
            ..ROOM
        };
        // On a machine that is busy with others even a twentieth may not be reached.
        for _ in 0..TRIES {
            let times = self.with(&limits, spin, |seen, group| {
                seen.outcome().map(|_| group.throttled())
            })??;
            if times > 0 {
                return Ok(format!("a busy child was slowed down {times} times"));
            }
        }
        Err(wrong("a busy child with 5% of a core was not slowed down"))
    }

    fn kill(&mut self) -> Outcome {
        // Any group will do; the reasons that there is none are the same for all.
        if self.needs(Controller::Memory).is_err() && self.needs(Controller::Cpu).is_err() {
            self.needs(Controller::Pids)?;
        }
        let made = self.instance.group(&ROOM, self.owner);
        let (_, mut group) = made.map_err(|fault| wrong(fault.to_string()))?;
        let ended = kill(&group);
        let left = group.remove();
        let how = ended?;
        match left.is_empty() {
            true => Ok(how),
            false => Err(wrong(format!("can't be removed: {}", left.join(", ")))),
        }
    }
}

fn run(group: &Group, probe: impl FnOnce() -> Outcome) -> Result<Seen, Miss> {
    let child = make(&[], group.directory(), probe)?;
    group
        .attach(child.process.pid)
        .map_err(|fault| wrong(fault.to_string()))?;
    Ok(child.finish(PROBE))
}

/// Whether a sleeping child dies with its group.
fn kill(group: &Group) -> Outcome {
    let sleep = || {
        std::thread::sleep(PROBE);
        Ok(String::new())
    };
    let mut child = make(&[], group.directory(), sleep)?;
    group
        .attach(child.process.pid)
        .map_err(|fault| wrong(fault.to_string()))?;
    child.begin()?;
    group.kill();
    let deadline = std::time::Instant::now() + Duration::from_millis(500);
    let how = match group.kill_file() {
        Some(_) => "cgroup.kill",
        None => "every process by itself: no cgroup.kill",
    };
    match child.process.reap(deadline) {
        Some(WaitStatus::Signaled(libc::SIGKILL)) => Ok(how.into()),
        other => Err(wrong(format!("{how}: the child was not killed: {other:?}"))),
    }
}

/// Writes to more memory than its group may have.
fn fill_memory() -> Outcome {
    let mut memory = vec![0_u8; TOO_MUCH];
    for page in memory.chunks_mut(4096) {
        if let Some(first) = page.first_mut() {
            *first = std::hint::black_box(1);
        }
    }
    Ok(format!(
        "{} bytes were written",
        std::hint::black_box(&memory).len()
    ))
}

/// Makes one process more than its group may have.
fn fork() -> Outcome {
    match sys::clone_plain() {
        Ok(Side::Child) => sys::exit_now(0),
        Ok(Side::Parent { pid, pidfd }) => {
            Process::new(pid, pidfd).end();
            Err(wrong("a second process in a group of one"))
        }
        Err(Errno::AGAIN) => Ok("a second process was refused".into()),
        Err(errno) => Err(super::child::miss("clone3")(errno)),
    }
}

/// Does nothing, as fast as it can.
fn spin() -> Outcome {
    let until = std::time::Instant::now() + BUSY;
    while std::time::Instant::now() < until {
        std::hint::spin_loop();
    }
    Ok("done".into())
}
