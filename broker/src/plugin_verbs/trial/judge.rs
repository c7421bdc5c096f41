//! What came of a case, beside what its author expects.

use gm_manifest::Manifest;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::case::{Case, Event, Wanted};
use super::denial;

/// The most of a value that a failure shows to people, in characters.
const SHOWN: usize = 300;

/// What a run left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// It made so many records that the run was ended.
    pub(super) cut: bool,
    /// As `gm-broker run --format json --logs` prints them.
    pub(super) records: Vec<Value>,
    /// As `graph dump` prints them.
    pub(super) graph: Vec<Value>,
    /// What the plugin keeps.
    pub(super) storage: BTreeMap<String, Value>,
}

/// What is to be said about a case.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) failures: Vec<Failure>,
    /// Hook calls that were answered.
    pub(super) calls: usize,
    pub(super) ending: Option<String>,
}

/// One difference.
#[derive(Debug)]
pub(super) struct Failure {
    /// `reply`, `error`, `call`, `ending`, `detail`, `report`, `nodes`, `edges`,
    /// `storage`, `emitted`, `log`, `denied`, `refused` or `records`.
    pub(super) what: &'static str,
    /// The case's line.
    pub(super) line: Option<usize>,
    /// For people.
    pub(super) text: String,
    pub(super) expected: Value,
    pub(super) got: Value,
    /// What the manifest lacks.
    pub(super) add: Option<String>,
}

impl Failure {
    fn new(what: &'static str, line: Option<usize>, text: String) -> Self {
        Self {
            what,
            line,
            text,
            expected: Value::Null,
            got: Value::Null,
            add: None,
        }
    }

    fn differs(what: &'static str, line: Option<usize>, expected: Value, got: Value) -> Self {
        let text = format!("{what}: expected {}, got {}", short(&expected), short(&got));
        Self {
            expected,
            got,
            ..Self::new(what, line, text)
        }
    }
}

pub(super) fn judge(case: &Case, manifest: &Manifest, left: &Left) -> Verdict {
    let judged = Judged {
        case,
        manifest,
        left,
    };
    let mut failures = judged.refusals();
    // What was denied often explains all that follows.
    failures.extend(judged.denials());
    if failures.iter().all(|failure| failure.what != "refused") {
        failures.extend(judged.replies());
        failures.extend(judged.ending());
        failures.extend(judged.report());
        failures.extend(judged.graph());
        failures.extend(judged.storage());
        failures.extend(judged.emitted());
        failures.extend(judged.log());
    }
    let calls = judged.events("reply").count();
    let ending = judged.ended("ending").as_str().map(str::to_owned);
    Verdict {
        failures,
        calls,
        ending,
    }
}

struct Judged<'a> {
    case: &'a Case,
    manifest: &'a Manifest,
    left: &'a Left,
}

impl<'a> Judged<'a> {
    fn events(&self, event: &'a str) -> impl Iterator<Item = &'a Value> {
        let of = move |record: &&Value| record.get("event").is_some_and(|is| is == event);
        self.left.records.iter().filter(of)
    }

    fn ended(&self, member: &str) -> &'a Value {
        let ended = self.events("ended").last();
        ended
            .and_then(|record| record.get(member))
            .unwrap_or(&Value::Null)
    }

    fn refusals(&self) -> Vec<Failure> {
        let refused = self.left.records.iter();
        let refused =
            refused.filter(|record| matches!(text(record, "result"), "refused" | "error"));
        let mut failures: Vec<Failure> = refused
            .map(|record| {
                let text = format!(
                    "refused: {} ({})",
                    text(record, "detail"),
                    text(record, "code")
                );
                Failure::new("refused", None, text)
            })
            .collect();
        if self.left.cut {
            let text = "it made more records than a case may".to_owned();
            failures.push(Failure::new("records", None, text));
        }
        failures
    }

    fn denials(&self) -> Vec<Failure> {
        let expected = &self.case.expect.denied;
        let mut failures: Vec<Failure> = Vec::new();
        for record in self.events("denied") {
            let got = json!(denied(record));
            // One that repeats is told once.
            let told = failures.iter().any(|failure| failure.got == got);
            if told || expected.iter().any(|wanted| is_denial(record, wanted)) {
                continue;
            }
            let seq = record.get("seq").and_then(Value::as_u64);
            let words = format!("denied: {}", denied(record));
            let (call, what) = (text(record, "call"), text(record, "what"));
            failures.push(Failure {
                got,
                add: denial::line_to_add(self.manifest, call, what),
                ..Failure::new("denied", self.line_of(seq), words)
            });
        }
        failures.extend(self.unseen_denials());
        for wanted in expected {
            if !self
                .events("denied")
                .any(|record| is_denial(record, wanted))
            {
                let line = self.case.expect_line;
                failures.push(Failure::differs("denied", line, json!(wanted), Value::Null));
            }
        }
        failures
    }

