//! What is run: each row of the table, in each kind that it names, in all its variants.

use crate::bait::{Bait, Bounds};
use crate::probes::{Kind, Probe};

/// One attempt: a probe in one kind of plugin, in one variant.
#[derive(Debug, Clone)]
pub struct Case {
    /// The row.
    pub probe: Probe,
    /// Where it is run.
    pub kind: Kind,
    /// Which of its actions.
    pub variant: u32,
}

impl Case {
    /// All of a row in one kind.
    #[must_use]
    pub fn all(probe: &Probe, kind: Kind) -> Vec<Self> {
        let variants = 0..probe.variants.max(1);
        let case = |variant| Self {
            probe: probe.clone(),
            kind,
            variant,
        };
        variants.map(case).collect()
    }

    /// What the probe is told outside, where it sees what there is.
    #[must_use]
    pub fn words(&self, bait: &Bait) -> Vec<String> {
        self.and_variant(bait.words(BOUNDS))
    }

    /// What it is told in a plugin, with the two directories as that sees them.
    #[must_use]
    pub fn words_inside(&self, bait: &Bait, data: &str, granted: &str) -> Vec<String> {
        self.and_variant(bait.words_seen_at(data, granted, BOUNDS))
    }

    fn and_variant(&self, mut words: Vec<String>) -> Vec<String> {
        words.push(format!("variant={}", self.variant));
        words
    }
}

/// A word of the table, as the table writes it.
#[must_use]
pub fn name(word: &impl std::fmt::Debug) -> String {
    format!("{word:?}").to_lowercase()
}

/// What a plugin of machine code may have, and the default memory limit.
pub const BOUNDS: Bounds = Bounds {
    pids: 16,
    memory: 32 << 20,
};

/// Whether a text fits a pattern in which `*` stands for any part.
pub(super) use crate::probes::matches as fits;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part_and_nothing_else_does() {
        for (pattern, text) in [
            ("sc-*", "sc-x32"),
            ("*", ""),
            ("*-x*", "sc-x32"),
            ("a", "a"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("sc-*", "fs-x"),
            ("", "a"),
            ("a*b", "ac"),
            ("s.-x32", "sc-x32"),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
