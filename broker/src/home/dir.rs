//! A directory of the home, used by descriptor.
//!
//! Every step down is opened without following links, and refused
//! (`store/unsafe-permissions`) unless it belongs to the home's owner and
//! nobody else may write it. Nothing is opened twice by its path, and a file
//! is replaced whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use gm_manifest::{Code, Refusal};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// Not blocking, or a fifo in a file's place would hang us before the check.
const FILE: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK);
const MODE_DIRECTORY: Mode = Mode::RWXU;
const MODE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// So often a directory is emptied that others still write to.
const REMOVALS: u32 = 20;

/// An open directory that passed the checks.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
    owner: (Uid, Gid),
}

impl Dir {
    /// Opens the home itself, making it and its parents if they aren't there.
    pub(crate) fn root(path: &Path) -> Result<Self, Refusal> {
        // Only the components: a trailing slash would follow a link.
        let path: PathBuf = std::path::absolute(path)
            .map_err(|error| failed("name", path, error))?
            .components()
            .collect();
        let open = || rustix::fs::open(&path, DIRECTORY, Mode::empty());
        let fd = match open() {
            Err(Errno::NOENT) => {
                make_all(&path)?;
                open()
            }
            opened => opened,
        };
        let fd = fd.map_err(|error| not_opened(&path, error))?;
        let stat = stat_of(&fd, &path)?;
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let dir = Self { fd, path, owner };
        dir.check(&stat, FileType::Directory, &dir.path)?;
        Ok(dir)
    }

    /// Who owns it, and so must own all below it.
    pub(super) fn owner(&self) -> Uid {
        self.owner.0
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory `name` in it, if it is there.
    ///
    /// # Errors
    /// Class `store`.
    pub fn child(&self, name: impl AsRef<OsStr>) -> Result<Option<Self>, Refusal> {
        let path = self.path.join(name.as_ref());
        let fd = match rustix::fs::openat(&self.fd, name.as_ref(), DIRECTORY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(not_opened(&path, error)),
        };
        self.check(&stat_of(&fd, &path)?, FileType::Directory, &path)?;
        Ok(Some(Self {
            fd,
            path,
            owner: self.owner,
        }))
    }

    /// The directory `name` in it, made (0700) if it isn't there.
    ///
    /// # Errors
    /// As [`Self::child`].
    pub fn make(&self, name: impl AsRef<OsStr>) -> Result<Self, Refusal> {
        let name = name.as_ref();
        let path = self.path.join(name);
        match rustix::fs::mkdirat(&self.fd, name, MODE_DIRECTORY) {
            Ok(()) => self.give(name)?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(failed("make", &path, error)),
        }
        self.child(name)?
            .ok_or_else(|| failed("open", &path, Errno::NOENT))
    }

    /// The whole file `name`, if it is there.
    ///
    /// # Errors
    /// As [`Self::child`]; `store/corrupt` if it is longer than `max` bytes.
    pub fn read(&self, name: impl AsRef<OsStr>, max: u64) -> Result<Option<Vec<u8>>, Refusal> {
        let path = self.path.join(name.as_ref());
        let Some(file) = self.open_file(name.as_ref(), OFlags::RDONLY)? else {
            return Ok(None);
        };
        // Its length is only a hint, but one that saves growing: artifacts are large.
        let len = file.metadata().map_or(0, |meta| meta.len().min(max));
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        file.take(max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| failed("read", &path, error))?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > max) {
            return Err(Refusal::new(
                Code::StoreCorrupt,
                format!("{} is longer than {max} bytes", path.display()),
            ));
        }
        Ok(Some(bytes))
    }

    /// The file `name` opened for reading, if it is there.
    ///
    /// # Errors
    /// As [`Self::child`].
    pub fn open(&self, name: impl AsRef<OsStr>) -> Result<Option<File>, Refusal> {
        self.open_file(name.as_ref(), OFlags::RDONLY)
    }

    /// The file `name` (0600, made if it isn't there), opened for appending.
    ///
    /// # Errors
    /// As [`Self::child`].
    pub fn append(&self, name: impl AsRef<OsStr>) -> Result<File, Refusal> {
        // To be read as well: whether the last line has an end.
        let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE;
        self.open_file(name.as_ref(), flags)?
            .ok_or_else(|| failed("open", &self.path.join(name.as_ref()), Errno::NOENT))
    }

