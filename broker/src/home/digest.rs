//! The digest of everything in the home that decides what may run.

use gm_manifest::{Digest, Refusal};
use sha2::{Digest as _, Sha256};

use super::{CONFIG_FILE, Dir, Home};

/// The most that one file of the trust store may hold; the list of
/// revocations is the longest, with 4 MiB.
const MAX_FILE: u64 = 16 << 20;

impl Home {
    /// SHA-256 over path, length and bytes of `broker.toml` and the files of
    /// `trust/`, sorted by path: for each the path below the home, NUL, the
    /// length in decimal, NUL, the bytes. Lock and temporary files, which
    /// begin with a dot, decide nothing and are left out.
    ///
    /// # Errors
    /// Class `store`.
    pub fn digest(&self) -> Result<Digest, Refusal> {
        let mut files = Vec::new();
        if let Some(bytes) = self.dir().read(CONFIG_FILE, MAX_FILE)? {
            files.push((CONFIG_FILE.to_owned(), bytes));
        }
        if let Some(trust) = self.dir().child("trust")? {
            collect(&trust, "trust", &mut files)?;
        }
        files.sort();
        let mut hash = Sha256::new();
        for (path, bytes) in files {
            hash.update(path.as_bytes());
            hash.update(format!("\0{}\0", bytes.len()));
            hash.update(bytes);
        }
        Ok(Digest::from_bytes(hash.finalize().into()))
    }
}

fn collect(dir: &Dir, path: &str, files: &mut Vec<(String, Vec<u8>)>) -> Result<(), Refusal> {
    for name in dir.names()? {
        let shown = name.to_string_lossy();
        if shown.starts_with('.') {
            continue;
        }
        let path = format!("{path}/{shown}");
        let metadata = rustix::fs::statat(dir, &name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| super::dir::failed("look at", &dir.path().join(&name), error))?;
        if rustix::fs::FileType::from_raw_mode(metadata.st_mode).is_dir() {
            if let Some(below) = dir.child(&name)? {
                collect(&below, &path, files)?;
            }
        } else if let Some(bytes) = dir.read(&name, MAX_FILE)? {
            files.push((path, bytes));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_follows_every_byte_and_path_that_decides_and_no_other() {
        let temp = tempfile::tempdir().unwrap();
        let (home, _) = crate::home::open(temp.path()).unwrap();
        let mut seen = vec![home.digest().unwrap()];
        assert_eq!(seen[0], Digest::of(b""));
        home.dir()
            .write(CONFIG_FILE, b"schema = \"gm.broker/1\"\n")
            .unwrap();
        seen.push(home.digest().unwrap());
        let pins = home.trust().unwrap().make("pins").unwrap();
        pins.write("a.toml", b"12").unwrap();
        seen.push(home.digest().unwrap());
        pins.write("a.toml", b"13").unwrap();
        seen.push(home.digest().unwrap());
        pins.write("b.toml", b"").unwrap();
        seen.push(home.digest().unwrap());
        let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len());
        pins.write(".lock", b"").unwrap();
        home.logs().unwrap().write("broker.jsonl", b"x").unwrap();
        assert_eq!(home.digest().unwrap(), seen[4]);
    }

    #[test]
    fn the_digest_is_the_documented_one() {
        let temp = tempfile::tempdir().unwrap();
        let (home, _) = crate::home::open(temp.path()).unwrap();
        home.dir().write(CONFIG_FILE, b"").unwrap();
        home.trust().unwrap().write("keys.toml", b"ab").unwrap();
        let expected = Digest::of(b"broker.toml\x000\x00trust/keys.toml\x002\x00ab");
        assert_eq!(home.digest().unwrap(), expected);
    }
}
