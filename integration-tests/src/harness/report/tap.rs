//! TAP 14.

use super::super::outcome::{Row, Standing};
use super::{Whole, plain};

/// The whole document.
pub(super) fn write(whole: &Whole<'_>) -> String {
    let missed = &whole.summary.missed;
    let count = whole.rows.len() + usize::from(!missed.is_empty());
    let mut lines = vec!["TAP version 14".to_owned(), format!("1..{count}")];
    let facts = whole.facts;
    lines.push(format!(
        "# kernel {} {} landlock {} cgroup {} level {}",
        facts.kernel,
        facts.arch,
        facts
            .landlock_abi
            .map_or("-".to_owned(), |abi| abi.to_string()),
        facts.cgroup,
        facts.level.as_deref().unwrap_or("-")
    ));
    for (at, row) in whole.rows.iter().enumerate() {
        lines.extend(point(at + 1, row, whole.strict));
    }
    if !missed.is_empty() {
        lines.push(format!("not ok {count} - harness/thresholds"));
        lines.extend(block(&[("missed", missed.join("; "))]));
    }
    lines.join("\n") + "\n"
}

fn point(number: usize, row: &Row, strict: bool) -> Vec<String> {
    let title = escaped(&row.title());
    match row.standing(strict) {
        Standing::Pass => {
            let layer = row.layer.as_deref().unwrap_or("unknown");
            let said = escaped(row.said.as_deref().or(row.ending.as_deref()).unwrap_or("-"));
            vec![format!("ok {number} - {title} # layer={layer} said={said}")]
        }
        Standing::Skip => {
            vec![format!(
                "ok {number} - {title} # SKIP vacuous: {}",
                escaped(&row.why)
            )]
        }
        Standing::Waived => {
            let waiver = row.waiver.as_ref();
            let text = |key: &str| waiver.and_then(|it| it[key].as_str()).unwrap_or("-");
            let (reason, until) = (escaped(text("reason")), escaped(text("until")));
            let mut lines = vec![format!(
                "not ok {number} - {title} # TODO waiver until {until}: {reason}"
            )];
            lines.extend(diagnosis(row));
            lines
        }
        Standing::Failure(_) | Standing::Error => {
            let mut lines = vec![format!("not ok {number} - {title}")];
            lines.extend(diagnosis(row));
            lines
        }
    }
}

fn diagnosis(row: &Row) -> Vec<String> {
    let evidence = serde_json::to_string(&row.evidence).unwrap_or_default();
    let line = row
        .manifest_line
        .map_or("null".to_owned(), |line| line.to_string());
    let twin = row
        .twin
        .why
        .clone()
        .unwrap_or_else(|| row.twin.verdict.to_owned());
    block(&[
        ("verdict", row.verdict.name().to_owned()),
        ("why", row.why.clone()),
        ("expected", row.expected.clone()),
        (
            "actual",
            row.layer.clone().unwrap_or_else(|| "null".to_owned()),
        ),
        ("control", format!("{}: {}", row.control, row.control_said)),
        ("twin", twin),
        ("manifest_line", line),
        ("fix", row.fix().to_owned()),
        ("evidence", evidence),
    ])
}

/// A YAML block: each value a text in double quotes, whose escapes are those of JSON.
fn block(lines: &[(&str, String)]) -> Vec<String> {
    let quoted = |text: &str| serde_json::to_string(&plain(text)).unwrap_or_default();
    let body = lines
        .iter()
        .map(|(key, value)| format!("  {key}: {}", quoted(value)));
    let begin = std::iter::once("  ---".to_owned());
    begin.chain(body).chain(["  ...".to_owned()]).collect()
}

/// `#` would begin a directive, `\` an escape.
fn escaped(text: &str) -> String {
    plain(text).replace('\\', "\\\\").replace('#', "\\#")
}
