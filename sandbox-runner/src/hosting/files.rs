//! `file_read`, `file_list`, `file_write`: plain system calls of this process,
//! on what its own mount tree, Landlock and filter leave it.
//!
//! The paths of the plugin are looked up in its grants first, so that what it may
//! not have is answered and not killed. No check here is a wall.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use gm_protocol::abi::CallError;
use gm_protocol::plan::FileGrant;
use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, fstat, openat};
use rustix::io::Errno;
use serde_json::json;

/// Non-blocking, since a FIFO or a device would hold the process up.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);
/// The most entries of a directory that are listed.
const MOST_ENTRIES: usize = 100_000;

/// Why a call about files was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// No grant covers the path: the host is told.
    NotGranted,
    /// Any other reason, as the ABI returns it.
    Code(CallError),
}

/// What lies at a path.
#[cfg(feature = "wasm")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Other,
}

/// What lies at a path, and the length of a file.
#[cfg(feature = "wasm")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: Kind,
    pub(crate) bytes: u64,
}

/// What `file_write` does with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct How {
    create: bool,
    truncate: bool,
}

impl How {
    /// From the flags of the ABI; an unknown one is none.
    pub(super) fn of(flags: u32) -> Option<Self> {
        (flags & !3 == 0).then_some(Self {
            create: flags & 1 != 0,
            truncate: flags & 2 != 0,
        })
    }
}

/// The granted paths.
pub(super) struct Files {
    grants: Vec<FileGrant>,
}

impl Files {
    pub(super) fn new(mut grants: Vec<FileGrant>) -> Self {
        // The longest first: a grant inside another one is its own place.
        grants.sort_by_key(|grant| std::cmp::Reverse(grant.prefix.len()));
        Self { grants }
    }

    /// At most `most` bytes from `offset` on; fewer only at the end.
    pub(super) fn read(&self, path: &str, offset: u64, most: usize) -> Result<Vec<u8>, Denied> {
        let file = open(&self.inner(path, false)?, READ, Mode::empty())?;
        regular(&file)?;
        let mut bytes = vec![0; most];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            match rustix::io::pread(&file, rest, at) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        bytes.truncate(done);
        Ok(bytes)
    }

    /// What lies at a path.
    #[cfg(feature = "wasm")]
    pub(super) fn stat(&self, path: &str) -> Result<Stat, Denied> {
        let file = open(&self.inner(path, false)?, READ, Mode::empty())?;
        let stat = fstat(&file).map_err(refused)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            _ => Kind::Other,
        };
        let bytes = match kind {
            Kind::File => u64::try_from(stat.st_size).unwrap_or(0),
            Kind::Directory | Kind::Other => 0,
        };
        Ok(Stat { kind, bytes })
    }

    /// The entries of a directory as JSON, sorted by name, at most `cap` bytes.
    pub(super) fn list(&self, path: &str, cap: usize) -> Result<Vec<u8>, Denied> {
        let flags = READ.union(OFlags::DIRECTORY);
        let directory = open(&self.inner(path, false)?, flags, Mode::empty())?;
        let mut entries = Vec::new();
        let mut space = vec![MaybeUninit::uninit(); 16 << 10];
        let mut reader = RawDir::new(&directory, &mut space);
        while let Some(entry) = reader.next() {
            let entry = entry.map_err(refused)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if entries.len() == MOST_ENTRIES {
                return Err(Denied::Code(CallError::TooBig));
            }
            entries.push((
                String::from_utf8_lossy(name).into_owned(),
                entry.file_name().to_owned(),
            ));
        }
        entries.sort();
        let lines: Vec<serde_json::Value> = entries
            .iter()
            .map(|(name, raw)| {
                let (kind, bytes) = kind(&directory, raw);
                json!({"name": name, "type": kind, "bytes": bytes})
            })
            .collect();
        let text = serde_json::to_vec(&lines).map_err(|_| Denied::Code(CallError::Io))?;
        match text.len() <= cap {
            true => Ok(text),
            false => Err(Denied::Code(CallError::TooBig)),
        }
    }

    /// Writes all of the bytes.
    pub(super) fn write(
        &self,
        path: &str,
        offset: u64,
        bytes: &[u8],
        how: How,
    ) -> Result<(), Denied> {
        let mut flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        flags.set(OFlags::CREATE, how.create);
        flags.set(OFlags::TRUNC, how.truncate);
        let mode = Mode::RUSR | Mode::WUSR;
        let file = open(&self.inner(path, true)?, flags, mode)?;
        regular(&file)?;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            match rustix::io::pwrite(&file, rest, at) {
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(())
    }

    /// Where a path lies in the process's own tree.
    fn inner(&self, path: &str, to_write: bool) -> Result<String, Denied> {
        if !is_plain(path) {
            return Err(Denied::Code(CallError::Invalid));
        }
        for grant in &self.grants {
            let Some(rest) = path.strip_prefix(&grant.prefix) else {
                continue;
            };
            let covered = rest.is_empty() || (grant.directory && rest.starts_with('/'));
            // Covered at the start where it lay then; one that came later is told
            // from other names here alone.
            let git = rest
                .split('/')
                .any(|part| part.eq_ignore_ascii_case(".git"));
            if git {
                return Err(Denied::NotGranted);
            }
            if covered && (grant.writable || !to_write) {
                return Ok(format!("{}{rest}", grant.place()));
            }
        }
        Err(Denied::NotGranted)
    }
}

