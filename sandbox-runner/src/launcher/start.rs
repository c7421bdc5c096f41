//! The launcher's side of a start: clone, groups, id maps, the word to go,
//! and the wait until the child executes its engine.
//!
//! Whatever fails here, the child is dead and reaped before the fault is
//! answered.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use gm_protocol::orders::{Fault, FaultKind, WaitStatus};
use gm_protocol::plan::{Control, INNER_ID};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid,
};

use super::cgroup::Group;
use super::child::{Child, Step, live};
use super::fault;
use super::ids::Ids;
use super::sys::{self, Side};

/// The most that a child may take from clone to exec.
const SET_UP: Duration = Duration::from_secs(5);
/// The most that a killed child may take until it can be reaped.
const REAP: Duration = Duration::from_millis(500);
/// The child's end of the start channel must not lie where it puts 0–5.
const ASIDE: i32 = 16;

/// A process of ours that was cloned and not reaped yet. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    status: Option<WaitStatus>,
}

impl Process {
    /// A child that was just cloned.
    pub(crate) const fn new(pid: Pid, pidfd: OwnedFd) -> Self {
        Self {
            pid,
            pidfd,
            status: None,
        }
    }

    /// SIGKILL to PID 1 of its namespace, which takes the whole namespace along.
    pub(crate) fn kill(&self) {
        // ESRCH: dead already.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Whether its status was taken.
    pub(crate) const fn is_reaped(&self) -> bool {
        self.status.is_some()
    }

    /// Its status if it is dead; reaps it the first time.
    pub(crate) fn status(&mut self) -> Option<WaitStatus> {
        if self.status.is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            let seen = waitid(WaitId::PidFd(self.pidfd.as_fd()), options)
                .ok()
                .flatten()?;
            self.status = Some(status_of(&seen));
        }
        self.status
    }

    /// Waits for its death at most until `deadline`; never for ever, since a
    /// traced process can hold its parent's wait up at will.
    pub(crate) fn reap(&mut self, deadline: Instant) -> Option<WaitStatus> {
        loop {
            if let Some(status) = self.status() {
                return Some(status);
            }
            let mut fds = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
            if !wait(&mut fds, deadline) {
                return self.status();
            }
        }
    }

    /// Kills and reaps, with the bound of a killed child.
    pub(crate) fn end(&mut self) -> Option<WaitStatus> {
        self.kill();
        self.reap(Instant::now() + REAP)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status().is_none() {
            self.end();
        }
    }
}

fn status_of(seen: &WaitIdStatus) -> WaitStatus {
    match (seen.exit_status(), seen.terminating_signal()) {
        (Some(status), _) => WaitStatus::Exited(status),
        (None, signal) => WaitStatus::Signaled(signal.unwrap_or(0)),
    }
}

/// Polls until `deadline`; `false` = it passed.
fn wait(fds: &mut [PollFd<'_>], deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return false;
        };
        match poll(fds, Some(&timeout)) {
            Err(Errno::INTR) => {}
            Ok(0) | Err(_) => return false,
            Ok(_) => return true,
        }
    }
}

/// Starts `child` with `ids` in `group` and waits until it executes its
/// engine, or until a trial has ended. `broker` = hangs up when it dies.
pub(crate) fn start(
    child: &Child<'_>,
    ids: &Ids,
    group: &Group,
    broker: BorrowedFd<'_>,
) -> Result<Process, Fault> {
    let (ours, theirs) = channel()?;
    let side = sys::clone_walled(child.network, group.directory())
        .map_err(|e| fault::wall(namespace_forbidden(), "clone3", e))?;
    let mut process = match side {
        Side::Child => {
            // Else it would never see the launcher hang up.
            drop(ours);
            live(child, &theirs)
        }
        Side::Parent { pid, pidfd } => Process::new(pid, pidfd),
    };
    drop(theirs);
    prepare(process.pid, child, ids, group)?;
    say_go(&ours)?;
    let engine = child.exec.as_ref().map(|exec| exec.engine);
    match follow(&mut process, &ours, engine, broker) {
        Ok(()) => Ok(process),
        Err(mut fault) => {
            process.end();
            if group.counters().oom_kills > 0 {
                fault = fault::breach(
                    Control::CgroupMemory,
                    &fault.step,
                    "the limit leaves no room to start",
                );
            }
            Err(fault)
        }
    }
}

/// The start channel: the launcher's end and the child's.
pub(super) fn channel() -> Result<(OwnedFd, OwnedFd), Fault> {
    let (ours, near) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(broken)?;
    // The near one goes: left here it would hide that the child has closed its own.
    let theirs = rustix::io::fcntl_dupfd_cloexec(&near, ASIDE).map_err(broken)?;
    Ok((ours, theirs))
}

/// The child may begin with its steps.
pub(super) fn say_go(channel: &OwnedFd) -> Result<(), Fault> {
    rustix::io::write(channel, &[1]).map(drop).map_err(broken)
}

