//! The forms of a report. JSON is the source of truth, the others are made of the same
//! rows.

mod human;
mod json;
mod junit;
mod page;
mod pages;
mod sarif;
mod sink;
mod tap;

use super::facts::Facts;
use super::outcome::{Row, Summary};

pub use page::{Block, Page};
pub(super) use sink::Sink;

/// All that a report is made of.
pub struct Whole<'a> {
    /// The machine.
    pub facts: &'a Facts,
    /// The rows, in the table's order.
    pub rows: &'a [Row],
    /// What they come to.
    pub summary: &'a Summary,
    /// Stopped elsewhere is a failure.
    pub strict: bool,
    /// The table against another launcher, if that was asked for.
    pub comparison: Option<&'a Block>,
}

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One object a line.
    Json,
    /// TAP 14.
    Tap,
    /// XML for CI servers.
    Junit,
    /// SARIF 2.1.0, for code scanners.
    Sarif,
    /// For people.
    Markdown,
    /// For people, with a browser.
    Html,
    /// For people, a few lines: what stdout holds where nothing else was asked for.
    Human,
}

impl Format {
    /// As `--report` names it.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "tap" => Some(Self::Tap),
            "junit" => Some(Self::Junit),
            "sarif" => Some(Self::Sarif),
            "markdown" => Some(Self::Markdown),
            "html" => Some(Self::Html),
            _ => None,
        }
    }

    /// The report as text.
    #[must_use]
    pub fn write(self, whole: &Whole<'_>) -> String {
        match self {
            Self::Json => json::write(whole),
            Self::Tap => tap::write(whole),
            Self::Junit => junit::write(whole),
            Self::Sarif => sarif::write(whole),
            Self::Markdown => pages::page(whole).markdown(),
            Self::Html => pages::page(whole).html(),
            Self::Human => human::write(whole),
        }
    }
}

/// Text without characters that paint, hide or turn: what probes said is theirs.
fn plain(text: &str) -> String {
    let escape = |c: char| {
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        let odd = c.is_control() || hidden || matches!(c, '\u{fffe}' | '\u{ffff}');
        match odd {
            true => format!("\\u{{{:x}}}", u32::from(c)),
            false => c.to_string(),
        }
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
pub(super) mod tests;
