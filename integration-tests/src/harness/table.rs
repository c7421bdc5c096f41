//! What is run: each row of the table, in each kind that it names, in all its variants.

use super::bait::Bait;
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

    /// What the probe is told, with these two places as it sees them.
    #[must_use]
    pub fn words(&self, bait: &Bait, data: &str, granted: &str) -> Vec<String> {
        let mut words = bait.words(data, granted);
        words.push(format!("variant={}", self.variant));
        words.push(format!("pids_max={PIDS}"));
        words.push(format!("memory={MEMORY}"));
        words
    }

    /// What reports call it.
    #[must_use]
    pub fn name(&self) -> String {
        let kind = name(&self.kind);
        match self.probe.variants {
            0 | 1 => format!("{} ({kind})", self.probe.id),
            _ => format!("{} ({kind}, variant {})", self.probe.id, self.variant),
        }
    }
}

/// A word of the table, as the table writes it.
#[must_use]
pub fn name(word: &impl std::fmt::Debug) -> String {
    format!("{word:?}").to_lowercase()
}

/// Processes that a plugin of machine code may have.
pub const PIDS: u32 = 16;
/// The default memory limit, in bytes.
pub const MEMORY: u64 = 32 << 20;

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
