//! `gm gpg sign`: fills key and signature into a package's manifest.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::SystemTime;

use gm_manifest::{ArtifactDigest, Refusal};
use mind_gpg::SecretKey;
use serde_json::json;

use super::{files, read_keys, read_passphrase};
use crate::args::gm::SignArgs;
use crate::output::Output;
use crate::package;

/// The manifest is replaced only by one that passed the strict verifier.
pub(super) fn run(args: &SignArgs, output: &mut Output) -> Result<u8, Refusal> {
    let now = SystemTime::now();
    let plugin = package::read(&args.path)?;
    let passphrase = read_passphrase(args.passphrase_file.as_deref())?;
    let key = SecretKey::read(&read_keys(&args.key)?, passphrase.as_deref(), now)?;
    warn_if_shared(&args.key, output);
    let signed = key.sign(&plugin, now)?;
    package::replace_manifest(&args.path, &signed.bytes)?;
    let manifest = plugin.manifest();
    let artifacts: Vec<ArtifactDigest> = plugin
        .artifacts()
        .iter()
        .map(|artifact| artifact.digest().clone())
        .collect();
    output.line(&format!(
        "signed {} {} by {} (subkey {})  statement sha256:{}",
        manifest.id(),
        manifest.version(),
        signed.fingerprint,
        signed.subkey.short(),
        signed.digest,
    ));
    Ok(output.done(
        "gpg sign",
        [
            ("plugin", json!(manifest.id())),
            ("version", json!(manifest.version())),
            ("fingerprint", json!(signed.fingerprint)),
            ("subkey", json!(signed.subkey)),
            ("digest", json!(signed.digest)),
            ("artifacts", files(&artifacts)),
        ],
    ))
}

/// Signing goes on: the harm, if there is any, is done already.
fn warn_if_shared(key: &Path, output: &mut Output) {
    let mode = std::fs::metadata(key).map(|facts| facts.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        output.warn(&format!("others can read {}; chmod 600 it", key.display()));
    }
}
