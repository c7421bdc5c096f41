//! Granted files and directories: from a descriptor of the broker's to a mount
//! in the child's tree, read-only, without anything that no grant may show.
//!
//! As root the launcher makes a mount of its own, attached nowhere, that shows
//! the owner's files as the plugin's: no id of the range ever gets to the disk.
//! As an ordinary user the child binds the path, which is its own user's.

use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use gm_protocol::orders::Fault;
use gm_protocol::plan::{Control, DATA_INODES, DATA_PATH, GRANT_PATH};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind, mount_remount, move_mount,
    open_tree,
};

use super::child::Step;
use super::fault::wall;
use super::ids::Ids;
use super::orders::{Accepted, Granted};
use super::start::Process;
use super::sys::{self, Side};

/// More directories than this are not looked through: the grant is refused.
const MOST_DIRECTORIES: usize = 100_000;
/// What lies over a hidden directory and over a hidden file.
const EMPTY_DIRECTORY: &str = "none";
const EMPTY_FILE: &str = "nil";
/// No repository's own files are ever granted.
const GIT: &[u8] = b".git";
const SHUT: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// One grant, ready for the child.
#[derive(Debug)]
pub(crate) struct Grant {
    directory: bool,
    how: How,
}

/// How a mount of the host's gets into the child's tree.
#[derive(Debug)]
pub(crate) enum How {
    /// A mount that is attached nowhere.
    Move(OwnedFd),
    /// A path to bind, and what must lie there.
    Bind(CString, (u64, u64)),
}

/// All grants of a child.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    grants: Vec<Grant>,
    hidden: Vec<(u64, u64)>,
    /// Size of `$DATA`; 0 = none.
    data_bytes: u64,
}

impl Grants {
    /// Makes what the child will attach.
    pub(crate) fn prepare(order: &Accepted, ids: &Ids, own_uid: bool) -> Result<Self, Fault> {
        let grants = order.reads.iter().map(|granted| {
            Ok(Grant {
                directory: granted.directory,
                how: How::of(granted, ids, own_uid)?,
            })
        });
        Ok(Self {
            grants: grants.collect::<Result<_, Fault>>()?,
            hidden: order.hidden.clone(),
            data_bytes: order.data_bytes(),
        })
    }

    /// At most one directory, and what the child may write.
    #[cfg(feature = "apart")]
    pub(crate) fn of(read: Option<&Granted>, data_bytes: u64, ids: &Ids) -> Result<Self, Fault> {
        let grant = |granted: &Granted| {
            Ok(Grant {
                directory: granted.directory,
                how: How::Move(detached(granted, ids)?),
            })
        };
        Ok(Self {
            grants: read.map(grant).transpose()?.into_iter().collect(),
            hidden: Vec::new(),
            data_bytes,
        })
    }

    /// Makes one as the child would get it, and drops it.
    pub(crate) fn try_one(granted: &Granted, ids: &Ids, own_uid: bool) -> Result<(), Fault> {
        How::of(granted, ids, own_uid).map(drop)
    }

    /// Inodes that they take in the root.
    pub(crate) fn inodes(&self) -> u32 {
        let grants = u32::try_from(self.grants.len()).unwrap_or(u32::MAX);
        grants.saturating_add(4)
    }

    /// Attaches them below the current directory, the new root. In the child.
    pub(crate) fn attach(&self) -> Result<(), (Step, Errno)> {
        self.attach_all().map_err(|errno| (Step::Grant, errno))?;
        self.data().map_err(|errno| (Step::Data, errno))
    }

    fn attach_all(&self) -> Result<(), Errno> {
        if self.grants.is_empty() {
            return Ok(());
        }
        let below = GRANT_PATH.trim_start_matches('/');
        let public = Mode::from_raw_mode(0o755);
        mkdirat(CWD, below, public)?;
        mkdirat(CWD, EMPTY_DIRECTORY, Mode::from_raw_mode(0o555))?;
        make_file(EMPTY_FILE)?;
        for (number, grant) in self.grants.iter().enumerate() {
            let target = format!("{below}/{number}");
            match grant.directory {
                true => mkdirat(CWD, &target, public)?,
                false => make_file(&target)?,
            }
            grant.how.attach(&target, SHUT)?;
            if grant.directory {
                self.cover(&target)?;
            }
        }
        Ok(())
    }

    /// Covers what no grant may show, at any depth. Names only are read and no
    /// link is followed. The mount is of one file system alone, but may show several
    /// device numbers (btrfs subvolumes).
    fn cover(&self, root: &str) -> Result<(), Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut open = vec![root.as_bytes().to_vec()];
        let mut seen = 0;
        while let Some(path) = open.pop() {
            seen += 1;
            if seen > MOST_DIRECTORIES {
                return Err(Errno::OVERFLOW);
            }
            let name = OsStr::from_bytes(&path);
            let directory = match openat(CWD, name, flags, Mode::empty()) {
                Ok(directory) => directory,
                // What lies there could still be opened by its name.
                Err(Errno::ACCESS) => {
                    hide(name, true)?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let stat = fstat(&directory)?;
            if self.hidden.contains(&(stat.st_dev, stat.st_ino)) {
                hide(name, true)?;
                continue;
            }
            for entry in Dir::read_from(&directory)? {
                let entry = entry?;
                let file = entry.file_name().to_bytes();
                if file == b"." || file == b".." {
                    continue;
                }
                let below = [&path, &b"/"[..], file].concat();
                let kind = kind_of(&directory, &entry)?;
                // Where a link leads is covered there, or is no part of the grant;
                // a mount on the link would be one on whatever it names.
                if kind == FileType::Symlink {
                    continue;
                }
                if file.eq_ignore_ascii_case(GIT) {
                    hide(OsStr::from_bytes(&below), kind == FileType::Directory)?;
                } else if kind == FileType::Directory {
                    open.push(below);
                }
            }
        }
        Ok(())
    }

    fn data(&self) -> Result<(), Errno> {
        if self.data_bytes == 0 {
            return Ok(());
        }
        let target = DATA_PATH.trim_start_matches('/');
        mkdirat(CWD, target, Mode::RWXU)?;
        let options = format!("size={},nr_inodes={DATA_INODES},mode=0700", self.data_bytes);
        let options = CString::new(options).map_err(|_| Errno::INVAL)?;
        mount("tmpfs", target, "tmpfs", SHUT, options.as_c_str())
    }
}

impl How {
    fn of(granted: &Granted, ids: &Ids, own_uid: bool) -> Result<Self, Fault> {
        Ok(match own_uid {
            true => Self::Move(detached(granted, ids)?),
            false => Self::Bind(path_of(granted.fd.as_fd())?, granted.id),
        })
    }

