//! SARIF 2.1.0: each probe is a rule, each row a result.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::outcome::{Row, Standing};
use super::{Whole, plain};

/// Where rows of the table stand, so that a result has a place.
const TABLES: [(&str, &str); 2] = [
    (
        "integration-tests/probes/probes.toml",
        include_str!("../../../probes/probes.toml"),
    ),
    (
        "integration-tests/probes/host.toml",
        include_str!("../../../probes/host.toml"),
    ),
];

/// The whole document.
pub(super) fn write(whole: &Whole<'_>) -> String {
    let mut rules: Vec<&Row> = Vec::new();
    for row in whole.rows {
        if !rules.iter().any(|rule| rule.id == row.id) {
            rules.push(row);
        }
    }
    let results = whole.rows.iter().map(|row| {
        let index = rules.iter().position(|rule| rule.id == row.id);
        result(row, index.unwrap_or_default(), whole.strict)
    });
    let notes = whole.summary.missed.iter().map(|missed| {
        json!({"level": "error", "message": {"text": plain(missed)}, "descriptor": {"id": "threshold"}})
    });
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "gm-harness",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|row| rule(row)).collect::<Vec<_>>(),
            }},
            "invocations": [{
                "executionSuccessful": whole.summary.exit != 70,
                "exitCode": whole.summary.exit,
                "toolExecutionNotifications": notes.collect::<Vec<_>>(),
            }],
            "results": results.collect::<Vec<_>>(),
            "properties": {"host": whole.facts, "summary": whole.summary},
        }],
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn number(row: &Row) -> String {
    format!("GM-P-{:04}", row.number)
}

fn rule(row: &Row) -> Value {
    let text = format!(
        "{} of group {} must be stopped by {}",
        row.id, row.group, row.expected
    );
    json!({
        "id": number(row),
        "name": row.id,
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": "error"},
        "properties": {"group": row.group, "layer": row.expected},
    })
}

fn result(row: &Row, index: usize, strict: bool) -> Value {
    let standing = row.standing(strict);
    let elsewhere = row.verdict.name() == "CONTAINED_ELSEWHERE";
    let (kind, level) = match standing {
        Standing::Pass if elsewhere => ("open", "none"),
        Standing::Pass => ("pass", "none"),
        Standing::Skip => ("notApplicable", "none"),
        Standing::Failure("DEGRADED") => ("fail", "warning"),
        Standing::Waived | Standing::Failure(_) | Standing::Error => ("fail", "error"),
    };
    let message = match row.fix() {
        "" => row.why.clone(),
        fix if kind == "fail" => format!("{}. {fix}", row.why),
        _ => row.why.clone(),
    };
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    put("ruleId", number(row).into());
    put("ruleIndex", index.into());
    put("kind", kind.into());
    put("level", level.into());
    let message = plain(&format!(
        "{} {}: {message}",
        row.verdict.name(),
        row.title()
    ));
    put("message", json!({"text": message}));
    put("locations", json!([location(row)]));
    put("partialFingerprints", json!({"gm/v1": fingerprint(row)}));
    if let Some(waiver) = &row.waiver {
        let said = |key: &str| waiver[key].as_str().unwrap_or_default().to_owned();
        let why = format!(
            "{} ({}, until {})",
            said("reason"),
            said("owner"),
            said("until")
        );
        put(
            "suppressions",
            json!([{"kind": "external", "status": "accepted", "justification": why}]),
        );
    }
    put(
        "properties",
        json!({"profile": row.profile, "evidence": row.evidence}),
    );
    Value::Object(object)
}

/// The manifest's line if a limit of it was met, else the row of the table; and the
/// profile's layer.
fn location(row: &Row) -> Value {
    let (uri, line) = match row.manifest_line {
        Some(line) => ("plugin.manifest.toml", line),
        None => table_line(&row.id),
    };
    let layer = row.layer.as_deref().unwrap_or(&row.expected);
    json!({
        "physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}},
        "logicalLocations": [{
            "name": layer,
            "kind": "profile",
            "fullyQualifiedName": format!("{}::{layer}", row.profile),
        }],
    })
}

fn table_line(id: &str) -> (&'static str, u64) {
    let wanted = format!("id = \"{id}\"");
    let found = TABLES.iter().find_map(|(name, text)| {
        let at = text.lines().position(|line| line == wanted)?;
        Some((*name, u64::try_from(at).ok()? + 1))
    });
    found.unwrap_or((TABLES[0].0, 1))
}

/// The same attack behind the same profile, whatever the machine is called.
fn fingerprint(row: &Row) -> String {
    let profile = row.profile_digest.as_deref().unwrap_or(&row.profile);
    format!("{:x}", Sha256::digest(format!("{}\n{profile}", row.id)))
}
