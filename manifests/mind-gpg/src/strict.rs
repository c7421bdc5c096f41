//! The minimum rules for keys and signatures. Constants: nothing can lower them.

use sequoia_openpgp as openpgp;

use openpgp::crypto::mpi::PublicKey;
use openpgp::packet::Key;
use openpgp::packet::key::{PublicParts, UnspecifiedRole};
use openpgp::policy::{AsymmetricAlgorithm, StandardPolicy};
use openpgp::types::HashAlgorithm;
use std::time::Duration;

/// How far in the future a signature may be dated: clocks differ, a little.
pub(crate) const MAX_FUTURE: Duration = Duration::from_secs(300);

/// The largest RSA key, in bits: checking a larger one costs more than anybody's
/// plugin is worth.
const MAX_RSA_BITS: usize = 8192;

/// The number of the subpacket that holds the issuer's key id.
pub(crate) const ISSUER_SUBPACKET: u8 = 16;

/// Digests that may be signed.
pub(crate) const HASHES: [HashAlgorithm; 3] = [
    HashAlgorithm::SHA256,
    HashAlgorithm::SHA384,
    HashAlgorithm::SHA512,
];

/// Everything refused but the lists below. It covers primary keys, subkeys, their
/// self-signatures and back-signatures.
pub(crate) fn policy() -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::new();
    policy.reject_all_hashes();
    HASHES.into_iter().for_each(|hash| policy.accept_hash(hash));
    policy.reject_all_asymmetric_algos();
    for algorithm in [
        AsymmetricAlgorithm::EdDSA,
        AsymmetricAlgorithm::Ed25519,
        AsymmetricAlgorithm::Ed448,
        AsymmetricAlgorithm::NistP256,
        AsymmetricAlgorithm::NistP384,
        AsymmetricAlgorithm::NistP521,
        AsymmetricAlgorithm::RSA3072,
        AsymmetricAlgorithm::RSA4096,
    ] {
        policy.accept_asymmetric_algo(algorithm);
    }
    policy
}

/// Every algorithm allowed: only to tell a weak certificate from one that is
/// expired or broken, after the strict policy has refused it.
pub(crate) fn every_algorithm() -> StandardPolicy<'static> {
    let mut policy = StandardPolicy::new();
    HashAlgorithm::variants().for_each(|hash| policy.accept_hash(hash));
    AsymmetricAlgorithm::variants().for_each(|algorithm| policy.accept_asymmetric_algo(algorithm));
    policy
}

/// Whether a key is so large that the mathematics alone would be an attack.
pub(crate) fn is_oversized(key: &PublicKey) -> bool {
    key.bits().is_some_and(|bits| bits > MAX_RSA_BITS)
}

/// The notation that states what a signature is for.
pub(crate) const CONTEXT: &str = "context@gitmind.com";

/// What [`is_allowed`] and [`HASHES`] let through, for people.
pub(crate) const ALLOWED: &str =
    "Ed25519, Ed448, NIST P-256/384/521, RSA 3072 to 8192 bits; SHA-256 and better";

/// Whether the algorithm and size of a key are on the list.
pub(crate) fn is_allowed(key: &Key<PublicParts, UnspecifiedRole>) -> bool {
    use openpgp::types::{Curve, PublicKeyAlgorithm};
    match (key.pk_algo(), key.mpis()) {
        #[expect(
            deprecated,
            reason = "keys that say they are for signing only exist, and are as good"
        )]
        (PublicKeyAlgorithm::RSAEncryptSign | PublicKeyAlgorithm::RSASign, mpis) => mpis
            .bits()
            .is_some_and(|bits| (3072..=MAX_RSA_BITS).contains(&bits)),
        (PublicKeyAlgorithm::Ed25519 | PublicKeyAlgorithm::Ed448, _) => true,
        (_, PublicKey::EdDSA { curve, .. }) => *curve == Curve::Ed25519,
        (_, PublicKey::ECDSA { curve, .. }) => {
            matches!(curve, Curve::NistP256 | Curve::NistP384 | Curve::NistP521)
        }
        _ => false,
    }
}
