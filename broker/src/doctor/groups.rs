//! Groups: which controllers can be used, and whether their limits are felt.

use gm_protocol::trials::{Miss, Trial};

use super::around::{Wanted, option};
use super::check::Seen;
use super::facts::{Facts, read};
use super::mend::newer_kernel;

/// Where the hierarchies are mounted.
pub(super) fn mode(facts: &Facts) -> Seen {
    let Ok(host) = &facts.host else {
        return Seen::info("not tried: the launcher could not begin");
    };
    let text = match host.cgroup_mode.as_str() {
        "v1" => "v1: each controller by itself; a group is killed process by process",
        "v2" => "v2: one hierarchy",
        "hybrid" => "hybrid: limits by v1, killed at once by v2",
        _ => {
            let none = "none within reach of this process's own group";
            return Seen::gap(none, mount_fix(facts));
        }
    };
    Seen::info(text)
}

pub(super) fn memory(facts: &Facts) -> Seen {
    limit(facts, Trial::GroupMemory, "memory")
}

pub(super) fn pids(facts: &Facts) -> Seen {
    limit(facts, Trial::GroupPids, "pids")
}

pub(super) fn cpu(facts: &Facts) -> Seen {
    limit(facts, Trial::GroupCpu, "cpu")
}

fn limit(facts: &Facts, what: Trial, controller: &str) -> Seen {
    match facts.outcome(what) {
        Ok(found) => Seen::ok(found),
        Err(miss) => Seen::gap(&*miss.why, fix(facts, controller, &miss)),
    }
}

/// How a group ends.
pub(super) fn kill(facts: &Facts) -> Seen {
    match facts.outcome(Trial::GroupKill) {
        Ok(found) => Seen::ok(found),
        Err(miss) => Seen::gap(&*miss.why, fix(facts, "pids", &miss)),
    }
}

/// Whether a kill by the limit is told.
pub(super) fn events(facts: &Facts) -> Seen {
    match facts.outcome(Trial::GroupEvents) {
        Ok(found) => Seen::ok(found),
        Err(miss) => Seen::gap(&*miss.why, fix(facts, "memory", &miss)),
    }
}

/// What bounds swap, where there is any.
pub(super) fn swap(facts: &Facts) -> Seen {
    let areas = read("/proc/swaps").map_or(0, |text| text.lines().count().saturating_sub(1));
    match (facts.outcome(Trial::GroupSwap), areas) {
        (Ok(found), 0) => Seen::ok(format!("{found}; the machine has no swap")),
        (Ok(found), _) => Seen::ok(found),
        (Err(_), 0) => Seen::ok("the machine has no swap"),
        (Err(miss), _) => {
            let fix = facts.as_root("swapoff -a");
            Seen::gap(format!("{}; the machine has swap", miss.why), fix)
        }
    }
}

/// What all plugins together may be given.
pub(super) fn room(facts: &Facts) -> Seen {
    let Ok(host) = &facts.host else {
        return Seen::info("not tried: the launcher could not begin");
    };
    let reserve = facts.place.config.limits.reserve.get();
    let left = host.memory_bytes.saturating_sub(reserve);
    let found = format!(
        "{} MiB by this group and the machine, {} of them kept back (limits.reserve)",
        host.memory_bytes >> 20,
        reserve >> 20
    );
    match left < 32 << 20 {
        false => Seen::info(found),
        true => Seen::gap(
            format!("{found}: no plugin of 32 MiB has room"),
            "systemd-run --scope -p MemoryMax=1G gm-broker … # a group with more memory",
        ),
    }
}

/// Why a controller can't be used is seen by how it is mounted.
fn fix(facts: &Facts, controller: &str, miss: &Miss) -> String {
    let mount = mount_of(&facts.mounts, controller);
    if let Some(point) = mount
        .as_ref()
        .filter(|mount| mount.shut)
        .map(|mount| &mount.point)
    {
        return match facts.around.container {
            Some(kind) => option(kind, Wanted::Groups),
            None => facts.as_root(&format!("mount -o remount,bind,rw {point}")),
        };
    }
    if let Some(kind) = facts.around.container {
        return option(kind, Wanted::Groups);
    }
    match mount {
        None => mount_fix(facts),
        Some(_) if facts.host.is_err() => "mend the gaps above, and ask again".into(),
        Some(mount) if facts.is_root() => match mount.v2 {
            // Processes beside ours keep the controllers from being handed down.
            true => "systemd-run --scope -p Delegate=yes gm-broker …".into(),
            false
                if !facts
                    .place
                    .config
                    .isolation
                    .cgroup_parent
                    .iter()
                    .all(|p| p.is_empty()) =>
            {
                parent_fix(facts)
            }
            false => newer_kernel(
                facts,
                &format!(
                    "CONFIG_CGROUPS and the controller {controller} ({})",
                    miss.why
                ),
            ),
        },
        Some(mount) if mount.v2 => "systemd-run --user --scope -p Delegate=yes gm-broker …".into(),
        Some(_) => delegate(facts),
    }
}

