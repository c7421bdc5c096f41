//! Host ids of children: one uid and gid for each running child, never host
//! uid 0 and never an account's.
//!
//! A slot is a lock file for the whole system, so that two brokers never give
//! the same uid to two plugins. An ordinary user can map its own uid only;
//! all its plugins share that one, which is L3 at most.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use gm_protocol::orders::Fault;
use gm_protocol::plan::Control;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::fault;

/// Below this, ids belong to accounts and to common subordinate ranges.
const LEAST: u32 = 100_000;

/// A range of host ids that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    first: u32,
    count: u32,
}

impl Range {
    /// Checks a range: not empty, not low, not beyond what an id can be, and
    /// without an account in it (`passwd`, `group`: the texts of those files).
    pub(crate) fn checked(
        first: u32,
        count: u32,
        passwd: &str,
        group: &str,
    ) -> Result<Self, Fault> {
        let wrong = |detail: String| Err(fault::config("isolation.uids", detail));
        if first < LEAST || count == 0 {
            return wrong(format!(
                "[{first}, {count}]: the first must be at least {LEAST}, and the count not 0"
            ));
        }
        // -1 and -2 mean "none" and "nobody" to the kernel.
        let Some(last) = first
            .checked_add(count - 1)
            .filter(|last| *last < u32::MAX - 1)
        else {
            return wrong(format!("[{first}, {count}] reaches beyond the largest id"));
        };
        let taken = |text: &str| {
            let mut ids = text
                .lines()
                .filter_map(|line| line.split(':').nth(2)?.parse().ok());
            ids.find(|id: &u32| (first..=last).contains(id))
        };
        match taken(passwd).or_else(|| taken(group)) {
            Some(id) => wrong(format!(
                "[{first}, {count}] holds {id}, which an account or group has"
            )),
            None => Ok(Self { first, count }),
        }
    }

    /// First id and count.
    pub(crate) const fn bounds(self) -> (u32, u32) {
        (self.first, self.count)
    }
}

/// Where ids come from.
#[derive(Debug)]
pub(crate) enum Slots {
    /// As root: a uid of its own for each child.
    Own {
        /// Holds one lock file for each slot that was ever used.
        dir: PathBuf,
        range: Range,
        /// Slots seen free of processes by this launcher, or given back by it.
        seen: HashSet<u32>,
    },
    /// As an ordinary user: the operator's own ids for all.
    Shared { uid: u32, gid: u32 },
}

/// Ids of one child, held until dropped.
#[derive(Debug)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Locked: nobody else on the machine gives these ids.
    _lock: Option<File>,
}

#[cfg(feature = "apart")]
impl Ids {
    /// Held as before, but named as the host's root: for a test of what that costs.
    pub(crate) fn named_root(self) -> Self {
        Self {
            uid: 0,
            gid: 0,
            ..self
        }
    }
}

impl Slots {
    /// Slots of `range`, locked in `dir`.
    pub(crate) fn own(dir: PathBuf, range: Range) -> Self {
        Self::Own {
            dir,
            range,
            seen: HashSet::new(),
        }
    }

    /// Whether children share a uid.
    pub(crate) const fn shared(&self) -> bool {
        matches!(self, Self::Shared { .. })
    }

    /// First uid and count.
    pub(crate) const fn bounds(&self) -> (u32, u32) {
        match self {
            Self::Own { range, .. } => range.bounds(),
            Self::Shared { uid, .. } => (*uid, 1),
        }
    }

    /// Ids for a new child. Tries the slots in order; one is passed over while
    /// somebody holds it, or while a process of that uid is left of a crash.
    pub(crate) fn take(&mut self) -> Result<Ids, Fault> {
        let (dir, range, seen) = match self {
            Self::Shared { uid, gid } => {
                return Ok(Ids {
                    uid: *uid,
                    gid: *gid,
                    _lock: None,
                });
            }
            Self::Own { dir, range, seen } => (dir, range, seen),
        };
        for slot in 0..range.count {
            let uid = range.first + slot;
            let Some(lock) = lock(&dir.join(slot.to_string()))? else {
                continue;
            };
            if !seen.contains(&slot) {
                if in_use(uid) {
                    continue;
                }
                seen.insert(slot);
            }
            return Ok(Ids {
                uid,
                gid: uid,
                _lock: Some(lock),
            });
        }
        Err(fault::breach(
            Control::Uid,
            "ids: slot",
            "every uid of the range is in use",
        ))
    }
}

