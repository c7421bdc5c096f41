//! Steps 0 to 2: the form of a signature, before anybody is asked who made it.

use super::made::{Author, Store, days_ago, manifest, packet, plugin, refused, template};
use crate::strict::CONTEXT;
use gm_manifest::{Code, PLUGIN_STATEMENT};
use sequoia_openpgp as openpgp;

use openpgp::packet::signature::subpacket::{NotationDataFlags, Subpacket, SubpacketValue};
use openpgp::packet::{Literal, Marker, OnePassSig, UserID};
use openpgp::serialize::SerializeInto;
use openpgp::types::DataFormat;
use openpgp::{Packet, armor};

#[test]
fn a_package_without_key_or_signature_is_unsigned() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let key = author.fingerprint();
    for text in [
        manifest(key.as_str(), ""),
        manifest(key.as_str(), "BASE64_GPG_SIG"),
        manifest("FINGERPRINT", "AAAA"),
        manifest("", "AAAA"),
        manifest(key.as_str(), "").replace("signature = \"\"\n", ""),
    ] {
        assert_eq!(
            store.refuses(plugin(&text)),
            (Some(0), Code::PolicyUnsigned),
            "{text}"
        );
    }
}

#[test]
fn only_canonical_base64_is_read() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let good = super::made::text(&author.signature());
    let padded = format!("{good}====");
    let split = format!("{} {}", &good[..8], &good[8..]);
    let armored = "-----BEGIN PGP SIGNATURE-----".to_owned();
    let huge = "A".repeat(23 * 1024);
    for text in [" ", &padded, &split, &armored, &huge, "_-8=", "aGl="] {
        assert_eq!(
            store.refuses(author.holding(text)),
            (Some(0), Code::SignatureBase64),
            "{text:.40}"
        );
    }
}

/// Where the version stands in a signature of the library: behind the tag and two
/// bytes of length.
const BODY: usize = 3;

fn len(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap().to_be_bytes()
}

#[test]
fn what_is_no_plain_signature_packet_is_malformed() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let good = author.signature();
    let mut armored = armor::Writer::new(Vec::new(), armor::Kind::Signature).unwrap();
    std::io::Write::write_all(&mut armored, &good).unwrap();
    let mut literal = Literal::new(DataFormat::Binary);
    literal.set_body(author.message());
    let literal = Packet::from(literal).to_vec().unwrap();
    let one_pass = Packet::from(OnePassSig::V3(
        openpgp::packet::one_pass_sig::OnePassSig3::new(openpgp::types::SignatureType::Binary),
    ));
    let inline = [&one_pass.to_vec().unwrap()[..], &literal, &good].concat();
    // The same signature with a length in more bytes than it needs, and in parts.
    let long_length = [
        &[0xC2, 0xFF, 0, 0][..],
        &len(good.len() - BODY),
        &good[BODY..],
    ]
    .concat();
    let (head, tail) = good[BODY..].split_at(128);
    let in_parts = [
        &[0xC2, 0xE7][..],
        head,
        &[0xFF, 0, 0],
        &len(tail.len()),
        tail,
    ]
    .concat();
    for (what, bytes) in [
        ("armour", armored.finalize().unwrap()),
        ("inline-signed", inline),
        ("literal", literal),
        ("long length", long_length),
        ("parts", in_parts),
        ("text", b"hello world".to_vec()),
        (
            "giant",
            [&[0xC2, 0xFF, 0, 0, 0x41, 0][..], &[4; 0x4100]].concat(),
        ),
        ("huge length", vec![0xC2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 4]),
    ] {
        assert_eq!(
            store.refuses(author.holding_bytes(&bytes)),
            (Some(1), Code::SignatureMalformed),
            "{what}"
        );
    }
}

#[test]
fn a_truncated_signature_is_refused_wherever_it_ends() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let good = author.signature();
    for len in 1..good.len() {
        let (step, code) = store.refuses(author.holding_bytes(&good[..len]));
        assert_eq!((step, code.class()), (Some(1), "signature"), "{len}");
    }
}

#[test]
fn two_signatures_are_never_one() {
    let author = Author::new();
    let store = Store::trusting(&author);
    let good = author.signature();
    let bad = packet(template(), &author.subkey(), b"something else");
    let marker = Packet::from(Marker::default()).to_vec().unwrap();
    let user_id = Packet::from(UserID::from("x")).to_vec().unwrap();
    for (what, parts) in [
        ("bad, good", [&bad[..], &good]),
        ("good, good", [&good[..], &good]),
        ("good, marker", [&good[..], &marker]),
        ("good, user id", [&good[..], &user_id]),
    ] {
        assert_eq!(
            store.refuses(author.holding_bytes(&parts.concat())),
            (Some(1), Code::SignatureNotOne),
            "{what}"
        );
    }
    let marker_first = author.holding_bytes(&[marker, good.clone()].concat());
    assert_eq!(
        store.refuses(marker_first),
        (Some(1), Code::SignatureMalformed)
    );
    let (step, code) = store.refuses(author.holding_bytes(&[good, vec![0]].concat()));
    assert_eq!((step, code.class()), (Some(1), "signature"));
}

