//! Texts that the broker reads: its configuration, events, what plugins ask of the
//! graph, and what it writes of theirs.

use std::fs::File;
use std::io::{Seek as _, Write as _};

use gm_broker::config::Config;
use gm_broker::graph::{Call, Graph, HostError, Page};
use gm_broker::logs::harmless;
use gm_broker::output::{Output, escape};
use gm_broker::source::Events;
use serde_json::Value;

use crate::acts;

/// The data of one event may have so many bytes here.
const EVENT: usize = 512;
/// The reply to one query.
const REPLY: usize = 2048;

/// Lines of events: only JSON objects of the allowed size come out, in order, and
/// nothing after the first bad line, which is named.
pub fn event_json(data: &[u8]) -> bool {
    let memory = rustix::fs::memfd_create(c"events", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(memory);
    file.write_all(data).unwrap();
    file.rewind().unwrap();
    let lines = data.split(|byte| *byte == b'\n').count() as u64;
    let (mut before, mut ended) = (0, false);
    for event in Events::new(file, EVENT) {
        assert!(!ended, "an event after a bad line");
        match event {
            Ok(event) => {
                assert!(before < event.line && event.line <= lines);
                before = event.line;
                assert!(event.data.len() <= EVENT && data_of(&event.data).is_object());
            }
            Err(refusal) => {
                ended = true;
                assert_eq!(refusal.code.as_str(), "source/bad-event");
                let line = refusal.detail.strip_prefix("events, line ").unwrap();
                let line: u64 = line.split(':').next().unwrap().parse().unwrap();
                assert!(before < line && line <= lines, "{refusal}");
                assert!(!refusal.to_string().chars().any(acts), "{refusal:?}");
            }
        }
    }
    before > 0
}

/// The document, or `{}` for one that is deeper or larger in its numbers than this
/// reader takes: it goes on to the plugin as text.
fn data_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::Object(serde_json::Map::new()))
}

/// A `broker.toml`: a configuration, or a refusal of its class with the line.
pub fn broker_toml(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    match Config::parse(text) {
        Ok(config) => {
            let operator = config.operator();
            assert_eq!(operator.plugins.len(), config.plugins.len());
            assert_eq!(Config::parse(text).ok(), Some(config));
            true
        }
        Err(refusal) => {
            assert_eq!(refusal.code.class(), "config", "{refusal}");
            assert!(!refusal.to_string().chars().any(acts), "{refusal:?}");
            let line = refusal.detail.strip_prefix("broker.toml line ");
            let digits = line.map(|line| line.bytes().take_while(u8::is_ascii_digit).count());
            let line = line
                .zip(digits)
                .and_then(|(line, n)| line[..n].parse().ok());
            let lines = text.split('\n').count();
            assert!(
                line.is_some_and(|line: usize| (1..=lines).contains(&line)),
                "{refusal}"
            );
            false
        }
    }
}

/// A plugin's words in a log, on a terminal and in a record: one line that forges
/// nothing and, in a record, loses nothing.
pub fn log_line(data: &[u8]) -> bool {
    let shown = harmless(data);
    assert!(!shown.chars().any(acts), "{shown:?}");
    let text = String::from_utf8_lossy(data);
    let one = escape::one_line(&text);
    assert!(!one.chars().any(acts), "{one:?}");
    assert_eq!(escape::one_line(&one), one);
    let many = escape::lines(&text);
    assert!(!many.chars().any(|c| acts(c) && !matches!(c, '\n' | '\t')));
    assert_eq!(many.split('\n').count(), text.split('\n').count());
    let told = gm_manifest::escape(&text);
    assert!(!told.chars().any(acts), "{told:?}");

    let (mut output, kept) = Output::kept(1 << 20);
    output.record(&serde_json::json!({ "text": text }));
    let lines = kept.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(!lines[0].chars().any(acts), "{lines:?}");
    let record: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(record["text"], *text);
    !data.is_empty()
}

/// Lines of host calls on a graph: typed errors, replies of the allowed size, and
/// the same pages before a commit and after it.
pub fn query_text(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let graph = Graph::in_memory().unwrap();
    let mut call = graph.begin("com.example.writer", REPLY);
    let mut asked = Vec::new();
    for line in text.split('\n').take(32) {
        let (verb, words) = line.split_at_checked(1).unwrap_or(("", ""));
        match verb {
            "n" => drop(call.node_put(words).map_err(known)),
            "e" => drop(call.edge_put(words).map_err(known)),
            "q" | "w" | "g" | "k" => asked.push((verb, words)),
            "c" => {
                call.commit().map_err(known).unwrap();
                call = graph.begin("com.example.writer", REPLY);
            }
            _ => {}
        }
    }
    let before = answers(&call, &asked);
    call.commit().map_err(known).unwrap();
    let after = answers(&graph.begin("com.example.reader", REPLY), &asked);
    assert_eq!(before, after);
    pages(&graph);
    after.iter().any(Result::is_ok)
}

type Answer = Result<String, HostError>;

fn answers(call: &Call, asked: &[(&str, &str)]) -> Vec<Answer> {
    let page = |page: Result<Page, HostError>| page.map(checked);
    let answer = |(verb, words): &(&str, &str)| match *verb {
        "q" => page(call.node_query(words)),
        "w" => page(call.edge_query(words)),
        "g" => call.node_get(words),
        _ => call.edge_get(words),
    };
    asked.iter().map(answer).collect()
}

fn checked(page: Page) -> String {
    assert!(page.json.len() <= REPLY, "{} bytes", page.json.len());
    let value: Value = serde_json::from_str(&page.json).unwrap();
    assert_eq!(
        value["items"].as_array().unwrap().len(),
        page.results as usize
    );
    page.json
}

/// Going from page to page gives every node once, in order, and ends.
fn pages(graph: &Graph) {
    let call = graph.begin("com.example.reader", REPLY);
    let (mut after, mut last) = (Value::Null, String::new());
    loop {
        let mut query = serde_json::json!({ "limit": 3 });
        if !after.is_null() {
            query["after"] = after;
        }
        let page = match call.node_query(&query.to_string()) {
            Ok(page) => checked(page),
            // One record alone is over the reply.
            Err(error) => return assert_eq!(error, HostError::TooBig),
        };
        let page: Value = serde_json::from_str(&page).unwrap();
        for node in page["items"].as_array().unwrap() {
            let id = node["id"].as_str().unwrap();
            assert!(*id > *last, "{last:?} before {id:?}");
            last = id.to_owned();
        }
        after = page["next"].clone();
        if after.is_null() {
            return;
        }
    }
}

/// No error of a plugin's words is the host's own.
fn known(error: HostError) -> HostError {
    let hosts = matches!(error, HostError::Io | HostError::Internal);
    assert!(!hosts, "{error}");
    error
}
