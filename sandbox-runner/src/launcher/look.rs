//! Reads a child back from outside, in the host's /proc and its group's files.
//!
//! Nothing read here can be forged by the child. A breach of what the launcher
//! itself put up, or what can't be read, kills the child; the broker compares the
//! rest with its plan.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use gm_protocol::orders::{Fault, Looked, Namespaces, SeenFd, SeenMount};
use gm_protocol::plan::{
    Control, DATA_PATH, Engine, FD_CODE, FD_LINK, GRANT_PATH, INNER_ID, LIBRARIES, LIBRARY_PATH,
};
use rustix::fs::{CWD, FileType, Stat, fstat, readlinkat, stat};
use rustix::io::Errno;
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};

use super::cgroup::Group;
use super::fault::{breach, errno, wall};
use super::ids::Ids;
use super::limits::{Bounds, parse};
use super::orders::Accepted;
use super::start::Process;

/// `/dev/null` is character device 1:3 on every Linux (devices.txt).
const NULL: (u32, u32) = (1, 3);

/// What the launcher put up round one child, to be found again.
#[derive(Debug)]
pub(crate) struct Expected {
    /// Device and inode of each descriptor that the engine was given.
    fds: HashMap<u32, (u64, u64)>,
    /// Resource limits.
    pub(crate) bounds: Bounds,
    /// Whether the supplementary groups were dropped.
    pub(crate) no_groups: bool,
    /// Whether the root may be executed from.
    pub(crate) executable: bool,
    /// How many granted paths there are, and whether there is a `$DATA`.
    mounted: (usize, bool),
    engine: Engine,
    /// Length of the executable, for an engine that has it as a descriptor.
    executable_bytes: Option<u64>,
}

impl Expected {
    /// Notes what the descriptors are, before the child has them.
    pub(crate) fn new(
        order: &Accepted,
        bounds: Bounds,
        no_groups: bool,
        executable: bool,
    ) -> Result<Self, Fault> {
        let noted = order.fds().into_iter().map(|(number, fd)| {
            let seen = fstat(fd).map_err(|e| wall(Control::Descriptors, "fstat", e))?;
            Ok((number.unsigned_abs(), (seen.st_dev, seen.st_ino)))
        });
        let code = order.code.as_ref().map(|(_, bytes)| *bytes);
        Ok(Self {
            fds: noted.collect::<Result<_, Fault>>()?,
            bounds,
            no_groups,
            executable,
            mounted: (order.reads.len(), order.data_bytes() > 0),
            engine: order.engine,
            executable_bytes: code.filter(|_| order.engine.starts_program()),
        })
    }
}

/// What is the same for all children: the launcher's own, which a child must
/// not have, and what it brings along.
#[derive(Debug)]
pub(crate) struct Host {
    namespaces: Namespaces,
    /// Seccomp filters that the launcher itself runs under.
    filters: u32,
}

impl Host {
    /// Reads the launcher's own state.
    pub(crate) fn own() -> Result<Self, Fault> {
        let proc = Path::new("/proc/self");
        let status = text(proc, "status")?;
        let filters = field(&status, "Seccomp_filters:")
            .and_then(|f| f.parse().ok())
            .unwrap_or(0);
        Ok(Self {
            namespaces: namespaces(proc)?,
            filters,
        })
    }
}

