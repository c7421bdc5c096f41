//! One object a line: the machine, each row, the summary.

use serde::Serialize;

use super::Whole;

/// All lines.
pub(super) fn write(whole: &Whole<'_>) -> String {
    let mut text = line(whole.facts);
    for row in whole.rows {
        text.push_str(&line(row));
    }
    text.push_str(&line(whole.summary));
    text
}

fn line(object: &impl Serialize) -> String {
    // Nothing in it can fail to be JSON: text, numbers, lists.
    let mut text = serde_json::to_string(object).unwrap_or_default();
    text.push('\n');
    text
}