/// No way upwards, and no two ways to write one path.
fn is_plain(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    !path.contains('\0') && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn open(path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Denied> {
    openat(CWD, path, flags, mode).map_err(refused)
}

/// Directories, FIFOs and the like are not read and not written.
fn regular(file: &OwnedFd) -> Result<(), Denied> {
    let stat = fstat(file).map_err(refused)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Denied::Code(CallError::Invalid)),
        _ => Err(Denied::Code(CallError::Io)),
    }
}

/// Type and length of an entry; what can't be opened is `other`.
fn kind(directory: &OwnedFd, name: &std::ffi::CStr) -> (&'static str, u64) {
    let stat = openat(directory, name, READ.union(OFlags::NOFOLLOW), Mode::empty()).and_then(fstat);
    match stat {
        Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => ("file", u64::try_from(stat.st_size).unwrap_or(0)),
            FileType::Directory => ("dir", 0),
            _ => ("other", 0),
        },
        Err(_) => ("other", 0),
    }
}

fn refused(error: Errno) -> Denied {
    Denied::Code(match error {
        Errno::NOENT | Errno::NOTDIR => CallError::NotFound,
        Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::LOOP => CallError::Denied,
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => CallError::Quota,
        Errno::ISDIR | Errno::INVAL | Errno::NAMETOOLONG => CallError::Invalid,
        _ => CallError::Io,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(prefix: &str, number: Option<u8>, directory: bool) -> FileGrant {
        FileGrant {
            prefix: prefix.to_owned(),
            number,
            directory,
            writable: number.is_none(),
        }
    }

    fn files() -> Files {
        Files::new(vec![
            grant("$REPO/docs", Some(0), true),
            grant("$REPO/docs/own", Some(1), true),
            grant("/srv/list", Some(2), false),
            grant("$DATA", None, true),
        ])
    }

    #[test]
    fn granted_path_lies_where_its_longest_grant_does() {
        for (path, inner) in [
            ("$REPO/docs", "/grant/0"),
            ("$REPO/docs/a/b", "/grant/0/a/b"),
            ("$REPO/docs/own/b", "/grant/1/b"),
            ("/srv/list", "/grant/2"),
            ("$DATA/x", "/data/x"),
        ] {
            assert_eq!(files().inner(path, false).unwrap(), inner);
        }
        assert_eq!(files().inner("$DATA/x", true).unwrap(), "/data/x");
    }

    #[test]
    fn what_no_grant_covers_is_told_apart_from_what_is_no_path() {
        for path in [
            "$REPO",
            "$REPO/docsx",
            "/srv/list/x",
            "/etc/passwd",
            "$ASSETS/a",
            "docs",
        ] {
            assert_eq!(
                files().inner(path, false),
                Err(Denied::NotGranted),
                "{path}"
            );
        }
        assert_eq!(files().inner("$REPO/docs/a", true), Err(Denied::NotGranted));
        for path in [
            "",
            "/",
            "$REPO/docs/../x",
            "$REPO/docs//a",
            "$REPO/docs/.",
            "$REPO/docs/a\0",
        ] {
            assert_eq!(
                files().inner(path, false),
                Err(Denied::Code(CallError::Invalid)),
                "{path:?}"
            );
        }
    }

    #[test]
    fn unknown_flags_are_none() {
        assert!(How::of(3).is_some());
        assert!(How::of(4).is_none() && How::of(u32::MAX).is_none());
    }
}
