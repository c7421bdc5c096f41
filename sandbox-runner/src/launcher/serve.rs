//! The launcher's loop: one order at a time, the deaths of children in
//! between, and the end of everything when the broker is gone.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use gm_protocol::orders::{
    Answer, Collected, Done, Doorbell, Fault, FaultKind, Order, Stage, Task, WaitStatus,
};
use ipc_channel::ipc::{IpcReceiver, IpcSender};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::fault::{gone, refused};
use super::house::{House, Running};
use super::look::look;
use super::orders::{Accepted, granted};

/// The most children at once, whatever the range of ids.
const MOST_CHILDREN: usize = 1024;
/// The most that all children together may take to die at the end.
const END: Duration = Duration::from_millis(800);
/// How long a process that can't be read may take to turn out to be dying.
const DYING: Duration = Duration::from_millis(100);

/// The launcher at work.
pub(crate) struct Launcher {
    bell: Doorbell,
    orders: IpcReceiver<Order>,
    answers: IpcSender<Answer>,
    house: House,
    running: BTreeMap<u32, Running>,
    /// Collected, but not dead in time: held until they are.
    stuck: Vec<Running>,
}

/// The launcher's work is over: the broker is gone, or breaks the protocol.
struct Over;

impl Launcher {
    /// Takes orders from the broker behind `bell`.
    pub(crate) fn new(
        bell: Doorbell,
        orders: IpcReceiver<Order>,
        answers: IpcSender<Answer>,
        house: House,
    ) -> Self {
        Self {
            bell,
            orders,
            answers,
            house,
            running: BTreeMap::new(),
            stuck: Vec::new(),
        }
    }

    /// Serves until the broker is gone, then leaves nothing behind.
    pub(crate) fn serve(mut self) {
        while let Ok(ordered) = self.wait() {
            self.reap();
            if ordered && matches!(self.one_order(), Err(Over)) {
                break;
            }
        }
        self.end();
    }

