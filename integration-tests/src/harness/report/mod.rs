//! The forms of a report. JSON is the source of truth, the others are made of the same
//! rows.

mod json;

use super::facts::Facts;
use super::outcome::{Row, Summary};

/// All that a report is made of.
pub struct Whole<'a> {
    /// The machine.
    pub facts: &'a Facts,
    /// The rows, in the table's order.
    pub rows: &'a [Row],
    /// What they come to.
    pub summary: &'a Summary,
}

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object a line.
    Json,
}

impl Format {
    /// As `--report` names it.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// The report as text.
    #[must_use]
    pub fn write(self, whole: &Whole<'_>) -> String {
        match self {
            Self::Json => json::write(whole),
        }
    }
}
