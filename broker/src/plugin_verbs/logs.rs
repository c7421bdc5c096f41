//! `gm plugin logs`: what a plugin logged, oldest first.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::time::Duration;

use gm_manifest::{Code, PluginId, Refusal};
use serde_json::{Value, json};

use crate::args::Invocation;
use crate::args::gm::LogsArgs;
use crate::home::{Dir, Home, TRY_HOME};
use crate::logs::KEPT;
use crate::output::Output;
use crate::registry::Registry;
use crate::signals::Signals;

/// How often a followed log is looked at.
const PAUSE: Duration = Duration::from_millis(200);
/// The most bytes of a record: a line of a log with each byte of it escaped.
const MAX_RECORD: usize = 64 * 1024;

pub(super) fn run(
    args: &LogsArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let id = super::typed_id(&args.id)?;
    let (home, _) = invocation.open_home()?;
    let dir = directory(&home, &id)?;
    let name = format!("{id}.jsonl");
    // Before the first look, so that no signal is missed in between.
    let signals = args.follow.then(Signals::take).transpose()?;
    let mut records = Vec::new();
    for file in (1..=KEPT).rev().map(|n| format!("{name}.{n}")) {
        if let Some(mut lines) = Lines::open(&dir, &file, &id)? {
            records.extend(lines.rest()?);
        }
    }
    let mut follower = Follower {
        dir: &dir,
        name: &name,
        id: &id,
        lines: Lines::open(&dir, &name, &id)?,
    };
    records.extend(follower.rest()?);
    let from = args
        .last
        .map_or(0, |last| records.len().saturating_sub(last));
    let mut count = records.len() - from;
    records
        .iter()
        .skip(from)
        .for_each(|record| say(record, output));
    let mut exit = 0;
    if let Some(signals) = signals {
        // A reader that left is noticed without a new line for it.
        while !output.reader_left() {
            if let Some(asked) = signals.arrived(PAUSE) {
                exit = asked;
                break;
            }
            for record in follower.new_ones()? {
                count += 1;
                say(&record, output);
            }
        }
    }
    let fields = [("plugin", json!(id)), ("records", json!(count))];
    match exit {
        0 => Ok(output.done("plugin logs", fields)),
        // Stopping a log that is followed is no failure, but the code says how.
        signal => Ok(output.stopped("plugin logs", signal, fields)),
    }
}

/// Where its log lies: in this home or, if it was only tried out, in that one.
fn directory(home: &Home, id: &PluginId) -> Result<Dir, Refusal> {
    let known = Registry::open(home)?.entry(id);
    let own = home.plugin_logs()?;
    let has_log = |dir: &Dir| {
        Ok::<_, Refusal>(
            dir.names()?
                .iter()
                .any(|name| *name == *format!("{id}.jsonl")),
        )
    };
    if has_log(&own)? {
        return Ok(own);
    }
    let tried = ["try", id.as_str(), TRY_HOME, "logs", "plugins"];
    let tried = tried
        .iter()
        .try_fold(Some(home.state()?), |dir, name| match dir {
            Some(dir) => dir.child(name),
            None => Ok(None),
        })?;
    match (tried, known) {
        (Some(tried), _) if has_log(&tried)? => Ok(tried),
        (_, Err(refusal)) if refusal.code == Code::UsageUnknownPlugin => Err(refusal),
        (_, Ok(_) | Err(_)) => Ok(own),
    }
}

fn say(record: &Value, output: &mut Output) {
    output.record(record);
    let field = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
    let dropped = record.get("dropped").and_then(Value::as_u64).unwrap_or(0);
    let lost = if dropped > 0 {
        format!("  ({dropped} lines lost before)")
    } else {
        String::new()
    };
    output.line(&format!(
        "{} {:<5} {}{lost}",
        field("at"),
        field("level"),
        field("text")
    ));
}

/// The records of one file, line by line, also while it grows. What a crash cut
/// off, and whatever else is no record of this plugin's log, is passed over.
struct Lines<'a> {
    id: &'a PluginId,
    file: BufReader<File>,
    line: Vec<u8>,
    too_long: bool,
}

impl<'a> Lines<'a> {
    fn open(dir: &Dir, name: &str, id: &'a PluginId) -> Result<Option<Self>, Refusal> {
        Ok(dir.open(name)?.map(|file| Self {
            id,
            file: BufReader::new(file),
            line: Vec::new(),
            too_long: false,
        }))
    }

    /// All whole lines that are there and were not given yet.
    fn rest(&mut self) -> Result<Vec<Value>, Refusal> {
        let mut records = Vec::new();
        while self.whole_line().map_err(|error| {
            let detail = format!("could not read the log of {}: {error}", self.id);
            Refusal::new(Code::of_store(error.kind()), detail)
        })? {
            let line = std::mem::take(&mut self.line);
            if !std::mem::take(&mut self.too_long) {
                records.extend(self.record(&line));
            }
        }
        Ok(records)
    }

    /// Whether `line` holds a whole one now; else the file ends, for now.
    fn whole_line(&mut self) -> std::io::Result<bool> {
        loop {
            let bytes = match self.file.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            if bytes.is_empty() {
                return Ok(false);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            let used = part.len() + usize::from(end.is_some());
            self.too_long |= self.line.len() + part.len() > MAX_RECORD;
            if !self.too_long {
                self.line.extend_from_slice(part);
            }
            self.file.consume(used);
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    fn record(&self, line: &[u8]) -> Option<Value> {
        let record: Value = serde_json::from_slice(line).ok()?;
        let is =
            |field: &str, value: &str| record.get(field).and_then(Value::as_str) == Some(value);
        (is("event", "log") && is("plugin", self.id.as_str())).then_some(record)
    }
}

/// Reads on in a log that may be rotated meanwhile.
struct Follower<'a> {
    dir: &'a Dir,
    name: &'a str,
    id: &'a PluginId,
    lines: Option<Lines<'a>>,
}

impl Follower<'_> {
    fn new_ones(&mut self) -> Result<Vec<Value>, Refusal> {
        let mut records = self.rest()?;
        // Only a file whose rest was read is left for the one that replaced it.
        if self.was_replaced()? {
            records.extend(self.rest()?);
            self.lines = Lines::open(self.dir, self.name, self.id)?;
            records.extend(self.rest()?);
        }
        Ok(records)
    }

    fn rest(&mut self) -> Result<Vec<Value>, Refusal> {
        self.lines
            .as_mut()
            .map_or_else(|| Ok(Vec::new()), Lines::rest)
    }

    fn was_replaced(&self) -> Result<bool, Refusal> {
        use std::os::unix::fs::MetadataExt as _;
        let inode = |file: &File| file.metadata().map(|meta| meta.ino()).unwrap_or(0);
        let now = self.dir.open(self.name)?;
        let ours = self.lines.as_ref().map(|lines| inode(lines.file.get_ref()));
        Ok(now.as_ref().map(inode) != ours)
    }
}
