//! Bytes of a stranger: whatever they are, they are refused, quickly and without a
//! panic; and no bit of what was signed can be changed.

use super::made::{Author, CODE, Store, manifest, now, plugin, plugin_with_code, text};
use crate::certificate::Certificate;
use crate::key_file::KeyFile;
use crate::pin::{Pin, PinFile};
use crate::revocation::LocalFile;
use crate::{RevocationTarget, SecretKey, base64_text, packet};
use gm_manifest::{Code, Fingerprint};
use proptest::prelude::*;
use proptest::sample::Index;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// One author for all tests here: making keys takes longer than refusing bytes.
static AUTHOR: LazyLock<Author> = LazyLock::new(Author::new);

/// One signature of it: two of the same bytes differ.
static SIGNATURE: LazyLock<Vec<u8>> = LazyLock::new(|| AUTHOR.signature());

/// Every value of `bytes` with one bit flipped.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn no_bit_of_a_signature_can_be_flipped() {
    let store = Store::trusting(&AUTHOR);
    let good = AUTHOR.signature();
    assert!(store.verify(AUTHOR.holding_bytes(&good)).is_ok());
    for flipped in flips(&good) {
        let refusal = store.verify(AUTHOR.holding_bytes(&flipped)).unwrap_err();
        let class = refusal.code.class();
        assert!(
            ["signature", "identity", "key"].contains(&class),
            "{refusal}"
        );
    }
}

#[test]
fn no_bit_of_a_signed_manifest_can_be_flipped() {
    let store = Store::trusting(&AUTHOR);
    let whole = manifest(AUTHOR.fingerprint().as_str(), &text(&AUTHOR.signature()));
    assert!(store.verify(plugin(&whole)).is_ok());
    for flipped in flips(whole.as_bytes()) {
        let Ok(flipped) = String::from_utf8(flipped) else {
            continue;
        };
        let refusal = match plugin_with_code(&flipped, CODE) {
            Ok(plugin) => store.verify(plugin).unwrap_err(),
            Err(refusal) => refusal,
        };
        let class = refusal.code.class();
        let expected = ["manifest", "signature", "key", "identity", "policy"];
        assert!(expected.contains(&class), "{refusal}\n{flipped}");
    }
}

#[test]
fn no_bit_of_signed_code_can_be_flipped() {
    let store = Store::trusting(&AUTHOR);
    let whole = manifest(AUTHOR.fingerprint().as_str(), &text(&AUTHOR.signature()));
    for flipped in flips(CODE) {
        let verdict = store.refuses(plugin_with_code(&whole, &flipped).unwrap());
        assert_eq!(verdict, (Some(5), Code::SignatureBadSignature));
    }
    for other in [&CODE[..7], b"", &[CODE, &[0]].concat()] {
        let verdict = store.refuses(plugin_with_code(&whole, other).unwrap());
        assert_eq!(verdict, (Some(5), Code::SignatureBadSignature));
    }
}

#[test]
fn a_crowded_certificate_is_decided_quickly() {
    use sequoia_openpgp::Packet;
    use sequoia_openpgp::serialize::MarshalInto;
    let packets: Vec<Packet> = AUTHOR.cert.clone().into_packets().collect();
    let subkey = packets
        .iter()
        .find(|packet| matches!(packet, Packet::PublicSubkey(_)));
    let subkey = subkey.unwrap().to_vec().unwrap();
    let own = packets
        .iter()
        .find(|packet| matches!(packet, Packet::Signature(_)));
    let own = own.unwrap().to_vec().unwrap();
    let head = packets[0].to_vec().unwrap();
    for (what, many) in [("subkeys", subkey), ("signatures", own)] {
        let crowd = [head.clone(), many.repeat((1 << 20) / many.len() - 2)].concat();
        let started = Instant::now();
        let refusal = Certificate::parse(&crowd).unwrap_err();
        assert_eq!(refusal.code, Code::KeyCertMalformed, "{what}");
        assert!(
            started.elapsed() < Duration::from_millis(500),
            "{what}: {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn nested_packets_are_not_unpacked() {
    // Each one says that all the rest is inside: compressed, encrypted, marked.
    for tag in [8, 9, 18, 20, 63] {
        let nested: Vec<u8> = [0xC0 | tag, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1].repeat(2000);
        let verdict = packet::single_signature(&nested).map(|_| ()).unwrap_err();
        assert_eq!(verdict.code, Code::SignatureMalformed, "{tag}");
        let verdict = Certificate::parse(&nested).unwrap_err();
        assert_eq!(verdict.code, Code::KeyCertMalformed, "{tag}");
    }
}

/// Changes that a stranger might make: some bytes replaced, a part cut out, a part
/// repeated.
fn spoiled(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<Index>(), any::<u8>()), 0..4);
    (edits, any::<(Index, Index)>(), 0..3).prop_map(move |(edits, (from, to), how)| {
        let mut spoiled = bytes.clone();
        for (at, byte) in edits {
            let at = at.index(spoiled.len());
            spoiled[at] = byte;
        }
        let (from, to) = (from.index(spoiled.len()), to.index(spoiled.len()));
        let part = from.min(to)..from.max(to);
        let copy = spoiled[part.clone()].to_vec();
        match how {
            0 => drop(spoiled.drain(part)),
            1 => drop(spoiled.splice(part.end..part.end, copy)),
            _ => {}
        }
        spoiled
    })
}

