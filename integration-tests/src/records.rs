//! Picks records of a run apart, and says what came where something else was
//! expected.

use serde_json::Value;

use crate::Ended;

/// The records with this `event`, in order.
#[must_use]
pub fn events<'a>(records: &'a [Value], event: &str) -> Vec<&'a Value> {
    records
        .iter()
        .filter(|record| record["event"] == event)
        .collect()
}

impl Ended {
    /// Fails with all that was said unless the exit code is this one.
    ///
    /// # Panics
    /// If it isn't.
    #[track_caller]
    pub fn expect_exit(&self, exit: i32) {
        assert_eq!(self.exit, exit, "the exit code of\n{self:#?}");
    }

    /// The last object on stdout.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn last(&self) -> &Value {
        self.records
            .last()
            .unwrap_or_else(|| panic!("no JSON on stdout: {self:#?}"))
    }

    /// Fails unless this is a refusal with this code: the exit code is that of
    /// its class, and the object says what and what to do.
    ///
    /// # Panics
    /// If it isn't.
    #[track_caller]
    pub fn expect_refused(&self, exit: i32, code: &str) -> &Value {
        self.expect_exit(exit);
        let refused = self.refused();
        assert_eq!(refused["code"], code, "the code of\n{refused:#}");
        assert_eq!(refused["exit"], exit, "the exit code in\n{refused:#}");
        let result = if matches!(exit, 2 | 70) {
            "error"
        } else {
            "refused"
        };
        assert_eq!(refused["result"], result, "the result in\n{refused:#}");
        for text in ["detail", "remedy"] {
            let said = refused[text].as_str().unwrap_or_default();
            assert!(!said.is_empty(), "no {text} in\n{refused:#}");
        }
        refused
    }

    /// The only refusal.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[must_use]
    #[track_caller]
    pub fn refused(&self) -> &Value {
        match events(&self.records, "refused")[..] {
            [only] => only,
            _ => panic!("not one refusal: {self:#?}"),
        }
    }

    /// The records about a plugin with this `event`.
    #[must_use]
    pub fn of<'a>(&'a self, id: &str, event: &str) -> Vec<&'a Value> {
        let all = events(&self.records, event).into_iter();
        all.filter(|record| record["plugin"] == id).collect()
    }

    /// The only record about a plugin with this `event`.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[must_use]
    #[track_caller]
    pub fn one(&self, id: &str, event: &str) -> &Value {
        match self.of(id, event)[..] {
            [only] => only,
            _ => panic!("not one {event} of {id}: {self:#?}"),
        }
    }

    /// The last `ended` record of a plugin; fails unless it is this ending.
    ///
    /// # Panics
    /// If it isn't.
    #[track_caller]
    pub fn expect_ending(&self, id: &str, ending: &str) -> &Value {
        let ended = self.of(id, "ended");
        let last = ended
            .last()
            .unwrap_or_else(|| panic!("{id} has not ended: {self:#?}"));
        assert_eq!(last["ending"], ending, "the ending in\n{last:#}");
        last
    }

    /// The replies of a plugin's hook.
    #[must_use]
    pub fn replies(&self, id: &str, hook: &str) -> Vec<&Value> {
        let mut replies = self.of(id, "reply");
        replies.retain(|reply| reply["hook"] == hook);
        replies
    }

    /// Fails unless nothing was started.
    ///
    /// # Panics
    /// If something was.
    #[track_caller]
    pub fn expect_nothing_started(&self) {
        assert!(
            events(&self.records, "started").is_empty(),
            "something started: {self:#?}"
        );
    }
}

/// A number of a record.
///
/// # Panics
/// If there is none.
#[must_use]
#[track_caller]
pub fn number(record: &Value, key: &str) -> u64 {
    record[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {key} in\n{record:#}"))
}

/// A text of a record.
///
/// # Panics
/// If there is none.
#[must_use]
#[track_caller]
pub fn text<'a>(record: &'a Value, key: &str) -> &'a str {
    record[key]
        .as_str()
        .unwrap_or_else(|| panic!("no text {key} in\n{record:#}"))
}