    /// Sleeps until an order or a death; `true` = an order, or the end.
    fn wait(&self) -> Result<bool, Over> {
        let alive = self.running.values().chain(&self.stuck);
        let deaths = alive
            .filter(|child| !child.process.is_reaped())
            .map(|child| PollFd::from_borrowed_fd(child.process.pidfd.as_fd(), PollFlags::IN));
        let bell = PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN);
        let mut fds: Vec<PollFd<'_>> = std::iter::once(bell).chain(deaths).collect();
        match poll(&mut fds, None) {
            Ok(_) => Ok(fds.first().is_some_and(|bell| !bell.revents().is_empty())),
            Err(Errno::INTR) => Ok(false),
            Err(_) => Err(Over),
        }
    }

    /// Takes the status of the dead; a stuck one also gives its ids back.
    fn reap(&mut self) {
        for child in self.running.values_mut() {
            child.process.status();
        }
        self.stuck.retain_mut(|child| {
            let dead = child.process.status().is_some();
            if dead {
                child.group.remove();
            }
            !dead
        });
    }

    /// One packet, one order, one answer.
    fn one_order(&mut self) -> Result<(), Over> {
        let ring = match self.bell.answer(None) {
            Ok(Some(ring)) => ring,
            Ok(None) | Err(_) => return Err(Over),
        };
        let order = self.orders.recv().map_err(|_| Over)?;
        if order.no != ring.no {
            return Err(Over);
        }
        let mut fds = Vec::new();
        let result = self.carry_out(order.what, ring.fds, &mut fds);
        self.answers
            .send(Answer {
                no: order.no,
                result,
            })
            .map_err(|_| Over)?;
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(OwnedFd::as_fd).collect();
        self.bell.ring(order.no, &fds).map_err(|_| Over)
    }

    /// `back` takes the descriptors of the answer.
    fn carry_out(
        &mut self,
        task: Task,
        fds: Vec<OwnedFd>,
        back: &mut Vec<OwnedFd>,
    ) -> Result<Done, Fault> {
        match task {
            Task::Start {
                engine,
                limits,
                fds: kinds,
                assets,
            } => {
                let order = Accepted::judge(engine, limits, &kinds, fds, assets)?;
                self.start(&order, back)
            }
            Task::TryGrant => self.try_grant(fds),
            _ if !fds.is_empty() => Err(refused("descriptors", "this order takes none")),
            Task::Look { child, stage } => self.look(child, stage),
            Task::Kill { child } => {
                self.kill(child)?;
                Ok(Done::Killed)
            }
            Task::Collect { child } => self.collect(child),
        }
    }

    fn start(&mut self, order: &Accepted, back: &mut Vec<OwnedFd>) -> Result<Done, Fault> {
        if self.running.len() + self.stuck.len() >= MOST_CHILDREN {
            return Err(refused("start", "too many children"));
        }
        let (child, started) = self.house.start(order, self.bell.as_fd())?;
        let copies = [Some(child.process.pidfd.as_fd()), child.group.kill_file()];
        for fd in copies.into_iter().flatten() {
            let copy = fd.try_clone_to_owned();
            // The broker then has nothing to watch it by; it dies with `child`.
            back.push(copy.map_err(|e| refused("descriptors", e.to_string()))?);
        }
        self.running.insert(started.child, child);
        Ok(Done::Started(started))
    }

    fn try_grant(&mut self, fds: Vec<OwnedFd>) -> Result<Done, Fault> {
        let [file] = <[OwnedFd; 1]>::try_from(fds)
            .map_err(|_| refused("descriptors", "one is to be tried"))?;
        self.house.try_grant(&granted(file)?)?;
        Ok(Done::CanGrant)
    }

    fn look(&mut self, child: u32, stage: Stage) -> Result<Done, Fault> {
        let host = &self.house.host;
        let child = self.running.get_mut(&child).ok_or_else(unknown)?;
        let looked = look(
            &child.process,
            &child.ids,
            &child.group,
            &child.expected,
            host,
        );
        // Only a process that still lives was the one that was read; and one that
        // is dying can't be read any more before it is dead.
        let dead = match &looked {
            Err(fault) if fault.errno != 0 => child.process.reap(Instant::now() + DYING),
            _ => child.process.status(),
        };
        if let Some(status) = dead {
            return Err(gone("look", format!("dead: {status:?}")));
        }
        let looked = looked.and_then(|seen| enough_filters(stage, seen));
        match looked {
            Ok(looked) => Ok(Done::Looked(Box::new(looked))),
            Err(fault) => {
                if matches!(fault.kind, FaultKind::Wall(_)) {
                    end(child);
                }
                Err(fault)
            }
        }
    }

    fn kill(&mut self, child: u32) -> Result<(), Fault> {
        end(self.running.get_mut(&child).ok_or_else(unknown)?);
        Ok(())
    }

    fn collect(&mut self, child: u32) -> Result<Done, Fault> {
        let mut child = self.running.remove(&child).ok_or_else(unknown)?;
        end(&mut child);
        let status = child.process.end();
        // After the kill, so that nothing is missed; before the removal.
        let counters = child.group.counters();
        let mut left = match status {
            Some(_) => child.group.remove(),
            None => vec![format!("process {}", child.process.pid.as_raw_nonzero())],
        };
        left.retain(|what| !what.is_empty());
        let killed_by_us = child.killed_by_us;
        if status.is_none() {
            self.stuck.push(child);
        }
        Ok(Done::Collected(Collected {
            status: status.unwrap_or(WaitStatus::Signaled(libc::SIGKILL)),
            killed_by_us,
            memory_peak: counters.memory_peak,
            oom_kills: counters.oom_kills,
            pids_refused: counters.pids_refused,
            cpu_us: counters.cpu_us,
            left,
        }))
    }

    /// Nothing of ours is left after this.
    fn end(mut self) {
        self.house.kill_all();
        let mut children: Vec<Running> = std::mem::take(&mut self.running).into_values().collect();
        children.append(&mut self.stuck);
        for child in &mut children {
            end(child);
        }
        let deadline = Instant::now() + END;
        for child in &mut children {
            child.process.reap(deadline);
            child.group.remove();
        }
        drop(children);
        self.house.close();
    }
}

fn unknown() -> Fault {
    gone("child", "no such child")
}

/// Kills the whole group, and PID 1 by its pidfd as well: without a cgroup the
/// pid namespace dies with it.
fn end(child: &mut Running) {
    child.killed_by_us |= child.process.status().is_none();
    child.group.kill();
    child.process.kill();
}

/// The layers that must be there at this stage; the broker compares exactly.
fn enough_filters(
    stage: Stage,
    seen: gm_protocol::orders::Looked,
) -> Result<gm_protocol::orders::Looked, Fault> {
    let least = match stage {
        Stage::Walled => 3,
        Stage::Loaded => 4,
    };
    if seen.seccomp_mode == 2 && seen.seccomp_filters >= least {
        return Ok(seen);
    }
    let detail = format!(
        "mode {}, {} filters",
        seen.seccomp_mode, seen.seccomp_filters
    );
    Err(super::fault::breach(
        gm_protocol::plan::Control::Seccomp,
        "look: Seccomp",
        detail,
    ))
}