fn secret() -> Vec<u8> {
    use sequoia_openpgp::serialize::MarshalInto;
    AUTHOR.cert.as_tsk().to_vec().unwrap()
}

/// What a stranger's bytes may end with: a code of these classes, and no panic.
fn decent<T>(result: Result<T, gm_manifest::Refusal>) {
    if let Err(refusal) = result {
        assert!(
            ["signature", "key", "identity", "usage"].contains(&refusal.code.class()),
            "{refusal}"
        );
    }
}

fn read_as_everything(bytes: &[u8]) {
    decent(packet::single_signature(bytes).and_then(|signature| packet::claims(&signature)));
    decent(Certificate::parse(bytes));
    decent(SecretKey::read(bytes, None, now()));
    decent(SecretKey::read(bytes, Some("passphrase"), now()));
}

proptest! {
    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn random_packets_are_refused(tag in 0u8..64, body in prop::collection::vec(any::<u8>(), 0..190)) {
        let len = u8::try_from(body.len()).unwrap();
        read_as_everything(&[&[0xC0 | tag, len][..], &body].concat());
    }

    #[test]
    fn a_spoiled_signature_is_refused(bytes in spoiled(SIGNATURE.clone())) {
        read_as_everything(&bytes);
        let store = Store::trusting(&AUTHOR);
        let verdict = store.verify(AUTHOR.holding_bytes(&bytes)).map(|_| ());
        prop_assert_eq!(verdict.is_ok(), bytes == *SIGNATURE);
    }

    #[test]
    fn a_spoiled_certificate_does_no_harm(bytes in spoiled(AUTHOR.public())) {
        read_as_everything(&bytes);
        let store = Store::empty();
        let pattern = gm_manifest::NamespacePattern::parse("com.example.*").unwrap();
        if store.trust.add_key(&bytes, &AUTHOR.fingerprint(), &[pattern]).is_ok() {
            decent(store.trust.keys(now()));
            decent(store.verify(AUTHOR.signed()));
        }
    }

    #[test]
    fn a_spoiled_secret_key_does_no_harm(bytes in spoiled(secret())) {
        read_as_everything(&bytes);
        if let Ok(key) = SecretKey::read(&bytes, None, now()) {
            decent(key.sign(&AUTHOR.holding(""), now()));
        }
    }

    #[test]
    fn random_text_is_no_signature_no_key_file_and_no_pin(text in "\\PC{0,200}") {
        let decoded = base64_text::decode(&text);
        prop_assert!(decoded.is_err() || base64_text::encode(&decoded.unwrap()) == text);
        let _ = toml::from_str::<KeyFile>(&text);
        let _ = toml::from_str::<LocalFile>(&text).map(|file| file.targets());
        let _ = toml::from_str::<PinFile>(&text).map(Pin::from_file);
        let _ = Fingerprint::parse(&text);
        let _ = RevocationTarget::parse(&text);
        let _ = crate::parse_validity(Some(&text));
        decent(crate::generate(&text, Duration::from_secs(60), None, now()));
    }
}