    /// Attaches it at `target`; a path gets these flags and is read-only.
    pub(crate) fn attach(&self, target: &str, flags: MountFlags) -> Result<(), Errno> {
        match self {
            Self::Move(mount) => move_mount(
                mount,
                c"",
                CWD,
                target,
                MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
            ),
            Self::Bind(path, id) => {
                let by_path = OFlags::PATH | OFlags::CLOEXEC;
                let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                let again = rustix::fs::openat2(CWD, path, by_path, Mode::empty(), resolve)?;
                let stat = fstat(&again)?;
                // Something else lies there by now.
                if (stat.st_dev, stat.st_ino) != *id {
                    return Err(Errno::STALE);
                }
                // By the descriptor, since the path may lead elsewhere by now.
                let same = format!("/proc/self/fd/{}", number(again.as_fd()));
                mount_bind(same.as_str(), target)?;
                shut(OsStr::new(target), flags)
            }
        }
    }
}

/// A bind ignores flags: they need a call of their own.
fn shut(target: &OsStr, flags: MountFlags) -> Result<(), Errno> {
    mount_remount(target, flags | MountFlags::BIND | MountFlags::RDONLY, c"")
}

fn hide(target: &OsStr, directory: bool) -> Result<(), Errno> {
    let cover = if directory {
        EMPTY_DIRECTORY
    } else {
        EMPTY_FILE
    };
    mount_bind(cover, target)?;
    shut(target, SHUT)
}

pub(crate) fn make_file(name: &str) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    openat(CWD, name, flags, Mode::from_raw_mode(0o444)).map(drop)
}

/// A file system may not tell the type with the name.
fn kind_of(directory: &OwnedFd, entry: &rustix::fs::DirEntry) -> Result<FileType, Errno> {
    match entry.file_type() {
        FileType::Unknown => {
            let stat = rustix::fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(FileType::from_raw_mode(stat.st_mode))
        }
        known => Ok(known),
    }
}

/// A mount of the granted file or directory alone, which shows its owner's files
/// as the plugin's.
fn detached(granted: &Granted, ids: &Ids) -> Result<OwnedFd, Fault> {
    let failed = |step: &'static str| move |errno| wall(Control::Mounts, step, errno);
    let tree = tree_of(granted.fd.as_fd()).map_err(failed("open_tree"))?;
    let map = IdMap::make(granted.owner, ids).map_err(failed("id map of a grant"))?;
    // EINVAL: the file system knows no such mounts, so it can't be granted.
    sys::shut_mount(tree.as_fd(), true, Some(map.namespace.as_fd()))
        .map_err(failed("mount_setattr"))?;
    Ok(tree)
}

/// A mount of one file or directory alone, attached nowhere.
pub(crate) fn tree_of(file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(file, c"", flags)
}

/// The user namespace that says who owns the files of a mount.
struct IdMap {
    namespace: OwnedFd,
}

impl IdMap {
    fn make(owner: (u32, u32), ids: &Ids) -> Result<Self, Errno> {
        let (wait, stay) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let mut process = match sys::clone_for_ids()? {
            Side::Child => {
                drop(stay);
                // Until the launcher has what it wants, or is dead.
                let _ = rustix::io::read(&wait, &mut [0; 1]);
                sys::exit_now(0)
            }
            Side::Parent { pid, pidfd } => Process::new(pid, pidfd),
        };
        let proc = format!("/proc/{}", process.pid.as_raw_nonzero());
        let map = |file: &str, on_disk: u32, shown: u32| {
            std::fs::write(format!("{proc}/{file}"), format!("{on_disk} {shown} 1\n"))
                .map_err(|error| super::fault::errno(&error))
        };
        let made = map("gid_map", owner.1, ids.gid)
            .and_then(|()| map("uid_map", owner.0, ids.uid))
            .and_then(|()| {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                rustix::fs::open(format!("{proc}/ns/user"), flags, Mode::empty())
            });
        drop(stay);
        process.end();
        Ok(Self { namespace: made? })
    }
}

/// The path of a descriptor, for a child that may open it itself.
pub(crate) fn path_of(file: BorrowedFd<'_>) -> Result<CString, Fault> {
    let link = format!("/proc/self/fd/{}", number(file));
    rustix::fs::readlink(link, Vec::new())
        .map_err(|errno| wall(Control::Mounts, "path of a mount", errno))
}

fn number(fd: BorrowedFd<'_>) -> i32 {
    use std::os::fd::AsRawFd as _;
    fd.as_raw_fd()
}
