//! Steps 4 to 9: is this a good signature of this key over these bytes, now?
//!
//! Pure: no file, no clock. The mathematics comes before the state of the key, so
//! that no error ever attributes bytes to somebody who didn't sign them.

use crate::certificate::{Certificate, Revoked, ours};
use crate::packet::Claims;
use crate::strict;
use crate::trace::Verification;
use gm_manifest::{Code, Fingerprint, Refusal};
use sequoia_openpgp as openpgp;

use openpgp::cert::amalgamation::ValidateAmalgamation;
use openpgp::cert::prelude::ErasedKeyAmalgamation;
use openpgp::crypto::hash::Hash;
use openpgp::packet::Signature;
use openpgp::packet::key::PublicParts;
use openpgp::packet::signature::subpacket::SubpacketValue;
use openpgp::policy::{HashAlgoSecurity, Policy};
use std::time::{Duration, SystemTime};

/// What is judged.
pub(crate) struct Case<'a> {
    pub(crate) certificate: &'a Certificate,
    pub(crate) signature: &'a Signature,
    pub(crate) claims: &'a Claims,
    /// The bytes that the signature is said to cover.
    pub(crate) message: &'a [u8],
    /// The document type that the signature must state.
    pub(crate) context: &'a str,
    pub(crate) now: SystemTime,
}

/// Who signed, once that is sure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) key: Fingerprint,
    pub(crate) signed_at: SystemTime,
}

type Key<'a> = ErasedKeyAmalgamation<'a, PublicParts>;

/// Step 3, second half: the issuer is a key of this certificate, by its full
/// fingerprint. A 64-bit id would name a stranger's key as well.
pub(crate) fn issuer_key<'a>(
    certificate: &'a Certificate,
    claims: &Claims,
) -> Result<Key<'a>, Refusal> {
    let mut keys = certificate.cert().keys();
    keys.find(|key| key.key().fingerprint() == claims.issuer)
        .ok_or_else(|| {
            let what = format!("the signature claims the key {}", claims.issuer.to_hex());
            Refusal::new(Code::IdentityWrongSigner, what)
                .rule("it is no key of the certificate that public_key names")
        })
}

/// Steps 4 to 9. `revoked` is asked between 5 and 6, as soon as the signer is sure.
pub(crate) fn judge(
    case: &Case<'_>,
    key: &Key<'_>,
    trace: &mut Verification,
    revoked: impl FnOnce(&Signer) -> Result<(), Refusal>,
) -> Result<Signer, Refusal> {
    trace.step(4, "dated between the key and now", dated(case, key))?;
    trace.step(5, "the mathematics", authentic(case, key))?;
    let signer = Signer {
        fingerprint: case.certificate.fingerprint()?,
        key: ours(&case.claims.issuer)?,
        signed_at: case.claims.created,
    };
    trace.step(None, "not revoked here", revoked(&signer))?;
    trace.step(6, "digest and critical parts", acceptable(case))?;
    trace.step(7, "the signature's own expiry", alive(case))?;
    trace.step(8, "the key, when it signed and now", key_state(case, key))?;
    trace.step(9, "what the signature is for", in_context(case))?;
    Ok(signer)
}

fn dated(case: &Case<'_>, key: &Key<'_>) -> Result<(), Refusal> {
    if case.claims.created < key.key().creation_time() {
        return Err(Refusal::new(
            Code::SignatureBeforeKey,
            "the signature is older than its key",
        ));
    }
    let ahead = case
        .claims
        .created
        .duration_since(case.now)
        .unwrap_or(Duration::ZERO);
    if ahead > strict::MAX_FUTURE {
        let what = format!("the signature is dated {} s in the future", ahead.as_secs());
        return Err(Refusal::new(Code::SignatureFuture, what).rule("at most 300 s"));
    }
    Ok(())
}

/// Verifies, and compares the digest's first two bytes with those that the
/// signature shows: they aren't signed, and no library looks at them.
fn authentic(case: &Case<'_>, key: &Key<'_>) -> Result<(), Refusal> {
    let bad = || {
        Refusal::new(
            Code::SignatureBadSignature,
            "the signature does not cover these bytes",
        )
    };
    let digest = digest(case.signature, case.message).ok_or_else(bad)?;
    let shown = match case.signature {
        Signature::V4(signature) => signature.digest_prefix(),
        Signature::V6(signature) => signature.digest_prefix(),
        _ => return Err(bad()),
    };
    case.signature
        .verify_digest(key.key(), &digest)
        .map_err(|_| bad())?;
    match digest.starts_with(shown) {
        true => Ok(()),
        false => Err(bad()),
    }
}

