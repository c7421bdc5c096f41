//! What broker and launcher say to each other: data only.
//!
//! An order names an engine, limits and the kinds of the descriptors that come
//! with it; never a path, flag, uid, namespace or capability, so that a
//! subverted broker gets no weaker child. Both ends are ours and no plugin
//! byte crosses, which is why ipc-channel may carry it.
//!
//! No descriptor of an ipc-channel can be polled. So each order is announced
//! by a [`Doorbell`] packet, with its descriptors, on an inherited
//! `SOCK_SEQPACKET` socket, and each answer comes back the same way round: the
//! ipc message is sent first, then the packet.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use ipc_channel::ipc::{IpcReceiver, IpcSender};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};

use crate::plan::{Asset, Control, Engine, Level, Limits, MAX_GRANTS, MAX_HIDDEN};
use crate::trials::Tried;

/// Descriptor of the doorbell socket in the launcher. Standard input, since a
/// descriptor can be put there without running code between fork and exec.
pub const FD_DOORBELL: i32 = 0;
/// Descriptor of the bootstrap pipe's reading end in the launcher (standard
/// output's place).
pub const FD_BOOTSTRAP: i32 = 1;
/// The most descriptors of one packet.
pub const MAX_FDS: usize = 4 + MAX_GRANTS + MAX_HIDDEN;

/// The first and only bytes of the bootstrap pipe ([`crate::wire`]), then end of file.
#[derive(Debug, bincode::Encode, bincode::Decode)]
pub struct Bootstrap {
    /// Path of the broker's one-shot server, in a directory of mode 0700.
    pub server: String,
    /// Given back in [`Ready`]: proves that the answer is the launcher's.
    pub nonce: [u8; 32],
    /// 16 lower-case hex digits: names the groups of this instance.
    pub instance: String,
    /// The home, whose `broker.toml` the launcher reads by itself.
    pub home: String,
    /// Whether it also tries each thing by itself, for `gm-broker doctor`.
    pub examine: bool,
}

/// The launcher's first message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    /// [`crate::PROTOCOL`].
    pub protocol: u32,
    /// The nonce of [`Bootstrap`].
    pub nonce: [u8; 32],
    /// Takes orders.
    pub orders: IpcSender<Order>,
    /// Gives answers.
    pub answers: IpcReceiver<Answer>,
    /// What this machine gives, or why nothing can be started at all.
    pub host: Result<HostReport, Fault>,
    /// What was tried by itself; nothing unless [`Bootstrap::examine`] asked for it.
    pub examined: Vec<Tried>,
}

/// What the launcher found out about this machine, by trying.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostReport {
    /// The highest level it can give.
    pub level: Level,
    /// For each level above it, why not; one sentence each.
    pub gaps: Vec<String>,
    /// `v1`, `v2`, `hybrid` or `none`.
    pub cgroup_mode: String,
    /// Landlock ABI, 0 = none.
    pub landlock_abi: u32,
    /// Kernel release.
    pub kernel: String,
    /// First host uid and count of the range.
    pub uids: (u32, u32),
    /// Plugins share one host uid.
    pub uid_shared: bool,
    /// Bytes that all plugins together may be given: the parent group's
    /// limit, or the machine's memory.
    pub memory_bytes: u64,
    /// The engines that are there, with the SHA-256 of each binary in hex.
    pub engines: Vec<(Engine, String)>,
    /// The engines that can't be used, and why.
    pub missing: Vec<(Engine, String)>,
    /// Directories (absolute) of the instance's groups that the broker must
    /// remove if the launcher dies.
    pub groups: Vec<String>,
}

/// An order: data only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Counts from 1; the doorbell packet carries the same number.
    pub no: u64,
    /// What to do.
    pub what: Task,
}

/// What an order asks for. A child is named by the number that its
/// [`Done::Started`] gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Start a walled process. The descriptors come with the doorbell, in the
    /// order of `fds`.
    Start {
        /// Which binary.
        engine: Engine,
        /// Its limits; each below the launcher's own ceilings.
        limits: Limits,
        /// What the descriptors are.
        fds: Vec<FdKind>,
        /// For machine code: what lies where in [`FdKind::Assets`], each a file
        /// below `/assets` of the child's own tree; for others none.
        assets: Vec<Asset>,
    },
    /// Read a child back from outside.
    Look {
        /// Which child.
        child: u32,
        /// How far it is.
        stage: Stage,
    },
    /// Make a mount of the one descriptor that comes with it (`O_PATH`) as for a
    /// grant, and drop it: can this file system be granted?
    TryGrant,
    /// Kill a child and everything in its group.
    Kill {
        /// Which child.
        child: u32,
    },
    /// Kill (if it lives), reap, read the counters, remove the group.
    Collect {
        /// Which child.
        child: u32,
    },
}

