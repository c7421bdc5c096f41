//! Where the cgroup hierarchies are mounted and which group we are in.
//!
//! Only reads two texts of /proc; makes nothing.

use std::path::{Path, PathBuf};

/// What a hierarchy can do for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Limits memory.
    Memory,
    /// Limits the number of processes.
    Pids,
    /// Limits processor time.
    Cpu,
    /// v1 only: stops a group so that it can be killed without a race.
    Freezer,
    /// v2 without controllers beside v1: `CLONE_INTO_CGROUP` and `cgroup.kill`.
    Plain,
}

impl Control {
    /// The name of the controller in the kernel's files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
            Self::Freezer => "freezer",
            Self::Plain => "",
        }
    }
}

/// One hierarchy, and our parent group in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Directory of the parent group.
    pub(super) dir: PathBuf,
    /// The same as `/proc/PID/cgroup` writes it.
    pub(super) path: String,
    /// Whether it is the unified hierarchy.
    pub(super) v2: bool,
    /// What it does for us.
    pub(super) controls: Vec<Control>,
}

/// Every hierarchy that we use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    pub(super) places: Vec<Place>,
}

impl Tree {
    /// Finds the hierarchies. `parent` = "" takes our own group in each, else
    /// the group of that path in every one.
    pub(crate) fn find(parent: &str) -> std::io::Result<Self> {
        let cgroup = std::fs::read_to_string("/proc/self/cgroup")?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let offered = |dir: &Path| super::read(dir, "cgroup.controllers").unwrap_or_default();
        Ok(Self::parse(&cgroup, &mounts, parent, &offered))
    }

    /// `v1`, `v2`, `hybrid` or `none`.
    pub(crate) fn mode(&self) -> &'static str {
        let limits = |p: &&Place| !p.controls.contains(&Control::Plain);
        let v1 = self.places.iter().any(|p| !p.v2);
        let v2 = self.places.iter().any(|p| p.v2);
        match (v1, v2, self.places.iter().find(limits)) {
            (_, _, None) => "none",
            (true, true, _) => "hybrid",
            (true, false, _) => "v1",
            (false, ..) => "v2",
        }
    }

    fn parse(cgroup: &str, mounts: &str, parent: &str, offered: &dyn Fn(&Path) -> String) -> Self {
        let mut tree = Self::default();
        let unified = place(cgroup, mounts, parent, "");
        let on_v2 = unified
            .as_ref()
            .map(|p| offered(&p.dir))
            .unwrap_or_default();
        for control in [Control::Memory, Control::Pids, Control::Cpu] {
            let found = place(cgroup, mounts, parent, control.name()).or_else(|| {
                let has = on_v2.split_whitespace().any(|name| name == control.name());
                unified.clone().filter(|_| has)
            });
            tree.add(found, control);
        }
        if unified.is_none() {
            tree.add(place(cgroup, mounts, parent, "freezer"), Control::Freezer);
        } else if tree.places.iter().all(|p| !p.v2) {
            tree.add(unified, Control::Plain);
        }
        tree
    }

    /// Controllers mounted together are one directory, made once.
    fn add(&mut self, place: Option<Place>, control: Control) {
        let Some(mut place) = place else { return };
        match self.places.iter_mut().find(|known| known.dir == place.dir) {
            Some(known) => known.controls.push(control),
            None => {
                place.controls.push(control);
                self.places.push(place);
            }
        }
    }
}

/// The hierarchy of the v1 controller `name` ("" = the unified one), unless it
/// isn't mounted where we can reach our own group.
fn place(cgroup: &str, mounts: &str, parent: &str, name: &str) -> Option<Place> {
    let own = cgroup.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (names, path) = rest.split_once(':')?;
        names.split(',').any(|n| n == name).then_some(path)
    })?;
    let path = if parent.is_empty() { own } else { parent };
    // "/.." is how a cgroup namespace names what lies outside of it.
    if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return None;
    }
    let dir = mounts
        .lines()
        .find_map(|line| directory(line, name, path))?;
    Some(Place {
        dir,
        path: path.to_owned(),
        v2: name.is_empty(),
        controls: Vec::new(),
    })
}

