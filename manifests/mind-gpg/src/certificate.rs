//! Public certificates: read with caps, cut down to what their own key signed,
//! and only ever merged.
//!
//! Being here means nothing: a certificate counts when `keys.toml` names it.

use crate::strict;
use gm_manifest::{Code, Fingerprint, Refusal};
use sequoia_openpgp as openpgp;

use openpgp::cert::Cert;
use openpgp::crypto::mpi::PublicKey;
use openpgp::packet::{Packet, Signature};
use openpgp::parse::{PacketParser, PacketParserResult, Parse};
use openpgp::serialize::MarshalInto;
use openpgp::types::RevocationType;
use openpgp::{KeyHandle, KeyID};

/// The most that is read of a file, in bytes. The largest certificate seen in the
/// world has 362 KB, nearly all of it other people's signatures.
const MAX_READ: usize = 1 << 20;
/// The most that is kept, in bytes.
const MAX_KEPT: usize = 64 * 1024;
/// The most subkeys, user ids and signatures of its own that one certificate has:
/// the cost of every later question grows with them.
const MAX_SUBKEYS: usize = 64;
const MAX_USER_IDS: usize = 64;
const MAX_SIGNATURES: usize = 512;

/// One public certificate.
#[derive(Debug, Clone)]
pub(crate) struct Certificate(Cert);

/// How a key was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Revoked {
    /// Superseded or retired.
    Soft,
    /// Compromised, or without a reason.
    Hard,
}

fn malformed(detail: impl AsRef<str>) -> Refusal {
    Refusal::new(Code::KeyCertMalformed, detail)
}

impl Certificate {
    /// Reads exactly one certificate, armoured or not. Secret parts are dropped.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_READ {
            return Err(malformed("the certificate is larger than 1 MiB"));
        }
        let packets = own_packets(bytes)?;
        let cert = Cert::from_packets(packets.into_iter())
            .map_err(|_| malformed("this is no certificate"))?;
        Self::kept(cert)
    }

    /// Takes what another copy of the same certificate knows, and forgets nothing:
    /// an older copy never undoes a revocation.
    pub(crate) fn merge(self, other: Self) -> Result<Self, Refusal> {
        Self::kept(
            self.0
                .merge_public(other.0)
                .map_err(|_| malformed("these are two certificates"))?,
        )
    }

    fn kept(cert: Cert) -> Result<Self, Refusal> {
        let kept = Self(cert.strip_secret_key_material());
        match kept.to_bytes()?.len() {
            0..=MAX_KEPT => Ok(kept),
            len => Err(malformed(format!(
                "the certificate's own parts have {len} bytes, at most 65536 are kept"
            ))),
        }
    }

    /// The packets, as they are stored.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Refusal> {
        self.0
            .to_vec()
            .map_err(|_| malformed("the certificate can't be written"))
    }

    pub(crate) fn cert(&self) -> &Cert {
        &self.0
    }

    /// The primary key's fingerprint.
    pub(crate) fn fingerprint(&self) -> Result<Fingerprint, Refusal> {
        ours(&self.0.fingerprint())
    }

    /// Refuses a primary key that could never vouch for anything here.
    pub(crate) fn check_strength(&self) -> Result<(), Refusal> {
        let primary = self.0.primary_key().key().clone().role_into_unspecified();
        match strict::is_allowed(&primary) {
            true => Ok(()),
            false => Err(Refusal::new(
                Code::KeyWeakKey,
                "the certificate's primary key is too weak",
            )
            .rule(strict::ALLOWED)),
        }
    }

    /// The first user id, as its owner wrote it.
    pub(crate) fn label(&self) -> String {
        let id = self
            .0
            .userids()
            .next()
            .map(|user| user.userid().value().to_vec());
        gm_manifest::escape(&String::from_utf8_lossy(&id.unwrap_or_default()))
    }

    /// Whether this key of it, or the certificate, was ever revoked by itself.
    ///
    /// Any revocation that verifies counts for good: the library would let a newer
    /// self-signature undo a soft one, and for a subkey it wouldn't look at the
    /// primary key at all.
    pub(crate) fn revoked(&self, key: &openpgp::Fingerprint) -> Option<Revoked> {
        let primary = self.0.primary_key();
        let subkeys = self
            .0
            .keys()
            .subkeys()
            .filter(|subkey| subkey.key().fingerprint() == *key);
        let of_subkey = subkeys.flat_map(|subkey| subkey.self_revocations());
        primary
            .self_revocations()
            .chain(of_subkey)
            .map(kind_of)
            .max()
    }
}