    /// Replaces the file `name` by these bytes, whole and lasting: whoever
    /// looks, also after a crash, finds the old ones or these.
    ///
    /// # Errors
    /// Class `store`.
    pub fn write(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> Result<(), Refusal> {
        let path = self.path.join(name.as_ref());
        let temporary = temporary_name()?;
        let placed = self.create(&temporary, MODE_FILE, bytes).and_then(|()| {
            rustix::fs::renameat(&self.fd, &temporary, &self.fd, name.as_ref())
                .map_err(|error| failed("write", &path, error))
        });
        if placed.is_err() {
            // What counts is the error that brought us here.
            let _ = rustix::fs::unlinkat(&self.fd, &temporary, AtFlags::empty());
        }
        placed?;
        self.sync()
    }

    /// Makes the new file `name` with these bytes, synced.
    pub(crate) fn create(
        &self,
        name: impl AsRef<OsStr>,
        mode: Mode,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let name = name.as_ref();
        let path = self.path.join(name);
        let flags = FILE | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let fd = rustix::fs::openat(&self.fd, name, flags, mode)
            .map_err(|error| failed("make", &path, error))?;
        self.give(name)?;
        let mut file = File::from(fd);
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|error| failed("write", &path, error))
    }

    /// Makes the new file at this path of plain names below it, and the
    /// directories on the way.
    pub(crate) fn create_below(&self, path: &str, mode: Mode, bytes: &[u8]) -> Result<(), Refusal> {
        match path.split_once('/') {
            None => self.create(path, mode, bytes),
            Some((first, rest)) => self.make(first)?.create_below(rest, mode, bytes),
        }
    }

    /// Renames an entry, replacing an empty directory or a file.
    pub(crate) fn rename(
        &self,
        from: impl AsRef<OsStr>,
        to: impl AsRef<OsStr>,
    ) -> Result<(), Refusal> {
        rustix::fs::renameat(&self.fd, from.as_ref(), &self.fd, to.as_ref())
            .map_err(|error| failed("write", &self.path.join(to.as_ref()), error))?;
        self.sync()
    }

    /// Removes the file `name`; whether it was there.
    ///
    /// # Errors
    /// Class `store`.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<bool, Refusal> {
        match rustix::fs::unlinkat(&self.fd, name.as_ref(), AtFlags::empty()) {
            Ok(()) => self.sync().map(|()| true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(failed("remove", &self.path.join(name.as_ref()), error)),
        }
    }