/// What a descriptor of a `Start` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FdKind {
    /// The runner's end of the link, a `SOCK_SEQPACKET` socket.
    Link,
    /// The code to run, a sealed memfd; becomes `/code` or `FD_CODE`.
    Code,
    /// All assets, one sealed memfd.
    Assets,
    /// A granted file or directory (`O_PATH`); the first becomes `/grant/0`.
    Read,
    /// A directory that no grant may show (`O_PATH`): covered wherever it lies
    /// below a granted one.
    Hide,
    /// The module to compile, a sealed memfd.
    Module,
    /// The memfd that takes the artifact, not sealed yet.
    Output,
}

/// How far a child is when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// After its `Report`: three seccomp layers.
    Walled,
    /// After `Loaded`: all four.
    Loaded,
}

/// The answer to one order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// The order's number.
    pub no: u64,
    /// What came of it.
    pub result: Result<Done, Fault>,
}

/// An order that was carried out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Done {
    /// The child executes its engine. With the doorbell come a pidfd and, where
    /// the kernel has it, the group's open `cgroup.kill`.
    Started(Started),
    /// What `/proc` and the group's files say.
    Looked(Box<Looked>),
    /// Such a mount could be made.
    CanGrant,
    /// Killed, or already dead.
    Killed,
    /// Dead, reaped, its group removed.
    Collected(Collected),
}

/// A child that was started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Started {
    /// Names the child in later orders; never reused.
    pub child: u32,
    /// Process id on the host.
    pub pid: u32,
    /// Host uid.
    pub uid: u32,
    /// Host gid.
    pub gid: u32,
    /// The uid is shared with other plugins.
    pub uid_shared: bool,
    /// The level that its walls amount to.
    pub level: Level,
    /// Directories (absolute) of its groups: memory, pids, cpu; empty where
    /// the level has none.
    pub cgroups: CgroupPaths,
    /// SHA-256 of the binary that it executes, hex.
    pub engine_digest: String,
}

/// Directories of a child's groups below the cgroup mount, as
/// `/proc/PID/cgroup` names them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPaths {
    /// Memory controller.
    pub memory: String,
    /// Pids controller.
    pub pids: String,
    /// Cpu controller.
    pub cpu: String,
}

/// What a child looks like from outside. Nothing of it can be forged by it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Looked {
    /// Real, effective, saved and file-system uid on the host.
    pub uids: [u32; 4],
    /// The same of the gid.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Union of the five capability sets.
    pub caps: u64,
    /// no_new_privs.
    pub no_new_privs: bool,
    /// Seccomp mode; 2 = filter.
    pub seccomp_mode: u32,
    /// Filters of ours: those of the child less those that the launcher itself
    /// is under.
    pub seccomp_filters: u32,
    /// Inode numbers of user, mnt, pid, net, ipc, uts.
    pub namespaces: Namespaces,
    /// Open descriptors, ascending.
    pub fds: Vec<SeenFd>,
    /// The mount tree, sorted by target: the root first.
    pub mounts: Vec<SeenMount>,
    /// The groups that it is in.
    pub cgroups: CgroupPaths,
    /// Limits as the group's files say them now.
    pub memory_bytes: u64,
    /// Process limit of the group.
    pub pids: u64,
    /// Cpu limit of the group in percent of one core.
    pub cpu_percent: u64,
    /// Hard RLIMIT_NOFILE.
    pub nofile: u64,
    /// Lines of the uid map: inside, outside, count.
    pub uid_map: Vec<[u32; 3]>,
}

/// Inode numbers of a process's namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// User.
    pub user: u64,
    /// Mount.
    pub mnt: u64,
    /// Process ids.
    pub pid: u64,
    /// Network.
    pub net: u64,
    /// IPC.
    pub ipc: u64,
    /// Host name.
    pub uts: u64,
}

/// An open descriptor as `/proc/PID/fd` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenFd {
    /// Number.
    pub fd: u32,
    /// Target of the link, such as `/dev/null` or `socket:[123]`.
    pub target: String,
}

/// A mount as `/proc/PID/mountinfo` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenMount {
    /// Mount point in the plugin's tree.
    pub target: String,
    /// File system type.
    pub fs: String,
    /// Mount options, such as `ro,nosuid,nodev`.
    pub flags: String,
}

/// What is left of a child after its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// How it ended.
    pub status: WaitStatus,
    /// The launcher sent SIGKILL before the process had ended by itself.
    pub killed_by_us: bool,
    /// Peak of the group's memory in bytes.
    pub memory_peak: u64,
    /// Kills by the group's memory limit.
    pub oom_kills: u64,
    /// Forks refused by the group's process limit.
    pub pids_refused: u64,
    /// Processor time of the group in microseconds.
    pub cpu_us: u64,
    /// Anything that could not be removed.
    pub left: Vec<String>,
}