/// The group of `isolation.cgroup_parent` isn't there.
fn parent_fix(facts: &Facts) -> String {
    let parent = facts.place.config.isolation.cgroup_parent.clone();
    let parent = parent.unwrap_or_default();
    let points = points(&facts.mounts);
    let dirs: Vec<String> = points
        .iter()
        .map(|point| format!("{point}{parent}"))
        .collect();
    facts.as_root(&format!("mkdir -p {}", dirs.join(" ")))
}

/// v1 has no delegation but by owner.
fn delegate(facts: &Facts) -> String {
    let group = format!("/gm-of-{}", facts.uid);
    let dirs: Vec<String> = points(&facts.mounts)
        .iter()
        .map(|point| format!("{point}{group}"))
        .collect();
    let dirs = dirs.join(" ");
    format!(
        "sudo install -d -o {} {dirs} # and cgroup_parent = \"{group}\" in [isolation]",
        facts.uid
    )
}

fn mount_fix(facts: &Facts) -> String {
    match facts.around.container {
        Some(kind) => option(kind, Wanted::Groups),
        None => facts.as_root("mount -t cgroup2 none /sys/fs/cgroup"),
    }
}

/// The mount of a hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: String,
    v2: bool,
    /// Mounted read-only.
    shut: bool,
}

/// Where a controller is mounted: the last mount counts, and v1 before v2.
fn mount_of(mounts: &str, controller: &str) -> Option<Mount> {
    let all: Vec<Mount> = mounts
        .lines()
        .filter_map(|line| parse(line, controller))
        .collect();
    let find = |v2| all.iter().rposition(|mount| mount.v2 == v2);
    let at = find(false).or_else(|| find(true))?;
    all.into_iter().nth(at)
}

/// One line of mountinfo (proc_pid_mountinfo(5)).
fn parse(line: &str, controller: &str) -> Option<Mount> {
    let (mount, system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(4);
    let (point, options) = (fields.next()?, fields.next()?);
    let mut fields = system.split(' ');
    let (kind, named) = (fields.next()?, fields.nth(1)?);
    let v2 = match kind {
        "cgroup" if named.split(',').any(|name| name == controller) => false,
        "cgroup2" => true,
        _ => return None,
    };
    Some(Mount {
        point: point.to_owned(),
        v2,
        shut: options.split(',').any(|option| option == "ro"),
    })
}

/// Every hierarchy that we use.
fn points(mounts: &str) -> Vec<String> {
    let mut points = Vec::new();
    for controller in ["memory", "pids", "cpu"] {
        points.extend(mount_of(mounts, controller).map(|mount| mount.point));
    }
    let unified = mounts
        .lines()
        .filter_map(|line| parse(line, ""))
        .find(|mount| mount.v2);
    points.extend(unified.map(|mount| mount.point));
    points.sort();
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
35 31 0:32 / /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_controller_is_found_where_it_is_mounted() {
        let memory = mount_of(HYBRID, "memory").unwrap();
        assert_eq!(memory.point, "/sys/fs/cgroup/memory");
        assert!(memory.shut && !memory.v2);
        assert!(!mount_of(HYBRID, "pids").unwrap().shut);
        // What v1 hasn't may be on v2.
        assert!(mount_of(HYBRID, "io").unwrap().v2);
        assert_eq!(mount_of("", "memory"), None);
    }

    #[test]
    fn every_hierarchy_that_is_used_is_named_once() {
        assert_eq!(
            points(HYBRID),
            [
                "/sys/fs/cgroup/cpu",
                "/sys/fs/cgroup/memory",
                "/sys/fs/cgroup/pids",
                "/sys/fs/cgroup/unified"
            ]
        );
    }
}
