//! Step 8: the state of a key, when it signed and now.

use super::made::{Author, Store, days_ago, days_of, now, packet, refused, template};
use crate::KeyState;
use gm_manifest::{Code, NamespacePattern};
use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::cert::prelude::{CertRevocationBuilder, CipherSuite, SubkeyRevocationBuilder};
use openpgp::packet::UserID;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};
use std::time::SystemTime;

#[test]
fn every_kind_of_key_on_the_list_signs() {
    use CipherSuite::{Cv448, Cv25519, P256, P384, P521, RSA3k};
    let v6 = Author::built(|builder| {
        builder
            .set_profile(openpgp::Profile::RFC9580)
            .unwrap()
            .add_signing_subkey()
    });
    assert_eq!(v6.fingerprint().as_str().len(), 64);
    assert!(Store::trusting(&v6).verify(v6.signed()).is_ok());
    for suite in [Cv25519, Cv448, P256, P384, P521, RSA3k] {
        let author = Author::of_suite(suite);
        let verdict = Store::trusting(&author).verify(author.signed());
        assert!(verdict.is_ok(), "{suite:?} {verdict:?}");
    }
}

#[test]
fn the_primary_key_signs_where_it_was_made_for_that() {
    let sign = |author: &Author| {
        author.holding_bytes(&packet(template(), &author.primary(), &author.message()))
    };
    let both = KeyFlags::empty().set_certification().set_signing();
    let author = Author::built(|builder| builder.set_primary_key_flags(both));
    let verified = Store::trusting(&author).verify(sign(&author)).unwrap();
    assert_eq!(verified.identity().subkey, author.fingerprint());
    let author = Author::new();
    assert_eq!(
        refused(&author, sign(&author)),
        (Some(8), Code::KeyNotSigning)
    );
}

#[test]
fn weak_keys_are_refused_as_primary_and_as_subkey() {
    let weak = Author::of_suite(CipherSuite::RSA2k);
    let pattern = NamespacePattern::parse("com.example.*").unwrap();
    let refusal = Store::empty()
        .trust
        .add_key(&weak.public(), &weak.fingerprint(), &[pattern])
        .unwrap_err();
    assert_eq!(refusal.code, Code::KeyWeakKey);

    let author =
        Author::built(|builder| builder.add_subkey(for_signing(), None, CipherSuite::RSA2k));
    assert_eq!(
        refused(&author, author.signed()),
        (Some(8), Code::KeyWeakKey)
    );
}

#[test]
fn a_certificate_that_vouches_for_itself_with_sha1_is_weak() {
    let author = Author::new();
    let mut primary = author.primary();
    let packets = author.cert.clone().into_packets().filter(|packet| {
        // Its own good signatures go; those of the subkey stay.
        !matches!(packet, Packet::Signature(own) if own.typ() != SignatureType::SubkeyBinding)
    });
    let user = UserID::from("Author <author@example.com>");
    let own = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_hash_algo(HashAlgorithm::SHA1)
        .set_signature_creation_time(days_ago(100))
        .unwrap()
        .sign_userid_binding(&mut primary, author.cert.primary_key().key(), &user)
        .unwrap();
    let cert = openpgp::Cert::from_packets(packets).unwrap();
    let (cert, _) = cert
        .insert_packets([Packet::from(user), Packet::from(own)])
        .unwrap();
    let weak = Author { cert };
    let store = Store::trusting(&weak);
    assert_eq!(store.refuses(author.signed()), (Some(8), Code::KeyWeakKey));
    assert_eq!(store.trust.keys(now()).unwrap()[0].state, KeyState::Weak);
}

#[test]
fn an_expired_key_is_refused_whenever_it_signed() {
    let expired = |author: &Author| {
        let store = Store::trusting(author);
        for age in [1, 60] {
            let plugin = author.signed_at(days_ago(age));
            assert_eq!(store.refuses(plugin), (Some(8), Code::KeyExpired), "{age}");
        }
        store.trust.keys(now()).unwrap().remove(0)
    };
    let whole = Author::built(|builder| {
        builder
            .set_validity_period(days_of(50))
            .add_signing_subkey()
    });
    assert_eq!(expired(&whole).state, KeyState::Expired);
    let subkey = Author::built(|builder| {
        builder.add_subkey(for_signing(), days_of(50), CipherSuite::Cv25519)
    });
    let seen = expired(&subkey);
    assert_eq!(
        (seen.state, seen.subkeys[0].state),
        (KeyState::Good, KeyState::Expired)
    );
    assert!(!seen.subkeys[0].can_sign);
}

