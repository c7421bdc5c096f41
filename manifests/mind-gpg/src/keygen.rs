//! New keys: an Ed25519 primary that certifies, an Ed25519 subkey that signs, and
//! the certificate that revokes both.

use crate::certificate::ours;
use gm_manifest::{Code, Fingerprint, Refusal, Unfit};
use sequoia_openpgp as openpgp;

use openpgp::Packet;
use openpgp::armor;
use openpgp::cert::prelude::{CertBuilder, CipherSuite};
use openpgp::serialize::{Marshal, MarshalInto};
use openpgp::types::KeyFlags;
use std::time::{Duration, SystemTime};

/// How long a key is valid unless more or less was asked for.
const USUAL_VALIDITY: &str = "2y";
/// The longest user id, in bytes.
const MAX_USER_ID: usize = 256;
/// A year as it is counted here.
const YEAR: u64 = 365 * DAY;
const DAY: u64 = 24 * 60 * 60;

/// A new key, as files. The secret one is for its owner alone.
pub struct GeneratedKey {
    /// Secret key, armoured.
    pub secret: Vec<u8>,
    /// Public certificate, armoured.
    pub public: Vec<u8>,
    /// Revocation certificate, armoured: whoever has it can revoke the key.
    pub revocation: Vec<u8>,
    /// The primary key's fingerprint.
    pub fingerprint: Fingerprint,
    /// The signing subkey's fingerprint.
    pub subkey: Fingerprint,
    /// When both expire.
    pub expires: SystemTime,
}

/// Takes a validity, `[1-9][0-9]*(d|w|m|y)` with months of 30 and years of 365
/// days, at most 10 years; without one it is two years.
///
/// # Errors
/// It is none.
pub fn parse_validity(text: Option<&str>) -> Result<Duration, Unfit> {
    let rule = Unfit::new("a validity is a whole number and d, w, m or y, at most 10y");
    let text = text.unwrap_or(USUAL_VALIDITY);
    let units = [('d', DAY), ('w', 7 * DAY), ('m', 30 * DAY), ('y', YEAR)];
    let (digits, seconds) = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)))
        .ok_or(rule)?;
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = digits.parse().ok().filter(|_| plain).ok_or(rule)?;
    count
        .checked_mul(*seconds)
        .filter(|all| *all <= 10 * YEAR)
        .map(Duration::from_secs)
        .ok_or(rule)
}

/// Makes a key for this user id.
///
/// # Errors
/// `usage/arguments` for a user id that is empty, too long or unfit to be shown;
/// `internal/panic` if making it fails.
pub fn generate(
    user_id: &str,
    validity: Duration,
    passphrase: Option<&str>,
    now: SystemTime,
) -> Result<GeneratedKey, Refusal> {
    if user_id.is_empty() || user_id.len() > MAX_USER_ID || gm_manifest::escape(user_id) != user_id
    {
        let refusal = Refusal::new(Code::UsageArguments, "the user id can't be used");
        return Err(refusal.rule("1 to 256 bytes without control or direction characters"));
    }
    build(user_id, validity, passphrase, now).map_err(|error| {
        Refusal::new(
            Code::InternalPanic,
            format!("could not make a key: {error}"),
        )
    })
}

fn build(
    user_id: &str,
    validity: Duration,
    passphrase: Option<&str>,
    now: SystemTime,
) -> openpgp::Result<GeneratedKey> {
    let (cert, revocation) = CertBuilder::new()
        .set_cipher_suite(CipherSuite::Cv25519)
        .set_profile(openpgp::Profile::RFC4880)?
        .set_creation_time(now)
        .set_validity_period(validity)
        .set_primary_key_flags(KeyFlags::empty().set_certification())
        .add_userid(user_id)
        .add_signing_subkey()
        .set_password(passphrase.map(Into::into))
        .generate()?;
    let subkey = cert
        .keys()
        .subkeys()
        .next()
        .map(|subkey| subkey.key().fingerprint());
    let subkey =
        subkey.ok_or_else(|| openpgp::Error::InvalidOperation("no subkey was made".into()))?;
    let unfit = |refusal: Refusal| openpgp::Error::InvalidOperation(refusal.detail);
    let mut revoking = armor::Writer::new(Vec::new(), armor::Kind::PublicKey)?;
    Packet::from(revocation).serialize(&mut revoking)?;
    Ok(GeneratedKey {
        secret: cert.as_tsk().armored().to_vec()?,
        public: cert.armored().to_vec()?,
        revocation: revoking.finalize()?,
        fingerprint: ours(&cert.fingerprint()).map_err(unfit)?,
        subkey: ours(&subkey).map_err(unfit)?,
        expires: now + validity,
    })
}