/// Reads the child `process` back. The caller makes sure afterwards that it still
/// lives, so that its number still meant it.
pub(crate) fn look(
    process: &Process,
    ids: &Ids,
    group: &Group,
    expected: &Expected,
    host: &Host,
) -> Result<Looked, Fault> {
    let proc = PathBuf::from(format!("/proc/{}", process.pid.as_raw_nonzero()));
    let status = text(&proc, "status")?;
    let limits = text(&proc, "limits")?;
    let cgroup = text(&proc, "cgroup")?;
    let now = group.limits_now();
    let root = stat(proc.join("root")).map_err(|e| unreadable(Control::Mounts, "root", e))?;
    let own = fstat(&process.pidfd).map_err(|e| unreadable(Control::Descriptors, "pidfd", e))?;
    let devices = Devices {
        root: root.st_dev,
        pidfds: own.st_dev,
    };
    let opened = open(process, &proc, &status)?;
    let (fds, stray) = descriptors(opened, expected, devices);
    let looked = Looked {
        uids: numbers(&status, "Uid:")?,
        gids: numbers(&status, "Gid:")?,
        groups: list(&status, "Groups:"),
        caps: capabilities(&status)?,
        no_new_privs: field(&status, "NoNewPrivs:") == Some("1"),
        seccomp_mode: number(&status, "Seccomp:")?,
        seccomp_filters: number(&status, "Seccomp_filters:")?.saturating_sub(host.filters),
        namespaces: namespaces(&proc)?,
        fds,
        mounts: sorted(mounts(&text(&proc, "mountinfo")?)),
        cgroups: group.paths(),
        memory_bytes: now.memory_bytes,
        pids: now.pids.into(),
        cpu_percent: now.cpu_percent.into(),
        nofile: parse(&limits, "Max open files")
            .and_then(|(_, hard)| hard)
            .unwrap_or(u64::MAX),
        uid_map: uid_map(&text(&proc, "uid_map")?),
    };
    if let Some(what) = stray {
        return Err(breach(Control::Descriptors, "look: fd", what));
    }
    if let Some(name) = expected.bounds.breach(&limits) {
        return Err(breach(Control::Descriptors, "look: limits", name));
    }
    if let Some(wall) = group.missing_in(&cgroup) {
        return Err(breach(wall, "look: cgroup", "not in its group"));
    }
    judge(&looked, ids, expected, host)?;
    Ok(looked)
}

/// By target, so that the root is first: a mount made elsewhere before may be
/// listed before it.
fn sorted(mut mounts: Vec<SeenMount>) -> Vec<SeenMount> {
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    mounts
}

/// The root, then the grants in order with what covers parts of them, `$DATA` and
/// the engine's own libraries: nothing else, and nothing but `$DATA` can be written.
fn mounted(seen: &Looked, expected: &Expected) -> bool {
    let [root, rest @ ..] = seen.mounts.as_slice() else {
        return false;
    };
    let has = |mount: &SeenMount, flags: &[&str]| {
        let set: Vec<&str> = mount.flags.split(',').collect();
        flags.iter().all(|flag| set.contains(flag))
    };
    let shut = ["nosuid", "nodev", "noexec"];
    let libraries = match expected.engine.has_libraries() {
        true => LIBRARIES.len(),
        false => 0,
    };
    let library_at = |mount: &SeenMount| {
        let below = mount.target.strip_prefix(LIBRARY_PATH);
        let name = below.and_then(|below| below.strip_prefix('/'));
        name.is_some_and(|name| LIBRARIES.contains(&name))
            && ["ro", "nosuid", "nodev"]
                .iter()
                .all(|flag| has(mount, &[flag]))
    };
    let (expected, data) = expected.mounted;
    let data_at = |mount: &SeenMount| {
        data && mount.target == DATA_PATH && mount.fs == "tmpfs" && has(mount, &shut)
    };
    let read_at = |mount: &SeenMount| {
        let below = mount
            .target
            .strip_prefix(GRANT_PATH)
            .and_then(|below| below.strip_prefix('/'));
        let number = below.and_then(|below| below.split('/').next()?.parse::<usize>().ok());
        number.is_some_and(|number| number < expected) && has(mount, &shut) && has(mount, &["ro"])
    };
    let grants = rest.iter().filter(|mount| read_at(mount)).count();
    let whole = rest
        .iter()
        .filter(|mount| read_at(mount) && mount.target.matches('/').count() == 2)
        .count();
    let mut seen: Vec<&str> = rest
        .iter()
        .filter(|m| library_at(m))
        .map(|m| &*m.target)
        .collect();
    seen.dedup();
    root.target == "/"
        && root.fs == "tmpfs"
        && rest.iter().filter(|mount| data_at(mount)).count() == usize::from(data)
        && whole == expected
        && seen.len() == libraries
        && grants + libraries + usize::from(data) == rest.len()
}

