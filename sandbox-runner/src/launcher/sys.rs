//! The system calls that neither rustix nor nix wraps safely. The only unsafe
//! code of the launcher.
//!
//! Nothing here decides anything: each function is one call, and its result
//! is the kernel's word.
#![expect(
    unsafe_code,
    reason = "clone3, close_range, dup3 onto a fixed number and _exit have no safe wrapper"
)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::process::Pid;

/// The namespaces of every child but for the network's: all that exist but cgroup
/// (no cgroupfs is mounted inside) and time.
const NAMESPACES: u64 = flag(libc::CLONE_NEWUSER)
    | flag(libc::CLONE_NEWPID)
    | flag(libc::CLONE_NEWNS)
    | flag(libc::CLONE_NEWIPC)
    | flag(libc::CLONE_NEWUTS);

/// Whose network a child has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// One of its own, with nothing in it.
    Own,
    /// The host's: for the one engine that makes requests.
    Host,
}

impl Network {
    const fn flags(self) -> u64 {
        match self {
            Self::Own => flag(libc::CLONE_NEWNET),
            Self::Host => 0,
        }
    }
}

/// One kind of namespace, for whoever wants to know which of them can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    Mount,
    Pid,
    Net,
    Ipc,
    Uts,
}

impl Kind {
    /// The flags of these kinds together.
    pub(crate) fn flags(kinds: &[Self]) -> u64 {
        kinds.iter().fold(0, |all, kind| all | kind.bits())
    }

    const fn bits(self) -> u64 {
        flag(match self {
            Self::User => libc::CLONE_NEWUSER,
            Self::Mount => libc::CLONE_NEWNS,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Net => libc::CLONE_NEWNET,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
        })
    }
}

/// `CLONE_INTO_CGROUP` of linux/sched.h (5.7); it doesn't fit libc's `c_int`.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

#[expect(
    clippy::cast_sign_loss,
    reason = "flags of linux/sched.h are bit masks; none has the sign bit"
)]
const fn flag(bits: libc::c_int) -> u64 {
    bits as u64
}

/// Which side of [`clone_walled`] one finds oneself on.
pub(crate) enum Side {
    /// The new process, PID 1 of its namespace.
    Child,
    /// The launcher, with the child's pid in its own namespace.
    Parent {
        /// Pid as the launcher sees it.
        pid: Pid,
        /// Refers to this child for ever, whatever becomes of the number.
        pidfd: OwnedFd,
    },
}

/// `clone3(2)` with a copy of our memory, namespaces of its own and a pidfd;
/// straight into `group` if there is one (a v2 directory).
///
/// To be called by a process with one thread only: the child goes on with
/// whatever locks another thread held.
pub(crate) fn clone_walled(network: Network, group: Option<BorrowedFd<'_>>) -> Result<Side, Errno> {
    clone(NAMESPACES | network.flags(), group)
}

/// The same without some of the namespaces.
#[cfg(feature = "apart")]
pub(crate) fn clone_without(
    left_out: crate::apart::Without,
    network: Network,
    group: Option<BorrowedFd<'_>>,
) -> Result<Side, Errno> {
    use crate::apart::Layer;
    // Without its namespace of mounts it would change the host's: the layer of
    // mounts is left out by keeping the host's tree, in a namespace of its own.
    let kinds = [
        (Layer::User, libc::CLONE_NEWUSER),
        (Layer::Pid, libc::CLONE_NEWPID),
        (Layer::Ipc, libc::CLONE_NEWIPC),
        (Layer::Uts, libc::CLONE_NEWUTS),
        (Layer::Net, libc::CLONE_NEWNET),
    ];
    let gone = kinds.into_iter().filter(|(layer, _)| left_out.has(*layer));
    let gone = gone.fold(0, |bits, (_, kind)| bits | flag(kind));
    clone((NAMESPACES | network.flags()) & !gone, group)
}

/// A child that has a user namespace of its own and nothing else: its id maps
/// say who owns the files of a mount.
pub(crate) fn clone_for_ids() -> Result<Side, Errno> {
    clone(flag(libc::CLONE_NEWUSER), None)
}

/// A child with nothing of its own but a copy of our memory, as fork(2) makes it.
pub(crate) fn clone_plain() -> Result<Side, Errno> {
    clone(0, None)
}

