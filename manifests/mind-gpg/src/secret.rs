//! Signing a package with a secret key that lies in a file.
//!
//! What is signed goes through the strict verifier before it is given back: a
//! signature that would be refused elsewhere never leaves.

use crate::certificate::{Certificate, ours};
use crate::judge::{Case, issuer_key, judge};
use crate::plugin::SignedPlugin;
use crate::trace::{Verification, guarded};
use crate::{base64_text, packet, strict};
use gm_manifest::{
    Code, Digest, Fingerprint, Manifest, PLUGIN_STATEMENT, Refusal, Statement, fill_signature,
    prepare_for_signing,
};
use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::cert::Cert;
use openpgp::crypto::{KeyPair, Password};
use openpgp::packet::Key;
use openpgp::packet::key::{SecretParts, UnspecifiedRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::signature::subpacket::NotationDataFlags;
use openpgp::parse::Parse;
use openpgp::serialize::MarshalInto;
use openpgp::types::{HashAlgorithm, PublicKeyAlgorithm, SignatureType};
use std::time::SystemTime;

/// The largest file with a secret key, in bytes.
const MAX_SECRET: usize = 1 << 20;

/// A secret key that can sign packages.
pub struct SecretKey {
    certificate: Certificate,
    fingerprint: Fingerprint,
    subkey: Fingerprint,
    pair: KeyPair,
}

/// A manifest with its signature filled in.
#[derive(Debug)]
#[non_exhaustive]
pub struct SignedManifest {
    /// The manifest's new bytes.
    pub bytes: Vec<u8>,
    /// The digest of the statement that was signed.
    pub digest: Digest,
    /// The primary key.
    pub fingerprint: Fingerprint,
    /// The key that signed.
    pub subkey: Fingerprint,
}

/// Shows which key it is, never the secret.
impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({})", self.fingerprint)
    }
}

const SECRET_FILE: &str = "name the file of the secret key, secret.pgp as gm gpg keygen writes it";

fn unusable(detail: &str) -> Refusal {
    Refusal::new(Code::KeyNotSigning, detail)
}

impl SecretKey {
    /// Reads a secret key, armoured or not, and picks its newest key that may sign
    /// at `now`.
    ///
    /// # Errors
    /// `key/cert-malformed`; `key/not-signing` without a usable Ed25519 signing
    /// key; `usage/arguments` if the passphrase is missing or wrong.
    pub fn read(bytes: &[u8], passphrase: Option<&str>, now: SystemTime) -> Result<Self, Refusal> {
        guarded(|| Self::read_key(bytes, passphrase, now))
    }

    fn read_key(bytes: &[u8], passphrase: Option<&str>, now: SystemTime) -> Result<Self, Refusal> {
        let no_key =
            || Refusal::new(Code::KeyCertMalformed, "this is no secret key").fix(SECRET_FILE);
        if bytes.len() > MAX_SECRET {
            return Err(no_key());
        }
        let cert = Cert::from_bytes(bytes).map_err(|_| no_key())?;
        let policy = strict::policy();
        let valid = cert
            .with_policy(&policy, now)
            .map_err(|_| unusable("the key is expired or too weak"))?;
        let signing = valid.keys().alive().revoked(false).for_signing().secret();
        let newest = signing.max_by_key(|key| key.key().creation_time());
        let key = newest
            .ok_or_else(|| {
                unusable("the file has no secret key that may sign now").fix(SECRET_FILE)
            })?
            .key()
            .clone();
        let pair = unlocked(key, passphrase)?;
        let certificate = Certificate::parse(&cert.to_vec().map_err(|_| no_key())?)?;
        Ok(Self {
            fingerprint: certificate.fingerprint()?,
            subkey: ours(&pair.public().fingerprint())?,
            certificate,
            pair,
        })
    }

