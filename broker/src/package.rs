//! Reads a package directory once, into sealed memory.
//!
//! No path is opened twice and no link is followed: what is hashed here is what
//! is verified, and what is verified is what runs. Nothing here trusts or starts
//! anything.

use gm_manifest::{Code, MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest, PackagePath, Refusal};
use mind_gpg::{Accepted, Artifact, SignedPlugin};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The most entries of a package, directories and manifest counted: listing a
/// stranger's directory is work that it chooses.
pub const MAX_ENTRIES: usize = 256;

/// Where an author's directory holds the package itself.
pub const PACKAGE_DIRECTORY: &str = "package";

/// The most bytes of all files together.
pub const MAX_BYTES: u64 = 64 << 20;

/// Reads the package at `path`: its directory, the author's directory that holds it
/// as `package`, its manifest, or a file that the manifest names.
///
/// # Errors
/// Class `manifest`, class `artifact`; `usage/arguments` if the
/// manifest doesn't name the file.
pub fn read(path: &Path) -> Result<SignedPlugin, Refusal> {
    let place = Place::of(path)?;
    let package = Package::open(&place.directory)?;
    let manifest = Manifest::parse(&package.manifest_bytes()?)?;
    if let Some(file) = &place.file {
        let named = manifest
            .paths()
            .iter()
            .any(|path| Path::new(path.as_str()) == file);
        if !named {
            let what = format!(
                "the manifest in {} does not name {}",
                place.directory.display(),
                file.display()
            );
            return Err(Refusal::new(Code::UsageArguments, what).plugin(manifest.id().as_str()));
        }
    }
    package.signed(manifest, |_| Ok(()))
}

/// The directory of the package at `path`, which is named as for [`read`].
///
/// # Errors
/// `manifest/no-manifest`.
pub fn directory(path: &Path) -> Result<PathBuf, Refusal> {
    Place::of(path).map(|place| place.directory)
}

/// Reads an installed package, and tells a change of it from a bad signature.
///
/// # Errors
/// `artifact/digest-mismatch` if a byte isn't what was accepted; otherwise as [`read`].
pub fn read_installed(directory: &Path, accepted: &Accepted) -> Result<SignedPlugin, Refusal> {
    let package = Package::open(directory)?;
    let bytes = package.manifest_bytes()?;
    accepted.check_manifest(&bytes)?;
    package.signed(Manifest::parse(&bytes)?, |artifact| {
        accepted.check_file(artifact.digest())
    })
}

/// Replaces the manifest of the package at `path`, whole or not at all.
///
/// # Errors
/// `manifest/no-manifest`; `usage/arguments` if it can't be written there.
pub fn replace_manifest(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    use std::os::unix::fs::PermissionsExt;
    let directory = Place::of(path)?.directory;
    let failed = |error: &dyn std::fmt::Display| {
        Refusal::new(
            Code::UsageArguments,
            format!(
                "could not write the manifest in {}: {error}",
                directory.display()
            ),
        )
    };
    let target = directory.join(MANIFEST_FILE);
    let mode = std::fs::symlink_metadata(&target)
        .map_err(|error| failed(&error))?
        .permissions()
        .mode();
    let mut next = tempfile::NamedTempFile::new_in(&directory).map_err(|error| failed(&error))?;
    next.write_all(bytes).map_err(|error| failed(&error))?;
    let permissions = PermissionsExt::from_mode(mode & 0o777);
    next.as_file()
        .set_permissions(permissions)
        .map_err(|error| failed(&error))?;
    next.as_file().sync_all().map_err(|error| failed(&error))?;
    next.persist(&target)
        .map_err(|error| failed(&error.error))?;
    Ok(())
}

/// Where a package lies, and the file of it that was named.
struct Place {
    directory: PathBuf,
    file: Option<PathBuf>,
}

