//! An ordinary user whom the machine doesn't know: a number, for as long as a
//! test lasts.

use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::kernel::{Process, within};

/// Above all accounts and below the host uids of plugins.
const FIRST: u32 = 700_000_000;

/// No two tests that run at once are the same user. When it is dropped, no
/// process of it is left, nor what the product keeps for it outside of a home.
#[derive(Debug)]
pub struct Stranger {
    /// Its uid, which is also its gid.
    pub id: u32,
}

impl Stranger {
    /// A user that nobody else is.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % 100;
        Self {
            id: FIRST + std::process::id() % 1_000_000 * 100 + number,
        }
    }

    /// What starts a program as this user, with a second group as most users have.
    #[must_use]
    pub fn becoming(&self) -> Vec<String> {
        let id = self.id.to_string();
        let groups = format!("{id},{}", self.id - 1);
        let words = [
            "setpriv", "--reuid", &id, "--regid", &id, "--groups", &groups,
        ];
        words.map(str::to_owned).to_vec()
    }

    /// Gives it a file or directory, with all below it.
    ///
    /// # Panics
    /// If it can't be given away: that needs root.
    pub fn own(&self, path: &Path) {
        if path.is_dir() && !path.is_symlink() {
            for entry in std::fs::read_dir(path).unwrap() {
                self.own(&entry.unwrap().path());
            }
        }
        lchown(path, Some(self.id), Some(self.id)).unwrap();
    }

    /// Its processes that aren't dead.
    ///
    /// # Panics
    /// If /proc can't be read.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let own = self.id.to_string();
        let listed = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(Process::find)
            .filter(|process| {
                let file = format!("/proc/{}/status", process.pid);
                let status = std::fs::read_to_string(file).unwrap_or_default();
                let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
                ids.is_some_and(|ids| ids.split_whitespace().any(|id| id == own))
            })
            .collect()
    }

    /// Where the launcher keeps its locks for an ordinary user.
    fn places(&self) -> PathBuf {
        PathBuf::from(format!("/tmp/gm-{}", self.id))
    }
}

impl Default for Stranger {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        for process in self.processes() {
            if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = within(Duration::from_secs(2), || self.processes().is_empty());
        let _ = std::fs::remove_dir_all(self.places());
    }
}
