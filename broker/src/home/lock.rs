//! Locks between processes: `flock` on a file of the home.
//!
//! The kernel lets go of one when its holder dies, so none is ever stale.

use std::ffi::OsStr;
use std::fs::File;
use std::time::{Duration, Instant};

use gm_manifest::{Code, Refusal};
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use super::Dir;
use super::dir::failed;

/// How long a verb waits for another one: long enough for a load that compiles
/// nothing, short enough for a person.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Held until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Lock {
    _held: File,
}

impl Dir {
    /// Takes the directory's `.lock`, waiting up to 5 seconds.
    ///
    /// # Errors
    /// `store/locked`; as [`Dir::append`].
    pub fn lock(&self) -> Result<Lock, Refusal> {
        self.lock_file_within(".lock", PATIENCE)
    }

    /// Takes the lock file `name`, waiting at most so long.
    ///
    /// # Errors
    /// As [`Dir::lock`].
    pub fn lock_file_within(&self, name: &str, patience: Duration) -> Result<Lock, Refusal> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(lock) = self.try_lock(name)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(Refusal::new(
                    Code::StoreLocked,
                    format!("another process holds {}", self.path().join(name).display()),
                ));
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Takes the lock file `name`, or says `None` if somebody holds it.
    ///
    /// # Errors
    /// As [`Dir::append`].
    pub fn try_lock(&self, name: impl AsRef<OsStr>) -> Result<Option<Lock>, Refusal> {
        let name = name.as_ref();
        let path = self.path().join(name);
        let file = self
            .open_file(name, OFlags::RDWR | OFlags::CREATE)?
            .ok_or_else(|| failed("open", &path, Errno::NOENT))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _held: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(failed("lock", &path, error)),
        }
    }

    /// Whether somebody holds the lock file `name`, which isn't made for the question.
    ///
    /// # Errors
    /// As [`Dir::read`].
    pub fn is_locked(&self, name: impl AsRef<OsStr>) -> Result<bool, Refusal> {
        let Some(file) = self.open(name.as_ref())? else {
            return Ok(false);
        };
        // Shared: two that ask don't take each other for a holder.
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(failed("lock", &self.path().join(name.as_ref()), error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_until_it_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::root(temp.path()).unwrap();
        let held = dir.lock().unwrap();
        assert!(dir.try_lock(".lock").unwrap().is_none());
        let refusal = dir
            .lock_file_within(".lock", Duration::from_millis(60))
            .unwrap_err();
        assert_eq!(refusal.code, Code::StoreLocked);
        assert!(dir.is_locked(".lock").unwrap());
        drop(held);
        assert!(!dir.is_locked(".lock").unwrap());
        assert!(dir.lock().is_ok());
    }

    #[test]
    fn asking_for_a_lock_makes_none() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::root(temp.path()).unwrap();
        assert!(!dir.is_locked("lock").unwrap());
        assert!(dir.names().unwrap().is_empty());
    }
}
