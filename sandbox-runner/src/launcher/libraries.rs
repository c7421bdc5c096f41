//! The libraries of a dynamic engine: each one a mount of its own in the child's
//! tree, read-only. They are the machine's own files, opened once at the start.

use std::os::fd::AsFd as _;

use gm_protocol::orders::Fault;
use gm_protocol::plan::{Control, LIBRARIES, LIBRARY_PATH};
use rustix::fs::{CWD, Mode, mkdirat};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::engines::Vetted;
use super::fault::wall;
use super::grants::{How, make_file, path_of, tree_of};
use super::sys;

/// Code is mapped from it: all but "no exec".
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// All libraries of a child, by name; none for a static engine.
#[derive(Debug, Default)]
pub(crate) struct Libraries {
    mounts: Vec<(&'static str, How)>,
}

impl Libraries {
    /// Makes what the child will attach, as grants are made.
    pub(crate) fn prepare(found: &[Vetted], own_uid: bool) -> Result<Self, Fault> {
        let failed = |step: &'static str| move |errno| wall(Control::Mounts, step, errno);
        let mount = |(name, library): (&&'static str, &Vetted)| {
            let how = if own_uid {
                let tree = tree_of(library.fd()).map_err(failed("open_tree"))?;
                sys::shut_mount(tree.as_fd(), false, None).map_err(failed("mount_setattr"))?;
                How::Move(tree)
            } else {
                How::Bind(path_of(library.fd())?, library.id)
            };
            Ok((*name, how))
        };
        let mounts = LIBRARIES.iter().zip(found).map(mount);
        Ok(Self {
            mounts: mounts.collect::<Result<_, Fault>>()?,
        })
    }

    /// Inodes that they take in the root.
    pub(crate) fn inodes(&self) -> u32 {
        match u32::try_from(self.mounts.len()) {
            Ok(0) => 0,
            Ok(files) => files.saturating_add(1),
            Err(_) => u32::MAX,
        }
    }

    /// Attaches them below the current directory, the new root. In the child.
    pub(crate) fn attach(&self) -> Result<(), Errno> {
        if self.mounts.is_empty() {
            return Ok(());
        }
        let below = LIBRARY_PATH.trim_start_matches('/');
        mkdirat(CWD, below, Mode::from_raw_mode(0o755))?;
        for (name, how) in &self.mounts {
            let target = format!("{below}/{name}");
            make_file(&target)?;
            how.attach(&target, FLAGS)?;
        }
        Ok(())
    }
}
