//! The mount tree of a child: an empty read-only tmpfs with the verified code
//! in it, and nothing else but what is granted and what its own runner is linked
//! with. Runs in the child, in its own mount namespace.
//!
//! No /proc, /sys, /dev and no path of the host is left when this is done.

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::child::Step;
use super::grants::Grants;
use super::libraries::Libraries;

/// Room for the root directory and page rounding, bytes.
const SLACK: u64 = 64 << 10;
/// Room for the root and a few more; the plugin can make none.
const INODES: u32 = 8;
/// A plugin's file is readable by its owner and everybody, and never writable.
const READ_ONLY: Mode = Mode::from_raw_mode(0o444);
/// An executable besides can be executed, by its descriptor: its name is removed.
const EXECUTABLE: Mode = Mode::from_raw_mode(0o555);

/// A file that the child copies into its tree.
#[derive(Debug, Clone)]
pub(crate) struct Content<'a> {
    /// Path from the root directory, without a slash in front.
    pub(crate) name: String,
    /// A sealed memfd of the broker, or our own artifact.
    pub(crate) from: BorrowedFd<'a>,
    /// Where in it the file begins.
    pub(crate) offset: u64,
    /// Its length.
    pub(crate) bytes: u64,
    /// It is executed, and only once.
    pub(crate) executable: bool,
}

/// Options of the root tmpfs for this content, with so many inodes for grants.
pub(crate) fn options(contents: &[Content<'_>], inodes: u32) -> String {
    // A file and the directories on its way.
    let parts = contents.iter().map(|c| c.name.split('/').count());
    let parts = u32::try_from(parts.sum::<usize>()).unwrap_or(u32::MAX);
    let inodes = INODES.saturating_add(inodes).saturating_add(parts);
    let bytes = contents.iter().fold(SLACK, |sum, c| {
        sum.saturating_add(c.bytes).saturating_add(4096)
    });
    format!("size={bytes},nr_inodes={inodes},mode=0755")
}

/// Flags of the root: files can be executed only if there is code in it.
pub(crate) fn flags(contents: &[Content<'_>]) -> MountFlags {
    let base = MountFlags::NOSUID | MountFlags::NODEV;
    if contents.is_empty() {
        base | MountFlags::NOEXEC
    } else {
        base
    }
}

/// Makes the tree over `scratch` and leaves the host's. Gives the executable, if
/// one of the contents is one.
pub(crate) fn build(
    scratch: &Path,
    options: &CStr,
    contents: &[Content<'_>],
    grants: &Grants,
    libraries: &Libraries,
) -> Result<Option<OwnedFd>, (Step, Errno)> {
    let flags = flags(contents);
    let last = flags | MountFlags::RDONLY;
    build_as((flags, last), scratch, options, contents, grants, libraries)
}

/// The same, with these flags of the root while it is filled and afterwards.
pub(super) fn build_as(
    (flags, last): (MountFlags, MountFlags),
    scratch: &Path,
    options: &CStr,
    contents: &[Content<'_>],
    grants: &Grants,
    libraries: &Libraries,
) -> Result<Option<OwnedFd>, (Step, Errno)> {
    let at = |step| move |errno| (step, errno);
    // First, or what follows would be mounted in the host's tree as well.
    make_private().map_err(at(Step::Private))?;
    mount("tmpfs", scratch, "tmpfs", flags, options).map_err(at(Step::Root))?;
    chdir(scratch).map_err(at(Step::Root))?;
    let mut executable = None;
    for content in contents {
        copy(content).map_err(at(Step::Code))?;
        if content.executable {
            executable = Some(take(&content.name).map_err(at(Step::Code))?);
        }
    }
    // While the host's paths are still there.
    libraries.attach().map_err(at(Step::Libraries))?;
    grants.attach()?;
    // The old root ends up stacked on the new one, where it is detached with
    // everything below it (pivot_root(2), "pivot_root(".", ".")").
    pivot_root(".", ".").map_err(at(Step::Pivot))?;
    unmount(".", UnmountFlags::DETACH).map_err(at(Step::Detach))?;
    chdir("/").map_err(at(Step::Detach))?;
    // Last: a tmpfs mounted read-only would have taken no code.
    mount_remount("/", last | MountFlags::BIND, "").map_err(at(Step::ReadOnly))?;
    Ok(executable)
}

/// What is mounted from here on is seen in this mount namespace alone.
pub(super) fn make_private() -> Result<(), Errno> {
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private)
}

/// The descriptor of a file that has no name from here on: nothing can be executed
/// by its path.
fn take(name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, name, flags, Mode::empty())?;
    rustix::fs::unlinkat(CWD, name, AtFlags::empty())?;
    Ok(file)
}

/// Copies one file. Neither a bind mount of a memfd nor copy_file_range from
/// one is possible; sendfile keeps the data inside the kernel.
fn copy(content: &Content<'_>) -> Result<(), Errno> {
    let slashes = content.name.match_indices('/').map(|(at, _)| at);
    for parent in slashes.filter_map(|at| content.name.get(..at)) {
        match rustix::fs::mkdirat(CWD, parent, Mode::from_raw_mode(0o755)) {
            // Another file made it.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(CWD, &*content.name, flags, Mode::RUSR)?;
    // An own offset: the descriptor's is shared with whoever else has it.
    let mut at = content.offset;
    let end = at.checked_add(content.bytes).ok_or(Errno::FBIG)?;
    while at < end {
        let left = usize::try_from(end - at).map_err(|_| Errno::FBIG)?;
        if rustix::fs::sendfile(&to, content.from, Some(&mut at), left)? == 0 {
            return Err(Errno::NODATA);
        }
    }
    let mode = if content.executable {
        EXECUTABLE
    } else {
        READ_ONLY
    };
    rustix::fs::fchmod(&to, mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn the_root_has_room_for_its_content_only() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let code = Content {
            name: "assets/a/b".into(),
            from: file.as_fd(),
            offset: 0,
            bytes: 1 << 20,
            executable: false,
        };
        assert_eq!(
            options(&[code], 2),
            format!("size={},nr_inodes=13,mode=0755", (1 << 20) + 4096 + 65536)
        );
    }

    #[test]
    fn a_root_without_code_is_not_executable() {
        assert!(flags(&[]).contains(MountFlags::NOEXEC));
    }
}