/// The directory of the group `path`, if this line of mountinfo mounts the
/// hierarchy and shows that group (proc_pid_mountinfo(5)).
fn directory(line: &str, name: &str, path: &str) -> Option<PathBuf> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let mut fields = file_system.split(' ');
    let (kind, options) = (fields.next()?, fields.nth(1)?);
    let wanted = match kind {
        "cgroup" => !name.is_empty() && options.split(',').any(|o| o == name),
        "cgroup2" => name.is_empty(),
        _ => false,
    };
    // A backslash starts an escaped blank: such a mount point isn't used.
    if !wanted || point.contains('\\') {
        return None;
    }
    let below = if root == "/" {
        path
    } else {
        path.strip_prefix(root)?
    };
    Some(Path::new(point).join(below.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
8:pids:/\n4:memory:/service/abc\n1:cpu,cpuacct:/\n0::/\n";
    const HYBRID_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const V2_MOUNTS: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

    fn parse(cgroup: &str, mounts: &str, parent: &str, offered: &str) -> Tree {
        Tree::parse(cgroup, mounts, parent, &|_| offered.to_owned())
    }

    fn dirs(tree: &Tree) -> Vec<String> {
        tree.places
            .iter()
            .map(|p| p.dir.display().to_string())
            .collect()
    }

    #[test]
    fn hybrid_takes_limits_from_v1_and_a_plain_group_from_v2() {
        let tree = parse(HYBRID, HYBRID_MOUNTS, "", "");
        assert_eq!(tree.mode(), "hybrid");
        assert_eq!(
            dirs(&tree),
            [
                "/sys/fs/cgroup/memory/service/abc",
                "/sys/fs/cgroup/pids/",
                "/sys/fs/cgroup/cpu/",
                "/sys/fs/cgroup/unified/"
            ]
        );
        assert_eq!(tree.places[3].controls, [Control::Plain]);
    }

    #[test]
    fn v2_alone_is_one_directory_with_all_controllers() {
        let tree = parse(
            "0::/user.slice/gm\n",
            V2_MOUNTS,
            "",
            "cpuset cpu io memory pids",
        );
        assert_eq!(tree.mode(), "v2");
        assert_eq!(dirs(&tree), ["/sys/fs/cgroup/user.slice/gm"]);
        assert_eq!(
            tree.places[0].controls,
            [Control::Memory, Control::Pids, Control::Cpu]
        );
    }

    #[test]
    fn a_controller_that_v2_does_not_offer_is_absent() {
        let tree = parse("0::/a\n", V2_MOUNTS, "", "pids");
        assert_eq!(tree.places[0].controls, [Control::Pids]);
    }

    #[test]
    fn v1_alone_uses_the_freezer() {
        let cgroup = "5:freezer:/\n4:memory:/\n";
        let mounts = "\
35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory
36 31 0:33 / /cg/freezer rw - cgroup cgroup rw,freezer
";
        let tree = parse(cgroup, mounts, "", "");
        assert_eq!(tree.mode(), "v1");
        assert_eq!(tree.places[1].controls, [Control::Freezer]);
    }

    #[test]
    fn a_named_parent_counts_in_every_hierarchy() {
        let tree = parse(HYBRID, HYBRID_MOUNTS, "/gm.slice", "");
        assert!(dirs(&tree).iter().all(|dir| dir.ends_with("/gm.slice")));
    }

    #[test]
    fn a_mount_of_a_part_of_the_hierarchy_is_followed() {
        let mounts = "35 31 0:32 /docker/x /cg/memory rw - cgroup cgroup rw,memory\n";
        let tree = parse("4:memory:/docker/x/y\n", mounts, "", "");
        assert_eq!(dirs(&tree), ["/cg/memory/y"]);
        assert_eq!(dirs(&parse("4:memory:/other\n", mounts, "", "")), [""; 0]);
        assert_eq!(dirs(&parse("4:memory:/../z\n", mounts, "", "")), [""; 0]);
    }

    #[test]
    fn a_machine_without_cgroups_has_none() {
        assert_eq!(parse("", "", "", "").mode(), "none");
        assert_eq!(parse("0::/\n", V2_MOUNTS, "", "").mode(), "none");
    }
}
