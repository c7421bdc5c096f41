//! SHA-256 digests as values.

use crate::Unfit;
use sha2::Digest as _;

/// A SHA-256 digest. Shown as 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The digest with this value, for one who hashed while reading.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes 64 lower-case hex digits.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        const RULE: Unfit = Unfit::new("a digest has 64 lower-case hex digits");
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(RULE);
        }
        let mut bytes = [0; 32];
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| RULE)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| RULE)?;
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 16 hex digits: enough for a directory's name, never for a decision.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string().chars().take(16).collect()
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_as_it_is_shown() {
        let digest = Digest::of(b"alpha\nbeta\n");
        assert_eq!(
            digest.to_string(),
            "e49c81e2d2f84e259d40e2fb8192f3bcd198b355184845d76d8f58807d0d78ee"
        );
        assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        assert_eq!(digest.short(), "e49c81e2d2f84e25");
    }

    #[test]
    fn texts_that_are_no_digests_are_refused() {
        let good = Digest::of(b"").to_string();
        for text in [
            "",
            "sha256:",
            &good.to_uppercase(),
            &good[1..],
            &format!("{good}0"),
            &good.replace('e', "g"),
            &"é".repeat(32),
        ] {
            assert!(Digest::parse(text).is_err(), "accepted {text:?}");
        }
    }
}
