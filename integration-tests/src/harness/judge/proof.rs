//! What counts as proved. A [`Stopped`] is made in the judge and its constructors for
//! attacks from outside alone, each out of evidence.

use super::super::evidence::{Ran, Report};

/// What says no.
pub(super) const DENIALS: [&str; 3] = ["EPERM", "EACCES", "ENOSYS"];
/// What says that the thing isn't there.
pub(super) const NOT_THERE: [&str; 12] = [
    "ENOENT",
    "ENOTDIR",
    "ENXIO",
    "ENODEV",
    "EROFS",
    "EXDEV",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "ENETDOWN",
    "EADDRNOTAVAIL",
    "EAFNOSUPPORT",
    "ECONNREFUSED",
];

/// What stopped a probe. Made here alone, out of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    layer: String,
    words: String,
}

impl Stopped {
    pub(super) fn by(layer: impl Into<String>, words: impl Into<String>) -> Self {
        Self {
            layer: layer.into(),
            words: words.into(),
        }
    }

    /// A refusal of the product before anything started, by its code.
    #[must_use]
    pub fn by_refusal(layer: &str, code: &str, expected: &[&str]) -> Option<Self> {
        expected
            .contains(&code)
            .then(|| Self::by(layer, format!("refused: {code}")))
    }

    /// An ending in the records of a run.
    #[must_use]
    pub fn by_ending(layer: &str, ending: &str, expected: &[&str]) -> Option<Self> {
        expected
            .contains(&ending)
            .then(|| Self::by(layer, format!("ended: {ending}")))
    }

    /// A state of the machine that the attack wanted to change, and did not.
    #[must_use]
    pub fn by_state(layer: &str, what: &str, held: bool) -> Option<Self> {
        held.then(|| Self::by(layer, what))
    }

    /// A launcher of somebody else's: nobody knows its layers. `quiet`: what it is about
    /// leaves no trace of its own, so that a thing that isn't there is an answer, too;
    /// `hidden`: it is about another process, which may be one that isn't there for it;
    /// `own`: more words that its row has for a wall.
    #[must_use]
    pub fn under(
        ran: &Ran,
        report: Option<&Report>,
        (quiet, hidden): (bool, bool),
        own: &[String],
    ) -> Option<Self> {
        // The kernel's own answers to what got through to it.
        const REACHED: [&str; 3] = ["EBADF", "EFAULT", "EINVAL"];
        const SIGSYS: i32 = 31;
        let by_word = |said: &str| {
            let denied = DENIALS.contains(&said);
            // Its control reached that process, so it is out of sight here.
            let unseen = hidden && said == "ESRCH";
            let listed = own.iter().any(|word| word == said) && !REACHED.contains(&said);
            denied || unseen || (quiet && (NOT_THERE.contains(&said) || listed))
        };
        match report {
            Some(report) if by_word(&report.said) => {
                Some(Self::by("unknown", format!("said {}", report.said)))
            }
            None if ran.signal == Some(SIGSYS) || ran.exit == Some(128 + SIGSYS) => {
                Some(Self::by("unknown", "ended by SIGSYS"))
            }
            _ => None,
        }
    }

    /// The layer.
    #[must_use]
    pub fn layer(&self) -> &str {
        &self.layer
    }

    /// How, for people.
    #[must_use]
    pub fn into_words(self) -> String {
        self.words
    }
}

/// That the forbidden happened. Anything may say so: an alarm needs no proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escape(String);

impl Escape {
    /// With what was seen.
    #[must_use]
    pub fn seen(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// For people.
    #[must_use]
    pub fn into_words(self) -> String {
        self.0
    }
}

/// That the loaded filters deny a call, whatever its arguments are. Made by
/// [`super::super::evaluate::Filters::deny`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluated(String);

impl Evaluated {
    pub(in crate::harness) fn new(words: String) -> Self {
        Self(words)
    }

    /// For people.
    #[must_use]
    pub fn into_words(self) -> String {
        self.0
    }
}