    /// The primary key's fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Signs a package: fills in key and signature, and leaves every other byte of
    /// the manifest as it is.
    ///
    /// # Errors
    /// `identity/wrong-signer` if the manifest names another key; what the strict
    /// verifier says about the result; class `manifest`.
    pub fn sign(&self, plugin: &SignedPlugin, now: SystemTime) -> Result<SignedManifest, Refusal> {
        let manifest = plugin.manifest();
        let about = |refusal: Refusal| {
            refusal
                .plugin(manifest.id().as_str())
                .version(manifest.version().to_string())
        };
        guarded(|| self.sign_manifest(plugin, now)).map_err(about)
    }

    fn sign_manifest(
        &self,
        plugin: &SignedPlugin,
        now: SystemTime,
    ) -> Result<SignedManifest, Refusal> {
        let prepared = prepare_for_signing(plugin.manifest().raw(), &self.fingerprint)?;
        let digests: Vec<_> = plugin
            .artifacts()
            .iter()
            .map(|artifact| artifact.digest().clone())
            .collect();
        let statement = Statement::build(&Manifest::parse(&prepared)?, &digests)?;
        let signature = self.signature(&statement.pae(), now)?;
        self.check(&signature, &statement, now)?;
        Ok(SignedManifest {
            bytes: fill_signature(&prepared, &base64_text::encode(&signature))?,
            digest: statement.digest(),
            fingerprint: self.fingerprint.clone(),
            subkey: self.subkey.clone(),
        })
    }

    /// One packet, as it is stored.
    fn signature(&self, message: &[u8], now: SystemTime) -> Result<Vec<u8>, Refusal> {
        let make = || -> openpgp::Result<Vec<u8>> {
            let mut signature = SignatureBuilder::new(SignatureType::Binary)
                .set_hash_algo(HashAlgorithm::SHA512)
                .set_signature_creation_time(now)?
                .set_notation(
                    strict::CONTEXT,
                    PLUGIN_STATEMENT,
                    NotationDataFlags::empty().set_human_readable(),
                    false,
                )?
                .sign_message(&mut self.pair.clone(), message)?;
            // Nothing unsigned is given away.
            signature.unhashed_area_mut().clear();
            Packet::from(signature).to_vec()
        };
        make()
            .map_err(|error| Refusal::new(Code::KeyNotSigning, format!("signing failed: {error}")))
    }

    /// Steps 1 to 9 over the result.
    fn check(&self, bytes: &[u8], statement: &Statement, now: SystemTime) -> Result<(), Refusal> {
        let signature = packet::single_signature(bytes)?;
        let claims = packet::claims(&signature)?;
        let key = issuer_key(&self.certificate, &claims)?;
        let case = Case {
            certificate: &self.certificate,
            signature: &signature,
            claims: &claims,
            message: &statement.pae(),
            context: PLUGIN_STATEMENT,
            now,
        };
        judge(&case, &key, &mut Verification::default(), |_| Ok(())).map(|_| ())
    }
}

/// Only Ed25519: the other algorithms of the default backend don't take constant
/// time with a secret key.
fn unlocked(
    key: Key<SecretParts, UnspecifiedRole>,
    passphrase: Option<&str>,
) -> Result<KeyPair, Refusal> {
    if !matches!(
        key.pk_algo(),
        PublicKeyAlgorithm::EdDSA | PublicKeyAlgorithm::Ed25519
    ) {
        return Err(unusable("only Ed25519 keys sign in this process"));
    }
    let key = match (key.has_unencrypted_secret(), passphrase) {
        (true, _) => key,
        (false, None) => {
            return Err(Refusal::new(
                Code::UsageArguments,
                "the secret key needs its passphrase",
            ));
        }
        (false, Some(passphrase)) => key
            .decrypt_secret(&Password::from(passphrase))
            .map_err(|_| Refusal::new(Code::UsageArguments, "the passphrase is wrong"))?,
    };
    key.into_keypair()
        .map_err(|_| unusable("the secret key can't be used"))
}
