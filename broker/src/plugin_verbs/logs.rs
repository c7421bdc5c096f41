//! `gm plugin logs`: what a plugin logged, oldest first.

use std::io::{BufRead as _, BufReader};
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
    for file in (1..=KEPT)
        .rev()
        .map(|n| format!("{name}.{n}"))
        .chain([name.clone()])
    {
        records.extend(read(&dir, &file)?);
    }
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
        let mut follower = Follower::new(&dir, &name)?;
        while !output.is_closed() {
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

fn read(dir: &Dir, name: &str) -> Result<Vec<Value>, Refusal> {
    let Some(file) = dir.open(name)? else {
        return Ok(Vec::new());
    };
    let failed = |error: std::io::Error| {
        Refusal::new(Code::InternalIo, format!("could not read {name}: {error}"))
    };
    let mut records = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        // A line that a crash cut off is no record.
        records.extend(serde_json::from_slice::<Value>(&line.map_err(failed)?).ok());
    }
    Ok(records)
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

/// Reads on in a log that may be rotated meanwhile.
struct Follower<'a> {
    dir: &'a Dir,
    name: &'a str,
    file: Option<BufReader<std::fs::File>>,
    partial: Vec<u8>,
}

impl<'a> Follower<'a> {
    fn new(dir: &'a Dir, name: &'a str) -> Result<Self, Refusal> {
        use std::io::Seek as _;
        let mut file = dir.open(name)?;
        if let Some(file) = &mut file {
            // What was there before has been said.
            file.seek(std::io::SeekFrom::End(0))
                .map_err(|error| Refusal::new(Code::InternalIo, error.to_string()))?;
        }
        Ok(Self {
            dir,
            name,
            file: file.map(BufReader::new),
            partial: Vec::new(),
        })
    }

    fn new_ones(&mut self) -> Result<Vec<Value>, Refusal> {
        let mut records = self.rest();
        // Only a file whose rest was read is left for the one that replaced it.
        if self.was_replaced()? {
            self.file = self.dir.open(self.name)?.map(BufReader::new);
            self.partial.clear();
            records.extend(self.rest());
        }
        Ok(records)
    }

    fn rest(&mut self) -> Vec<Value> {
        let mut records = Vec::new();
        let Some(file) = &mut self.file else {
            return records;
        };
        while file
            .read_until(b'\n', &mut self.partial)
            .is_ok_and(|read| read > 0)
        {
            if self.partial.ends_with(b"\n") {
                records.extend(serde_json::from_slice::<Value>(&self.partial).ok());
                self.partial.clear();
            }
        }
        records
    }

    fn was_replaced(&self) -> Result<bool, Refusal> {
        use std::os::unix::fs::MetadataExt as _;
        let inode = |file: &std::fs::File| file.metadata().map(|meta| meta.ino()).unwrap_or(0);
        let now = self.dir.open(self.name)?;
        let ours = self.file.as_ref().map(|file| inode(file.get_ref()));
        Ok(now.as_ref().map(inode) != ours)
    }
}
