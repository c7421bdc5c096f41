//! A folder of the trust store: files that only their owner can have changed, and
//! that are whole or absent whatever happens.
//!
//! Everything goes through one descriptor of the folder; no link is followed.

use gm_manifest::{Code, Refusal};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The largest file, in bytes: what we wrote ourselves is far smaller.
const MAX_FILE: u64 = 4 << 20;
/// How long another process's change is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_STEP: Duration = Duration::from_millis(20);

/// Whether modes and owners are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Refuses what somebody else could have changed.
    Strict,
    /// Doesn't: a revocation must be possible in a damaged store. It only ever
    /// takes trust away.
    ToRevoke,
}

/// One folder.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    care: Care,
    owner: Owner,
}

/// Who owns the folder and all below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Owner {
    uid: Uid,
    gid: Gid,
}

impl Owner {
    /// The effective user. For root it is the owner of the place that the folder
    /// lies in: a broker that root starts may give up root for that user, and the
    /// one who opened the place has judged whose it may be.
    fn of_folder(path: &Path) -> Result<Self, Refusal> {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let Some(place) = path.parent().filter(|_| uid.is_root()) else {
            return Ok(Self { uid, gid });
        };
        let stat = rustix::fs::stat(place).map_err(|error| failed("look at", place, error))?;
        Ok(Self {
            uid: Uid::from_raw(stat.st_uid),
            gid: Gid::from_raw(stat.st_gid),
        })
    }
}

/// The store's lock, held while this lives.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, never read")] File);

impl Folder {
    /// Opens a folder, and makes it (0700) if it isn't there.
    pub(crate) fn open(path: &Path, care: Care) -> Result<Self, Refusal> {
        let owner = Owner::of_folder(path)?;
        let is_new = made(rustix::fs::mkdir(path, Mode::RWXU), path)?;
        let fd = rustix::fs::open(path, folder_flags(), Mode::empty());
        Self::checked(fd, is_new, path.to_owned(), care, owner)
    }

    /// The folder of this name below, made if it isn't there.
    pub(crate) fn below(&self, name: &str) -> Result<Self, Refusal> {
        let path = self.path.join(name);
        let is_new = made(rustix::fs::mkdirat(&self.fd, name, Mode::RWXU), &path)?;
        let fd = rustix::fs::openat(&self.fd, name, folder_flags(), Mode::empty());
        Self::checked(fd, is_new, path, self.care, self.owner)
    }

    fn checked(
        fd: Result<OwnedFd, Errno>,
        is_new: bool,
        path: PathBuf,
        care: Care,
        owner: Owner,
    ) -> Result<Self, Refusal> {
        let fd = match fd {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(unsafe_place(&path, "is no plain directory"));
            }
            Err(error) => return Err(failed("open", &path, error)),
        };
        let folder = Self {
            fd,
            path,
            care,
            owner,
        };
        if is_new {
            folder.give(&folder.fd, &folder.path)?;
        }
        let stat = rustix::fs::fstat(&folder.fd)
            .map_err(|error| failed("look at", &folder.path, error))?;
        folder.check_owner(&stat, &folder.path)?;
        Ok(folder)
    }

    fn check_owner(&self, stat: &Stat, path: &Path) -> Result<(), Refusal> {
        if self.care == Care::ToRevoke {
            return Ok(());
        }
        if stat.st_uid != self.owner.uid.as_raw() {
            return Err(unsafe_place(path, "belongs to somebody else"));
        }
        match stat.st_mode & 0o022 {
            0 => Ok(()),
            _ => Err(unsafe_place(path, "can be written by others")),
        }
    }

    /// Gives what root just made to the folder's owner.
    fn give(&self, fd: impl AsFd, path: &Path) -> Result<(), Refusal> {
        if self.owner.uid == rustix::process::geteuid() {
            return Ok(());
        }
        rustix::fs::fchown(fd, Some(self.owner.uid), Some(self.owner.gid))
            .map_err(|error| failed("give", path, error))
    }

    /// The whole file; `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
        let path = self.path.join(name);
        // O_NONBLOCK: a fifo in the file's place must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NXIO) => return Err(unsafe_place(&path, "is no plain file")),
            Err(error) => return Err(failed("open", &path, error)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|error| failed("look at", &path, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(unsafe_place(&path, "is no plain file"));
        }
        self.check_owner(&stat, &path)?;
        let mut bytes = Vec::new();
        let read = File::from(fd).take(MAX_FILE + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed("read", &path, error))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(Refusal::new(
                Code::StoreCorrupt,
                format!("{} is larger than 4 MiB", path.display()),
            ));
        }
        Ok(Some(bytes))
    }

    /// The file as a document; the default if there is none.
    pub(crate) fn document<T: serde::de::DeserializeOwned + Default>(
        &self,
        name: &str,
    ) -> Result<T, Refusal> {
        self.read(name)?
            .map_or_else(|| Ok(T::default()), |bytes| self.parsed(name, &bytes))
    }

    /// Bytes of a file as a document.
    pub(crate) fn parsed<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
        bytes: &[u8],
    ) -> Result<T, Refusal> {
        toml::from_slice(bytes).map_err(|error| self.corrupt(name, error.message()))
    }

    /// A refusal of what a file holds.
    pub(crate) fn corrupt(&self, name: &str, what: &str) -> Refusal {
        let path = self.path.join(name);
        Refusal::new(
            Code::StoreCorrupt,
            format!("{} can't be read: {what}", path.display()),
        )
    }

    /// Replaces a file: readers see all of the old one or all of the new one, and
    /// so does the next start after a power cut.
    pub(crate) fn write(&self, _held: &Lock, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let path = self.path.join(name);
        let next = format!(".{name}.next");
        // Left over from a crash: nobody else writes it while the lock is held.
        match rustix::fs::unlinkat(&self.fd, next.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed("replace", &path, error)),
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, next.as_str(), flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(fd.map_err(|error| failed("write", &path, error))?);
        self.give(&file, &path)?;
        file.write_all(bytes)
            .map_err(|error| failed("write", &path, error))?;
        file.sync_all()
            .map_err(|error| failed("write", &path, error))?;
        rustix::fs::renameat(&self.fd, next.as_str(), &self.fd, name)
            .map_err(|error| failed("write", &path, error))?;
        rustix::fs::fsync(&self.fd).map_err(|error| failed("write", &path, error))
    }

    /// Writes a document.
    pub(crate) fn write_document(
        &self,
        held: &Lock,
        name: &str,
        document: &impl serde::Serialize,
    ) -> Result<(), Refusal> {
        let text =
            toml::to_string(document).map_err(|error| self.corrupt(name, &error.to_string()))?;
        self.write(held, name, text.as_bytes())
    }

    /// Takes the store's lock; waits 5 s for another process.
    pub(crate) fn lock(&self) -> Result<Lock, Refusal> {
        let path = self.path.join(".lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, ".lock", flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(fd.map_err(|error| failed("open", &path, error))?);
        self.give(&file, &path)?;
        let started = Instant::now();
        loop {
            match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock(file)),
                Err(Errno::WOULDBLOCK) if started.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_STEP)
                }
                Err(Errno::WOULDBLOCK) => {
                    let what = format!("{} is held by another process", path.display());
                    return Err(Refusal::new(Code::StoreLocked, what));
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed("lock", &path, error)),
            }
        }
    }
}

