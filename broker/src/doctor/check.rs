//! One line of the report: what was looked at, what was found, what it costs and what
//! mends it.

use gm_manifest::Refusal;
use serde_json::{Value, json};

use super::facts::Facts;

/// How a line came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was tried, and works.
    Ok,
    /// It is missing, and that has a price.
    Gap,
    /// Worth knowing; no level depends on it.
    Info,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Gap => "gap",
            Self::Info => "info",
        }
    }
}

/// What was found.
#[derive(Debug)]
pub(super) struct Seen {
    state: State,
    found: String,
    fix: Option<String>,
}

impl Seen {
    /// It works.
    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self::new(State::Ok, found.into(), None)
    }

    /// A fact.
    pub(super) fn info(found: impl Into<String>) -> Self {
        Self::new(State::Info, found.into(), None)
    }

    /// It is missing; `fix` is the one thing that mends it.
    pub(super) fn gap(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(State::Gap, found.into(), Some(fix.into()))
    }

    fn new(state: State, found: String, fix: Option<String>) -> Self {
        Self { state, found, fix }
    }
}

/// A line of the table.
pub(super) struct Row {
    /// Its stable name.
    pub(super) id: &'static str,
    /// What it is there for.
    pub(super) needed_for: &'static str,
    /// The highest level without it; nothing = it costs a feature, not a level.
    pub(super) level_without: Option<&'static str>,
    /// Looks at it.
    pub(super) look: fn(&Facts) -> Seen,
}

/// A line that was looked at.
#[derive(Debug)]
pub(super) struct Check {
    id: &'static str,
    needed_for: &'static str,
    level_without: Option<&'static str>,
    seen: Seen,
}

impl Row {
    /// Looks.
    pub(super) fn check(&self, facts: &Facts) -> Check {
        Check {
            id: self.id,
            needed_for: self.needed_for,
            level_without: self.level_without,
            seen: (self.look)(facts),
        }
    }
}

impl Check {
    /// Its stable name.
    pub(super) const fn id(&self) -> &'static str {
        self.id
    }

    /// Whether it is a gap.
    pub(super) fn is_gap(&self) -> bool {
        self.seen.state == State::Gap
    }

    /// What wasn't tried, for this refusal, is mended by what mends that.
    pub(super) fn mend_first(&mut self, refusal: &Refusal) {
        if self.is_gap() && self.seen.found.contains("not tried: ") {
            self.seen.fix = Some(refusal.remedy().to_owned());
        }
    }

    /// The highest level that a gap leaves.
    pub(super) fn leaves(&self) -> Option<&'static str> {
        self.level_without.filter(|_| self.is_gap())
    }

    /// As programs read it.
    pub(super) fn record(&self) -> Value {
        json!({
            "schema": super::SCHEMA,
            "kind": "check",
            "id": self.id,
            "state": self.seen.state.as_str(),
            "found": self.seen.found,
            "needed_for": self.needed_for,
            "level_without": self.level_without,
            "fix": self.seen.fix,
        })
    }

    /// As people read it, on one line.
    pub(super) fn line(&self) -> String {
        let Self { id, seen, .. } = self;
        let state = seen.state.as_str();
        let found = seen.found.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut text = format!("{state:<4}  {id:<18} {found}");
        if let Some(fix) = &seen.fix {
            let cost = match self.level_without {
                Some("L0") => "nothing starts without it".to_owned(),
                Some(level) => format!("{level} at most without it"),
                None => "the level doesn't depend on it".to_owned(),
            };
            text.push_str(&format!(" → {}: {cost} → {fix}", self.needed_for));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_says_its_price_and_its_remedy_on_one_line() {
        let check = Check {
            id: "landlock",
            needed_for: "files",
            level_without: Some("L0"),
            seen: Seen::gap("not\nthere", "boot another"),
        };
        assert_eq!(
            check.line(),
            "gap   landlock           not there → files: nothing starts without it → boot another"
        );
        let record = check.record();
        assert_eq!(record["level_without"], "L0");
        assert_eq!(record["fix"], "boot another");
    }

    #[test]
    fn what_works_has_no_price() {
        let check = Check {
            id: "swap",
            needed_for: "a memory limit",
            level_without: None,
            seen: Seen::ok("bounded"),
        };
        assert_eq!(check.line(), "ok    swap               bounded");
        assert!(check.record()["fix"].is_null());
    }
}
