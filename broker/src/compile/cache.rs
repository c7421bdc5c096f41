//! Compiled code on disk, safe to delete at any time.
//!
//! An artifact is executed as it is, so an entry counts only with our MAC over
//! its key and bytes, checked on the very bytes that are used. Plugins never
//! see the cache; the MAC key lies beside it with mode 0600.

use std::time::SystemTime;

use gm_manifest::Refusal;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::home::{Dir, Home};

const MAC_BYTES: usize = 32;
const KEY_FILE: &str = "cache.key";
const SUFFIX: &str = ".artifact";
/// No artifact is larger; a module's own cap is lower.
const MAX_ENTRY: u64 = 512 << 20;

/// Names one artifact: everything that its bytes depend on, and the grant for
/// which its imports and exports were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A key from its parts, in order; no two lists give the same key.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        Self(
            hash.finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        )
    }

    fn file(&self) -> String {
        format!("{}{SUFFIX}", self.0)
    }
}

/// The cache of a home.
#[derive(Debug)]
pub struct Cache {
    dir: Dir,
    secret: Vec<u8>,
    most: u64,
}

impl Cache {
    /// Opens the cache of `home`, which may grow to `most` bytes.
    pub fn open(home: &Home, most: u64) -> Result<Self, Refusal> {
        let state = home.state()?;
        let secret = match state.read(KEY_FILE, 1024)? {
            Some(secret) if secret.len() == MAC_BYTES => secret,
            // Missing or damaged: a new one makes every old entry invalid,
            // which costs a compile and nothing else.
            _ => {
                let mut secret = vec![0; MAC_BYTES];
                getrandom::fill(&mut secret).map_err(|error| {
                    Refusal::new(
                        gm_manifest::Code::InternalPanic,
                        format!("no random bytes: {error}"),
                    )
                })?;
                state.write(KEY_FILE, &secret)?;
                secret
            }
        };
        Ok(Self {
            dir: home.cache()?,
            secret,
            most,
        })
    }

    /// The artifact of `key`, if a valid entry is there. An invalid one is
    /// deleted.
    pub fn fetch(&self, key: &Key) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(mut entry) = self.dir.read(key.file(), MAX_ENTRY)? else {
            return Ok(None);
        };
        if entry.len() > MAC_BYTES {
            let artifact = entry.split_off(MAC_BYTES);
            if self
                .mac(key, &artifact)
                .is_some_and(|mac| mac.verify_slice(&entry).is_ok())
            {
                return Ok(Some(artifact));
            }
        }
        self.dir.remove(key.file())?;
        Ok(None)
    }

    /// Keeps an artifact; the oldest entries make room for it.
    pub fn store(&self, key: &Key, artifact: &[u8]) -> Result<(), Refusal> {
        let Some(mac) = self.mac(key, artifact) else {
            return Ok(());
        };
        let mut entry = mac.finalize().into_bytes().to_vec();
        entry.extend_from_slice(artifact);
        self.make_room(entry.len().try_into().unwrap_or(u64::MAX))?;
        self.dir.write(key.file(), &entry)
    }

    fn mac(&self, key: &Key, artifact: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).ok()?;
        mac.update(key.0.as_bytes());
        mac.update(&Sha256::digest(artifact));
        Some(mac)
    }

    fn make_room(&self, needed: u64) -> Result<(), Refusal> {
        let mut entries = Vec::new();
        for name in self.dir.names()? {
            if let Ok(meta) = std::fs::symlink_metadata(self.dir.path().join(&name)) {
                entries.push((
                    meta.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    meta.len(),
                    name,
                ));
            }
        }
        entries.sort();
        let mut total = entries
            .iter()
            .fold(needed, |sum, (_, len, _)| sum.saturating_add(*len));
        for (_, len, name) in entries {
            if total <= self.most {
                break;
            }
            self.dir.remove(name)?;
            total = total.saturating_sub(len);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(dir: &tempfile::TempDir, most: u64) -> Cache {
        let (home, _) = crate::home::open(dir.path()).unwrap();
        Cache::open(&home, most).unwrap()
    }

    fn home() -> tempfile::TempDir {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        dir
    }

    #[test]
    fn an_artifact_comes_back_also_after_a_restart() {
        let dir = home();
        let key = Key::of(&[b"module", b"engine"]);
        cache(&dir, 1 << 20).store(&key, b"code").unwrap();
        assert_eq!(cache(&dir, 1 << 20).fetch(&key).unwrap().unwrap(), b"code");
    }

    #[test]
    fn a_changed_entry_is_deleted_and_not_used() {
        let dir = home();
        let cache = cache(&dir, 1 << 20);
        let key = Key::of(&[b"module"]);
        cache.store(&key, b"code").unwrap();
        let path = cache.dir.path().join(key.file());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&path, changed).unwrap();
            assert_eq!(cache.fetch(&key).unwrap(), None, "byte {at}");
        }
        assert!(!path.exists());
    }

    #[test]
    fn an_entry_does_not_count_under_another_key() {
        let dir = home();
        let cache = cache(&dir, 1 << 20);
        let (one, other) = (Key::of(&[b"ab", b"c"]), Key::of(&[b"a", b"bc"]));
        cache.store(&one, b"code").unwrap();
        std::fs::rename(
            cache.dir.path().join(one.file()),
            cache.dir.path().join(other.file()),
        )
        .unwrap();
        assert_eq!(cache.fetch(&other).unwrap(), None);
    }

    #[test]
    fn the_oldest_entries_make_room() {
        let dir = home();
        let cache = cache(&dir, 300);
        for name in [b"a", b"b", b"c"] {
            cache.store(&Key::of(&[name]), &[0; 100]).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(cache.fetch(&Key::of(&[b"a"])).unwrap(), None);
        assert!(cache.fetch(&Key::of(&[b"c"])).unwrap().is_some());
    }
}
