//! Prints the rows for people, and keeps them for programs.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

const HEAD: [&str; 9] = [
    "",
    "measure",
    "floor",
    "floor",
    "ours",
    "(min, p90)",
    "ratio",
    "target",
    "",
];

/// The rows as a Markdown table, which is also the one of docs/performance.md.
pub(crate) fn of(rows: &[Value]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let rule = HEAD.map(|_| "---".to_owned());
    lines.insert(1, rule);
    let mut text = String::new();
    for line in lines {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
    }
    text
}

fn cells(row: &Value) -> [String; 9] {
    let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let unit = text("unit");
    let ours = &row["ours"];
    [
        text("id"),
        text("what"),
        text("floor_is"),
        format!("{} {unit}", number(&row["floor"]["median"])),
        format!("{} {unit}", number(&ours["median"])),
        format!("{}, {}", number(&ours["min"]), number(&ours["p90"])),
        number(&row["ratio"]),
        target(&row["target"], &unit),
        met(&row["met"]).to_owned(),
    ]
}

fn target(target: &Value, unit: &str) -> String {
    let ratio = target["ratio"].as_f64().map(|most| format!("≤ {most} ×"));
    let value = target["value"]
        .as_f64()
        .map(|most| format!("≤ {most} {unit}"));
    let both: Vec<String> = ratio.into_iter().chain(value).collect();
    both.join(", ")
}

fn met(met: &Value) -> &'static str {
    match met.as_bool() {
        Some(true) => "met",
        Some(false) => "missed",
        None => "",
    }
}

/// Three digits that count.
fn number(value: &Value) -> String {
    let value = value.as_f64().unwrap_or(f64::NAN);
    match value.abs() {
        big if big >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Writes the rows to `file`.
pub(crate) fn keep(rows: &[Value], file: &Path) {
    let whole = json!({"schema": "gm.bench/1", "rows": rows});
    let text = serde_json::to_string_pretty(&whole).unwrap();
    std::fs::write(file, text + "\n").unwrap();
}