fn broken(errno: Errno) -> Fault {
    fault::wall(Control::Descriptors, "start channel", errno)
}

/// The kind of namespace of which the machine allows none (namespaces(7)). One
/// call makes them all, so its errno doesn't tell; this only picks the word.
pub(super) fn namespace_forbidden() -> Control {
    let kinds = [
        ("user", Control::UserNs),
        ("pid", Control::PidNs),
        ("mnt", Control::MountNs),
        ("net", Control::NetNs),
        ("ipc", Control::IpcNs),
        ("uts", Control::UtsNs),
    ];
    let none = |name: &str| {
        let most = std::fs::read_to_string(format!("/proc/sys/user/max_{name}_namespaces"));
        most.is_ok_and(|text| text.trim() == "0")
    };
    let forbidden = kinds.into_iter().find(|(name, _)| none(name));
    forbidden.map_or(Control::UserNs, |(_, control)| control)
}

/// What only the parent can do, while the child waits.
fn prepare(pid: Pid, child: &Child<'_>, ids: &Ids, group: &Group) -> Result<(), Fault> {
    group.attach(pid)?;
    goes_first(pid)?;
    if !child.drop_groups {
        // The kernel's condition for a gid map written without privilege.
        put(pid, "setgroups", "deny", Control::Uid)?;
    }
    map_ids(pid, ids)
}

/// First to go when the machine itself is short.
pub(super) fn goes_first(pid: Pid) -> Result<(), Fault> {
    put(pid, "oom_score_adj", "1000", Control::CgroupMemory)
}

/// One id each and never host 0: with 0 mapped, files of root would be the
/// plugin's own.
pub(super) fn map_ids(pid: Pid, ids: &Ids) -> Result<(), Fault> {
    for (file, id) in [("gid_map", ids.gid), ("uid_map", ids.uid)] {
        put(pid, file, &format!("{INNER_ID} {id} 1\n"), Control::Uid)?;
    }
    Ok(())
}

fn put(pid: Pid, file: &str, text: &str, wall: Control) -> Result<(), Fault> {
    std::fs::write(format!("/proc/{}/{file}", pid.as_raw_nonzero()), text)
        .map_err(|e| fault::wall(wall, format!("write {file}"), fault::errno(&e)))
}

/// Waits for the end of the child's own steps: the start channel closes at
/// exec, or brings the step that failed.
pub(super) fn follow(
    process: &mut Process,
    start: &OwnedFd,
    engine: Option<BorrowedFd<'_>>,
    broker: BorrowedFd<'_>,
) -> Result<(), Fault> {
    let deadline = Instant::now() + SET_UP;
    let mut fds = [
        PollFd::from_borrowed_fd(start.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(broker, PollFlags::empty()),
    ];
    if !wait(&mut fds, deadline) {
        return Err(fault::breach(
            Control::PidNs,
            "start",
            "not ready within 5 s",
        ));
    }
    if fds
        .iter()
        .skip(1)
        .any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR))
    {
        return Err(fault::gone("start", "the broker is gone"));
    }
    let mut report = [0; 8];
    let got = rustix::io::retry_on_intr(|| rustix::io::read(start, &mut report));
    match (got, report) {
        // Closed by exec, or by death.
        (Ok(0), _) => match engine {
            Some(engine) if executes(process.pid, engine) => Ok(()),
            Some(_) => Err(died(process.reap(deadline))),
            None => match process.reap(deadline) {
                Some(WaitStatus::Exited(0)) => Ok(()),
                other => Err(died(other)),
            },
        },
        (Ok(5), [step, a, b, c, d, ..]) => {
            let errno = Errno::from_raw_os_error(i32::from_le_bytes([a, b, c, d]));
            Err(step_fault(step, errno))
        }
        _ => Err(fault::breach(
            Control::PidNs,
            "start",
            "the start channel brought something else",
        )),
    }
}

/// Whether the process runs this very binary. One that dies closes its
/// descriptors before it can be waited for, and has no binary any more
/// (proc_pid_exe(5)).
fn executes(pid: Pid, engine: BorrowedFd<'_>) -> bool {
    let runs = rustix::fs::stat(format!("/proc/{}/exe", pid.as_raw_nonzero()));
    let wanted = rustix::fs::fstat(engine);
    matches!((runs, wanted), (Ok(runs), Ok(wanted))
        if (runs.st_dev, runs.st_ino) == (wanted.st_dev, wanted.st_ino))
}

fn died(status: Option<WaitStatus>) -> Fault {
    fault::breach(
        Control::PidNs,
        "start",
        format!("the child ended before its engine ran: {status:?}"),
    )
}

fn step_fault(number: u8, errno: Errno) -> Fault {
    let Some(step) = Step::of(number) else {
        return fault::breach(Control::PidNs, "start", "unknown step");
    };
    let mut fault = fault::wall(step.wall(), step.text(), errno);
    if step == Step::Exec {
        fault.kind = FaultKind::EngineMissing;
    }
    fault
}
