//! What this process is in: a container, filters of others, a /proc that hides things.

use super::check::Seen;
use super::facts::{Facts, read};

/// The first pid namespace of every machine (linux/proc_ns.h).
const FIRST_PIDS: &str = "pid:[4026531836]";

/// What was found around us.
#[derive(Debug)]
pub(super) struct Around {
    /// The kind of container, if it is one.
    pub(super) container: Option<&'static str>,
    /// Filters that were there before ours.
    pub(super) filters: u32,
}

impl Around {
    /// Looks. Call it before any filter of ours.
    pub(super) fn look() -> Self {
        let status = read("/proc/self/status").unwrap_or_default();
        let filters = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp_filters:"))
            .and_then(|number| number.trim().parse().ok());
        Self {
            container: container(),
            filters: filters.unwrap_or(0),
        }
    }
}

fn container() -> Option<&'static str> {
    let there = |path: &str| std::path::Path::new(path).exists();
    // A machine that was made from a container's image has its marks and is none.
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    if own.as_os_str() == FIRST_PIDS {
        return None;
    }
    if there("/var/run/secrets/kubernetes.io") {
        return Some("kubernetes");
    }
    if there("/run/.containerenv") {
        return Some("podman");
    }
    if there("/.dockerenv") {
        return Some("docker");
    }
    let named = read("/run/systemd/container").or_else(|| {
        let environment = read("/proc/1/environ")?;
        let named = environment
            .split('\0')
            .find_map(|one| one.strip_prefix("container="))?;
        Some(named.to_owned())
    });
    match named?.as_str() {
        "podman" => Some("podman"),
        "docker" => Some("docker"),
        "lxc" | "lxc-libvirt" => Some("lxc"),
        "systemd-nspawn" => Some("systemd-nspawn"),
        _ => Some("container"),
    }
}

/// What a container must be started with so that this can be had in it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// Namespaces, mounts and filters of one's own.
    Calls,
    /// Groups that can be written.
    Groups,
    /// A whole /proc.
    Proc,
}

/// The option of the container, as its own command takes it.
pub(super) fn option(container: &str, wanted: Wanted) -> String {
    let text = match (container, wanted) {
        ("kubernetes", Wanted::Calls) => {
            "in the pod: securityContext: {seccompProfile: {type: Unconfined}, \
             appArmorProfile: {type: Unconfined}, procMount: Unmasked} and hostUsers: false"
        }
        ("kubernetes", Wanted::Groups) => "in the pod: securityContext: {privileged: true}",
        ("kubernetes", Wanted::Proc) => {
            "in the pod: securityContext: {procMount: Unmasked} and hostUsers: false"
        }
        ("podman", Wanted::Calls) => {
            "podman run --security-opt seccomp=unconfined --security-opt unmask=ALL …"
        }
        ("podman", Wanted::Groups) => "podman run --security-opt unmask=/sys/fs/cgroup …",
        ("podman", Wanted::Proc) => "podman run --security-opt unmask=ALL …",
        ("lxc", Wanted::Calls | Wanted::Proc) => {
            "in the container's configuration: lxc.include = /usr/share/lxc/config/nesting.conf"
        }
        ("lxc", Wanted::Groups) => {
            "in the container's configuration: lxc.mount.auto = cgroup:rw:force"
        }
        ("systemd-nspawn", Wanted::Calls | Wanted::Proc) => {
            "systemd-nspawn --private-users=no --system-call-filter='@mount @keyring bpf' …"
        }
        ("systemd-nspawn", Wanted::Groups) => "systemd-nspawn --boot …, a service in it",
        (_, Wanted::Calls) => {
            "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
             --security-opt systempaths=unconfined …"
        }
        (_, Wanted::Groups) => "docker run --privileged --cgroupns=private …",
        (_, Wanted::Proc) => "docker run --security-opt systempaths=unconfined …",
    };
    text.to_owned()
}

/// Inside a container?
pub(super) fn in_container(facts: &Facts) -> Seen {
    match facts.around.container {
        None => Seen::info("none that shows itself"),
        Some(kind) => Seen::info(format!(
            "{kind}: what it forbids is felt here, and no plugin can be given more than it has"
        )),
    }
}

/// Filters of others.
pub(super) fn outer_filters(facts: &Facts) -> Seen {
    match facts.around.filters {
        0 => Seen::info("none"),
        number => Seen::info(format!(
            "{number} of others: what they refuse, nobody below can do; each makes a call dearer"
        )),
    }
}

/// A /proc that hides or locks things.
pub(super) fn masked(facts: &Facts) -> Seen {
    let mut over = Vec::new();
    for line in facts.mounts.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(point), Some(options)) = (fields.next(), fields.next()) else {
            continue;
        };
        let shut = options.split(',').any(|option| option == "ro");
        if shut && matches!(point, "/proc" | "/proc/sys" | "/proc/sys/user") {
            return Seen::gap(
                format!("{point} is mounted read-only, and each child writes there"),
                match facts.around.container {
                    Some(kind) => option(kind, Wanted::Proc),
                    None => facts.as_root(&format!("mount -o remount,bind,rw {point}")),
                },
            );
        }
        if point.starts_with("/proc/") && !point.starts_with("/proc/sys/fs/binfmt_misc") {
            over.push(point);
        }
    }
    match over.is_empty() {
        true => Seen::ok("whole"),
        false => Seen::info(format!("covered: {}; no child needs it", over.join(", "))),
    }
}
