//! A package that was read, and one that was vouched for.

use crate::artifact::Artifact;
use crate::judge::Signer;
use gm_manifest::{
    ArtifactDigest, Digest, Fingerprint, Manifest, PackagePath, PluginId, Refusal, Statement,
};
use std::time::SystemTime;

/// A package as it was read into sealed memory. Nobody has vouched for it; it may
/// well be unsigned.
#[derive(Debug)]
pub struct SignedPlugin {
    manifest: Manifest,
    artifacts: Vec<Artifact>,
    statement: Option<Statement>,
}

impl SignedPlugin {
    /// Puts a manifest and its files together, entrypoint first.
    ///
    /// # Errors
    /// `artifact/missing` or `artifact/extra-file` if they aren't exactly the files
    /// that the manifest names.
    pub fn new(manifest: Manifest, artifacts: Vec<Artifact>) -> Result<Self, Refusal> {
        let digests: Vec<ArtifactDigest> = artifacts
            .iter()
            .map(|artifact| artifact.digest().clone())
            .collect();
        let statement = match Statement::build(&manifest, &digests) {
            Ok(statement) => Some(statement),
            Err(refusal) if refusal.code == gm_manifest::Code::PolicyUnsigned => {
                Statement::check_files(&manifest, &digests)?;
                None
            }
            Err(refusal) => return Err(refusal),
        };
        Ok(Self {
            manifest,
            artifacts,
            statement,
        })
    }

    /// What the package says about itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its files, as they were read.
    #[must_use]
    pub fn artifacts(&self) -> &[Artifact] {
        &self.artifacts
    }

    /// What its signature would have to cover; `None` while key or line are missing.
    #[must_use]
    pub fn statement(&self) -> Option<&Statement> {
        self.statement.as_ref()
    }
}

/// A package that somebody trusted has vouched for, at the moment of verification.
///
/// Only [`TrustStore::verify`](crate::TrustStore::verify) makes one, and it can't
/// be copied: a restart verifies again, so that a revocation in between counts.
#[derive(Debug)]
pub struct VerifiedPlugin {
    signed: SignedPlugin,
    identity: Identity,
}

impl VerifiedPlugin {
    pub(crate) fn new(signed: SignedPlugin, identity: Identity) -> Self {
        Self { signed, identity }
    }

    /// What the package says about itself, now vouched for.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.signed.manifest
    }

    /// Its files in sealed memory: the bytes that were verified are these.
    #[must_use]
    pub fn artifacts(&self) -> &[Artifact] {
        &self.signed.artifacts
    }

    /// One file by its path.
    #[must_use]
    pub fn artifact(&self, path: &PackagePath) -> Option<&Artifact> {
        self.signed
            .artifacts
            .iter()
            .find(|artifact| artifact.digest().path == *path)
    }

    /// Who signed what, for records.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Who signed what: facts for records and for later revocation. Proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The plugin.
    pub id: PluginId,
    /// Its version.
    pub version: semver::Version,
    /// The author's primary key.
    pub fingerprint: Fingerprint,
    /// The key that signed; the primary key itself, or a subkey of it.
    pub subkey: Fingerprint,
    /// When, as the signature says.
    pub signed_at: SystemTime,
    /// The digest of the statement: it names this exact package.
    pub digest: Digest,
    /// Its files.
    pub artifacts: Vec<ArtifactDigest>,
}

impl Identity {
    pub(crate) fn new(signed: &SignedPlugin, statement: &Statement, signer: &Signer) -> Self {
        Self {
            id: signed.manifest.id().clone(),
            version: signed.manifest.version().clone(),
            fingerprint: signer.fingerprint.clone(),
            subkey: signer.key.clone(),
            signed_at: signer.signed_at,
            digest: statement.digest(),
            artifacts: signed
                .artifacts
                .iter()
                .map(|artifact| artifact.digest().clone())
                .collect(),
        }
    }
}