/// The launcher's own constants, one by one.
fn judge(seen: &Looked, ids: &Ids, expected: &Expected, host: &Host) -> Result<(), Fault> {
    let own = seen.namespaces;
    let theirs = host.namespaces;
    let map = [[INNER_ID, ids.uid, 1]];
    let flags = seen.mounts.first().map_or("", |m| m.flags.as_str());
    let flag = |name: &str| flags.split(',').any(|f| f == name);
    let rules = [
        (Control::Uid, "Uid", seen.uids == [ids.uid; 4]),
        (Control::Uid, "Gid", seen.gids == [ids.gid; 4]),
        (
            Control::Uid,
            "Groups",
            seen.groups.is_empty() || !expected.no_groups,
        ),
        (Control::Uid, "uid_map", seen.uid_map == map),
        (Control::Caps, "Cap*", seen.caps == 0),
        (Control::Caps, "NoNewPrivs", seen.no_new_privs),
        (Control::UserNs, "ns/user", own.user != theirs.user),
        (Control::MountNs, "ns/mnt", own.mnt != theirs.mnt),
        (Control::PidNs, "ns/pid", own.pid != theirs.pid),
        (
            Control::NetNs,
            "ns/net",
            (own.net == theirs.net) == expected.engine.shares_network(),
        ),
        (Control::IpcNs, "ns/ipc", own.ipc != theirs.ipc),
        (Control::UtsNs, "ns/uts", own.uts != theirs.uts),
        (Control::Mounts, "mountinfo", mounted(seen, expected)),
        (
            Control::Mounts,
            "mount flags",
            ["ro", "nosuid", "nodev"].into_iter().all(flag),
        ),
        (
            Control::Mounts,
            "mount noexec",
            flag("noexec") != expected.executable,
        ),
    ];
    match rules.iter().find(|(_, _, held)| !held) {
        Some((wall, what, _)) => {
            let step = format!("look: {what}");
            let found = match wall {
                Control::Mounts => format!("not as it was set: {:?}", seen.mounts),
                _ => "not as it was set".to_owned(),
            };
            Err(breach(*wall, &step, found))
        }
        None => Ok(()),
    }
}

fn text(proc: &Path, name: &str) -> Result<String, Fault> {
    let read = std::fs::read_to_string(proc.join(name));
    read.map_err(|e| unreadable(wall_of(name), name, errno(&e)))
}

/// The wall that can't be shown to be there without this file of /proc/PID.
fn wall_of(name: &str) -> Control {
    match name {
        "mountinfo" => Control::Mounts,
        "uid_map" => Control::Uid,
        "cgroup" => Control::CgroupMemory,
        "limits" => Control::Descriptors,
        _ => Control::Caps,
    }
}

fn unreadable(control: Control, name: &str, errno: Errno) -> Fault {
    wall(control, format!("look: {name}"), errno)
}

fn odd(control: Control, name: &str, detail: &str) -> Fault {
    breach(control, &format!("look: {name}"), detail)
}

/// The value of a line `NAME value` of /proc/PID/status.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn number(status: &str, name: &str) -> Result<u32, Fault> {
    let value = field(status, name).and_then(|value| value.parse().ok());
    value.ok_or_else(|| odd(Control::Seccomp, name, "no number"))
}

fn list(status: &str, name: &str) -> Vec<u32> {
    let words = field(status, name).unwrap_or_default().split_whitespace();
    words.filter_map(|word| word.parse().ok()).collect()
}

fn numbers(status: &str, name: &str) -> Result<[u32; 4], Fault> {
    list(status, name)
        .try_into()
        .map_err(|_| odd(Control::Uid, name, "not four numbers"))
}