/// The author after a revocation at this time, of the certificate or of the subkey.
fn revoked(
    author: &Author,
    of_subkey: bool,
    reason: ReasonForRevocation,
    at: SystemTime,
) -> Author {
    let mut primary = author.primary();
    let subkeys: Vec<_> = author.cert.keys().subkeys().collect();
    let revocation = if of_subkey {
        SubkeyRevocationBuilder::new()
            .set_signature_creation_time(at)
            .unwrap()
            .set_reason_for_revocation(reason, b"")
            .unwrap()
            .build(&mut primary, &author.cert, subkeys[0].key(), None)
    } else {
        CertRevocationBuilder::new()
            .set_signature_creation_time(at)
            .unwrap()
            .set_reason_for_revocation(reason, b"")
            .unwrap()
            .build(&mut primary, &author.cert, None)
    };
    author.with([Packet::from(revocation.unwrap())])
}

#[test]
fn a_revoked_key_is_refused_for_good_whatever_date_its_signatures_bear() {
    use ReasonForRevocation::{KeyCompromised, KeyRetired, KeySuperseded, Unspecified};
    let author = Author::new();
    for (reason, code) in [
        (KeyCompromised, Code::KeyRevokedHard),
        (Unspecified, Code::KeyRevokedHard),
        (KeyRetired, Code::KeyRevokedSoft),
        (KeySuperseded, Code::KeyRevokedSoft),
    ] {
        for of_subkey in [false, true] {
            let revoked = revoked(&author, of_subkey, reason, days_ago(10));
            let store = Store::trusting(&revoked);
            for age in [1, 20] {
                let verdict = store.refuses(revoked.signed_at(days_ago(age)));
                assert_eq!(verdict, (Some(8), code), "{reason} {of_subkey} {age}");
            }
            let seen = store.trust.keys(now()).unwrap().remove(0);
            let state = if of_subkey {
                KeyState::Good
            } else {
                KeyState::Revoked
            };
            assert_eq!(seen.state, state);
            assert!(!seen.subkeys[0].can_sign);
        }
    }
}

#[test]
fn an_older_copy_of_the_certificate_does_not_undo_a_revocation() {
    let author = Author::new();
    let revoked = revoked(
        &author,
        false,
        ReasonForRevocation::KeyRetired,
        days_ago(10),
    );
    let store = Store::trusting(&revoked);
    assert!(!store.add(&author, "com.example.*"));
    assert_eq!(
        store.refuses(author.signed()),
        (Some(8), Code::KeyRevokedSoft)
    );
    // Nor does taking the key out and trusting the older copy anew.
    assert!(store.trust.remove_key(&author.fingerprint()).unwrap());
    store.add(&author, "com.example.*");
    assert_eq!(
        store.refuses(author.signed()),
        (Some(8), Code::KeyRevokedSoft)
    );
    // The other order: the revocation comes with a later copy.
    let store = Store::trusting(&author);
    assert!(store.verify(author.signed()).is_ok());
    assert!(store.add(&revoked, "com.example.*"));
    assert_eq!(
        store.refuses(author.signed()),
        (Some(8), Code::KeyRevokedSoft)
    );
}

#[test]
fn a_newer_signature_of_its_own_does_not_undo_a_soft_revocation() {
    let author = Author::new();
    let revoked = revoked(
        &author,
        false,
        ReasonForRevocation::KeyRetired,
        days_ago(10),
    );
    let policy = openpgp::policy::StandardPolicy::new();
    let renewed = author
        .cert
        .set_expiration_time(
            &policy,
            days_ago(2),
            &mut author.primary(),
            Some(now() + days_of(9)),
        )
        .unwrap();
    let renewed = revoked.with(renewed.into_iter().map(Packet::from));
    assert_eq!(
        refused(&renewed, renewed.signed()),
        (Some(8), Code::KeyRevokedSoft)
    );
}

#[test]
fn nobody_else_revokes_a_key() {
    let (author, other) = (Author::new(), Author::new());
    let forged = CertRevocationBuilder::new()
        .set_signature_creation_time(days_ago(10))
        .unwrap()
        .build(&mut other.primary(), &author.cert, None)
        .unwrap();
    let with_strangers = author.with([Packet::from(forged.clone())]);
    assert!(
        Store::trusting(&with_strangers)
            .verify(author.signed())
            .is_ok()
    );
    let claimed = SignatureBuilder::from(forged)
        .set_issuer_fingerprint(author.cert.fingerprint())
        .unwrap()
        .set_issuer(author.cert.keyid())
        .unwrap()
        .set_signature_creation_time(days_ago(10))
        .unwrap()
        .sign_direct_key(&mut other.primary(), author.cert.primary_key().key())
        .unwrap();
    let with_claim = author.with([Packet::from(claimed)]);
    assert!(Store::trusting(&with_claim).verify(author.signed()).is_ok());
}

fn for_signing() -> KeyFlags {
    KeyFlags::empty().set_signing()
}
