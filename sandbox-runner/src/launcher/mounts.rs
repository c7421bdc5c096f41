//! The mount tree of a child: an empty read-only tmpfs with the verified code
//! in it, and nothing else. Runs in the child, in its own mount namespace.
//!
//! No /proc, /sys, /dev and no path of the host is left when this is done.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::child::Step;
use super::grants::Grants;

/// Room for the root directory and page rounding, bytes.
const SLACK: u64 = 64 << 10;
/// Root, `/code`, `/warm`; the plugin can make no other.
const INODES: u32 = 8;
/// A plugin's file is readable by its owner and everybody, and never writable.
const READ_ONLY: Mode = Mode::from_raw_mode(0o444);

/// A file that the child copies into its tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    /// Name in the root directory.
    pub(crate) name: &'static str,
    /// A sealed memfd of the broker, or our own artifact.
    pub(crate) from: BorrowedFd<'a>,
    /// Its length.
    pub(crate) bytes: u64,
}

/// Options of the root tmpfs for this content, with so many inodes for grants.
pub(crate) fn options(contents: &[Content<'_>], inodes: u32) -> String {
    let inodes = INODES.saturating_add(inodes);
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

/// Makes the tree over `scratch` and leaves the host's.
pub(crate) fn build(
    scratch: &Path,
    options: &CStr,
    contents: &[Content<'_>],
    grants: &Grants,
) -> Result<(), (Step, Errno)> {
    let at = |step| move |errno| (step, errno);
    let flags = flags(contents);
    // First, or what follows would be mounted in the host's tree as well.
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).map_err(at(Step::Private))?;
    mount("tmpfs", scratch, "tmpfs", flags, options).map_err(at(Step::Root))?;
    chdir(scratch).map_err(at(Step::Root))?;
    for content in contents {
        copy(content).map_err(at(Step::Code))?;
    }
    // While the host's paths are still there.
    grants.attach()?;
    // The old root ends up stacked on the new one, where it is detached with
    // everything below it (pivot_root(2), "pivot_root(".", ".")").
    pivot_root(".", ".").map_err(at(Step::Pivot))?;
    unmount(".", UnmountFlags::DETACH).map_err(at(Step::Detach))?;
    chdir("/").map_err(at(Step::Detach))?;
    // Last: a tmpfs mounted read-only would have taken no code.
    let locked = flags | MountFlags::BIND | MountFlags::RDONLY;
    mount_remount("/", locked, "").map_err(at(Step::ReadOnly))
}

/// Copies one file. Neither a bind mount of a memfd nor copy_file_range from
/// one is possible; sendfile keeps the data inside the kernel.
fn copy(content: &Content<'_>) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let to = rustix::fs::openat(CWD, content.name, flags, Mode::RUSR)?;
    let mut done = 0;
    while done < content.bytes {
        let left = usize::try_from(content.bytes - done).map_err(|_| Errno::FBIG)?;
        // An own offset: the descriptor's is shared with whoever else has it.
        if rustix::fs::sendfile(&to, content.from, Some(&mut done), left)? == 0 {
            return Err(Errno::NODATA);
        }
    }
    rustix::fs::fchmod(&to, READ_ONLY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn the_root_has_room_for_its_content_only() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let code = Content {
            name: "code",
            from: file.as_fd(),
            bytes: 1 << 20,
        };
        assert_eq!(
            options(&[code], 2),
            format!("size={},nr_inodes=10,mode=0755", (1 << 20) + 4096 + 65536)
        );
    }

    #[test]
    fn a_root_without_code_is_not_executable() {
        assert!(flags(&[]).contains(MountFlags::NOEXEC));
    }
}
