//! `keys.toml`: who is trusted, for which ids and kinds.
//!
//! A key gets in because somebody typed its fingerprint; a file alone never does.

use crate::certificate::{Certificate, ours};
use crate::strict;
use gm_manifest::{Code, Fingerprint, Kind, NamespacePattern, PluginId, Refusal};
use sequoia_openpgp as openpgp;

use openpgp::cert::amalgamation::ValidateAmalgamation;
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// The file's name.
pub(crate) const KEYS: &str = "keys.toml";

/// Kinds that a key may sign unless more was said: native code is left out,
/// and whatever kind comes next until it stands here.
pub(crate) const USUAL_KINDS: [Kind; 3] = [Kind::Wasm, Kind::Lua, Kind::Js];

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFile {
    #[serde(default)]
    pub(crate) key: Vec<KeyEntry>,
}

/// One trusted key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyEntry {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) label: String,
    pub(crate) origin: Origin,
    pub(crate) namespaces: Vec<NamespacePattern>,
    pub(crate) kinds: Vec<Kind>,
}

/// Why a key is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Its fingerprint was typed.
    Explicit,
}

impl KeyFile {
    pub(crate) fn find(&self, fingerprint: &Fingerprint) -> Option<&KeyEntry> {
        self.key.iter().find(|key| key.fingerprint == *fingerprint)
    }

    /// Whether this key may sign for the id: of all keys the one with the longest
    /// matching pattern owns it, and no two may own it.
    pub(crate) fn check_namespace(
        &self,
        signer: &Fingerprint,
        id: &PluginId,
    ) -> Result<(), Refusal> {
        let reach = |key: &KeyEntry| {
            let matching = key.namespaces.iter().filter(|pattern| pattern.matches(id));
            matching.map(NamespacePattern::specificity).max()
        };
        let Some(longest) = self.key.iter().filter_map(reach).max() else {
            return Err(denied(signer, id, "no key is trusted for this id"));
        };
        let owners: Vec<_> = self
            .key
            .iter()
            .filter(|key| reach(key) == Some(longest))
            .collect();
        match owners.as_slice() {
            [owner] if owner.fingerprint == *signer => Ok(()),
            [owner] => Err(denied(
                signer,
                id,
                &format!("the id belongs to {}", owner.fingerprint),
            )),
            _ => {
                let all: Vec<_> = owners
                    .iter()
                    .map(|owner| owner.fingerprint.as_str())
                    .collect();
                let what = format!("{id} belongs to more than one key: {}", all.join(", "));
                Err(Refusal::new(Code::IdentityNamespaceConflict, what)
                    .rule("one key owns a namespace"))
            }
        }
    }
}

fn denied(signer: &Fingerprint, id: &PluginId, rule: &str) -> Refusal {
    let what = format!("{signer} is not trusted for {id}");
    Refusal::new(Code::IdentityNamespaceDenied, what).rule(rule)
}

/// What a key is good for at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It may sign.
    Good,
    /// Its time is over.
    Expired,
    /// Its owner revoked it.
    Revoked,
    /// Its algorithm, size or own signature is below the minimum.
    Weak,
}

impl KeyState {
    /// Whether it may sign.
    #[must_use]
    pub fn is_good(self) -> bool {
        self == Self::Good
    }
}

impl std::fmt::Display for KeyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Weak => "weak",
        })
    }
}

/// A trusted key, for those who look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TrustedKey {
    /// The primary key's fingerprint.
    pub fingerprint: Fingerprint,
    /// Its first user id; escaped.
    pub label: String,
    /// `explicit`.
    pub origin: &'static str,
    /// The ids that it may sign for.
    pub namespaces: Vec<NamespacePattern>,
    /// The kinds that it may sign.
    pub kinds: Vec<Kind>,
    /// When the primary key was made.
    #[serde(skip)]
    pub created: SystemTime,
    /// When it expires, if ever.
    #[serde(skip)]
    pub expires: Option<SystemTime>,
    /// What it is good for now.
    pub state: KeyState,
    /// Its other keys.
    pub subkeys: Vec<SubkeyFacts>,
}

/// A subkey, for those who look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SubkeyFacts {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Whether it was made for signing and may do so now.
    pub can_sign: bool,
    /// When it expires, if ever.
    #[serde(skip)]
    pub expires: Option<SystemTime>,
    /// What it is good for now.
    pub state: KeyState,
}

