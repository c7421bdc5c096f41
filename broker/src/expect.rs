//! What a walled process must look like, from inside and from outside. Any
//! difference from the plan is a missing wall.

use std::os::unix::fs::MetadataExt;

use gm_protocol::message::Report;
use gm_protocol::orders::{CgroupPaths, Looked, Namespaces, SeenMount, Stage, Started};
use gm_protocol::plan::{
    Control, DATA_PATH, Engine, FD_CODE, FD_LINK, GRANT_PATH, INNER_ID, LIBRARIES, LIBRARY_PATH,
    Level, Limits,
};

/// How /proc names the executable, whose name is removed before it runs.
const UNNAMED_CODE: &str = "/code (deleted)";

/// A wall that differs, and how.
pub type Breach = (Control, String);

/// What the broker knows of a process that is looked at.
#[derive(Debug)]
pub struct Expected<'a> {
    /// What the launcher said at the start.
    pub started: &'a Started,
    /// The limits that were ordered.
    pub limits: &'a Limits,
    /// How many paths of the host are granted, and whether there is a `$DATA`.
    pub mounted: (usize, bool),
    /// Which binary.
    pub engine: Engine,
    /// How far it is.
    pub stage: Stage,
}

fn holds(control: Control, what: &str, right: bool) -> Result<(), Breach> {
    if right {
        Ok(())
    } else {
        Err((control, what.to_owned()))
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(
    control: Control,
    what: &str,
    seen: T,
    planned: T,
) -> Result<(), Breach> {
    if seen == planned {
        Ok(())
    } else {
        Err((
            control,
            format!("{what}: seen {seen:?}, planned {planned:?}"),
        ))
    }
}

/// Checks what a process says of itself once its walls are up.
pub fn report(report: &Report, landlock_abi: u32, engine: Engine) -> Result<(), Breach> {
    equal(
        Control::Seccomp,
        "protocol of the runner",
        report.protocol,
        gm_protocol::PROTOCOL,
    )?;
    equal(Control::Uid, "uids inside", report.uids, [INNER_ID; 3])?;
    equal(Control::Uid, "gids inside", report.gids, [INNER_ID; 3])?;
    equal(Control::Caps, "capabilities inside", report.caps, 0)?;
    holds(
        Control::Caps,
        "no_new_privs is off inside",
        report.no_new_privs,
    )?;
    holds(Control::Caps, "the process is dumpable", !report.dumpable)?;
    holds(
        Control::Landlock,
        "the kernel's Landlock ABI is below the plan's",
        report.landlock_abi >= landlock_abi,
    )?;
    holds(
        Control::Landlock,
        "the root opens in spite of Landlock",
        report.root_refused,
    )?;
    holds(
        Control::Seccomp,
        "a call of the soft layer was let through",
        report.soft_refused,
    )?;
    let known = engine
        .descriptors()
        .iter()
        .fold(0b111_u64, |set, fd| set | 1 << fd);
    holds(
        Control::Descriptors,
        &format!("descriptors inside: {:#b}", report.fds),
        report.fds & !known == 0,
    )
}

/// Checks what the launcher saw of a process.
pub fn looked(looked: &Looked, expected: &Expected<'_>) -> Result<(), Breach> {
    let started = expected.started;
    equal(Control::Uid, "host uids", looked.uids, [started.uid; 4])?;
    equal(Control::Uid, "host gids", looked.gids, [started.gid; 4])?;
    holds(
        Control::Uid,
        "the host uid is 0",
        started.uid != 0 && started.gid != 0,
    )?;
    equal(Control::Caps, "capabilities", looked.caps, 0)?;
    holds(Control::Caps, "no_new_privs is off", looked.no_new_privs)?;
    equal(Control::Seccomp, "seccomp mode", looked.seccomp_mode, 2)?;
    // The compile process has one stage: its last filter is up at once.
    let running = expected.engine.stays() && expected.stage == Stage::Loaded;
    let filters = if running { 4 } else { 3 };
    holds(
        Control::Seccomp,
        &format!(
            "{} seccomp filters, at least {filters} planned",
            looked.seccomp_filters
        ),
        looked.seccomp_filters >= filters,
    )?;
    descriptors(looked, expected)?;
    if started.level >= Level::L3 {
        // A gid map that was written without privilege keeps them (user_namespaces(7)).
        holds(
            Control::Uid,
            "supplementary groups are left",
            looked.groups.is_empty() || started.uid_shared,
        )?;
        namespaces(&looked.namespaces, expected.engine)?;
        mounts(looked, expected)?;
    }
    if started.level >= Level::L4 {
        groups(looked, expected)?;
    }
    Ok(())
}

fn descriptors(looked: &Looked, expected: &Expected<'_>) -> Result<(), Breach> {
    for seen in &looked.fds {
        let fd = i32::try_from(seen.fd).unwrap_or(i32::MAX);
        let right = match fd {
            0..=2 => seen.target == "/dev/null",
            FD_LINK => seen.target.starts_with("socket:["),
            // To and from the program; and to know of its end.
            _ if expected.engine.starts_program() && expected.stage == Stage::Loaded => {
                seen.target.starts_with("pipe:[") || seen.target == "anon_inode:[pidfd]"
            }
            fd if !expected.engine.descriptors().contains(&fd) => false,
            // Code and assets are mapped and closed before the last filter.
            _ if expected.engine.stays() && expected.stage == Stage::Loaded => false,
            FD_CODE if expected.engine.starts_program() => seen.target == UNNAMED_CODE,
            _ => seen.target.starts_with("/memfd:"),
        };
        holds(
            Control::Descriptors,
            &format!("descriptor {fd} is {:?}", seen.target),
            right,
        )?;
    }
    let has = |fd: u32| looked.fds.iter().any(|seen| seen.fd == fd);
    holds(
        Control::Descriptors,
        "a standard descriptor or the link is missing",
        (0..4).all(has),
    )
}

/// Every namespace must be another than the broker's own; but the network's of the
/// process that makes requests must be that one.
fn namespaces(seen: &Namespaces, engine: Engine) -> Result<(), Breach> {
    let all = [
        (Control::UserNs, "user", seen.user),
        (Control::MountNs, "mnt", seen.mnt),
        (Control::PidNs, "pid", seen.pid),
        (Control::NetNs, "net", seen.net),
        (Control::IpcNs, "ipc", seen.ipc),
        (Control::UtsNs, "uts", seen.uts),
    ];
    for (control, name, inode) in all {
        let own = std::fs::metadata(format!("/proc/self/ns/{name}"))
            .map_err(|error| (control, format!("own {name} namespace: {error}")))?;
        let shared = control == Control::NetNs && engine.shares_network();
        let what = match shared {
            true => format!("the {name} namespace is not the broker's"),
            false => format!("the {name} namespace is the broker's"),
        };
        holds(control, &what, inode != 0 && (own.ino() == inode) == shared)?;
    }
    Ok(())
}

/// The root, read-only and with nothing of the host in it but what is granted and
/// what its own binary is linked with; and that read-only too. `$DATA` alone can be
/// written.
fn mounts(looked: &Looked, expected: &Expected<'_>) -> Result<(), Breach> {
    let (grants, data) = expected.mounted;
    let [root, rest @ ..] = looked.mounts.as_slice() else {
        return Err((Control::Mounts, "no mounts".into()));
    };
    equal(Control::Mounts, "mount point", root.target.as_str(), "/")?;
    equal(
        Control::Mounts,
        "file system of the root",
        root.fs.as_str(),
        "tmpfs",
    )?;
    flags(root, &["ro", "nosuid", "nodev"])?;
    let (mut seen, mut has_data) = (0, false);
    let mut libraries = Vec::new();
    for mount in rest {
        if let Some(name) = library(mount).filter(|_| expected.engine.has_libraries()) {
            flags(mount, &["ro", "nosuid", "nodev"])?;
            libraries.push(name);
            continue;
        }
        let shut = ["nosuid", "nodev", "noexec"];
        flags(mount, &shut)?;
        if mount.target == DATA_PATH {
            holds(Control::Mounts, "$DATA is not a tmpfs", mount.fs == "tmpfs")?;
            has_data = true;
            continue;
        }
        flags(mount, &["ro"])?;
        let below = mount
            .target
            .strip_prefix(GRANT_PATH)
            .and_then(|below| below.strip_prefix('/'));
        let mut parts = below.unwrap_or_default().split('/');
        let number = parts.next().and_then(|number| number.parse::<usize>().ok());
        let right = number.is_some_and(|number| number < grants);
        holds(Control::Mounts, &format!("mount {}", mount.target), right)?;
        // What lies deeper covers a part of a grant.
        seen += usize::from(parts.next().is_none());
    }
    let planned: &[&str] = match expected.engine.has_libraries() {
        true => &LIBRARIES,
        false => &[],
    };
    equal(Control::Mounts, "libraries", &*libraries, planned)?;
    equal(Control::Mounts, "granted paths", seen, grants)?;
    equal(Control::Mounts, "$DATA", has_data, data)
}

/// The name of a library that is mounted in its place.
fn library(mount: &SeenMount) -> Option<&str> {
    let below = mount.target.strip_prefix(LIBRARY_PATH)?;
    below.strip_prefix('/').filter(|name| !name.contains('/'))
}

fn flags(mount: &SeenMount, wanted: &[&str]) -> Result<(), Breach> {
    for flag in wanted {
        let set = mount.flags.split(',').any(|seen| seen == *flag);
        let what = format!("{} is not mounted {flag}: {}", mount.target, mount.flags);
        holds(Control::Mounts, &what, set)?;
    }
    Ok(())
}

fn groups(looked: &Looked, expected: &Expected<'_>) -> Result<(), Breach> {
    let CgroupPaths { memory, pids, cpu } = &expected.started.cgroups;
    for (control, seen, planned) in [
        (Control::CgroupMemory, &looked.cgroups.memory, memory),
        (Control::CgroupPids, &looked.cgroups.pids, pids),
        (Control::CgroupCpu, &looked.cgroups.cpu, cpu),
    ] {
        equal(control, "cgroup", seen, planned)?;
        holds(control, "no cgroup of its own", planned.contains("gm-"))?;
    }
    let limits = expected.limits;
    equal(
        Control::CgroupMemory,
        "memory limit",
        looked.memory_bytes,
        limits.memory_bytes,
    )?;
    equal(
        Control::CgroupPids,
        "process limit",
        looked.pids,
        u64::from(limits.pids),
    )?;
    equal(
        Control::CgroupCpu,
        "cpu limit",
        looked.cpu_percent,
        u64::from(limits.cpu_percent),
    )
}
