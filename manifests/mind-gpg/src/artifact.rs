//! A file of a package in sealed memory: read once, hashed on the way, and never
//! changed again by anybody.
//!
//! The bytes that are verified are the bytes that run, because there is only
//! this one copy: no path is opened a second time.

use gm_manifest::{ArtifactDigest, Code, Digest, PackagePath, Refusal};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use sha2::Digest as _;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// One file of a package, in a sealed memfd.
#[derive(Debug)]
pub struct Artifact {
    digest: ArtifactDigest,
    memory: File,
}

impl Artifact {
    /// Copies `source` to its end into a new memfd, hashes it on the way and
    /// seals it against every change. `most` is the cap in bytes.
    ///
    /// # Errors
    /// `artifact/too-big` over the cap, `artifact/missing` if it can't be read,
    /// `internal/panic` if there is no memory for it.
    pub fn seal(path: PackagePath, source: &mut impl Read, most: u64) -> Result<Self, Refusal> {
        let unread = |code, what: &str, error: &dyn std::fmt::Display| {
            Refusal::new(code, format!("could not {what} {path}: {error}"))
        };
        let failed =
            |what: &str, error: &dyn std::fmt::Display| unread(Code::InternalPanic, what, error);
        let mut memory =
            File::from(new_memfd().map_err(|error| failed("make memory for", &error))?);
        let mut hash = sha2::Sha256::new();
        let mut len: u64 = 0;
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(unread(Code::ArtifactMissing, "read", &error)),
            };
            let read = chunk.get(..count).unwrap_or_default();
            len = len.saturating_add(read.len() as u64);
            if len > most {
                return Err(Refusal::new(
                    Code::ArtifactTooBig,
                    format!("{path} is larger than {most} bytes"),
                ));
            }
            hash.update(read);
            memory
                .write_all(read)
                .map_err(|error| failed("copy", &error))?;
        }
        memory.rewind().map_err(|error| failed("rewind", &error))?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&memory, seals).map_err(|error| failed("seal", &error))?;
        let sha256 = Digest::from_bytes(hash.finalize().into());
        Ok(Self {
            digest: ArtifactDigest { path, sha256, len },
            memory,
        })
    }

    /// Path, digest and length.
    #[must_use]
    pub fn digest(&self) -> &ArtifactDigest {
        &self.digest
    }

    /// The sealed memory; its offset is 0 unless somebody moved it.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// All bytes, read without moving the offset.
    ///
    /// # Errors
    /// The memory can't be read, or `usize` can't hold its length.
    pub fn bytes(&self) -> std::io::Result<Vec<u8>> {
        let len = usize::try_from(self.digest.len).map_err(|_| ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        self.memory.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Sealed against execution too where the kernel knows that (Linux 6.3): code
/// never runs from here. Older kernels answer EINVAL to the flag.
fn new_memfd() -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("gm-artifact", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => memfd_create("gm-artifact", flags),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path() -> PackagePath {
        PackagePath::parse("words.txt").unwrap()
    }

    #[test]
    fn sealed_memory_cannot_be_written_grown_or_unsealed() {
        let artifact = Artifact::seal(path(), &mut &b"alpha\nbeta\n"[..], 100).unwrap();
        assert_eq!(artifact.bytes().unwrap(), b"alpha\nbeta\n");
        assert_eq!(artifact.digest().sha256, Digest::of(b"alpha\nbeta\n"));
        assert_eq!(artifact.digest().len, 11);
        assert_eq!(rustix::io::pwrite(artifact.fd(), b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(artifact.fd(), 5), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(artifact.fd(), 500), Err(Errno::PERM));
        assert_eq!(
            fcntl_add_seals(artifact.fd(), SealFlags::FUTURE_WRITE),
            Err(Errno::PERM)
        );
    }

    #[test]
    fn sealed_memory_cannot_be_executed_where_the_kernel_knows_that_seal() {
        let artifact = Artifact::seal(path(), &mut &b""[..], 0).unwrap();
        let mode = rustix::fs::fstat(artifact.fd()).unwrap().st_mode;
        let knows = memfd_create("probe", MemfdFlags::NOEXEC_SEAL).is_ok();
        assert!(!knows || mode & 0o111 == 0);
    }

    #[test]
    fn a_file_over_the_cap_is_refused() {
        let refusal = Artifact::seal(path(), &mut std::io::repeat(0), 1 << 20).unwrap_err();
        assert_eq!(refusal.code, Code::ArtifactTooBig);
    }
}