impl TrustedKey {
    pub(crate) fn new(
        entry: &KeyEntry,
        certificate: &Certificate,
        now: SystemTime,
    ) -> Result<Self, Refusal> {
        let primary = certificate.cert().primary_key();
        let (state, expires) = primary_state(certificate, now);
        let mut subkeys = Vec::new();
        for subkey in certificate.cert().keys().subkeys() {
            subkeys.push(subkey_facts(
                certificate,
                &ours(&subkey.key().fingerprint())?,
                now,
            ));
        }
        Ok(Self {
            fingerprint: entry.fingerprint.clone(),
            label: entry.label.clone(),
            origin: match entry.origin {
                Origin::Explicit => "explicit",
            },
            namespaces: entry.namespaces.clone(),
            kinds: entry.kinds.clone(),
            created: primary.key().creation_time(),
            expires,
            state,
            subkeys,
        })
    }
}

fn primary_state(certificate: &Certificate, now: SystemTime) -> (KeyState, Option<SystemTime>) {
    let policy = strict::policy();
    let valid = certificate.cert().with_policy(&policy, now);
    let expires = valid
        .as_ref()
        .ok()
        .and_then(|valid| valid.primary_key().key_expiration_time());
    let state = match valid {
        _ if certificate
            .revoked(&certificate.cert().fingerprint())
            .is_some() =>
        {
            KeyState::Revoked
        }
        Ok(valid) if valid.alive().is_ok() => KeyState::Good,
        Ok(_) => KeyState::Expired,
        Err(_) => KeyState::Weak,
    };
    (state, expires)
}

fn subkey_facts(
    certificate: &Certificate,
    fingerprint: &Fingerprint,
    now: SystemTime,
) -> SubkeyFacts {
    let policy = strict::policy();
    let mut subkeys = certificate.cert().keys().subkeys();
    let found = subkeys.find(|subkey| subkey.key().fingerprint().to_hex() == fingerprint.as_str());
    let revoked = found
        .as_ref()
        .is_some_and(|subkey| certificate.revoked(&subkey.key().fingerprint()).is_some());
    let valid = found.and_then(|subkey| subkey.with_policy(&policy, now).ok());
    let state = match &valid {
        _ if revoked => KeyState::Revoked,
        Some(valid) if valid.alive().is_ok() => KeyState::Good,
        Some(_) => KeyState::Expired,
        None => KeyState::Weak,
    };
    let for_signing = valid.as_ref().is_some_and(|valid| valid.for_signing());
    SubkeyFacts {
        fingerprint: fingerprint.clone(),
        can_sign: for_signing && state == KeyState::Good,
        expires: valid.and_then(|valid| valid.key_expiration_time()),
        state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: char, namespaces: &[&str]) -> KeyEntry {
        KeyEntry {
            fingerprint: Fingerprint::parse(&digit.to_string().repeat(40)).unwrap(),
            label: String::new(),
            origin: Origin::Explicit,
            namespaces: namespaces
                .iter()
                .map(|text| NamespacePattern::parse(text).unwrap())
                .collect(),
            kinds: USUAL_KINDS.to_vec(),
        }
    }

    fn judged(keys: &[KeyEntry], signer: usize, id: &str) -> Result<(), Code> {
        let file = KeyFile { key: keys.to_vec() };
        let id = PluginId::parse(id).unwrap();
        file.check_namespace(&keys[signer].fingerprint, &id)
            .map_err(|refusal| refusal.code)
    }

    #[test]
    fn the_longest_namespace_owns_the_id() {
        let keys = [
            key('A', &["com.gitmind.*"]),
            key('B', &["com.gitmind.bot", "org.b.*"]),
        ];
        assert_eq!(judged(&keys, 0, "com.gitmind.x"), Ok(()));
        assert_eq!(judged(&keys, 1, "com.gitmind.bot"), Ok(()));
        assert_eq!(
            judged(&keys, 0, "com.gitmind.bot"),
            Err(Code::IdentityNamespaceDenied)
        );
        assert_eq!(
            judged(&keys, 1, "com.gitmind.x"),
            Err(Code::IdentityNamespaceDenied)
        );
        for id in ["com.gitmindx.y", "com.gitmind", "org.c.x"] {
            assert_eq!(
                judged(&keys, 0, id),
                Err(Code::IdentityNamespaceDenied),
                "{id}"
            );
        }
    }

    #[test]
    fn two_owners_of_one_namespace_are_a_conflict() {
        let keys = [key('A', &["com.a.*"]), key('B', &["com.a.*"])];
        assert_eq!(
            judged(&keys, 0, "com.a.x"),
            Err(Code::IdentityNamespaceConflict)
        );
    }

    #[test]
    fn a_key_without_namespaces_signs_nothing() {
        assert_eq!(
            judged(&[key('A', &[])], 0, "com.a.x"),
            Err(Code::IdentityNamespaceDenied)
        );
    }
}