    /// Denials that were only counted: nobody saw what they were for, so that only a
    /// case that lists all of the call's means them.
    fn unseen_denials(&self) -> Vec<Failure> {
        let mut unseen = BTreeMap::new();
        for record in self.events("omitted") {
            let number = |member: &str| record.get(member).and_then(Value::as_u64).unwrap_or(0);
            let missing = number("total").saturating_sub(number("written"));
            if text(record, "of") == "denied" && missing > 0 {
                // The last one is of the whole run.
                unseen.insert(text(record, "call"), missing);
            }
        }
        unseen.retain(|call, _| self.case.expect.denied.iter().all(|wanted| wanted != call));
        let failure = |(call, missing): (&str, u64)| {
            let text = format!(
                "denied: {missing} more of {call}, which were only counted; \
                 `denied = [\"{call}\"]` lists all of them"
            );
            Failure {
                got: json!(call),
                ..Failure::new("denied", self.case.expect_line, text)
            }
        };
        unseen.into_iter().map(failure).collect()
    }

    /// The line of the event with this number, from 1.
    fn line_of(&self, seq: Option<u64>) -> Option<usize> {
        let at = usize::try_from(seq?.checked_sub(1)?).ok()?;
        self.case.events.get(at).map(|event| event.line)
    }

    fn replies(&self) -> Vec<Failure> {
        let failures = self
            .case
            .events
            .iter()
            .enumerate()
            .filter_map(|(at, event)| {
                // Answered or not: nobody can type it.
                if let Some(failure) = self.undeclared(event) {
                    return Some(failure);
                }
                let mut replies = self.events("reply");
                let reply = replies.find(|record| is_answer(record, event, at));
                match reply {
                    Some(reply) => answer(event, reply),
                    // It was to end before it answered.
                    None if self.ends_early() && event.wanted == Wanted::Ok => None,
                    None => Some(self.not_called(event)),
                }
            });
        failures.collect()
    }

    fn ends_early(&self) -> bool {
        let ending = self.case.expect.ending.as_deref();
        ending.is_some_and(|ending| ending != "finished")
    }

    fn undeclared(&self, event: &Event) -> Option<Failure> {
        let name = event.command()?;
        let mut commands = self.manifest.commands().iter();
        let declared = commands.any(|command| command.name.as_str() == name);
        let why = || format!("the manifest has no command {name}");
        (!declared).then(|| Failure::new("call", Some(event.line), why()))
    }

    fn not_called(&self, event: &Event) -> Failure {
        let hook = event.hook.as_str();
        let listed = self
            .manifest
            .hooks()
            .iter()
            .any(|listed| listed.as_str() == hook);
        let why = match listed || event.command().is_some() {
            true => format!("{hook} was not answered"),
            false => format!("{hook} was not called: the manifest's hooks don't list it"),
        };
        Failure::new("call", Some(event.line), why)
    }

    fn ending(&self) -> Vec<Failure> {
        let expect = &self.case.expect;
        let line = self.case.expect_line;
        let wanted = expect.ending.as_deref().unwrap_or("finished");
        let (got, detail) = (self.ended("ending"), self.ended("detail"));
        let mut failures = Vec::new();
        if *got != *wanted {
            let mut failure = Failure::differs("ending", line, json!(wanted), got.clone());
            for member in ["detail", "at_hook", "limit"] {
                if let Some(more) = self.ended(member).as_str() {
                    failure.text.push_str(&format!(", {member} {more}"));
                }
            }
            failures.push(failure);
        }
        if let Some(part) = &expect.detail
            && !detail.as_str().is_some_and(|detail| detail.contains(part))
        {
            failures.push(Failure::differs(
                "detail",
                line,
                json!(part),
                detail.clone(),
            ));
        }
        failures
    }

    fn report(&self) -> Option<Failure> {
        let part = self.case.expect.report.as_ref()?;
        let mut replies = self.events("reply");
        let last = replies.find(|record| text(record, "hook") == "shutdown");
        let report = last.and_then(|record| record.pointer("/reply/report"));
        let got = report.cloned().unwrap_or_default();
        let fits = got.as_str().is_some_and(|report| report.contains(part));
        (!fits).then(|| Failure::differs("report", self.case.expect_line, json!(part), got))
    }

