//! Full fingerprints of OpenPGP keys. Short key ids have no type here: they collide.

use crate::Unfit;
use crate::unfit::text_type;

/// A full fingerprint: 40 (version 4) or 64 (version 6) upper-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// Takes a text that is a full fingerprint, exactly as keys are named in a manifest.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        if !matches!(text.len(), 40 | 64) {
            return Err(Unfit::new("a fingerprint has 40 or 64 hex digits"));
        }
        if !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F')) {
            return Err(Unfit::new(
                "a fingerprint is written in upper-case hex digits alone",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// First and last four digits, for lines where the full one stands elsewhere.
    #[must_use]
    pub fn short(&self) -> String {
        let (head, _) = self.0.split_at(4);
        let (_, tail) = self.0.split_at(self.0.len() - 4);
        format!("{head}…{tail}")
    }
}

text_type!(Fingerprint);

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    #[test]
    fn anything_but_a_full_upper_case_fingerprint_is_refused() {
        let lower = GOOD.to_lowercase();
        let spaced = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567";
        let prefixed = format!("0x{GOOD}");
        for text in [
            "",
            "01234567",
            "0123456789ABCDEF",
            &lower,
            spaced,
            &prefixed,
            &GOOD.replace('7', "G"),
            "FINGERPRINT",
        ] {
            assert!(Fingerprint::parse(text).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn both_lengths_are_taken() {
        assert_eq!(Fingerprint::parse(GOOD).unwrap().short(), "0123…4567");
        assert!(Fingerprint::parse(&"AB".repeat(32)).is_ok());
    }
}
