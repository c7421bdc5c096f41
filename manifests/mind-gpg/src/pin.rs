//! What was accepted for an id before: its key, its newest version, its
//! permissions, its packages.
//!
//! Kept when the plugin is unloaded, so that coming back is no way round it.

use crate::plugin::Identity;
use gm_manifest::{
    ArtifactDigest, Code, Digest, Fingerprint, Manifest, PackagePath, Permissions, Refusal,
};
use serde::{Deserialize, Serialize};

/// The most accepted packages that are remembered of one id, oldest dropped first.
const MAX_ACCEPTED: usize = 64;

/// The memory of one id.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pin {
    /// The primary key that the id belongs to.
    pub fingerprint: Fingerprint,
    /// The newest version ever loaded.
    pub version: semver::Version,
    /// The statement's digest of that one.
    pub statement: Digest,
    /// The permissions that were accepted.
    pub granted: Permissions,
    /// The packages that were loaded, newest last.
    pub accepted: Vec<Accepted>,
}

/// A package that was loaded: the digests of everything in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    version: semver::Version,
    statement: Digest,
    manifest: Digest,
    file: Vec<AcceptedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptedFile {
    path: PackagePath,
    sha256: Digest,
    bytes: u64,
}

/// The file `pins/<id>.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinFile {
    fingerprint: Fingerprint,
    version: semver::Version,
    statement: Digest,
    granted: String,
    accepted: Vec<Accepted>,
}

impl Accepted {
    pub(crate) fn new(manifest: &Manifest, identity: &Identity) -> Self {
        let file = |artifact: &ArtifactDigest| AcceptedFile {
            path: artifact.path.clone(),
            sha256: artifact.sha256,
            bytes: artifact.len,
        };
        Self {
            version: identity.version.clone(),
            statement: identity.digest,
            manifest: Digest::of(manifest.raw()),
            file: identity.artifacts.iter().map(file).collect(),
        }
    }

    /// The version that was accepted.
    #[must_use]
    pub fn version(&self) -> &semver::Version {
        &self.version
    }

    /// The digest of the statement that was accepted.
    #[must_use]
    pub fn statement(&self) -> &Digest {
        &self.statement
    }

    /// Compares the manifest's bytes with those that were accepted.
    ///
    /// # Errors
    /// `artifact/digest-mismatch`.
    pub fn check_manifest(&self, bytes: &[u8]) -> Result<(), Refusal> {
        match Digest::of(bytes) == self.manifest {
            true => Ok(()),
            false => Err(mismatch("the manifest")),
        }
    }

    /// Compares a file with the one that was accepted.
    ///
    /// # Errors
    /// `artifact/digest-mismatch`.
    pub fn check_file(&self, read: &ArtifactDigest) -> Result<(), Refusal> {
        let same = |file: &AcceptedFile| {
            file.path == read.path && file.sha256 == read.sha256 && file.bytes == read.len
        };
        match self.file.iter().any(same) {
            true => Ok(()),
            false => Err(mismatch(read.path.as_str())),
        }
    }
}

fn mismatch(what: &str) -> Refusal {
    let what = format!("{what} is not what was loaded");
    Refusal::new(Code::ArtifactDigestMismatch, what).rule("an installed package never changes")
}

impl Pin {
    pub(crate) fn from_file(file: PinFile) -> Result<Self, Refusal> {
        let granted = Permissions::parse_text(&file.granted)?;
        let PinFile {
            fingerprint,
            version,
            statement,
            accepted,
            ..
        } = file;
        Ok(Self {
            fingerprint,
            version,
            statement,
            granted,
            accepted,
        })
    }

    pub(crate) fn to_file(&self) -> PinFile {
        PinFile {
            fingerprint: self.fingerprint.clone(),
            version: self.version.clone(),
            statement: self.statement,
            granted: self.granted.to_text(),
            accepted: self.accepted.clone(),
        }
    }

    /// What is remembered after a load. Its version is never lower than before.
    pub(crate) fn after(
        before: Option<Self>,
        accepted: Accepted,
        fingerprint: Fingerprint,
        granted: Permissions,
    ) -> Self {
        let newest = Self {
            fingerprint,
            version: accepted.version.clone(),
            statement: accepted.statement,
            granted,
            accepted: Vec::new(),
        };
        let mut known = before.map_or_else(Vec::new, |before| before.accepted);
        known.retain(|package| package.statement != accepted.statement);
        known.push(accepted);
        let surplus = known.len().saturating_sub(MAX_ACCEPTED);
        Self {
            accepted: known.split_off(surplus),
            ..newest
        }
    }

    /// Step 10: the same key, and no version below the newest one. Build metadata
    /// doesn't count.
    pub(crate) fn check(
        &self,
        signer: &Fingerprint,
        version: &semver::Version,
    ) -> Result<(), Refusal> {
        if self.fingerprint != *signer {
            let what = format!(
                "the id is pinned to {}, the package is signed by {signer}",
                self.fingerprint
            );
            return Err(Refusal::new(Code::IdentityPinChanged, what).rule("possible impersonation"));
        }
        if version.cmp_precedence(&self.version).is_lt() {
            let what = format!("version {version} is older than {}", self.version);
            return Err(
                Refusal::new(Code::IdentityVersionRollback, what).rule("versions only go up")
            );
        }
        Ok(())
    }

    /// The package with this statement, if it was ever loaded.
    #[must_use]
    pub fn find(&self, statement: &Digest) -> Option<&Accepted> {
        self.accepted
            .iter()
            .find(|package| package.statement == *statement)
    }
}
