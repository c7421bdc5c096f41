//! Steps 1 and 2: bytes to exactly one signature packet, and what it claims.
//!
//! Everything here is a stranger's claim: nothing is authentic before step 5.

use crate::strict;
use gm_manifest::{Code, Refusal};
use sequoia_openpgp as openpgp;

use openpgp::packet::Signature;
use openpgp::packet::signature::subpacket::{SubpacketTag, SubpacketValue};
use openpgp::parse::{Dearmor, PacketParserBuilder, PacketParserResult, Parse};
use openpgp::serialize::MarshalInto;
use openpgp::types::SignatureType;
use openpgp::{Fingerprint, KeyHandle, KeyID, Packet};
use std::time::SystemTime;

/// The largest signature packet, in bytes.
const MAX_SIGNATURE: usize = 16 * 1024;

/// What a signature says about itself.
pub(crate) struct Claims {
    pub(crate) issuer: Fingerprint,
    pub(crate) created: SystemTime,
}

fn malformed(detail: &str) -> Refusal {
    Refusal::new(Code::SignatureMalformed, detail)
}

fn other_version(version: u8) -> Refusal {
    let what = format!("the signature has version {version}");
    Refusal::new(Code::SignatureVersion, what).rule("version 4 or 6")
}

/// Step 1: one signature packet of a known version and nothing else, in the one
/// encoding that writing it again gives.
pub(crate) fn single_signature(bytes: &[u8]) -> Result<Signature, Refusal> {
    if bytes.len() > MAX_SIGNATURE {
        return Err(malformed("the signature is larger than 16 KiB"));
    }
    if bytes.first().is_none_or(|first| first & 0x80 == 0) {
        return Err(malformed("the signature does not start with a packet"));
    }
    let signature = match only_packet(bytes)? {
        Packet::Signature(signature) => signature,
        Packet::Unknown(unknown) if unknown.tag() == openpgp::packet::Tag::Signature => {
            return Err(match unknown.body().first() {
                Some(4 | 6) | None => malformed("the signature can't be read"),
                Some(version) => other_version(*version),
            });
        }
        _ => return Err(malformed("the packet is no signature")),
    };
    if !matches!(signature.version(), 4 | 6) {
        return Err(other_version(signature.version()));
    }
    let body = signature
        .to_vec()
        .map_err(|_| malformed("the signature can't be written again"))?;
    match bytes.strip_suffix(body.as_slice()) {
        Some(header) if is_plain_header(header, body.len()) => Ok(signature),
        _ => Err(malformed("the signature is not in its plain encoding")),
    }
}

fn only_packet(bytes: &[u8]) -> Result<Packet, Refusal> {
    let unreadable = |_| malformed("the signature can't be read");
    let parser = PacketParserBuilder::from_bytes(bytes)
        .map_err(unreadable)?
        .dearmor(Dearmor::Disabled)
        .buffer_unread_content()
        .build()
        .map_err(unreadable)?;
    let PacketParserResult::Some(parser) = parser else {
        return Err(malformed("there is no packet"));
    };
    let (packet, rest) = parser.next().map_err(unreadable)?;
    let is_signature = packet.tag() == openpgp::packet::Tag::Signature;
    match rest {
        PacketParserResult::EOF(_) => Ok(packet),
        PacketParserResult::Some(_) if is_signature => Err(Refusal::new(
            Code::SignatureNotOne,
            "something follows the signature",
        )
        .rule("exactly one packet")),
        PacketParserResult::Some(_) => Err(malformed("the packet is no signature")),
    }
}

/// The header in the new or the old format, with the shortest length. No partial
/// and no indeterminate lengths, so one signature has two encodings at most.
fn is_plain_header(header: &[u8], len: usize) -> bool {
    let big_endian = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    let [_, _, high, low] = big_endian;
    match header {
        [0xC2, short] | [0x88, short] if len < 192 => usize::from(*short) == len,
        [0x88, short] if len < 256 => usize::from(*short) == len,
        [0xC2, first @ 192..=223, second] => {
            ((usize::from(*first) - 192) << 8) + usize::from(*second) + 192 == len
        }
        [0x89, first, second] => len >= 256 && [*first, *second] == [high, low],
        [0xC2, 0xFF, rest @ ..] => len >= 8384 && rest == big_endian,
        _ => false,
    }
}

