//! Steps 3 to 7 and 9: who signed what, when, how and what for.

use super::made::{
    Author, CODE, Store, days_ago, days_of, manifest, now, packet, plugin, plugin_with_code,
    refused, template,
};
use crate::RevocationTarget;
use crate::strict::CONTEXT;
use gm_manifest::{Code, Digest, PLUGIN_STATEMENT, pae};
use sequoia_openpgp as openpgp;

use openpgp::packet::signature::subpacket::{
    NotationDataFlags, Subpacket, SubpacketTag, SubpacketValue,
};
use openpgp::types::HashAlgorithm;
use std::time::Duration;

#[test]
fn a_good_signature_of_a_trusted_key_is_accepted_with_all_its_facts() {
    let author = Author::new();
    let verified = Store::trusting(&author).verify(author.signed()).unwrap();
    let identity = verified.identity();
    assert_eq!(identity.fingerprint, author.fingerprint());
    assert_eq!(identity.subkey, author.subkey_fingerprint());
    assert_eq!(identity.signed_at, days_ago(1));
    assert_eq!(identity.artifacts[0].sha256, Digest::of(CODE));
    assert_eq!(verified.artifacts()[0].bytes().unwrap(), CODE);
    let path = verified.manifest().entrypoint().clone();
    assert_eq!(verified.artifact(&path).unwrap().digest().len, 8);
}

#[test]
fn a_stranger_is_named_in_full_with_the_command_that_would_trust_it() {
    let (author, stranger) = (Author::new(), Author::new());
    let store = Store::trusting(&author);
    let refusal = store.verify(stranger.signed()).unwrap_err();
    assert_eq!(
        (refusal.step, refusal.code),
        (Some(3), Code::KeyUnknownSigner)
    );
    assert!(refusal.detail.contains(stranger.fingerprint().as_str()));
    assert!(refusal.rule.contains("gm gpg trust add FILE --fingerprint"));
}

#[test]
fn a_trusted_key_does_not_sign_for_another_one() {
    let (victim, thief) = (Author::new(), Author::new());
    let store = Store::trusting(&victim);
    store.add(&thief, "org.thief.*");
    // (a) The manifest names the victim.
    let signature = packet(template(), &thief.subkey(), &victim.message());
    let plugin = victim.holding_bytes(&signature);
    assert_eq!(store.refuses(plugin), (Some(3), Code::IdentityWrongSigner));
    // (b) It names the thief, whose key isn't for this id.
    assert_eq!(
        store.refuses(thief.signed()),
        (Some(10), Code::IdentityNamespaceDenied)
    );
    // And a signature that only claims to be the victim's is no signature.
    let claimed = template().set_issuer_fingerprint(victim.subkey().public().fingerprint());
    let signature = packet(claimed.unwrap(), &thief.subkey(), &victim.message());
    let plugin = victim.holding_bytes(&signature);
    assert_eq!(
        store.refuses(plugin),
        (Some(5), Code::SignatureBadSignature)
    );
}

#[test]
fn a_signature_is_not_older_than_its_key_nor_from_tomorrow() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let early = author.signed_at(days_ago(101));
    assert_eq!(store.refuses(early), (Some(4), Code::SignatureBeforeKey));
    let later = |seconds| author.signed_at(now() + Duration::from_secs(seconds));
    assert_eq!(store.refuses(later(301)), (Some(4), Code::SignatureFuture));
    assert!(store.verify(later(300)).is_ok());
    assert!(store.verify(author.signed_at(days_ago(100))).is_ok());
}

#[test]
fn no_clock_makes_the_verifier_panic_or_accept() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    let year = Duration::from_secs(365 * 86_400);
    for (at, code) in [
        (epoch, Code::SignatureFuture),
        (epoch - year, Code::SignatureFuture),
        (epoch + year * 69, Code::KeyExpired),
        (epoch + year * 137, Code::KeyExpired),
        (epoch + year * 5000, Code::KeyExpired),
    ] {
        assert_eq!(store.refuses_at(author.signed(), at).1, code, "{at:?}");
    }
}

#[test]
fn a_signature_covers_the_statement_and_nothing_else() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let statement = String::from_utf8(author.message()).unwrap();
    let body = statement
        .split_once("gm-plugin")
        .map(|(_, rest)| format!("gm-plugin{rest}"));
    let body = body.unwrap();
    let mut others: Vec<Vec<u8>> = Vec::new();
    for line in body.lines() {
        // Without a line, with a line twice, with one character changed.
        let with = |line_now: &str| {
            let changed = body.replacen(&format!("{line}\n"), line_now, 1);
            pae(PLUGIN_STATEMENT, changed.as_bytes())
        };
        others.extend([
            with(""),
            with(&format!("{line}\n{line}\n")),
            with(&format!("{line} \n")),
        ]);
    }
    others.push(pae("application/vnd.gitmind.blacklist.v1", body.as_bytes()));
    others.push(body.clone().into_bytes());
    others.push(statement.trim_end().as_bytes().to_vec());
    for other in others {
        let signature = packet(template(), &author.subkey(), &other);
        assert_eq!(
            store.refuses(author.holding_bytes(&signature)),
            (Some(5), Code::SignatureBadSignature),
            "{}",
            String::from_utf8_lossy(&other)
        );
    }
}