impl Place {
    fn of(path: &Path) -> Result<Self, Refusal> {
        let missing = |error: &dyn std::fmt::Display| {
            Refusal::new(
                Code::ManifestNoManifest,
                format!("there is no package at {}: {error}", path.display()),
            )
        };
        if std::fs::metadata(path)
            .map_err(|error| missing(&error))?
            .is_dir()
        {
            // An author's directory holds sources, tests and the package.
            let inside = path.join(PACKAGE_DIRECTORY);
            let has_manifest = |at: &Path| at.join(MANIFEST_FILE).symlink_metadata().is_ok();
            let directory = match !has_manifest(path) && has_manifest(&inside) {
                true => inside,
                false => path.to_owned(),
            };
            return Ok(Self {
                directory,
                file: None,
            });
        }
        let path = std::path::absolute(path).map_err(|error| missing(&error))?;
        // A named file may lie deeper; whether it is named is asked later.
        let directory = path
            .ancestors()
            .skip(1)
            .find(|above| above.join(MANIFEST_FILE).symlink_metadata().is_ok())
            .ok_or_else(|| missing(&format!("no {MANIFEST_FILE} beside or above it")))?;
        let file = path
            .strip_prefix(directory)
            .map_err(|error| missing(&error))?;
        Ok(Self {
            directory: directory.to_owned(),
            file: (file != Path::new(MANIFEST_FILE)).then(|| file.to_owned()),
        })
    }
}

/// A package's directory, opened once.
struct Package {
    directory: OwnedFd,
}

impl Package {
    fn open(directory: &Path) -> Result<Self, Refusal> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(directory, flags, Mode::empty());
        let refused = |error| {
            let path = directory.display().to_string();
            unreadable(&path, Code::ManifestNoManifest, error)
        };
        opened.map(|directory| Self { directory }).map_err(refused)
    }

    fn manifest_bytes(&self) -> Result<Vec<u8>, Refusal> {
        let (file, before) = self.open_file(MANIFEST_FILE, Code::ManifestNoManifest)?;
        let mut bytes = Vec::new();
        // One byte more than allowed is enough to be told too big.
        let most = MAX_MANIFEST_BYTES as u64 + 1;
        (&file)
            .take(most)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(MANIFEST_FILE, Code::ManifestNoManifest, error))?;
        if bytes.len() <= MAX_MANIFEST_BYTES {
            unchanged(&file, &before, bytes.len() as u64, MANIFEST_FILE)?;
        }
        Ok(bytes)
    }

    /// Everything in the directory is named, and everything named is read.
    fn signed(
        &self,
        manifest: Manifest,
        check: impl Fn(&Artifact) -> Result<(), Refusal>,
    ) -> Result<SignedPlugin, Refusal> {
        let read = || {
            let mut seen = 0;
            self.only_named(&manifest, "", &mut seen)?;
            let mut left = MAX_BYTES;
            let mut artifacts = Vec::new();
            for path in std::iter::once(manifest.entrypoint()).chain(manifest.files()) {
                let artifact = self.artifact(path, left)?;
                check(&artifact)?;
                left = left.saturating_sub(artifact.digest().len);
                artifacts.push(artifact);
            }
            Ok(artifacts)
        };
        let about = |refusal: Refusal| {
            refusal
                .plugin(manifest.id().as_str())
                .version(manifest.version().to_string())
        };
        let artifacts = read().map_err(about)?;
        SignedPlugin::new(manifest, artifacts)
    }

    fn artifact(&self, path: &PackagePath, most: u64) -> Result<Artifact, Refusal> {
        let (file, before) = self.open_file(path.as_str(), Code::ArtifactMissing)?;
        if u64::try_from(before.st_size).unwrap_or(u64::MAX) > most {
            let refusal = Refusal::new(Code::ArtifactTooBig, format!("{path} is too large"));
            return Err(refusal.rule(format!("a package has at most {MAX_BYTES} bytes")));
        }
        let artifact = Artifact::seal(path.clone(), &mut &file, most)?;
        unchanged(&file, &before, artifact.digest().len, path.as_str())?;
        Ok(artifact)
    }

    /// Opens one file below the directory: plain, with one link, reached without
    /// any symbolic link. Non-blocking, since a fifo would hold us up.
    fn open_file(&self, path: &str, if_missing: Code) -> Result<(File, Stat), Refusal> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(self.open_below(path, flags, if_missing)?);
        let stat = rustix::fs::fstat(&file).map_err(|error| unreadable(path, if_missing, error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_regular(path, "is no plain file"));
        }
        if stat.st_nlink != 1 {
            return Err(not_regular(path, "has more than one link"));
        }
        Ok((file, stat))
    }

    fn open_below(&self, path: &str, flags: OFlags, if_missing: Code) -> Result<OwnedFd, Refusal> {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Err(Refusal::new(if_missing, format!("{path} is not there")))
            }
            Err(Errno::LOOP | Errno::XDEV) => {
                let refusal = Refusal::new(
                    Code::ArtifactUnsafePath,
                    format!("{path} is reached through a link"),
                );
                Err(refusal.rule("no links in a package"))
            }
            // What openat2(2) answers if something on the way was renamed meanwhile.
            Err(Errno::AGAIN) => Err(changed(path)),
            // What open(2) answers for sockets and devices without a driver.
            Err(Errno::NXIO | Errno::NODEV) => Err(not_regular(path, "is no plain file")),
            Err(error) => Err(unreadable(path, if_missing, error)),
        }
    }

    /// Refuses what the manifest doesn't name. Directories are entered only on the
    /// way to a named file.
    fn only_named(
        &self,
        manifest: &Manifest,
        below: &str,
        seen: &mut usize,
    ) -> Result<(), Refusal> {
        let here = if below.is_empty() { "." } else { below };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = self.open_below(here, flags, Code::ArtifactMissing)?;
        let entries =
            Dir::new(directory).map_err(|error| unreadable(here, Code::ArtifactMissing, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(here, Code::ArtifactMissing, error))?;
            let name = entry.file_name().to_string_lossy();
            if matches!(name.as_ref(), "." | "..") {
                continue;
            }
            *seen += 1;
            if *seen > MAX_ENTRIES {
                let refusal =
                    Refusal::new(Code::ArtifactTooBig, "the package has too many entries");
                return Err(refusal.rule(format!("at most {MAX_ENTRIES}")));
            }
            let path = if below.is_empty() {
                name.into_owned()
            } else {
                format!("{below}/{name}")
            };
            match role(manifest, &path) {
                Role::Named => {}
                Role::OnTheWay => self.only_named(manifest, &path, seen)?,
                Role::Extra => {
                    let refusal =
                        Refusal::new(Code::ArtifactExtraFile, format!("{path} is in the package"));
                    return Err(refusal.rule("the manifest does not name it"));
                }
            }
        }
        Ok(())
    }
}

