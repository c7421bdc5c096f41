//! What a probe proved. Each class can only be made from its evidence, so that a
//! probe that did not run, said nothing or crashed is never counted as contained.

use serde::Serialize;

use super::control::Worked;
use super::judge::{Escape, Evaluated, Stopped};

/// The classes, as reports name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Class {
    /// The oracle held, and the expected layer stopped it.
    Contained,
    /// Stopped, by another layer than the expected one.
    ContainedElsewhere,
    /// The control did not work on this kernel: stopping it proves nothing.
    Vacuous,
    /// Contained, but below the level that is asked for.
    Degraded,
    /// Nothing was proved: the probe, its report or its start is missing.
    HarnessError,
    /// The forbidden effect happened.
    Escaped,
}

impl Class {
    /// As reports write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Contained => "CONTAINED",
            Self::ContainedElsewhere => "CONTAINED_ELSEWHERE",
            Self::Vacuous => "VACUOUS",
            Self::Degraded => "DEGRADED",
            Self::HarnessError => "HARNESS_ERROR",
            Self::Escaped => "ESCAPED",
        }
    }
}

/// A verdict with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    class: Class,
    layer: Option<String>,
    why: String,
    by_evaluation: bool,
}

impl Verdict {
    /// Something stopped it although its control works. `expected` is none where
    /// nobody knows the layers (`--under`).
    #[must_use]
    pub fn stopped(_control: &Worked, stopped: Stopped, expected: Option<&str>) -> Self {
        let layer = stopped.layer().to_owned();
        let class = match expected {
            Some(expected) if !same_layer(expected, &layer) => Class::ContainedElsewhere,
            _ => Class::Contained,
        };
        Self {
            class,
            why: stopped.into_words(),
            layer: Some(layer),
            by_evaluation: false,
        }
    }

    /// The control did not work, but the loaded filters deny the call whatever its
    /// arguments are.
    #[must_use]
    pub fn evaluated(evaluated: Evaluated, expected: &str) -> Self {
        const LAYER: &str = "seccomp";
        Self {
            class: match same_layer(expected, LAYER) {
                true => Class::Contained,
                false => Class::ContainedElsewhere,
            },
            layer: Some(LAYER.to_owned()),
            why: evaluated.into_words(),
            by_evaluation: true,
        }
    }

    /// The control did not work, and no filter can be asked instead.
    #[must_use]
    pub fn vacuous(why: impl Into<String>) -> Self {
        Self::plain(Class::Vacuous, why)
    }

    /// The forbidden effect happened.
    #[must_use]
    pub fn escaped(escape: Escape) -> Self {
        Self::plain(Class::Escaped, escape.into_words())
    }

    /// Nothing was proved.
    #[must_use]
    pub fn error(why: impl Into<String>) -> Self {
        Self::plain(Class::HarnessError, why)
    }

    fn plain(class: Class, why: impl Into<String>) -> Self {
        Self {
            class,
            layer: None,
            why: why.into(),
            by_evaluation: false,
        }
    }

    /// The same seen from a level that the machine does not give: what was contained
    /// is degraded, and nothing gets better.
    #[must_use]
    pub fn at_level(mut self, given: Option<&str>, asked: &str) -> Self {
        let contained = matches!(self.class, Class::Contained | Class::ContainedElsewhere);
        // L2 < L3 < L4 as text, too; a level that nobody said is below all of them.
        if contained && !self.by_evaluation && given.unwrap_or_default() < asked {
            self.class = Class::Degraded;
            self.why = format!(
                "at {} instead of {asked}: {}",
                given.unwrap_or("no level"),
                self.why
            );
        }
        self
    }

    /// Its class.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// What stopped it.
    #[must_use]
    pub fn layer(&self) -> Option<&str> {
        self.layer.as_deref()
    }

    /// Why, for people.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether the filters were asked instead of the kernel.
    #[must_use]
    pub fn is_by_evaluation(&self) -> bool {
        self.by_evaluation
    }
}

/// One wall has several names: the table names what stands in the profile, records
/// name what ended the process.
fn same_layer(expected: &str, actual: &str) -> bool {
    let canonical = |name: &str| match name {
        "pids" | "memory" | "cpu" => "cgroup".to_owned(),
        "net" => "netns".to_owned(),
        "pid" => "pidns".to_owned(),
        "ipc" => "ipcns".to_owned(),
        "uts" => "utsns".to_owned(),
        "user" => "userns".to_owned(),
        other => other.to_owned(),
    };
    canonical(expected) == canonical(actual)
}
