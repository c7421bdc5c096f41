//! One thing of the walls made a little weaker: what a mutant of a policy is.
//!
//! Filters are changed by whoever sends them; these are all the others.

/// A flag of the root's mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountFlag {
    /// Set-id bits count.
    NoSuid,
    /// Device files work.
    NoDev,
    /// Files can be executed.
    NoExec,
    /// Files can be written.
    ReadOnly,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The root lacks a flag.
    Mount(MountFlag),
    /// A resource limit is ten times as high; its name in `/proc/PID/limits`.
    Limit(String),
    /// A limit of the group is ten times as high: `memory`, `pids` or `cpu`.
    Group(String),
    /// A right to files is not handled; its bit.
    Right(u64),
    /// A right to TCP or UDP is not handled; its bit.
    Net(u64),
    /// A scope is not handled; its bit.
    Scope(u64),
}

/// All changes of one process.
pub type Changes = [Change];

impl Change {
    /// The change of such a text: `mount:noexec`, `limit:Max open files`,
    /// `group:pids`, `right:4`, `net:2`, `scope:1`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, what) = text.split_once(':')?;
        let bit = || what.parse::<u64>().ok().filter(|bit| bit.is_power_of_two());
        match kind {
            "mount" => flag(what).map(Self::Mount),
            "limit" => Some(Self::Limit(what.to_owned())),
            "group" => ["memory", "pids", "cpu"]
                .contains(&what)
                .then(|| Self::Group(what.to_owned())),
            "right" => bit().map(Self::Right),
            "net" => bit().map(Self::Net),
            "scope" => bit().map(Self::Scope),
            _ => None,
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Mount(flag) => write!(f, "mount:{}", flag.as_str()),
            Self::Limit(name) => write!(f, "limit:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Right(bit) => write!(f, "right:{bit}"),
            Self::Net(bit) => write!(f, "net:{bit}"),
            Self::Scope(bit) => write!(f, "scope:{bit}"),
        }
    }
}

impl MountFlag {
    /// Every flag.
    pub const ALL: [Self; 4] = [Self::NoSuid, Self::NoDev, Self::NoExec, Self::ReadOnly];

    /// As mount(8) writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSuid => "nosuid",
            Self::NoDev => "nodev",
            Self::NoExec => "noexec",
            Self::ReadOnly => "ro",
        }
    }
}

fn flag(name: &str) -> Option<MountFlag> {
    MountFlag::ALL
        .into_iter()
        .find(|flag| flag.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_comes_back_by_its_text() {
        for text in [
            "mount:ro",
            "limit:Max open files",
            "group:cpu",
            "right:4",
            "net:2",
            "scope:1",
        ] {
            assert_eq!(Change::parse(text).unwrap().to_string(), text);
        }
        for text in ["mount:x", "group:x", "right:3", "right:0", "x:1", "mount"] {
            assert_eq!(Change::parse(text), None, "{text}");
        }
    }
}