/// Union of inheritable, permitted, effective, bounding and ambient set.
fn capabilities(status: &str) -> Result<u64, Fault> {
    ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"]
        .iter()
        .try_fold(0, |all, name| {
            let set = field(status, name).and_then(|hex| u64::from_str_radix(hex, 16).ok());
            Ok(all | set.ok_or_else(|| odd(Control::Caps, name, "no set"))?)
        })
}

fn namespaces(proc: &Path) -> Result<Namespaces, Fault> {
    let inode = |control, name: &str| {
        let seen = stat(proc.join("ns").join(name)).map_err(|e| unreadable(control, name, e))?;
        Ok::<u64, Fault>(seen.st_ino)
    };
    Ok(Namespaces {
        user: inode(Control::UserNs, "user")?,
        mnt: inode(Control::MountNs, "mnt")?,
        pid: inode(Control::PidNs, "pid")?,
        net: inode(Control::NetNs, "net")?,
        ipc: inode(Control::IpcNs, "ipc")?,
        uts: inode(Control::UtsNs, "uts")?,
    })
}

/// An open descriptor of a child.
struct Open {
    fd: u32,
    is: Stat,
    link: String,
}

/// Every open descriptor. An ordinary user may not list those of a process that
/// can't be dumped, which a walled one is: its /proc/PID/fd belongs to root. As
/// owner of the child's user namespace the launcher may take copies instead
/// (ptrace(2), "ptrace access mode checking").
fn open(process: &Process, proc: &Path, status: &str) -> Result<Vec<Open>, Fault> {
    match std::fs::read_dir(proc.join("fd")) {
        Ok(entries) => Ok(listed(proc, entries)),
        Err(e) if e.kind() == ErrorKind::PermissionDenied => copied(process, status),
        Err(e) => Err(unreadable(Control::Descriptors, "fd", errno(&e))),
    }
}

fn listed(proc: &Path, entries: std::fs::ReadDir) -> Vec<Open> {
    let numbers = entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    let seen = numbers.into_iter().filter_map(|fd| {
        let path = proc.join("fd").join(fd.to_string());
        // Closed since it was listed: not open.
        let (is, link) = stat(&path).ok().zip(link(&path))?;
        Some(Open { fd, is, link })
    });
    seen.collect()
}

/// `FDSize` is the size of the kernel's table: no descriptor lies beyond it.
fn copied(process: &Process, status: &str) -> Result<Vec<Open>, Fault> {
    let refused = |e| unreadable(Control::Descriptors, "fd", e);
    let size = number(status, "FDSize:")?;
    let mut seen = Vec::new();
    for fd in 0..size {
        let number = i32::try_from(fd).map_err(|_| refused(Errno::OVERFLOW))?;
        let copy = match pidfd_getfd(&process.pidfd, number, PidfdGetfdFlags::empty()) {
            Ok(copy) => copy,
            Err(Errno::BADF) => continue,
            Err(e) => return Err(refused(e)),
        };
        let is = fstat(&copy).map_err(refused)?;
        let own = format!("/proc/self/fd/{}", copy.as_raw_fd());
        let link = link(Path::new(&own)).ok_or(refused(Errno::IO))?;
        seen.push(Open { fd, is, link });
    }
    Ok(seen)
}