/// A process's end, as waitid(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitStatus {
    /// `exit_group` with this status.
    Exited(i32),
    /// Killed by this signal.
    Signaled(i32),
}

/// Why an order was not carried out.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{step}: {detail}")]
pub struct Fault {
    /// What class of fault.
    pub kind: FaultKind,
    /// The step that failed, such as `cgroup: memory.limit_in_bytes`.
    pub step: String,
    /// errno, 0 = none.
    pub errno: i32,
    /// For people.
    pub detail: String,
}

/// Classes of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// A wall can't be put up, or was read back different: `wall/CONTROL`.
    Wall(Control),
    /// The engine's binary is missing or unsafe: `wall/engine-missing`.
    EngineMissing,
    /// The order breaks the launcher's rules: a fault of the broker.
    Refused,
    /// The child is gone.
    Gone,
    /// The launcher's configuration (broker.toml) is not acceptable.
    Config,
}

/// One end of the descriptor socket between broker and launcher.
#[derive(Debug)]
pub struct Doorbell {
    socket: OwnedFd,
}

/// One packet of the [`Doorbell`]: number of the order, and its descriptors.
#[derive(Debug)]
pub struct Ring {
    /// Number of the order that it announces or answers.
    pub no: u64,
    /// Descriptors in the order of [`Task::Start`]'s `fds`, or pidfd and
    /// `cgroup.kill`.
    pub fds: Vec<OwnedFd>,
}

impl Doorbell {
    /// Takes one end of a `SOCK_SEQPACKET` pair.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Announces order or answer `no` with its descriptors.
    pub fn ring(&self, no: u64, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        if fds.len() > MAX_FDS {
            return Err(Errno::INVAL);
        }
        let mut packet = [0; 12];
        let (head, tail) = packet.split_at_mut(8);
        head.copy_from_slice(&no.to_le_bytes());
        tail.copy_from_slice(&u32::try_from(fds.len()).unwrap_or(u32::MAX).to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::INVAL);
        }
        loop {
            let data = [IoSlice::new(&packet)];
            match rustix::net::sendmsg(&self.socket, &data, &mut control, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(other) => return Err(other),
            }
        }
    }

    /// Takes the next packet; waits until `deadline` (none: for ever). `None` =
    /// the other end is closed. `ETIMEDOUT` = the deadline passed; `EPROTO` =
    /// a packet that breaks the rules.
    pub fn answer(&self, deadline: Option<Instant>) -> Result<Option<Ring>, Errno> {
        self.wait(deadline)?;
        let mut packet = [0; 12];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            let mut data = [IoSliceMut::new(&mut packet)];
            match rustix::net::recvmsg(
                &self.socket,
                &mut data,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(got) => break got,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(None),
                Err(other) => return Err(other),
            }
        };
        let fds: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        if got.bytes == 0 {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h, n @ ..] = packet;
        let claimed = usize::try_from(u32::from_le_bytes(n)).map_err(|_| Errno::PROTO)?;
        let cut = got
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
        if cut || got.bytes != packet.len() || claimed != fds.len() {
            return Err(Errno::PROTO);
        }
        Ok(Some(Ring {
            no: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            fds,
        }))
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<(), Errno> {
        let Some(deadline) = deadline else {
            return Ok(());
        };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
            let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Err(Errno::TIMEDOUT),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(other) => return Err(other),
            }
        }
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn bells() -> (Doorbell, Doorbell) {
        let (a, b) = crate::link::pair().unwrap();
        (Doorbell::new(a), Doorbell::new(b))
    }

    #[test]
    fn descriptors_arrive_with_their_number() {
        let (broker, launcher) = bells();
        let (x, y) = crate::link::pair().unwrap();
        broker.ring(7, &[x.as_fd(), y.as_fd()]).unwrap();
        let ring = launcher.answer(None).unwrap().unwrap();
        assert_eq!((ring.no, ring.fds.len()), (7, 2));
    }

    #[test]
    fn a_closed_bell_is_told_apart_from_a_silent_one() {
        let (broker, launcher) = bells();
        let soon = Some(Instant::now() + Duration::from_millis(5));
        assert_eq!(launcher.answer(soon).unwrap_err(), Errno::TIMEDOUT);
        drop(broker);
        assert!(launcher.answer(None).unwrap().is_none());
    }

    #[test]
    fn a_packet_of_another_size_is_refused() {
        let (broker, launcher) = bells();
        rustix::net::send(&broker.socket, &[1; 5], SendFlags::empty()).unwrap();
        assert_eq!(launcher.answer(None).unwrap_err(), Errno::PROTO);
    }
}
