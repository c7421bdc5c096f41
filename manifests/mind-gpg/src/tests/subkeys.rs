//! Step 8: what makes a subkey one that signs for its certificate.

use super::made::{Author, Store, days_ago, packet, refused, template};
use gm_manifest::Code;
use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::crypto::KeyPair;
use openpgp::packet::key::{Key4, SecretParts, SubordinateRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::{Key, Signature};
use openpgp::types::{Curve, HashAlgorithm, KeyFlags, SignatureType};
use std::time::Duration;

type Subkey = Key<SecretParts, SubordinateRole>;

/// An Ed25519 subkey that no certificate knows yet.
fn loose_subkey() -> Subkey {
    let mut key: Key4<SecretParts, SubordinateRole> =
        Key4::generate_ecc(true, Curve::Ed25519).unwrap();
    key.set_creation_time(days_ago(90)).unwrap();
    key.into()
}

fn pair(subkey: &Subkey) -> KeyPair {
    subkey
        .clone()
        .role_into_unspecified()
        .into_keypair()
        .unwrap()
}

/// The signature by which a subkey agrees to belong to the author.
fn back() -> SignatureBuilder {
    SignatureBuilder::new(SignatureType::PrimaryKeyBinding)
        .set_hash_algo(HashAlgorithm::SHA512)
        .set_signature_creation_time(days_ago(90))
        .unwrap()
}

fn sign_back(builder: SignatureBuilder, author: &Author, subkey: &Subkey) -> Signature {
    let primary = author.cert.primary_key().key().clone();
    builder
        .sign_primary_key_binding(&mut pair(subkey), &primary, subkey)
        .unwrap()
}

fn for_signing() -> KeyFlags {
    KeyFlags::empty().set_signing()
}

fn binding() -> SignatureBuilder {
    SignatureBuilder::new(SignatureType::SubkeyBinding)
        .set_hash_algo(HashAlgorithm::SHA512)
        .set_signature_creation_time(days_ago(90))
        .unwrap()
}

/// The author's certificate with this subkey, bound by this signature.
fn bound(author: &Author, subkey: &Subkey, binding: SignatureBuilder) -> Author {
    let mut primary = author.primary();
    let binding = binding
        .sign_subkey_binding(&mut primary, author.cert.primary_key().key(), subkey)
        .unwrap();
    author.with([Packet::from(subkey.clone()), Packet::from(binding)])
}

/// What is said of a package that this subkey of the author signed.
#[track_caller]
fn verdict(author: &Author, subkey: &Subkey) -> (Option<u8>, Code) {
    refused(author, signed_by(author, subkey))
}

fn signed_by(author: &Author, subkey: &Subkey) -> crate::SignedPlugin {
    author.holding_bytes(&packet(template(), &pair(subkey), &author.message()))
}

#[test]
fn a_subkey_counts_only_if_both_keys_say_so() {
    let (author, other) = (Author::new(), Author::new());
    let subkey = loose_subkey();
    let signs = |template: SignatureBuilder| template.set_key_flags(for_signing()).unwrap();
    let good = sign_back(back(), &author, &subkey);
    let with_back = |back: Signature| signs(binding()).set_embedded_signature(back).unwrap();

    let whole = bound(&author, &subkey, with_back(good.clone()));
    assert!(
        Store::trusting(&whole)
            .verify(signed_by(&whole, &subkey))
            .is_ok()
    );

    let missing = bound(&author, &subkey, signs(binding()));
    let foreign = sign_back(back(), &author, &loose_subkey());
    let foreign = bound(&author, &subkey, with_back(foreign));
    let mut primary = other.primary();
    let anothers = with_back(good.clone())
        .sign_subkey_binding(&mut primary, author.cert.primary_key().key(), &subkey)
        .unwrap();
    let anothers = author.with([Packet::from(subkey.clone()), Packet::from(anothers)]);
    let expired = back()
        .set_signature_validity_period(Duration::from_secs(60))
        .unwrap();
    let expired = bound(
        &author,
        &subkey,
        with_back(sign_back(expired, &author, &subkey)),
    );
    let sha1 = back().set_hash_algo(HashAlgorithm::SHA1);
    let sha1 = bound(
        &author,
        &subkey,
        with_back(sign_back(sha1, &author, &subkey)),
    );
    let weakly = bound(
        &author,
        &subkey,
        with_back(good).set_hash_algo(HashAlgorithm::SHA1),
    );
    for (what, author) in [
        ("no back-signature", missing),
        ("another key's back-signature", foreign),
        ("bound by another key", anothers),
        ("expired back-signature", expired),
        ("back-signature in SHA-1", sha1),
        ("binding in SHA-1", weakly),
    ] {
        assert_eq!(
            verdict(&author, &subkey),
            (Some(8), Code::KeyUnboundSubkey),
            "{what}"
        );
    }
}

#[test]
fn a_subkey_without_any_binding_is_no_key_of_the_certificate() {
    let author = Author::new();
    let subkey = loose_subkey();
    let unbound = author.with([Packet::from(subkey.clone())]);
    assert_eq!(
        verdict(&unbound, &subkey),
        (Some(8), Code::KeyUnboundSubkey)
    );
}

#[test]
fn a_subkey_for_something_else_does_not_sign() {
    let author = Author::new();
    let subkey = loose_subkey();
    let encrypts = binding()
        .set_key_flags(KeyFlags::empty().set_storage_encryption())
        .unwrap();
    let encrypts = bound(&author, &subkey, encrypts);
    assert_eq!(verdict(&encrypts, &subkey), (Some(8), Code::KeyNotSigning));
    let unsigned_flags = binding()
        .modify_unhashed_area(|mut area| {
            use openpgp::packet::signature::subpacket::{Subpacket, SubpacketValue};
            area.add(Subpacket::new(
                SubpacketValue::KeyFlags(for_signing()),
                false,
            )?)?;
            Ok(area)
        })
        .unwrap()
        .set_embedded_signature(sign_back(back(), &author, &subkey))
        .unwrap();
    let unsigned_flags = bound(&author, &subkey, unsigned_flags);
    assert_eq!(
        verdict(&unsigned_flags, &subkey),
        (Some(8), Code::KeyNotSigning)
    );
}

#[test]
fn a_subkey_bound_after_it_signed_did_not_sign_for_the_certificate() {
    let author = Author::new();
    let subkey = loose_subkey();
    let late = binding()
        .set_signature_creation_time(days_ago(5))
        .unwrap()
        .set_key_flags(for_signing())
        .unwrap()
        .set_embedded_signature(sign_back(back(), &author, &subkey))
        .unwrap();
    let author = bound(&author, &subkey, late);
    let store = Store::trusting(&author);
    let at = |age| {
        let dated = template()
            .set_signature_creation_time(days_ago(age))
            .unwrap();
        author.holding_bytes(&packet(dated, &pair(&subkey), &author.message()))
    };
    assert!(store.verify(at(4)).is_ok());
    assert_eq!(store.refuses(at(6)), (Some(8), Code::KeyUnboundSubkey));
}