    fn graph(&self) -> Vec<Failure> {
        let expect = &self.case.expect;
        let mut failures = Vec::new();
        for (what, member, wanted) in [
            ("nodes", "node", &expect.nodes),
            ("edges", "edge", &expect.edges),
        ] {
            let Some(wanted) = wanted else { continue };
            let wanted = sorted(wanted.iter().map(|record| whole(record, member)));
            let got = self.left.graph.iter().filter_map(|line| line.get(member));
            let own = got.filter(|record| text(record, "writer") == self.manifest.id().as_str());
            let got = sorted(own.map(without_writer));
            if wanted != got {
                failures.push(Failure::differs(
                    what,
                    self.case.expect_line,
                    json!(wanted),
                    json!(got),
                ));
            }
        }
        failures
    }

    fn storage(&self) -> Option<Failure> {
        let wanted = self.case.expect.storage.as_ref()?;
        let got = &self.left.storage;
        (wanted != got)
            .then(|| Failure::differs("storage", self.case.expect_line, json!(wanted), json!(got)))
    }

    fn emitted(&self) -> Option<Failure> {
        let wanted = self.case.expect.emitted.as_ref()?;
        let got: Vec<Value> = self
            .events("emitted")
            .map(|record| json!({"topic": record.get("topic"), "data": record.get("data")}))
            .collect();
        (*wanted != got)
            .then(|| Failure::differs("emitted", self.case.expect_line, json!(wanted), json!(got)))
    }

    fn log(&self) -> Option<Failure> {
        let wanted = self.case.expect.log.as_ref()?;
        let got: Vec<&str> = self
            .events("log")
            .map(|record| text(record, "text"))
            .collect();
        let mut lines = got.iter();
        let missing = wanted
            .iter()
            .find(|part| !lines.any(|line| line.contains(part.as_str())))?;
        Some(Failure::differs(
            "log",
            self.case.expect_line,
            json!(missing),
            json!(got),
        ))
    }
}

/// A denial as cases write it.
fn denied(record: &Value) -> String {
    format!("{} {}", text(record, "call"), text(record, "what"))
}

/// Whether a case means this denial, by the call or by call and object.
fn is_denial(record: &Value, wanted: &str) -> bool {
    wanted == text(record, "call") || wanted == denied(record)
}

/// Whether a record answers the event at this place.
fn is_answer(record: &Value, event: &Event, at: usize) -> bool {
    let seq = record.get("seq").and_then(Value::as_u64);
    seq.is_some_and(|seq| usize::try_from(seq).is_ok_and(|seq| seq == at + 1))
        && text(record, "hook") == event.hook.as_str()
}

fn answer(event: &Event, record: &Value) -> Option<Failure> {
    let line = Some(event.line);
    let member = |name: &str| record.get(name).cloned().unwrap_or_default();
    let (reply, error) = (member("reply"), member("error"));
    match &event.wanted {
        Wanted::Error(part) => {
            let fits = error.as_str().is_some_and(|error| error.contains(part));
            (!fits).then(|| Failure::differs("error", line, json!(part), error))
        }
        _ if !error.is_null() => Some(Failure::differs("error", line, Value::Null, error)),
        Wanted::Ok => None,
        Wanted::Reply(wanted) => {
            let wanted = wanted.clone().unwrap_or_default();
            (wanted != reply).then(|| Failure::differs("reply", line, wanted, reply))
        }
    }
}

/// A record with the defaults that the graph gives.
fn whole(record: &Value, member: &str) -> Value {
    let mut whole = Map::from_iter([("data".to_owned(), json!({}))]);
    if member == "edge" {
        whole.insert("weight".to_owned(), json!(1));
    }
    whole.extend(record.as_object().cloned().unwrap_or_default());
    Value::Object(whole)
}

fn without_writer(record: &Value) -> Value {
    let mut record = record.clone();
    if let Some(members) = record.as_object_mut() {
        members.remove("writer");
    }
    record
}

/// In an order that depends on the values alone; so do members of their objects.
fn sorted(records: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut keyed: Vec<(String, Value)> = records
        .map(|mut record| {
            record.sort_all_objects();
            (record.to_string(), record)
        })
        .collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.into_iter().map(|(_, record)| record).collect()
}

fn text<'a>(record: &'a Value, member: &str) -> &'a str {
    record
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn short(value: &Value) -> String {
    let text = match value {
        Value::Null => "nothing".to_owned(),
        value => value.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