#[test]
fn other_versions_of_signatures_are_named() {
    let author = Author::new();
    let store = Store::trusting(&author);
    for version in [0, 2, 3, 5, 7, 255] {
        let mut bytes = author.signature();
        bytes[BODY] = version;
        let (step, code) = store.refuses(author.holding_bytes(&bytes));
        assert_eq!((step, code), (Some(1), Code::SignatureVersion), "{version}");
    }
}

#[test]
fn only_a_signature_over_binary_data_counts() {
    let author = Author::new();
    let store = Store::trusting(&author);
    for kind in [
        0x01, 0x02, 0x10, 0x13, 0x18, 0x19, 0x1F, 0x20, 0x28, 0x30, 0x40, 0x50,
    ] {
        let mut bytes = author.signature();
        bytes[BODY + 1] = kind;
        assert_eq!(
            store.refuses(author.holding_bytes(&bytes)),
            (Some(2), Code::SignatureWrongType),
            "{kind:#x}"
        );
    }
}

#[test]
fn the_issuer_is_named_in_full_once_and_signed() {
    let author = Author::new();
    let (subkey, other) = (author.subkey(), Author::new().cert.fingerprint());
    let id = subkey.public().keyid();
    let plugin = author.signed_as(|template| template.set_issuer(id));
    assert_eq!(refused(&author, plugin), (Some(2), Code::SignatureNoIssuer));
    let plugin = author.signed_as(|template| {
        template
            .set_issuer_fingerprint(subkey.public().fingerprint())?
            .add_issuer_fingerprint(other.clone())
    });
    assert_eq!(
        refused(&author, plugin),
        (Some(2), Code::SignatureMalformed)
    );
    let plugin = author.signed_as(|template| {
        template
            .set_issuer_fingerprint(subkey.public().fingerprint())?
            .set_issuer(openpgp::KeyID::from(&other))
    });
    assert_eq!(
        refused(&author, plugin),
        (Some(2), Code::SignatureMalformed)
    );
}

#[test]
fn a_signature_has_one_time_and_at_most_one_expiry() {
    let author = Author::new();
    let add = |value: SubpacketValue| {
        author.signed_as(|template| {
            template.modify_hashed_area(|mut area| {
                area.add(Subpacket::new(value.clone(), false)?)?;
                area.add(Subpacket::new(value, false)?)?;
                Ok(area)
            })
        })
    };
    let day = openpgp::types::Duration::days(1).unwrap();
    let time = openpgp::types::Timestamp::try_from(days_ago(2)).unwrap();
    let plugin = add(SubpacketValue::SignatureExpirationTime(day));
    assert_eq!(
        refused(&author, plugin),
        (Some(2), Code::SignatureMalformed)
    );
    let plugin = add(SubpacketValue::SignatureCreationTime(time));
    assert_eq!(
        refused(&author, plugin),
        (Some(2), Code::SignatureMalformed)
    );
}

#[test]
fn the_unsigned_part_holds_nothing_but_the_issuer() {
    let author = Author::new();
    let issuer_key = author.subkey().public().fingerprint();
    let unhashed = |value: SubpacketValue, critical: bool| {
        author.signed_as(|template| {
            template
                .set_issuer_fingerprint(issuer_key.clone())?
                .modify_unhashed_area(|mut area| {
                    area.add(Subpacket::new(value, critical)?)?;
                    Ok(area)
                })
        })
    };
    let id = author.subkey().public().keyid();
    let other = Author::new().cert.keyid();
    let context = openpgp::packet::signature::subpacket::NotationData::new(
        CONTEXT,
        PLUGIN_STATEMENT,
        NotationDataFlags::empty().set_human_readable(),
    );
    let store = Store::trusting(&author);
    let issuer = || SubpacketValue::Issuer(id.clone());
    assert!(store.verify(unhashed(issuer(), false)).is_ok());
    for (what, value, critical) in [
        ("critical issuer", issuer(), true),
        ("foreign issuer", SubpacketValue::Issuer(other), false),
        (
            "user id",
            SubpacketValue::SignersUserID(b"x".to_vec()),
            false,
        ),
        ("notation", SubpacketValue::NotationData(context), false),
    ] {
        assert_eq!(
            store.refuses(unhashed(value, critical)),
            (Some(2), Code::SignatureMalformed),
            "{what}"
        );
    }
    let twice = author.signed_as(|template| {
        template
            .set_issuer_fingerprint(issuer_key.clone())?
            .modify_unhashed_area(|mut area| {
                area.add(Subpacket::new(issuer(), false)?)?;
                area.add(Subpacket::new(issuer(), false)?)?;
                Ok(area)
            })
    });
    assert_eq!(store.refuses(twice), (Some(2), Code::SignatureMalformed));
}
