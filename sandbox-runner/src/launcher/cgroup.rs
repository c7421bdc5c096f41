//! The cgroups of one instance: where they lie, their limits, their counters,
//! their end. v1, v2 and both at once.
//!
//! Own code, without cgroups-rs: that crate joins every v1 hierarchy instead
//! of the three asked for, can't kill on v1, reads v1's file names on v2 (a
//! real OOM kill counts as 0) and drops the result of enabling controllers.
//! What would be left of it is `mkdir`, one `write` and `rmdir`, at the price
//! of a D-Bus stack in the process that holds the privileges.
//!
//! Nothing here touches a group that isn't named `gm-<instance>` or below one,
//! but for enabling controllers on v2 in the parent.

mod group;
mod instance;
mod tree;

pub(crate) use group::{Group, GroupLimits};
pub(crate) use instance::{Instance, sweep};
pub(crate) use tree::{Control as Controller, Tree};

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// `rmdir` answers EBUSY until the kernel has let go of the last dead process.
const REMOVE_TRIES: u32 = 200;
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

/// Writes `value` into `dir/file` in one call, as these files want it. Never
/// makes the file.
fn write(dir: &Path, file: &str, value: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(dir.join(file))?;
    file.write_all(value.as_bytes())
}

/// The text of `dir/file` without its last newline.
fn read(dir: &Path, file: &str) -> std::io::Result<String> {
    let mut text = std::fs::read_to_string(dir.join(file))?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// The number after `key` in a file of `key number` lines.
fn keyed(dir: &Path, file: &str, key: &str) -> Option<u64> {
    let text = read(dir, file).ok()?;
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

/// Removes one empty group, with bounded patience. A group that isn't there
/// is removed.
fn remove(dir: &Path) -> std::io::Result<()> {
    for _ in 1..REMOVE_TRIES {
        match std::fs::remove_dir(dir) {
            Err(e) if e.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(REMOVE_PAUSE);
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            result => return result,
        }
    }
    std::fs::remove_dir(dir)
}
