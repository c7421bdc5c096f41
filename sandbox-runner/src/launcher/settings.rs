//! What the launcher reads of `broker.toml` by itself: `[isolation]` and
//! `run_as`. The rest of the file is the broker's.
//!
//! An absent file gives the defaults; one that somebody else could have
//! changed, or a value out of range, gives nothing at all.

use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use std::io::Read as _;

use gm_protocol::orders::Fault;
use gm_protocol::plan::Level;
use serde::Deserialize;

use super::fault;

/// More than any hand-written configuration.
const MOST_BYTES: u64 = 1 << 20;

/// The settings, checked but for the ids (`ids.rs`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The lowest level at which anything is started.
    pub(crate) min: Level,
    /// First host uid and count.
    pub(crate) uids: (u32, u32),
    /// The parent group's path; "" = the launcher's own group.
    pub(crate) cgroup_parent: String,
    /// The uid that the broker takes on, if it does.
    pub(crate) run_as: Option<u32>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    run_as: String,
    #[serde(default)]
    isolation: Isolation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Isolation {
    min: String,
    uids: (u32, u32),
    cgroup_parent: String,
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            min: "L4".into(),
            uids: (1_900_000_000, 4096),
            cgroup_parent: String::new(),
        }
    }
}

impl Settings {
    /// Reads `<home>/broker.toml`.
    pub(crate) fn read(home: &Path, euid: u32, passwd: &str) -> Result<Self, Fault> {
        let wrong = |detail: String| fault::config("broker.toml", detail);
        let opened = std::fs::File::options()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(home.join("broker.toml"));
        let file = match opened {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Self::parse("", passwd),
            Err(e) => return Err(wrong(e.to_string())),
        };
        let found = file.metadata().map_err(|e| wrong(e.to_string()))?;
        if !found.is_file() || found.mode() & 0o022 != 0 || found.len() > MOST_BYTES {
            return Err(wrong(
                "must be a regular file that only its owner can write".into(),
            ));
        }
        let mut text = String::new();
        file.take(MOST_BYTES)
            .read_to_string(&mut text)
            .map_err(|e| wrong(e.to_string()))?;
        let settings = Self::parse(&text, passwd)?;
        let owner = found.uid();
        if owner != 0 && owner != euid && Some(owner) != settings.run_as {
            return Err(wrong(format!(
                "owned by uid {owner}, not by root, the caller or run_as"
            )));
        }
        Ok(settings)
    }

    pub(super) fn parse(text: &str, passwd: &str) -> Result<Self, Fault> {
        let file: File =
            toml::from_str(text).map_err(|e| fault::config("broker.toml", e.message()))?;
        let Isolation {
            min,
            uids,
            cgroup_parent,
        } = file.isolation;
        let min = Level::from_name(&min)
            .ok_or_else(|| fault::config("isolation.min", "must be L4, L3 or L2"))?;
        let path = cgroup_parent.is_empty()
            || cgroup_parent.starts_with('/')
                && cgroup_parent.split('/').all(|part| part != "..")
                && !cgroup_parent.contains(|c: char| c.is_control());
        if !path {
            return Err(fault::config(
                "isolation.cgroup_parent",
                "must be an absolute path below the cgroup mount",
            ));
        }
        let run_as = match file.run_as.as_str() {
            "" => None,
            name => Some(
                uid_of(name, passwd)
                    .ok_or_else(|| fault::config("run_as", "names no user other than root"))?,
            ),
        };
        Ok(Self {
            min,
            uids,
            cgroup_parent,
            run_as,
        })
    }
}

/// The uid of a user name or number; root is none.
fn uid_of(name: &str, passwd: &str) -> Option<u32> {
    let by_name = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1))?
    });
    let uid = by_name.unwrap_or(name).parse().ok()?;
    (uid != 0 && uid < u32::MAX - 1).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\ngm:x:990:990::/:/bin/false\n";

    #[test]
    fn an_absent_file_asks_for_the_highest_level() {
        let settings = Settings::parse("", PASSWD).unwrap();
        assert_eq!(settings.min, Level::L4);
        assert_eq!(settings.uids, (1_900_000_000, 4096));
    }

    #[test]
    fn the_brokers_own_tables_are_not_the_launchers() {
        let text = "schema = \"gm.broker/1\"\nrun_as = \"gm\"\n[isolation]\nmin = \"L3\"\n[limits]\nplugins = 3\n";
        let settings = Settings::parse(text, PASSWD).unwrap();
        assert_eq!((settings.min, settings.run_as), (Level::L3, Some(990)));
    }

    #[test]
    fn a_value_that_would_weaken_a_wall_by_mistake_is_refused() {
        for text in [
            "[isolation]\nmin = \"L1\"",
            "[isolation]\nmin = 3",
            "[isolation]\nmni = \"L3\"",
            "[isolation]\nuids = [1]",
            "[isolation]\nuids = [-1, 5]",
            "[isolation]\ncgroup_parent = \"a/b\"",
            "[isolation]\ncgroup_parent = \"/a/../b\"",
            "run_as = \"root\"",
            "run_as = \"0\"",
            "run_as = \"nobody-here\"",
            "[isolation",
        ] {
            assert!(Settings::parse(text, PASSWD).is_err(), "accepted {text:?}");
        }
    }
}