/// Whether a folder was made just now.
fn made(result: Result<(), Errno>, path: &Path) -> Result<bool, Refusal> {
    match result {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(failed("make", path, error)),
    }
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn failed(what: &str, path: &Path, error: impl Into<std::io::Error>) -> Refusal {
    let error = error.into();
    Refusal::new(
        Code::of_store(error.kind()),
        format!("could not {what} {}: {error}", path.display()),
    )
}

fn unsafe_place(path: &Path, what: &str) -> Refusal {
    Refusal::new(
        Code::StoreUnsafePermissions,
        format!("{} {what}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("trust"), Care::Strict).unwrap();
        (dir, folder)
    }

    #[test]
    fn a_file_is_replaced_whole_and_is_its_owners_alone() {
        let (dir, folder) = folder();
        let held = folder.lock().unwrap();
        std::fs::write(dir.path().join("trust/.a.next"), "half").unwrap();
        folder.write(&held, "a", b"one").unwrap();
        folder.write(&held, "a", b"two").unwrap();
        assert_eq!(folder.read("a").unwrap().unwrap(), b"two");
        let mode = |name: &str| {
            std::fs::metadata(dir.path().join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!((mode("trust"), mode("trust/a")), (0o700, 0o600));
        assert!(!dir.path().join("trust/.a.next").exists());
    }

    #[test]
    fn what_others_could_have_changed_is_refused() {
        let (dir, folder) = folder();
        let file = dir.path().join("trust/a");
        std::fs::write(&file, "x").unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o620)).unwrap();
        assert_eq!(
            folder.read("a").unwrap_err().code,
            Code::StoreUnsafePermissions
        );
        symlink("a", dir.path().join("trust/b")).unwrap();
        assert_eq!(
            folder.read("b").unwrap_err().code,
            Code::StoreUnsafePermissions
        );
        let path = dir.path().join("trust");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o702)).unwrap();
        assert_eq!(
            Folder::open(&path, Care::Strict).unwrap_err().code,
            Code::StoreUnsafePermissions
        );
        assert!(Folder::open(&path, Care::ToRevoke).is_ok());
        symlink(&path, dir.path().join("link")).unwrap();
        assert_eq!(
            Folder::open(&dir.path().join("link"), Care::Strict)
                .unwrap_err()
                .code,
            Code::StoreUnsafePermissions
        );
    }

    #[test]
    fn a_store_in_use_is_waited_for_and_then_named_locked() {
        let (_dir, folder) = folder();
        let held = folder.lock().unwrap();
        assert_eq!(folder.lock().unwrap_err().code, Code::StoreLocked);
        drop(held);
        assert!(folder.lock().is_ok());
    }
}
