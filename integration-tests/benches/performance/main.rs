//! `cargo bench`: what the walls cost, each figure as a ratio to a floor that is
//! measured in turns with it. What is measured, and how to read it, stands in
//! docs/performance.md. Nothing here is a test: no time is ever a verdict.
//!
//! Needs root and the binaries of scripts/set-up.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark: what goes wrong ends it, and printing is its purpose"
)]

mod calls;
mod decisions;
mod floor;
mod hosted;
mod link;
mod plugins;
mod samples;
mod stage;
mod starts;
mod table;
mod walled;

use std::path::Path;
use std::process::ExitCode;

use gm_integration_tests::project;
use serde_json::Value;
use stage::Stage;

/// Where the rows are kept.
const KEPT: &str = "target/gm/bench.json";

fn main() -> ExitCode {
    // Cargo adds a word of its own.
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let words: Vec<String> = words.collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["link"] => link::answer(),
        ["starter", echo] => floor::start_for_others(Path::new(echo)),
        ["walled", part, home, echo] => walled_part(part, Path::new(home), Path::new(echo)),
        [] => return whole(None),
        [only] if PARTS.iter().any(|(ids, _)| ids.contains(&only)) => return whole(Some(only)),
        _ => {
            eprintln!("usage: cargo bench -p gm-integration-tests [-- P1]");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// One part in a process of its own; its rows are its only words on stdout.
fn walled_part(part: &str, home: &Path, echo: &Path) {
    let rows = match part {
        "calls-on-one" => calls::rows(home, echo, true),
        "calls-on-all" => calls::rows(home, echo, false),
        "starts" => starts::rows(home, echo),
        other => panic!("no part {other}"),
    };
    for row in rows {
        println!("{row}");
    }
}

fn whole(only: Option<&str>) -> ExitCode {
    if let Err(why) = able() {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let stage = Stage::new();
    let mut rows = Vec::new();
    for (ids, part) in PARTS {
        if only.is_none_or(|only| ids.contains(&only)) {
            eprintln!("measuring {}", ids.join(", "));
            rows.extend(part(&stage));
        }
    }
    drop(stage);
    print!("{}", table::of(&rows));
    // A part of the rows must not pass for a whole run.
    if only.is_none() {
        let file = project().join(KEPT);
        table::keep(&rows, &file);
        eprintln!("kept in {}", file.display());
    }
    ExitCode::SUCCESS
}

/// What is measured together, by the measures that it gives.
type Part = (&'static [&'static str], fn(&Stage) -> Vec<Value>);

const PARTS: &[Part] = &[
    (&["P1"], |stage| {
        let mut rows = stage.walled("calls-on-one").records;
        rows.extend(stage.walled("calls-on-all").records);
        rows
    }),
    (&["P2"], link::rows),
    (&["P3"], hosted::stream),
    (&["P4", "P5", "P7"], |stage| stage.walled("starts").records),
    (&["P9"], hosted::replay),
    (&["P10", "P11"], |stage| {
        decisions::rows(&stage.home().path())
    }),
];

/// Whether this machine and this user can measure at all.
fn able() -> Result<(), String> {
    let root = rustix::process::geteuid().is_root();
    if !root {
        return Err("this needs root: plugins get ids, groups and mounts of their own".into());
    }
    for name in [
        "gm",
        "gm-broker",
        "gm-launcher",
        "gm-run-wasm",
        "gm-compile-wasm",
    ] {
        let path = project().join("target/gm/bin").join(name);
        if !path.is_file() {
            return Err(format!("no {}: run scripts/set-up first", path.display()));
        }
    }
    let level = gm_integration_tests::home::level();
    if level != "L4" {
        return Err(format!(
            "this machine gives {level}; the figures are for all walls, L4"
        ));
    }
    Ok(())
}
