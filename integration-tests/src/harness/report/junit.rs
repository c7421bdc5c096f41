//! JUnit's XML, in the form that Surefire writes and CI servers read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::outcome::{Row, Standing};
use super::{Whole, plain};

/// The whole document.
pub(super) fn write(whole: &Whole<'_>) -> String {
    let mut groups: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in whole.rows {
        groups.entry(&row.group).or_default().push(row);
    }
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"gm-harness\">\n",
    );
    for (group, rows) in groups {
        suite(&mut xml, whole, group, &rows);
    }
    thresholds(&mut xml, whole);
    xml.push_str("</testsuites>\n");
    xml
}

fn suite(xml: &mut String, whole: &Whole<'_>, group: &str, rows: &[&Row]) {
    let count = |fits: fn(Standing) -> bool| {
        rows.iter()
            .filter(|row| fits(row.standing(whole.strict)))
            .count()
    };
    let time: f64 = rows.iter().map(|row| seconds(row)).sum();
    let _ = writeln!(
        xml,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{time:.3}\">",
        attribute(group),
        rows.len(),
        count(|it| matches!(it, Standing::Failure(_))),
        count(|it| it == Standing::Error),
        count(|it| matches!(it, Standing::Skip | Standing::Waived)),
    );
    properties(xml, whole, rows);
    for row in rows {
        case(xml, row, whole.strict);
    }
    xml.push_str("  </testsuite>\n");
}

fn properties(xml: &mut String, whole: &Whole<'_>, rows: &[&Row]) {
    let facts = whole.facts;
    let profiles: std::collections::BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row.profile_digest.as_deref())
        .collect();
    let profiles: Vec<&str> = profiles.into_iter().collect();
    xml.push_str("    <properties>\n");
    for (name, value) in [
        ("kernel", facts.kernel.clone()),
        ("arch", facts.arch.to_owned()),
        (
            "landlock_abi",
            facts
                .landlock_abi
                .map_or(String::new(), |abi| abi.to_string()),
        ),
        ("lsm", facts.lsm.join(",")),
        ("cgroup", facts.cgroup.to_owned()),
        ("level", facts.level.clone().unwrap_or_default()),
        ("profile_digest", profiles.join(",")),
    ] {
        let _ = writeln!(
            xml,
            "      <property name=\"{name}\" value=\"{}\"/>",
            attribute(&value)
        );
    }
    xml.push_str("    </properties>\n");
}

fn case(xml: &mut String, row: &Row, strict: bool) {
    let _ = writeln!(
        xml,
        "    <testcase classname=\"{}\" name=\"{} ({})\" time=\"{:.3}\">",
        attribute(&row.group),
        attribute(&row.id),
        attribute(&row.profile),
        seconds(row)
    );
    let why = attribute(&row.why);
    let words = text(&format!(
        "{}\n{}",
        row.twin.why.clone().unwrap_or_default(),
        row.fix()
    ));
    let _ = match row.standing(strict) {
        Standing::Pass => Ok(()),
        Standing::Skip => writeln!(xml, "      <skipped message=\"vacuous: {why}\"/>"),
        Standing::Waived => writeln!(xml, "      <skipped message=\"waived: {why}\"/>"),
        Standing::Failure(kind) => {
            writeln!(
                xml,
                "      <failure type=\"{kind}\" message=\"{why}\">{words}</failure>"
            )
        }
        Standing::Error => {
            writeln!(
                xml,
                "      <error type=\"HARNESS_ERROR\" message=\"{why}\">{words}</error>"
            )
        }
    };
    let evidence = serde_json::to_string_pretty(row).unwrap_or_default();
    let _ = writeln!(xml, "      <system-out>{}</system-out>", text(&evidence));
    xml.push_str("    </testcase>\n");
}

/// Thresholds are nobody's row, so they are a suite of their own.
fn thresholds(xml: &mut String, whole: &Whole<'_>) {
    let missed = &whole.summary.missed;
    if missed.is_empty() {
        return;
    }
    let _ = writeln!(
        xml,
        "  <testsuite name=\"harness\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"0.000\">\n    \
         <testcase classname=\"harness\" name=\"thresholds\" time=\"0.000\">\n      \
         <failure type=\"THRESHOLD\" message=\"{}\"></failure>\n    </testcase>\n  </testsuite>",
        attribute(&missed.join("; "))
    );
}

#[expect(clippy::cast_precision_loss, reason = "a time for people")]
fn seconds(row: &Row) -> f64 {
    row.contain_us as f64 / 1e6
}

/// Text of an element, lines kept.
fn text(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(plain).collect();
    lines
        .join("\n")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// An attribute's value.
pub(super) fn attribute(value: &str) -> String {
    text(&plain(value)).replace('"', "&quot;")
}