/// What an entry is to the manifest.
enum Role {
    Named,
    OnTheWay,
    Extra,
}

fn role(manifest: &Manifest, path: &str) -> Role {
    if path == MANIFEST_FILE {
        return Role::Named;
    }
    let mut found = Role::Extra;
    for named in manifest.paths() {
        match named.as_str().strip_prefix(path) {
            Some("") => return Role::Named,
            Some(rest) if rest.starts_with('/') => found = Role::OnTheWay,
            Some(_) | None => {}
        }
    }
    found
}

/// The file is still what it was when it was opened, and as long as what was read.
fn unchanged(file: &File, before: &Stat, read: u64, path: &str) -> Result<(), Refusal> {
    let after = rustix::fs::fstat(file)
        .map_err(|error| unreadable(path, Code::ArtifactChangedDuringRead, error))?;
    let times = |stat: &Stat| {
        (
            stat.st_mtime,
            stat.st_mtime_nsec,
            stat.st_ctime,
            stat.st_ctime_nsec,
        )
    };
    let same = after.st_size == before.st_size && times(&after) == times(before);
    match same && u64::try_from(after.st_size) == Ok(read) {
        true => Ok(()),
        false => Err(changed(path)),
    }
}

fn changed(path: &str) -> Refusal {
    let what = format!("{path} changed while it was read");
    Refusal::new(Code::ArtifactChangedDuringRead, what)
}

fn not_regular(path: &str, what: &str) -> Refusal {
    Refusal::new(Code::ArtifactNotRegular, format!("{path} {what}"))
        .rule("plain files with one link")
}

/// What can't be read is as good as missing; the text says why. That this process is short
/// of something, or the disk broken, says nothing about the package.
fn unreadable(path: &str, code: Code, error: impl Into<std::io::Error>) -> Refusal {
    let error = error.into();
    let code = match Errno::from_io_error(&error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::IO) => Code::InternalPanic,
        _ => code,
    };
    Refusal::new(code, format!("could not read {path}: {error}"))
}

#[cfg(test)]
mod tests;