/// A child with namespaces of these kinds and nothing else of its own.
pub(crate) fn clone_with(kinds: &[Kind]) -> Result<Side, Errno> {
    clone(Kind::flags(kinds), None)
}

/// A child with nothing of its own, born in `group` (a v2 directory).
pub(crate) fn clone_into(group: BorrowedFd<'_>) -> Result<Side, Errno> {
    clone(0, Some(group))
}

fn clone(namespaces: u64, group: Option<BorrowedFd<'_>>) -> Result<Side, Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: `clone_args` is plain integers; all zero is its documented
    // "nothing asked for".
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = namespaces | flag(libc::CLONE_PIDFD);
    args.pidfd = (&raw mut pidfd).addr() as u64;
    args.exit_signal = libc::SIGCHLD.unsigned_abs().into();
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group.as_raw_fd().unsigned_abs().into();
    }
    // SAFETY: `args` lives through the call and its size is given; no stack
    // and no CLONE_VM, so the child has a copy of this one's memory, as after
    // fork(2). The kernel writes only to `pidfd`, which lives too.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
    if result == 0 {
        return Ok(Side::Child);
    }
    let pid = checked(result)?;
    let pid = Pid::from_raw(pid).ok_or(Errno::INVAL)?;
    // SAFETY: clone3 succeeded with CLONE_PIDFD, so the kernel has just put a
    // new descriptor there; nothing else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Side::Parent { pid, pidfd })
}

/// Makes a mount that is attached nowhere yet read-only, without set-id bits and
/// devices; also not executable if `shut`, and with its files as the id maps of
/// `ids` have it (`mount_setattr(2)`, 5.12).
pub(crate) fn shut_mount(
    mount: BorrowedFd<'_>,
    shut: bool,
    ids: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let mut set = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    if shut {
        set |= libc::MOUNT_ATTR_NOEXEC;
    }
    if ids.is_some() {
        set |= libc::MOUNT_ATTR_IDMAP;
    }
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: ids.map_or(0, |ids| ids.as_raw_fd().unsigned_abs().into()),
    };
    // SAFETY: `attributes` lives through the call and its size is given; the
    // path is an empty, NUL-terminated string. The kernel only reads.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of_val(&attributes),
        )
    };
    checked(result).map(drop)
}

/// Marks every descriptor from `first` on close-on-exec (`close_range(2)`, 5.11).
pub(crate) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: three integers; it changes a flag of descriptors and frees
    // nothing that a Rust value still owns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    checked(result).map(drop)
}

/// Closes every descriptor from `first` on (`close_range(2)`, 5.9).
///
/// For a process that has opened nothing yet, or a child that only sleeps and ends
/// with [`exit_now`]: values may still hold them.
pub(crate) fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: three integers. Either no value owns a descriptor yet, or the child
    // opens what it needs anew by path, uses no value that owned one, and drops none.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    checked(result).map(drop)
}

/// Makes `number` a copy of `fd` that stays open across exec.
///
/// For the child on its way to exec only: what `number` was before is closed,
/// also if a value still holds it.
pub(crate) fn place_at(fd: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    // SAFETY: two integers and no flags. The child runs straight to exec and
    // uses no value that owned `number` (the caller keeps its own above).
    let result = unsafe { libc::syscall(libc::SYS_dup3, fd.as_raw_fd(), number, 0) };
    checked(result).map(drop)
}

/// Closes `number`, open or not; for the child on its way to exec only.
pub(crate) fn close_number(number: RawFd) {
    // SAFETY: one integer; EBADF is fine, and as above no value that owned
    // `number` is used again.
    unsafe { libc::syscall(libc::SYS_close, number) };
}

/// Ends this process without running anything that the parent's copy of the
/// memory would run at exit (`_exit(2)`).
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: takes an integer and doesn't return.
    unsafe { libc::_exit(status) }
}

/// Version of the kernel's Landlock ABI; `None` if it has none or it is off.
pub(crate) fn landlock_abi() -> Option<u32> {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with the version flag the attribute must be null and its size 0
    // (landlock_create_ruleset(2)); nothing is read or made.
    let result = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            VERSION,
        )
    };
    u32::try_from(result).ok().filter(|abi| *abi > 0)
}

/// The result of a raw call: what it gave, or the thread's errno.
pub(crate) fn checked(result: libc::c_long) -> Result<i32, Errno> {
    if result >= 0 {
        return i32::try_from(result).map_err(|_| Errno::OVERFLOW);
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}
