//! Signatures and keys that are refused, each by its own code, through `gm`.

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::records::text;
use gm_integration_tests::{Ended, Home, Package};
use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::cert::prelude::{CertRevocationBuilder, CipherSuite};
use openpgp::packet::key::{Key4, SecretParts, SubordinateRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::signature::subpacket::{NotationDataFlags, SubpacketTag};
use openpgp::types::{Curve, HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};
use std::time::{Duration, SystemTime};

use crate::author::{Author, days, days_ago, fill, packet, template};

/// Loads the observer with these bytes as the author's signature.
fn load(author: &Author, signature: &[u8]) -> Ended {
    let package = Package::of("observer");
    author.put(&package, signature);
    author.home().try_load(&package)
}

/// Loads the observer, signed by the author with a change.
fn load_as(
    author: &Author,
    change: impl FnOnce(SignatureBuilder) -> openpgp::Result<SignatureBuilder>,
) -> Ended {
    load(
        author,
        &author.signature_as(&Package::of("observer"), change),
    )
}

/// A refusal about this package: its step is one of the order's, and nothing of
/// the package is in the home.
#[track_caller]
fn expect(load: &Ended, exit: i32, code: &str, step: u64) {
    let refused = load.expect_refused(exit, code);
    assert_eq!(refused["plugin"], "com.test.observer", "{refused:#}");
    assert_eq!(refused["step"], step, "{refused:#}");
}

#[test]
fn an_author_who_signs_with_another_tool_is_accepted() {
    let author = Author::new();
    let loaded = load_as(&author, Ok);
    loaded.expect_exit(0);
}

#[test]
fn a_signature_that_is_not_one_plain_packet_is_refused_by_its_form() {
    let author = Author::new();
    let good = author.signature(&Package::of("observer"));
    // The version begins the body; 33 is the issuer's fingerprint, behind its length.
    let mut old = good.clone();
    old[if good[1] < 192 { 2 } else { 3 }] = 3;
    let mut nameless = good.clone();
    let issuer = nameless.windows(2).position(|pair| pair == [22, 33]);
    nameless[issuer.unwrap() + 1] = 101;

    expect(&load(&author, b"no packet"), 11, "signature/malformed", 1);
    expect(
        &load(&author, &good[..good.len() - 1]),
        11,
        "signature/malformed",
        1,
    );
    expect(&load(&author, &good.repeat(2)), 11, "signature/not-one", 1);
    expect(&load(&author, &old), 11, "signature/version", 1);
    expect(&load(&author, &nameless), 11, "signature/no-issuer", 2);
    load(&author, &good).expect_exit(0);
}

#[test]
fn a_signature_in_another_alphabet_is_refused() {
    let author = Author::new();
    let home = author.home();
    for odd in ["AAAAA", "AB==", "QQ="] {
        let package = Package::of("observer");
        fill(&package, &author.fingerprint(), odd);
        expect(&home.try_load(&package), 11, "signature/base64", 0);
    }
}

#[test]
fn a_signature_of_another_kind_date_or_purpose_is_refused_by_name() {
    let author = Author::new();
    let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
    let of_text = load_as(&author, |it| Ok(it.set_type(SignatureType::Text)));
    let weak = load_as(&author, |it| Ok(it.set_hash_algo(HashAlgorithm::SHA224)));
    let early = load_as(&author, |it| it.set_signature_creation_time(in_an_hour));
    let old = load_as(&author, |it| it.set_signature_creation_time(days_ago(101)));
    let brief = load_as(&author, |it| {
        it.set_signature_validity_period(Duration::from_secs(60))
    });
    let critical = load_as(&author, |it| {
        it.set_notation("must@test.example", "x", NotationDataFlags::empty(), true)
    });
    let purposeless = load_as(&author, |it| {
        it.modify_hashed_area(|mut area| {
            area.remove_all(SubpacketTag::NotationData);
            Ok(area)
        })
    });

    expect(&of_text, 11, "signature/wrong-type", 2);
    expect(&early, 11, "signature/future", 4);
    expect(&old, 11, "signature/before-key", 4);
    expect(&weak, 11, "signature/hash-weak", 6);
    expect(&critical, 11, "signature/critical-unknown", 6);
    expect(&brief, 11, "signature/sig-expired", 7);
    expect(&purposeless, 11, "signature/context", 9);
}

#[test]
fn a_key_that_may_not_sign_any_more_or_never_could_is_refused_by_name() {
    let old = Author::built(|it| it.set_validity_period(days(50)).add_signing_subkey());
    let weak = Author::built(|it| {
        it.add_subkey(KeyFlags::empty().set_signing(), None, CipherSuite::RSA2k)
    });
    let author = Author::new();
    let message = author.message(&Package::of("observer"));
    let by_primary = packet(template(), &author.primary(), &message);

    expect(&load_as(&old, Ok), 12, "key/expired", 8);
    expect(&load_as(&weak, Ok), 12, "key/weak-key", 8);
    expect(&load(&author, &by_primary), 12, "key/not-signing", 8);
}

#[test]
fn a_key_that_its_owner_revoked_is_refused_for_good() {
    for (reason, code) in [
        (ReasonForRevocation::KeyCompromised, "key/revoked-hard"),
        (ReasonForRevocation::KeyRetired, "key/revoked-soft"),
    ] {
        let author = Author::new();
        let revocation = CertRevocationBuilder::new()
            .set_signature_creation_time(days_ago(10))
            .unwrap()
            .set_reason_for_revocation(reason, b"")
            .unwrap()
            .build(&mut author.primary(), &author.cert, None)
            .unwrap();
        let revoked = author.with([Packet::from(revocation)]);
        // Signed before the revocation, as the signature says.
        let signed = load_as(&revoked, |it| it.set_signature_creation_time(days_ago(20)));
        expect(&signed, 12, code, 8);
    }
}

#[test]
fn a_subkey_that_did_not_agree_to_its_certificate_signs_nothing_for_it() {
    let author = Author::new();
    let mut loose: Key4<SecretParts, SubordinateRole> =
        Key4::generate_ecc(true, Curve::Ed25519).unwrap();
    loose.set_creation_time(days_ago(90)).unwrap();
    let loose: openpgp::packet::Key<SecretParts, SubordinateRole> = loose.into();
    // Bound by the certificate, without the subkey's own signature in return.
    let binding = SignatureBuilder::new(SignatureType::SubkeyBinding)
        .set_hash_algo(HashAlgorithm::SHA512)
        .set_signature_creation_time(days_ago(90))
        .unwrap()
        .set_key_flags(KeyFlags::empty().set_signing())
        .unwrap()
        .sign_subkey_binding(
            &mut author.primary(),
            author.cert.primary_key().key(),
            &loose,
        )
        .unwrap();
    let both = author.with([Packet::from(loose.clone()), Packet::from(binding)]);
    let pair = loose.role_into_unspecified().into_keypair().unwrap();
    let message = author.message(&Package::of("observer"));

    let signed = load(&both, &packet(template(), &pair, &message));

    expect(&signed, 12, "key/unbound-subkey", 8);
}

#[test]
fn a_key_does_not_sign_in_anothers_name() {
    let (victim, thief) = (Author::new(), Author::new());
    let package = Package::of("observer");
    let message = victim.message(&package);
    let signed = load(&victim, &packet(template(), &thief.subkey(), &message));
    expect(&signed, 13, "identity/wrong-signer", 3);
}

#[test]
fn two_owners_of_one_namespace_own_nothing() {
    let (one, other) = (Author::new(), Author::new());
    let home = one.home();
    other.publish(&home, "other");
    home.trust("other", &other.fingerprint(), &["com.test.*"]);
    let package = Package::of("observer");
    one.put(&package, &one.signature(&package));

    expect(
        &home.try_load(&package),
        13,
        "identity/namespace-conflict",
        10,
    );
}

#[test]
fn a_certificate_that_is_weak_or_none_is_not_trusted() {
    let home = Home::without_key();
    let weak = Author::built(|it| it.set_cipher_suite(CipherSuite::RSA2k).add_signing_subkey());
    weak.publish(&home, "weak");
    let none = home.beside("none.pgp");
    std::fs::write(&none, "no certificate\n").unwrap();
    let add = |file: &std::path::Path| {
        let fingerprint = weak.fingerprint();
        let words = ["gpg", "trust", "add", path_text(file), "--fingerprint"];
        home.gm(&[&words[..], &[&fingerprint, "--namespace", "com.test.*"]].concat())
    };

    let refused = add(&home.beside("weak").join("public.pgp"));
    let unread = add(&none);

    let said = refused.expect_refused(12, "key/weak-key");
    assert!(text(said, "rule").contains("3072"), "{said:#}");
    unread.expect_refused(12, "key/cert-malformed");
    assert_eq!(home.gm(&["gpg", "trust-list"]).last()["keys"], 0);
}