/// Locks a slot's file; `None` = somebody holds it.
fn lock(path: &Path) -> Result<Option<File>, Fault> {
    let failed = |e: Errno| fault::wall(Control::Uid, "ids: lock", e);
    let file = lock_file(path).map_err(|e| failed(fault::errno(&e)))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(e) => Err(failed(e)),
    }
}

/// Opens or makes a lock file: 0600, never through a link, never to children.
pub(crate) fn lock_file(path: &Path) -> std::io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)
}

/// Whether a process of this uid is left. Asked once for each slot, since
/// afterwards only this launcher can make one.
fn in_use(uid: u32) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return true;
    };
    let pids = entries.flatten().filter(|e| {
        e.file_name()
            .to_str()
            .is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
    });
    let text = uid.to_string();
    pids.filter_map(|e| std::fs::read_to_string(e.path().join("status")).ok())
        .any(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
            line.is_some_and(|ids| ids.split_whitespace().any(|id| id == text))
        })
}

/// The directories of this launcher's user, outside of any home.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// 0711: a plugin's uid passes through, and mounts its root over it.
    pub(crate) scratch: PathBuf,
    /// 0700: lock files of slots.
    pub(crate) slots: PathBuf,
    /// 0700: one locked file for each instance that lives.
    pub(crate) live: PathBuf,
}

impl Places {
    /// Makes or checks them: /run/gm as root, /tmp/gm-<uid> otherwise.
    pub(crate) fn make(uid: u32) -> Result<Self, Fault> {
        let base = match uid {
            0 => PathBuf::from("/run/gm"),
            other => PathBuf::from(format!("/tmp/gm-{other}")),
        };
        own_directory(&base, 0o711, uid)?;
        let below = |name: &str, mode| own_directory(&base.join(name), mode, uid);
        Ok(Self {
            scratch: below("scratch", 0o711)?,
            slots: below("slots", 0o700)?,
            live: below("live", 0o700)?,
        })
    }
}

/// A directory of ours with exactly this mode; one that another user could
/// have made, or that is a link, is refused.
fn own_directory(path: &Path, mode: u32, uid: u32) -> Result<PathBuf, Fault> {
    let failed = |e: std::io::Error| fault::config(&path.display().to_string(), e.to_string());
    match std::fs::DirBuilder::new().mode(mode).create(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => {}
    }
    let found = std::fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_dir() || found.uid() != uid || found.mode() & 0o7777 != mode {
        let detail = format!("must be a directory of uid {uid} with mode {mode:04o}");
        return Err(fault::config(&path.display().to_string(), detail));
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_with_low_missing_or_impossible_ids_is_refused() {
        for (first, count) in [
            (0, 10),
            (1000, 10),
            (99_999, 1),
            (1_900_000_000, 0),
            (4_294_967_000, 4096),
        ] {
            assert!(
                Range::checked(first, count, "", "").is_err(),
                "accepted {first} {count}"
            );
        }
        assert!(Range::checked(1_900_000_000, 4096, "", "").is_ok());
    }

    #[test]
    fn a_range_with_an_account_in_it_is_refused() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbob:x:100005:5::/:/bin/sh\n";
        let fault = Range::checked(100_000, 10, passwd, "").unwrap_err();
        assert!(fault.detail.contains("100005"), "{fault}");
        assert!(Range::checked(100_000, 10, "", "g:x:100009:\n").is_err());
        assert!(Range::checked(100_000, 5, passwd, "g:x:100009:\n").is_ok());
    }

    #[test]
    fn two_holders_never_get_the_same_uid() {
        let dir = std::env::temp_dir().join(format!("gm-ids-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let range = Range::checked(1_950_000_000, 2, "", "").unwrap();
        let make = || Slots::Own {
            dir: dir.clone(),
            range,
            seen: HashSet::new(),
        };
        let (mut one, mut other) = (make(), make());
        let first = one.take().unwrap();
        let second = other.take().unwrap();
        assert_ne!(first.uid, second.uid);
        assert!(one.take().unwrap_err().detail.contains("in use"));
        drop(second);
        assert_eq!(one.take().unwrap().uid, 1_950_000_001);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_uid_that_a_process_has_is_in_use() {
        assert!(in_use(rustix::process::getuid().as_raw()));
        assert!(!in_use(1_950_000_007));
    }
}