    /// Removes the directory `name` with all in it; whether it was there. No
    /// link is followed.
    ///
    /// # Errors
    /// Class `store`.
    pub fn remove_tree(&self, name: impl AsRef<OsStr>) -> Result<bool, Refusal> {
        let name = name.as_ref();
        let Some(dir) = self.child(name)? else {
            return Ok(false);
        };
        // A read-only directory lets its own owner remove nothing.
        rustix::fs::fchmod(&dir.fd, MODE_DIRECTORY)
            .map_err(|error| failed("remove", &dir.path, error))?;
        dir.empty()?;
        let mut tries = 1;
        loop {
            match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
                // Whoever waits for the lock in it makes that file anew.
                Err(Errno::NOTEMPTY) if tries < REMOVALS => dir.empty()?,
                Ok(()) | Err(Errno::NOENT) => return self.sync().map(|()| true),
                Err(error) => return Err(failed("remove", &dir.path, error)),
            }
            tries += 1;
        }
    }

    /// Removes all that is in it.
    fn empty(&self) -> Result<(), Refusal> {
        for entry in self.names()? {
            match rustix::fs::unlinkat(&self.fd, &entry, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => {
                    self.remove_tree(&entry)?;
                }
                Err(error) => return Err(failed("remove", &self.path.join(entry), error)),
            }
        }
        Ok(())
    }

    /// Whether both are the same directory.
    ///
    /// # Errors
    /// Class `store`.
    pub fn is(&self, other: &Self) -> Result<bool, Refusal> {
        let (own, its) = (
            stat_of(&self.fd, &self.path)?,
            stat_of(&other.fd, &other.path)?,
        );
        Ok((own.st_dev, own.st_ino) == (its.st_dev, its.st_ino))
    }

    /// Takes all write bits from the directory itself.
    pub(crate) fn make_read_only(&self) -> Result<(), Refusal> {
        rustix::fs::fchmod(&self.fd, Mode::RUSR | Mode::XUSR)
            .map_err(|error| failed("protect", &self.path, error))?;
        self.sync()
    }

    /// Names of all entries, sorted by bytes.
    ///
    /// # Errors
    /// Class `store`.
    pub fn names(&self) -> Result<Vec<OsString>, Refusal> {
        let read = || -> Result<Vec<OsString>, Errno> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&self.fd)? {
                let name = entry?.file_name().to_bytes().to_owned();
                if name != b"." && name != b".." {
                    names.push(OsStr::from_bytes(&name).to_owned());
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        read().map_err(|error| failed("list", &self.path, error))
    }

    /// Makes changes of its entries lasting.
    pub(crate) fn sync(&self) -> Result<(), Refusal> {
        rustix::fs::fsync(&self.fd).map_err(|error| failed("sync", &self.path, error))
    }

    /// Opens a regular file of ours; made with 0600 if the flags say so.
    pub(super) fn open_file(&self, name: &OsStr, flags: OFlags) -> Result<Option<File>, Refusal> {
        let path = self.path.join(name);
        let fd = match rustix::fs::openat(&self.fd, name, FILE | flags, MODE_FILE) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(not_opened(&path, error)),
        };
        let mut stat = stat_of(&fd, &path)?;
        if flags.contains(OFlags::CREATE) && stat.st_size == 0 && self.made_for_another(&stat) {
            self.give(name)?;
            stat = stat_of(&fd, &path)?;
        }
        self.check(&stat, FileType::RegularFile, &path)?;
        Ok(Some(File::from(fd)))
    }

    fn made_for_another(&self, stat: &Stat) -> bool {
        let me = rustix::process::geteuid();
        self.owner.0 != me && stat.st_uid == me.as_raw()
    }

    /// Hands a new entry to the home's owner, when root works for `run_as`.
    fn give(&self, name: &OsStr) -> Result<(), Refusal> {
        if self.owner.0 == rustix::process::geteuid() {
            return Ok(());
        }
        let (uid, gid) = self.owner;
        rustix::fs::chownat(
            &self.fd,
            name,
            Some(uid),
            Some(gid),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .map_err(|error| failed("hand over", &self.path.join(name), error))
    }

    fn check(&self, stat: &Stat, kind: FileType, path: &Path) -> Result<(), Refusal> {
        let mode = Mode::from_raw_mode(stat.st_mode);
        let what = if FileType::from_raw_mode(stat.st_mode) != kind {
            "is not of the kind that belongs there"
        } else if stat.st_uid != self.owner.0.as_raw() {
            "belongs to another user"
        } else if mode.intersects(Mode::WGRP | Mode::WOTH) {
            "can be written by others"
        } else {
            return Ok(());
        };
        Err(unsafe_permissions(path, what))
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes the directory and its missing parents, all 0700.
fn make_all(path: &Path) -> Result<(), Refusal> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(MODE_DIRECTORY.bits())
        .create(path)
        .map_err(|error| failed("make", path, error))
}

fn temporary_name() -> Result<String, Refusal> {
    let random = getrandom::u64().map_err(|error| {
        Refusal::new(Code::InternalPanic, format!("no random numbers: {error}"))
    })?;
    Ok(format!(".{random:016x}.new"))
}

fn stat_of(fd: &OwnedFd, path: &Path) -> Result<Stat, Refusal> {
    rustix::fs::fstat(fd).map_err(|error| failed("look at", path, error))
}

fn not_opened(path: &Path, error: Errno) -> Refusal {
    match error {
        // O_NOFOLLOW gives ELOOP for a link, together with O_DIRECTORY ENOTDIR.
        Errno::LOOP | Errno::NOTDIR | Errno::NXIO => {
            unsafe_permissions(path, "is a link or not of the kind that belongs there")
        }
        error => failed("open", path, error),
    }
}

pub(super) fn unsafe_permissions(path: &Path, what: &str) -> Refusal {
    Refusal::new(
        Code::StoreUnsafePermissions,
        format!("{} {what}", path.display()),
    )
}

pub(super) fn failed(doing: &str, path: &Path, error: impl Into<std::io::Error>) -> Refusal {
    let error = error.into();
    let refusal = Refusal::new(
        Code::of_store(error.kind()),
        format!("could not {doing} {}: {error}", path.display()),
    );
    // Nothing of it is wrong then but its place.
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            refusal.fix("make room where the home lies: what is there is as it was")
        }
        ErrorKind::ReadOnlyFilesystem => {
            refusal.fix("mount it for writing, or name another home with --home")
        }
        _ => refusal,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn home() -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::root(&temp.path().join("home")).unwrap();
        (temp, dir)
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let (_temp, home) = home();
        let dir = home.make("plugins").unwrap();
        dir.write("state.toml", b"x").unwrap();
        dir.append("log").unwrap();
        assert_eq!(mode(home.path()), 0o700);
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(mode(&dir.path().join("state.toml")), 0o600);
        assert_eq!(mode(&dir.path().join("log")), 0o600);
    }

    #[test]
    fn a_write_replaces_the_file_whole_and_leaves_no_temporary_one() {
        let (_temp, home) = home();
        home.write("f", b"first and longer").unwrap();
        home.write("f", b"second").unwrap();
        assert_eq!(home.read("f", 100).unwrap().unwrap(), b"second");
        assert_eq!(home.names().unwrap(), ["f"]);
        home.make("d").unwrap();
        assert_eq!(home.write("d", b"x").unwrap_err().code, Code::StoreCorrupt);
        assert_eq!(home.names().unwrap(), ["d", "f"]);
    }

    #[test]
    fn links_are_refused_wherever_they_stand() {
        let (temp, home) = home();
        let outside = temp.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("f"), "secret").unwrap();
        symlink(&outside, home.path().join("dir")).unwrap();
        symlink(outside.join("f"), home.path().join("file")).unwrap();
        symlink(home.path(), temp.path().join("other")).unwrap();
        let codes = [
            home.child("dir").map(|_| ()).unwrap_err().code,
            home.make("dir").map(|_| ()).unwrap_err().code,
            home.read("file", 10).map(|_| ()).unwrap_err().code,
            home.append("file").map(|_| ()).unwrap_err().code,
            Dir::root(&temp.path().join("other/"))
                .map(|_| ())
                .unwrap_err()
                .code,
        ];
        assert_eq!(codes, [Code::StoreUnsafePermissions; 5]);
        assert_eq!(
            std::fs::read_to_string(outside.join("f")).unwrap(),
            "secret"
        );
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let (_temp, home) = home();
        home.make("d").unwrap();
        home.write("f", b"").unwrap();
        for bits in [0o720, 0o702] {
            let permissions = std::fs::Permissions::from_mode(bits);
            std::fs::set_permissions(home.path().join("d"), permissions.clone()).unwrap();
            std::fs::set_permissions(home.path().join("f"), permissions.clone()).unwrap();
            assert_eq!(
                home.child("d").unwrap_err().code,
                Code::StoreUnsafePermissions
            );
            assert_eq!(
                home.read("f", 9).unwrap_err().code,
                Code::StoreUnsafePermissions
            );
            std::fs::set_permissions(home.path(), permissions).unwrap();
            let again = Dir::root(home.path()).unwrap_err();
            assert_eq!(again.code, Code::StoreUnsafePermissions);
        }
    }

    #[test]
    fn a_fifo_in_the_place_of_a_file_is_refused_without_waiting() {
        let (_temp, home) = home();
        let fifo = home.path().join("f");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(
            home.read("f", 9).unwrap_err().code,
            Code::StoreUnsafePermissions
        );
        assert_eq!(
            home.append("f").unwrap_err().code,
            Code::StoreUnsafePermissions
        );
    }

    #[test]
    fn a_file_over_its_bound_is_corrupt_and_never_cut() {
        let (_temp, home) = home();
        home.write("f", b"12345").unwrap();
        assert_eq!(home.read("f", 5).unwrap().unwrap(), b"12345");
        assert_eq!(home.read("f", 4).unwrap_err().code, Code::StoreCorrupt);
        assert_eq!(home.read("absent", 4).unwrap(), None);
    }

    #[test]
    fn removing_a_tree_follows_no_link_and_empties_read_only_directories() {
        let (temp, home) = home();
        let outside = temp.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "x").unwrap();
        let package = home.make("package").unwrap();
        package.make("sub").unwrap().write("f", b"x").unwrap();
        symlink(&outside, package.path().join("link")).unwrap();
        package.make_read_only().unwrap();
        assert!(home.remove_tree("package").unwrap());
        assert!(!home.remove_tree("package").unwrap());
        assert_eq!(home.names().unwrap(), Vec::<OsString>::new());
        assert!(outside.join("kept").exists());
    }
}
