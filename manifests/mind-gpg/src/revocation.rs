//! Revocations of this machine: `blacklist/local.toml`.
//!
//! Local authority, no signature: whoever may write here may only take trust away.

use crate::plugin::Identity;
use gm_manifest::{Code, Digest, Fingerprint, PluginId, Refusal, Unfit};
use serde::{Deserialize, Serialize};

/// The file's name below `blacklist/`.
pub(crate) const LOCAL: &str = "local.toml";

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevocationTarget {
    /// Every version of a plugin.
    Plugin(PluginId),
    /// A primary key with all below it, or one subkey.
    Key(Fingerprint),
    /// A file of a package, or a whole package by its statement.
    Artifact(Digest),
}

impl RevocationTarget {
    /// Takes `ID`, a full fingerprint, or `sha256:` and 64 hex digits.
    ///
    /// # Errors
    /// It is none of them.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        if let Some(digest) = text.strip_prefix("sha256:") {
            return Digest::parse(digest).map(Self::Artifact);
        }
        match Fingerprint::parse(text) {
            Ok(key) => Ok(Self::Key(key)),
            Err(_) => PluginId::parse(text).map(Self::Plugin),
        }
    }

    /// Whether it takes the trust from this plugin.
    #[must_use]
    pub fn covers(&self, plugin: &Identity) -> bool {
        match self {
            Self::Plugin(id) => plugin.id == *id,
            Self::Key(key) => plugin.fingerprint == *key || plugin.subkey == *key,
            Self::Artifact(digest) => {
                plugin.digest == *digest
                    || plugin
                        .artifacts
                        .iter()
                        .any(|artifact| artifact.sha256 == *digest)
            }
        }
    }
}

impl std::fmt::Display for RevocationTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plugin(id) => write!(f, "{id}"),
            Self::Key(key) => write!(f, "{key}"),
            Self::Artifact(digest) => write!(f, "sha256:{digest}"),
        }
    }
}

/// The file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalFile {
    #[serde(default)]
    revoke: Vec<Entry>,
}

/// One revocation; exactly one key in each table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Entry {
    Plugin(PluginId),
    Key(Fingerprint),
    Artifact(String),
}

impl LocalFile {
    /// The revocations; whatever can't be read is an error, never left out.
    pub(crate) fn targets(&self) -> Result<Vec<RevocationTarget>, Unfit> {
        let target = |entry: &Entry| match entry {
            Entry::Plugin(id) => Ok(RevocationTarget::Plugin(id.clone())),
            Entry::Key(key) => Ok(RevocationTarget::Key(key.clone())),
            Entry::Artifact(digest) => match RevocationTarget::parse(digest)? {
                artifact @ RevocationTarget::Artifact(_) => Ok(artifact),
                RevocationTarget::Plugin(_) | RevocationTarget::Key(_) => {
                    Digest::parse(digest).map(RevocationTarget::Artifact)
                }
            },
        };
        self.revoke.iter().map(target).collect()
    }

    /// Adds one; false if it was there.
    pub(crate) fn add(&mut self, target: &RevocationTarget) -> bool {
        let entry = match target {
            RevocationTarget::Plugin(id) => Entry::Plugin(id.clone()),
            RevocationTarget::Key(key) => Entry::Key(key.clone()),
            RevocationTarget::Artifact(_) => Entry::Artifact(target.to_string()),
        };
        let is_new = !self.revoke.contains(&entry);
        if is_new {
            self.revoke.push(entry);
        }
        is_new
    }
}

/// Refuses a plugin that one of them covers.
pub(crate) fn check(targets: &[RevocationTarget], plugin: &Identity) -> Result<(), Refusal> {
    match targets.iter().find(|target| target.covers(plugin)) {
        None => Ok(()),
        Some(target) => Err(Refusal::new(
            Code::RevokedLocal,
            format!("{target} was revoked here"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keys_and_digests_are_told_apart() {
        let key = "A".repeat(40);
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, is) in [
            ("com.a.b", "plugin"),
            (&*key, "key"),
            (&*digest, "artifact"),
        ] {
            let target = RevocationTarget::parse(text).unwrap();
            assert_eq!(target.to_string(), text);
            let mut file = LocalFile::default();
            assert!(file.add(&target) && !file.add(&target));
            let written = toml::to_string(&file).unwrap();
            assert!(written.contains(&format!("{is} = \"{text}\"")), "{written}");
            let read: LocalFile = toml::from_str(&written).unwrap();
            assert_eq!(read.targets().unwrap(), [target]);
        }
        for text in [
            "",
            "com",
            "sha256:",
            "sha256:AB",
            "com.A.b",
            &"A".repeat(39),
        ] {
            assert!(RevocationTarget::parse(text).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn an_entry_that_is_not_understood_is_never_left_out() {
        for text in [
            "[[revoke]]\n",
            "[[revoke]]\nother = \"x\"\n",
            "[[revoke]]\nplugin = \"com.a.b\"\nkey = \"x\"\n",
            "x = 1\n",
            "[[revoke]]\nplugin = \"com\"\n",
        ] {
            assert!(toml::from_str::<LocalFile>(text).is_err(), "{text}");
        }
        let file: LocalFile = toml::from_str("[[revoke]]\nartifact = \"com.a.b\"\n").unwrap();
        assert!(file.targets().is_err());
    }
}