fn kind_of(revocation: &Signature) -> Revoked {
    match revocation.reason_for_revocation() {
        Some((reason, _)) if reason.revocation_type() == RevocationType::Soft => Revoked::Soft,
        _ => Revoked::Hard,
    }
}

/// The library's fingerprint as ours; a key of another version has none.
pub(crate) fn ours(fingerprint: &openpgp::Fingerprint) -> Result<Fingerprint, Refusal> {
    Fingerprint::parse(&fingerprint.to_hex()).map_err(|unfit| malformed(unfit.rule()))
}

/// Keys, user ids, and the signatures that the primary key itself claims to have
/// made; counted before the library sorts them, which takes its time.
fn own_packets(bytes: &[u8]) -> Result<Vec<Packet>, Refusal> {
    let unreadable = |_| malformed("this is no certificate");
    let mut parser = PacketParser::from_bytes(bytes).map_err(unreadable)?;
    let mut kept = Own::default();
    while let PacketParserResult::Some(here) = parser {
        let (packet, next) = here.next().map_err(unreadable)?;
        kept.take(packet)?;
        parser = next;
    }
    match kept.primary {
        Some(_) => Ok(kept.packets),
        None => Err(malformed("this is no certificate")),
    }
}

#[derive(Default)]
struct Own {
    primary: Option<KeyHandle>,
    packets: Vec<Packet>,
    subkeys: usize,
    user_ids: usize,
    signatures: usize,
}

impl Own {
    fn take(&mut self, packet: Packet) -> Result<(), Refusal> {
        match &packet {
            Packet::PublicKey(key) => {
                self.start(key.fingerprint())?;
                affordable(key.mpis())?;
            }
            Packet::SecretKey(key) => {
                self.start(key.fingerprint())?;
                affordable(key.mpis())?;
            }
            _ if self.primary.is_none() => {
                return Err(malformed("this does not start with a certificate"));
            }
            Packet::PublicSubkey(key) => self.subkey(key.mpis())?,
            Packet::SecretSubkey(key) => self.subkey(key.mpis())?,
            Packet::UserID(_) => count(&mut self.user_ids, MAX_USER_IDS, "user ids")?,
            Packet::Signature(signature) if self.is_own(signature) => {
                count(
                    &mut self.signatures,
                    MAX_SIGNATURES,
                    "signatures of its own",
                )?;
            }
            // Other people's signatures, attributes, markers: never asked for.
            _ => return Ok(()),
        }
        self.packets.push(packet);
        Ok(())
    }

    fn start(&mut self, fingerprint: openpgp::Fingerprint) -> Result<(), Refusal> {
        match self.primary.replace(KeyHandle::from(fingerprint)) {
            None => Ok(()),
            Some(_) => Err(malformed("there is more than one certificate")),
        }
    }

    fn subkey(&mut self, key: &PublicKey) -> Result<(), Refusal> {
        count(&mut self.subkeys, MAX_SUBKEYS, "subkeys")?;
        affordable(key)
    }

    fn is_own(&self, signature: &Signature) -> bool {
        let issuers = signature.get_issuers();
        let Some(primary) = &self.primary else {
            return false;
        };
        issuers.is_empty()
            || issuers
                .iter()
                .any(|issuer| KeyID::from(issuer) == KeyID::from(primary))
    }
}

/// A giant key makes every later look at the certificate slow.
fn affordable(key: &PublicKey) -> Result<(), Refusal> {
    match strict::is_oversized(key) {
        false => Ok(()),
        true => Err(
            Refusal::new(Code::KeyWeakKey, "the certificate holds a giant key")
                .rule("at most 8192 bits"),
        ),
    }
}

fn count(so_far: &mut usize, most: usize, what: &str) -> Result<(), Refusal> {
    *so_far += 1;
    match *so_far <= most {
        true => Ok(()),
        false => Err(malformed(format!(
            "the certificate has more than {most} {what}"
        ))),
    }
}