fn digest(signature: &Signature, message: &[u8]) -> Option<Vec<u8>> {
    let mut context = signature
        .hash_algo()
        .context()
        .ok()?
        .for_signature(signature.version());
    if let Signature::V6(signature) = signature {
        context.update(signature.salt());
    }
    context.update(message);
    signature.hash(&mut context).ok()?;
    context.into_digest().ok()
}

fn acceptable(case: &Case<'_>) -> Result<(), Refusal> {
    let algorithm = case.signature.hash_algo();
    if !strict::HASHES.contains(&algorithm) {
        let refusal = Refusal::new(
            Code::SignatureHashWeak,
            format!("the signature uses {algorithm}"),
        );
        return Err(refusal.rule("SHA-256, SHA-384 or SHA-512"));
    }
    strict::policy()
        .signature(case.signature, HashAlgoSecurity::CollisionResistance)
        .map_err(|_| {
            Refusal::new(
                Code::SignatureCriticalUnknown,
                "the signature has a critical part that is not known",
            )
        })
}

fn alive(case: &Case<'_>) -> Result<(), Refusal> {
    // Steps 4 and 2 have looked at the creation time; what is left is expiry.
    let expired = case
        .signature
        .signature_expiration_time()
        .is_some_and(|expiry| expiry <= case.now);
    match expired {
        true => Err(Refusal::new(
            Code::SignatureSigExpired,
            "the signature has expired",
        )),
        false => Ok(()),
    }
}

/// At the signature's time, which a thief may choose, and now.
fn key_state(case: &Case<'_>, key: &Key<'_>) -> Result<(), Refusal> {
    match case.certificate.revoked(&case.claims.issuer) {
        Some(Revoked::Hard) => {
            return Err(Refusal::new(
                Code::KeyRevokedHard,
                "its owner revoked the key",
            ));
        }
        Some(Revoked::Soft) => {
            return Err(Refusal::new(
                Code::KeyRevokedSoft,
                "its owner replaced or retired the key",
            ));
        }
        None => {}
    }
    // A signature from a clock that is slightly ahead was made at the latest now.
    let signed_at = case.claims.created.min(case.now);
    state_at(case.certificate, key, signed_at)?;
    state_at(case.certificate, key, case.now)
}

fn state_at(certificate: &Certificate, key: &Key<'_>, time: SystemTime) -> Result<(), Refusal> {
    let refuse = |code, what: &str| Err(Refusal::new(code, what));
    let policy = strict::policy();
    let valid = match certificate.cert().with_policy(&policy, time) {
        Ok(valid) => valid,
        Err(_) => return primary_fault(certificate, time),
    };
    if valid.alive().is_err() {
        return refuse(Code::KeyExpired, "the certificate has expired");
    }
    let Ok(valid) = key.clone().with_policy(&policy, time) else {
        return subkey_fault(key);
    };
    if valid.alive().is_err() {
        return refuse(Code::KeyExpired, "the signing key has expired");
    }
    match valid.for_signing() {
        true => Ok(()),
        false => refuse(Code::KeyNotSigning, "the key was not made for signing"),
    }
}

/// If the certificate would do without our lists, then they are what it fails.
/// This only picks the word for a refusal that is certain already.
fn primary_fault(certificate: &Certificate, time: SystemTime) -> Result<(), Refusal> {
    match certificate
        .cert()
        .with_policy(&strict::every_algorithm(), time)
    {
        Ok(_) => Err(weak(
            "the certificate's key or its own signature is too weak",
        )),
        Err(_) => Err(Refusal::new(
            Code::KeyExpired,
            "the certificate had no valid signature of its own at that time",
        )),
    }
}

fn subkey_fault(key: &Key<'_>) -> Result<(), Refusal> {
    match strict::is_allowed(&key.key().clone().role_into_unspecified()) {
        false => Err(weak("the signing key is too weak")),
        true => Err(Refusal::new(
            Code::KeyUnboundSubkey,
            "the certificate and the signing key do not vouch for each other",
        )),
    }
}

fn weak(what: &str) -> Refusal {
    Refusal::new(Code::KeyWeakKey, what).rule(strict::ALLOWED)
}

/// The signature states what it is for: exactly once, in its signed part.
fn in_context(case: &Case<'_>) -> Result<(), Refusal> {
    let stated: Vec<_> = case
        .signature
        .hashed_area()
        .iter()
        .filter_map(|part| match part.value() {
            SubpacketValue::NotationData(notation) if notation.name() == strict::CONTEXT => {
                Some(notation.value())
            }
            _ => None,
        })
        .collect();
    match stated.as_slice() {
        [context] if *context == case.context.as_bytes() => Ok(()),
        _ => {
            let refusal = Refusal::new(
                Code::SignatureContext,
                "the signature does not state what it is for",
            );
            Err(refusal.rule(format!(
                "{}={}, once, signed",
                strict::CONTEXT,
                case.context
            )))
        }
    }
}