#[test]
fn a_changed_code_or_manifest_is_not_what_was_signed() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let text = manifest(
        author.fingerprint().as_str(),
        &super::made::text(&author.signature()),
    );
    let code = plugin_with_code(&text, b"\0asm\x01\0\0\x01").unwrap();
    assert_eq!(store.refuses(code), (Some(5), Code::SignatureBadSignature));
    for (from, to) in [
        ("Hello", "Jello"),
        ("1.0.0", "1.0.1"),
        ("\n[plugin]", "\n\n[plugin]"),
        ("kind = ", "kind  = "),
    ] {
        let changed = plugin(&text.replacen(from, to, 1));
        assert_eq!(
            store.refuses(changed),
            (Some(5), Code::SignatureBadSignature),
            "{from:?}"
        );
    }
}

#[test]
fn what_is_revoked_here_is_refused_whatever_else_is_wrong() {
    let author = Author::new();
    let stored = Store::trusting(&author).verify(author.signed()).unwrap();
    let expired = author.signed_as(|template| {
        template.set_signature_validity_period(days_of(0) + Duration::from_secs(60))
    });
    assert_eq!(
        refused(&author, expired),
        (Some(7), Code::SignatureSigExpired)
    );
    for target in [
        RevocationTarget::Plugin(stored.identity().id.clone()),
        RevocationTarget::Key(author.fingerprint()),
        RevocationTarget::Key(author.subkey_fingerprint()),
        RevocationTarget::Artifact(Digest::of(CODE)),
        RevocationTarget::Artifact(stored.identity().digest),
    ] {
        let store = Store::trusting(&author);
        assert!(store.trust.revoke(&target).unwrap());
        assert!(!store.trust.revoke(&target).unwrap());
        assert_eq!(
            store.refuses(author.signed()),
            (None, Code::RevokedLocal),
            "{target}"
        );
    }
    let store = Store::trusting(&author);
    store
        .trust
        .revoke(&RevocationTarget::Key(author.fingerprint()))
        .unwrap();
    let expired = author
        .signed_as(|template| template.set_signature_validity_period(Duration::from_secs(60)));
    assert_eq!(store.refuses(expired), (None, Code::RevokedLocal));
}

#[test]
fn weak_digests_are_refused_and_strong_ones_taken() {
    let author = Author::new();
    let with = |hash| author.signed_as(|template| Ok(template.set_hash_algo(hash)));
    let store = Store::trusting(&author);
    for hash in [
        HashAlgorithm::SHA256,
        HashAlgorithm::SHA384,
        HashAlgorithm::SHA512,
    ] {
        assert!(store.verify(with(hash)).is_ok(), "{hash}");
    }
    for hash in [
        HashAlgorithm::SHA1,
        HashAlgorithm::MD5,
        HashAlgorithm::RipeMD,
        HashAlgorithm::SHA224,
    ] {
        assert_eq!(
            store.refuses(with(hash)),
            (Some(6), Code::SignatureHashWeak),
            "{hash}"
        );
    }
}

#[test]
fn an_unknown_critical_part_is_refused() {
    let author = Author::new();
    let plugin = author.signed_as(|template| {
        template.set_notation("must@example.com", "x", NotationDataFlags::empty(), true)
    });
    assert_eq!(
        refused(&author, plugin),
        (Some(6), Code::SignatureCriticalUnknown)
    );
    let unknown = SubpacketValue::Unknown {
        tag: SubpacketTag::Private(105),
        body: vec![1],
    };
    let plugin = author.signed_as(|template| {
        template.modify_hashed_area(|mut area| {
            area.add(Subpacket::new(unknown, true)?)?;
            Ok(area)
        })
    });
    assert_eq!(
        refused(&author, plugin),
        (Some(6), Code::SignatureCriticalUnknown)
    );
}

#[test]
fn a_signature_ends_when_it_says_so() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let valid_for =
        |period| author.signed_as(|template| template.set_signature_validity_period(period));
    assert!(
        store
            .verify(valid_for(days_of(1) + Duration::from_secs(1)))
            .is_ok()
    );
    assert_eq!(
        store.refuses(valid_for(days_of(1))),
        (Some(7), Code::SignatureSigExpired)
    );
}

#[test]
fn a_signature_says_once_and_signed_what_it_is_for() {
    let author = Author::new();
    let readable = || NotationDataFlags::empty().set_human_readable();
    let stating = |value: String| {
        author.signed_as(|template| template.set_notation(CONTEXT, value, readable(), false))
    };
    let missing = author.signed_as(|template| {
        template.modify_hashed_area(|mut area| {
            area.remove_all(SubpacketTag::NotationData);
            Ok(area)
        })
    });
    let twice = author
        .signed_as(|template| template.add_notation(CONTEXT, PLUGIN_STATEMENT, readable(), false));
    let cases = [
        ("missing", missing),
        ("twice", twice),
        (
            "wrong",
            stating("application/vnd.gitmind.blacklist.v1".to_owned()),
        ),
        ("longer", stating(format!("{PLUGIN_STATEMENT} "))),
    ];
    let store = Store::trusting(&author);
    for (what, plugin) in cases {
        assert_eq!(
            store.refuses(plugin),
            (Some(9), Code::SignatureContext),
            "{what}"
        );
    }
}
