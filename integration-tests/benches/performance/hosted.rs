//! P3 and P9: the installed `gm-broker run` from end to end.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use gm_broker::args::broker::RunOptions;
use gm_broker::config::Config;
use gm_broker::stream::{Feed, Item};
use gm_integration_tests::process::{command, run};
use gm_integration_tests::records::number;
use gm_integration_tests::{Home, Repository};
use serde_json::Value;

use crate::floor::{Echo, on, place};
use crate::plugins::{ECHO, QUIET, quiet};
use crate::samples::{Row, Target, in_turns, micros};
use crate::stage::Stage;
use crate::walled::event;

const ROUNDS: usize = 5;
/// Events of the stream.
const EVENTS: u32 = 20_000;
/// Calls of the echo in the same turn.
const CALLS: u32 = 5000;
/// Commits of the history.
const COMMITS: u32 = 5000;
/// Files that the commits change in turn.
const FILES: u32 = 50;

pub(crate) fn stream(stage: &Stage) -> Vec<Value> {
    let (none, all) = (stage.file("none.jsonl"), stage.file("events.jsonl"));
    let event = String::from_utf8(event().document).unwrap();
    let line = format!("{{\"hook\":\"on_commit_analyzed\",\"data\":{event}}}\n");
    std::fs::write(&none, &line).unwrap();
    std::fs::write(&all, line.repeat(EVENTS as usize)).unwrap();
    let row = |pinned| on(pinned, || streamed(stage, &none, &all, pinned));
    vec![row(false), row(true)]
}

/// The time of a run with all events, less that of one with a single event.
fn streamed(stage: &Stage, none: &Path, all: &Path, pinned: bool) -> Value {
    let home = stage.home();
    let mut echo = Echo::start(&stage.echo());
    let bytes = event().document;
    let measured = in_turns(
        ROUNDS,
        |samples| {
            let begun = Instant::now();
            (0..CALLS).for_each(|_| echo.call(&bytes));
            samples.add(micros(begun) / f64::from(CALLS));
        },
        |samples| {
            let start = wall_us(home, &["--events", text(none), ECHO]);
            let whole = wall_us(home, &["--events", text(all), ECHO]);
            samples.add((whole - start) / f64::from(EVENTS - 1));
        },
    );
    let row = Row {
        id: "P3",
        what: format!("one event of a stream, one plugin, {}", place(pinned)),
        unit: "µs",
        floor: "bare SEQPACKET echo",
        // 300,000 a second.
        target: if pinned {
            Target::None
        } else {
            Target::Most(3.3)
        },
    };
    row.of(&measured)
}

/// Hosts to the end; microseconds by the run's own word.
fn wall_us(home: &Home, words: &[&str]) -> f64 {
    let ended = home.broker(&[&["run", "--no-replies"], words].concat());
    ended.expect_exit(0);
    #[expect(clippy::cast_precision_loss, reason = "some seconds in microseconds")]
    let micros = number(ended.last(), "wall_us") as f64;
    micros
}

fn text(path: &Path) -> &str {
    gm_integration_tests::home::text(path)
}

pub(crate) fn replay(stage: &Stage) -> Vec<Value> {
    let repository = history();
    let ids: Vec<String> = (0..QUIET).map(quiet).collect();
    let mut words = vec!["--repo", repository.text()];
    words.extend(ids.iter().map(String::as_str));
    let measured = in_turns(
        ROUNDS,
        |samples| samples.add(walk(repository.path()) / 1e3),
        |samples| samples.add(wall_us(stage.home(), &words) / 1e3),
    );
    let row = Row {
        id: "P9",
        what: format!("replay of {COMMITS} commits, {QUIET} plugins"),
        unit: "ms",
        floor: "the same walk, no plugin",
        target: Target::Ratio(2.0),
    };
    vec![row.of(&measured)]
}

/// The same source with nobody to hear it; microseconds.
fn walk(repository: &Path) -> f64 {
    let options = RunOptions {
        repo: Some(repository.to_owned()),
        ..RunOptions::default()
    };
    let begun = Instant::now();
    let mut feed = Feed::open(&Config::default(), &options).unwrap();
    let mut commits = 0;
    while let Some(item) = feed.next_item() {
        assert!(
            matches!(item.unwrap(), Item::Event(_)),
            "nothing is skipped"
        );
        commits += 1;
    }
    let took = micros(begun);
    assert_eq!(commits, COMMITS);
    took
}

/// A history that has the same ids always: each commit changes some lines of
/// three of some dozens of files.
fn history() -> Repository {
    let repository = Repository::empty();
    let mut import = command("git", repository.path());
    import.args(["fast-import", "--quiet"]);
    run(&mut import, stream_of_commits().as_bytes()).expect_exit(0);
    assert_eq!(repository.ids(&["main"]).len(), COMMITS as usize);
    repository
}

fn stream_of_commits() -> String {
    let mut text = String::new();
    for commit in 0..COMMITS {
        let time = 1_700_000_000 + 60 * commit;
        let message = format!("change {commit}\n\nWhy it was made.\n");
        let _ = write!(
            text,
            "commit refs/heads/main\ncommitter Ann Author <ann@test.example> {time} +0100\n\
             data {}\n{message}",
            message.len()
        );
        for step in 0..3 {
            let file = (commit * 7 + step * 11) % FILES;
            let content = content(file, commit);
            let _ = write!(
                text,
                "M 100644 inline src/part-{}/file-{file}.rs\ndata {}\n{content}",
                file % 7,
                content.len()
            );
        }
        text.push('\n');
    }
    text
}

/// Some 150 lines, of which a few are the commit's own.
fn content(file: u32, commit: u32) -> String {
    let mut text = String::new();
    for line in 0..150 {
        let version = if line % 37 == commit % 37 { commit } else { 0 };
        let _ = writeln!(
            text,
            "let value_{line} = compute({file}, {line}, {version});"
        );
    }
    text
}
