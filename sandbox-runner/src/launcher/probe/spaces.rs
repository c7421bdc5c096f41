//! Namespaces one by one, and a mount tree inside of them.

use std::path::Path;

use gm_protocol::trials::Miss;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::child::{Outcome, in_child, miss, wrong};
use crate::launcher::start::Process;
use crate::launcher::sys::{self, Kind, Side};

/// A child by `clone3`, which has no fallback.
pub(super) fn clone3() -> Outcome {
    match sys::clone_plain() {
        Ok(Side::Child) => sys::exit_now(0),
        Ok(Side::Parent { pid, pidfd }) => {
            Process::new(pid, pidfd).end();
            Ok("made a child".into())
        }
        Err(errno) => Err(miss("clone3")(errno)),
    }
}

/// A namespace of this kind, inside a user namespace as plugins have it.
pub(super) fn namespace(kind: Kind) -> Outcome {
    let kinds: &[Kind] = match kind {
        Kind::User => &[Kind::User],
        other => &[Kind::User, other],
    };
    in_child(kinds, || Ok("made".into()))?.outcome()
}

/// A tmpfs over `scratch` becomes the root, and the old root is gone.
pub(super) fn tree(scratch: Result<&Path, String>) -> Outcome {
    let scratch = scratch.map_err(wrong)?;
    let probe = || -> Result<String, Miss> {
        let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
        mount_change("/", private).map_err(miss("make the mount tree private"))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("tmpfs", scratch, "tmpfs", flags, c"size=64k,mode=0755")
            .map_err(miss("mount a tmpfs"))?;
        chdir(scratch).map_err(miss("chdir"))?;
        pivot_root(".", ".").map_err(miss("pivot_root"))?;
        unmount(".", UnmountFlags::DETACH).map_err(miss("detach the old root"))?;
        chdir("/").map_err(miss("chdir"))?;
        match rustix::fs::stat("/proc") {
            Err(rustix::io::Errno::NOENT) => Ok("made, the host's is gone".into()),
            other => Err(wrong(format!("the host's /proc is still there: {other:?}"))),
        }
    };
    in_child(&[Kind::User, Kind::Mount], probe)?.outcome()
}
