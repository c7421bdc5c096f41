//! Opens a binary that lies beside the broker's own executable. Not by PATH, an option
//! or the environment: what is started is what was installed with it.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

/// A file of this name, of root or the caller, that only its owner may write.
///
/// # Errors
/// Why it isn't there or isn't safe, for people.
pub(super) fn open(name: &str) -> Result<OwnedFd, String> {
    let own = std::fs::read_link("/proc/self/exe").map_err(|error| error.to_string())?;
    let dir = own
        .parent()
        .ok_or_else(|| "the broker has no directory".to_owned())?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::open(dir.join(name), flags, Mode::empty())
        .map_err(|error| format!("{}: {error}", dir.join(name).display()))?;
    let stat = rustix::fs::fstat(&file).map_err(|error| error.to_string())?;
    let euid = rustix::process::geteuid().as_raw();
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    if !regular || (stat.st_uid != 0 && stat.st_uid != euid) || stat.st_mode & 0o022 != 0 {
        return Err(
            "not a regular file of root or the caller that only its owner may write".into(),
        );
    }
    Ok(file)
}