/// Step 2: type, and exactly one creation time and one issuer, which every other
/// hint agrees with.
pub(crate) fn claims(signature: &Signature) -> Result<Claims, Refusal> {
    if signature.typ() != SignatureType::Binary {
        let what = format!("the signature has the type {}", u8::from(signature.typ()));
        return Err(Refusal::new(Code::SignatureWrongType, what).rule("type 0, over binary data"));
    }
    let count = |tag| signature.hashed_area().subpackets(tag).count();
    if count(SubpacketTag::SignatureCreationTime) != 1
        || count(SubpacketTag::SignatureExpirationTime) > 1
    {
        return Err(malformed("the signature does not have exactly one time"));
    }
    let created = signature
        .signature_creation_time()
        .ok_or_else(|| malformed("the signature has no time"))?;
    let mut issuers = signature
        .hashed_area()
        .subpackets(SubpacketTag::IssuerFingerprint);
    let issuer = match (issuers.next().map(|issuer| issuer.value()), issuers.next()) {
        (Some(SubpacketValue::IssuerFingerprint(issuer)), None) => issuer.clone(),
        (None, _) => {
            let refusal = Refusal::new(
                Code::SignatureNoIssuer,
                "the signature does not name its issuer",
            );
            return Err(refusal.rule("the full fingerprint, signed"));
        }
        _ => return Err(malformed("the signature names more than one issuer")),
    };
    let handle = KeyHandle::from(&issuer);
    if !signature
        .get_issuers()
        .iter()
        .all(|hint| hint.aliases(&handle))
    {
        return Err(malformed("the signature names two issuers"));
    }
    unhashed_is_restricted(signature, &issuer)?;
    Ok(Claims { issuer, created })
}

/// The unhashed area isn't signed: it is empty, or holds exactly the issuer's
/// key id, in its only encoding. Anything else there could be changed by anybody.
fn unhashed_is_restricted(signature: &Signature, issuer: &Fingerprint) -> Result<(), Refusal> {
    let area = signature
        .unhashed_area()
        .to_vec()
        .map_err(|_| malformed("the unsigned part can't be read"))?;
    let key_id = KeyID::from(issuer);
    let only_issuer = [&[9, strict::ISSUER_SUBPACKET], key_id.as_bytes()].concat();
    match area.is_empty() || area == only_issuer {
        true => Ok(()),
        false => Err(malformed(
            "the unsigned part of the signature holds more than its issuer",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_one_length_in_each_format() {
        assert!(is_plain_header(&[0xC2, 119], 119) && is_plain_header(&[0x88, 119], 119));
        assert!(is_plain_header(&[0xC2, 192, 8], 200) && is_plain_header(&[0x88, 200], 200));
        assert!(is_plain_header(&[0xC2, 193, 244], 692) && is_plain_header(&[0x89, 2, 180], 692));
        assert!(is_plain_header(&[0xC2, 0xFF, 0, 0, 0x20, 0xC0], 8384));
        for (header, len) in [
            (&[0xC2, 0xFF, 0, 0, 0, 119][..], 119),
            (&[0x89, 0, 119], 119),
            (&[0x8B], 119),
            (&[0xC2, 118], 119),
            (&[0xE7, 119], 119),
            (&[], 0),
            (&[0x8A, 0, 0, 0, 119], 119),
        ] {
            assert!(!is_plain_header(header, len), "{header:?}");
        }
    }

    #[test]
    fn text_and_empty_bytes_are_no_signature() {
        for bytes in [
            &b""[..],
            b"hello",
            b"-----BEGIN PGP SIGNATURE-----\n",
            &[0x80; 100],
            &[0xFF; 20_000],
        ] {
            assert_eq!(
                single_signature(bytes).unwrap_err().code,
                Code::SignatureMalformed
            );
        }
    }
}