fn link(path: &Path) -> Option<String> {
    let link = readlinkat(CWD, path, Vec::new()).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// What is open as people read it, and the first that the child can't have from us.
fn descriptors(
    open: Vec<Open>,
    expected: &Expected,
    devices: Devices,
) -> (Vec<SeenFd>, Option<String>) {
    let mut fds = Vec::new();
    let mut stray = None;
    for Open { fd, is, link } in open {
        // The host's /dev is detached in the child, so the link says "/null".
        let target = if is_null(&is) {
            "/dev/null".into()
        } else {
            link
        };
        if !allowed(fd, &is, expected, devices) {
            stray.get_or_insert(format!("{fd} -> {target}"));
        }
        fds.push(SeenFd { fd, target });
    }
    if !fds.iter().any(|seen| seen.fd == FD_LINK.unsigned_abs()) {
        stray.get_or_insert("no link".into());
    }
    (fds, stray)
}

/// File systems by which a descriptor is known that did not come with an order.
#[derive(Clone, Copy)]
struct Devices {
    /// The child's own root.
    root: u64,
    /// Where pidfds lie.
    pidfds: u64,
}

/// 0–2 are /dev/null; any other is the very object that came with the order. What
/// runs a program also holds the executable, which is the one file of its own root
/// that has no name; then the pipes to the program and its pidfd.
fn allowed(fd: u32, seen: &Stat, expected: &Expected, devices: Devices) -> bool {
    let came = expected.fds.get(&fd) == Some(&(seen.st_dev, seen.st_ino));
    let kind = FileType::from_raw_mode(seen.st_mode);
    let size = u64::try_from(seen.st_size).ok();
    match fd {
        0..=2 => is_null(seen),
        _ if came => true,
        _ if !expected.engine.starts_program() => false,
        _ if kind == FileType::Fifo || seen.st_dev == devices.pidfds => true,
        _ => {
            kind == FileType::RegularFile
                && fd == FD_CODE.unsigned_abs()
                && (seen.st_dev, seen.st_nlink) == (devices.root, 0)
                && size.is_some()
                && size == expected.executable_bytes
        }
    }
}

fn is_null(seen: &Stat) -> bool {
    let device = (
        rustix::fs::major(seen.st_rdev),
        rustix::fs::minor(seen.st_rdev),
    );
    FileType::from_raw_mode(seen.st_mode) == FileType::CharacterDevice && device == NULL
}

/// Mount point, type and options of each line of a mountinfo.
fn mounts(mountinfo: &str) -> Vec<SeenMount> {
    let parse = |line: &str| {
        let (mount, rest) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(4);
        Some(SeenMount {
            target: fields.next()?.to_owned(),
            flags: fields.next()?.to_owned(),
            fs: rest.split(' ').next()?.to_owned(),
        })
    };
    // A line that doesn't parse must not hide a mount.
    let broken = || SeenMount {
        target: "?".into(),
        fs: "?".into(),
        flags: String::new(),
    };
    mountinfo
        .lines()
        .map(|line| parse(line).unwrap_or_else(broken))
        .collect()
}

fn uid_map(text: &str) -> Vec<[u32; 3]> {
    let words = |line: &str| {
        line.split_whitespace()
            .filter_map(|w| w.parse().ok())
            .collect::<Vec<u32>>()
    };
    text.lines()
        .filter_map(|line| words(line).try_into().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_union_of_capabilities_leaves_no_set_out() {
        let status = "CapInh:\t1\nCapPrm:\t2\nCapEff:\t4\nCapBnd:\t8\nCapAmb:\t10\n";
        assert_eq!(capabilities(status).unwrap(), 0x1f);
        assert!(capabilities("CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapAmb:\t0\n").is_err());
    }

    #[test]
    fn a_mount_line_that_cannot_be_read_still_counts() {
        let text = "900 1 0:60 / / ro,nosuid,nodev - tmpfs tmpfs rw,size=64k\ngarbage\n";
        let seen = mounts(text);
        assert_eq!(
            (seen[0].target.as_str(), seen[0].fs.as_str()),
            ("/", "tmpfs")
        );
        assert_eq!(seen[1].target, "?");
    }

    #[test]
    fn groups_may_be_empty_but_ids_may_not() {
        let status = "Uid:\t1\t1\t1\t1\nGroups:\t \n";
        assert_eq!(numbers(status, "Uid:").unwrap(), [1; 4]);
        assert!(list(status, "Groups:").is_empty());
        assert!(numbers(status, "Gid:").is_err());
    }

    #[test]
    fn the_launchers_own_state_can_be_read() {
        assert!(Host::own().unwrap().namespaces.user > 0);
    }
}
