//! What the library accepts by itself and we refuse. If a plain verifier refused
//! these too, our own rules would be tested by nothing.

use super::made::{Author, Store, days_ago, days_of, now, packet, template};
use crate::SignedPlugin;
use crate::base64_text;
use gm_manifest::Code;
use sequoia_openpgp as openpgp;

use openpgp::cert::prelude::{CertRevocationBuilder, CipherSuite};
use openpgp::packet::Marker;
use openpgp::parse::Parse;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationHelper,
};
use openpgp::policy::StandardPolicy;
use openpgp::serialize::MarshalInto;
use openpgp::types::{HashAlgorithm, KeyFlags, ReasonForRevocation, SignatureType};
use openpgp::{Cert, KeyHandle, Packet};
use std::time::{Duration, SystemTime};

/// As the library's own example has it: one good signature is enough.
struct Textbook<'a>(&'a Cert);

impl VerificationHelper for Textbook<'_> {
    fn get_certs(&mut self, _: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(vec![self.0.clone()])
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        let good = structure.into_iter().any(|layer| match layer {
            MessageLayer::SignatureGroup { results } => results.iter().any(Result::is_ok),
            _ => false,
        });
        match good {
            true => Ok(()),
            false => Err(openpgp::Error::BadSignature("none is good".into()).into()),
        }
    }
}

/// Its verdict at a moment; without one the library reads the clock.
fn textbook(author: &Author, plugin: &SignedPlugin, at: Option<SystemTime>) -> openpgp::Result<()> {
    let signature = base64_text::decode(plugin.manifest().signature().unwrap()).unwrap();
    let policy = StandardPolicy::new();
    let builder = DetachedVerifierBuilder::from_bytes(&signature)?;
    let mut verifier = builder.with_policy(&policy, at, Textbook(&author.cert))?;
    verifier.verify_bytes(plugin.statement().unwrap().pae())
}

/// The library takes it, we don't, and this is why.
#[track_caller]
fn ours_alone(author: &Author, plugin: SignedPlugin, code: Code) {
    let verdict = textbook(author, &plugin, Some(now()));
    assert!(verdict.is_ok(), "{verdict:?}");
    assert_eq!(Store::trusting(author).refuses(plugin).1, code);
}

#[test]
fn both_take_a_good_signature_and_refuse_a_bad_one() {
    let author = Author::new();
    let good = author.signed();
    textbook(&author, &good, Some(now())).unwrap();
    Store::trusting(&author).verify(good).unwrap();
    let bad = author.holding_bytes(&packet(template(), &author.subkey(), b"other"));
    assert!(textbook(&author, &bad, Some(now())).is_err());
}

#[test]
fn only_we_refuse_more_than_one_packet() {
    let author = Author::new();
    let good = author.signature();
    let bad = packet(template(), &author.subkey(), b"other");
    let marker = Packet::from(Marker::default()).to_vec().unwrap();
    for parts in [[&bad[..], &good], [&good, &good], [&good, &marker]] {
        let plugin = author.holding_bytes(&parts.concat());
        ours_alone(&author, plugin, Code::SignatureNotOne);
    }
}

#[test]
fn only_we_refuse_armour() {
    use openpgp::armor;
    let author = Author::new();
    let mut armored = armor::Writer::new(Vec::new(), armor::Kind::Signature).unwrap();
    std::io::Write::write_all(&mut armored, &author.signature()).unwrap();
    let plugin = author.holding_bytes(&armored.finalize().unwrap());
    ours_alone(&author, plugin, Code::SignatureMalformed);
}

#[test]
fn only_we_refuse_signatures_over_text() {
    let author = Author::new();
    // Over lines that end in CR and LF; the text itself has LF alone.
    let message = String::from_utf8(author.message()).unwrap();
    let signature = packet(
        template().set_type(SignatureType::Text),
        &author.subkey(),
        message.replace('\n', "\r\n").as_bytes(),
    );
    let plugin = author.holding_bytes(&signature);
    ours_alone(&author, plugin, Code::SignatureWrongType);
}

#[test]
fn only_we_refuse_sha224_and_keys_below_the_minimum() {
    let author = Author::new();
    let plugin = author.signed_as(|template| Ok(template.set_hash_algo(HashAlgorithm::SHA224)));
    ours_alone(&author, plugin, Code::SignatureHashWeak);
    let signing = KeyFlags::empty().set_signing();
    let weak = Author::built(|builder| builder.add_subkey(signing, None, CipherSuite::RSA2k));
    ours_alone(&weak, weak.signed(), Code::KeyWeakKey);
}

#[test]
fn only_we_refuse_a_date_before_the_key_ended() {
    let expired = Author::built(|builder| {
        builder
            .set_validity_period(days_of(50))
            .add_signing_subkey()
    });
    ours_alone(&expired, expired.signed_at(days_ago(60)), Code::KeyExpired);

    let author = Author::new();
    let revocation = CertRevocationBuilder::new()
        .set_signature_creation_time(days_ago(10))
        .unwrap()
        .set_reason_for_revocation(ReasonForRevocation::KeySuperseded, b"")
        .unwrap()
        .build(&mut author.primary(), &author.cert, None)
        .unwrap();
    let revoked = author.with([Packet::from(revocation)]);
    ours_alone(
        &revoked,
        revoked.signed_at(days_ago(20)),
        Code::KeyRevokedSoft,
    );
}

#[test]
fn only_we_refuse_a_signature_from_twenty_minutes_ahead() {
    let clock = SystemTime::now();
    let author = Author::built(|builder| {
        builder
            .set_creation_time(clock - days_of(2))
            .add_signing_subkey()
    });
    let plugin = author.signed_at(clock + Duration::from_secs(20 * 60));
    textbook(&author, &plugin, None).unwrap();
    let verdict = Store::trusting(&author).refuses_at(plugin, clock);
    assert_eq!(verdict, (Some(4), Code::SignatureFuture));
}

#[test]
fn only_we_ask_what_a_signature_is_for() {
    use openpgp::packet::signature::subpacket::SubpacketTag;
    let author = Author::new();
    let plugin = author.signed_as(|template| {
        template.modify_hashed_area(|mut area| {
            area.remove_all(SubpacketTag::NotationData);
            Ok(area)
        })
    });
    ours_alone(&author, plugin, Code::SignatureContext);
}

#[test]
fn only_we_look_at_what_is_not_signed() {
    // The digest's first two bytes stand behind both areas of subpackets.
    let author = Author::new();
    let good = author.signature();
    let area = |at: usize| usize::from(u16::from_be_bytes([good[at], good[at + 1]]));
    let hashed = 3 + 4;
    let unhashed = hashed + 2 + area(hashed);
    let prefix = unhashed + 2 + area(unhashed);
    let mut changed = good.clone();
    changed[prefix] ^= 1;
    ours_alone(
        &author,
        author.holding_bytes(&changed),
        Code::SignatureBadSignature,
    );
}
