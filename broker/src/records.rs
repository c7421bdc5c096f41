//! The records of a run: one JSON object each, to `logs/broker.jsonl` and, as
//! the caller asked, to stdout as JSON or for people.
//!
//! Text that comes from a plugin is escaped by the output, never trusted.

mod share;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use crate::ending::{Ending, EndingKind};
use crate::logs::LogFile;
use crate::output::Output;
pub use share::{Kind, Share};

/// Whose record it is.
#[derive(Debug, Clone)]
pub struct Source {
    /// Plugin id.
    pub id: String,
    /// Version.
    pub version: String,
    /// `wasm`.
    pub kind: &'static str,
}

/// Which records the caller wants on stdout.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Not the `reply` records; the journal has them all the same.
    pub no_replies: bool,
    /// Also the `log` records.
    pub logs: bool,
}

/// Where records go. Shared by all threads of a run.
pub struct Recorder<'a> {
    sinks: Mutex<Sinks<'a>>,
    wanted: Wanted,
}

struct Sinks<'a> {
    output: &'a mut Output,
    journal: LogFile,
    /// A line of the journal was lost, and that was told.
    lost: bool,
}

impl Sinks<'_> {
    /// To the journal. What can't be written is told once: a run doesn't end of a
    /// full disk, but nobody must take the journal for whole.
    fn keep(&mut self, line: &str) {
        if let Err(error) = self.journal.line(line)
            && !std::mem::replace(&mut self.lost, true)
        {
            let text = format!("logs/broker.jsonl lacks records of this run: {error}");
            self.output.warn(&text);
        }
    }
}

impl<'a> Recorder<'a> {
    /// Records go to `journal` and, as `wanted`, to `output`.
    #[must_use]
    pub fn new(output: &'a mut Output, journal: LogFile, wanted: Wanted) -> Self {
        Self {
            sinks: Mutex::new(Sinks {
                output,
                journal,
                lost: false,
            }),
            wanted,
        }
    }

    /// A record of the run itself.
    pub fn run(&self, event: &str, fields: Value) {
        self.write(&record(event, None, fields));
    }

    /// A record about one plugin: of its starts, its endings and what we do about
    /// them, none of which it can cause at will.
    pub fn plugin(&self, source: &Source, event: &str, fields: Value) {
        self.write(&record(event, Some(source), fields));
    }

    /// A record that a plugin causes at will, of about `len` bytes: within its share,
    /// else it is counted, and the count is told now and then. False = it is only
    /// counted, and nothing was made of it.
    pub fn caused(
        &self,
        source: &Source,
        share: &mut Share,
        (kind, len): (Kind, usize),
        fields: impl FnOnce() -> Value,
    ) -> bool {
        let admitted = share.admits(kind, len);
        if admitted {
            let record = record(kind.event(), Some(source), fields());
            let line = serde_json::to_string(&record);
            let line = line.ok().filter(|line| share.keeps(kind, line.len() + 1));
            let shown = kind != Kind::Reply || !self.wanted.no_replies;
            self.put(shown.then_some(&record), line);
        }
        if let Some(sum) = share.due(kind) {
            self.plugin(source, "omitted", sum.fields());
        }
        admitted
    }

    /// What of a plugin was counted and not told yet.
    pub fn sums(&self, source: &Source, share: &mut Share) {
        for sum in share.rest() {
            self.plugin(source, "omitted", sum.fields());
            let text = sum.text(&source.id);
            self.say(|output| output.note(&text));
        }
    }

    /// A `log` record: to the plugin's own log, and to stdout if wanted.
    pub fn log(&self, source: &Source, log: &mut LogFile, fields: Value) {
        let record = record("log", Some(source), fields);
        if let Ok(line) = serde_json::to_string(&record) {
            // Its own loss; what is lost of the run's journal is told.
            let _ = log.line(&line);
        }
        if self.wanted.logs {
            let mut sinks = self.lock();
            sinks.output.record(&record);
            let text = record
                .get("text")
                .and_then(Value::as_str)
                .unwrap_or_default();
            sinks.output.note(&format!("{} │ {text}", source.id));
        }
    }

    /// A refusal, in both forms; gives its exit code.
    pub fn refused(&self, refusal: &gm_manifest::Refusal) -> u8 {
        let mut sinks = self.lock();
        let exit = sinks.output.refused(refusal);
        let fields =
            json!({"exit": exit, "code": refusal.code.to_string(), "detail": refusal.detail});
        let mut line = record("refused", None, fields);
        line.insert("plugin".into(), json!(refusal.plugin));
        line.insert("version".into(), json!(refusal.version));
        let line = Value::Object(line).to_string();
        sinks.keep(&line);
        exit
    }

    /// Says something to people only.
    pub fn say(&self, say: impl FnOnce(&mut Output)) {
        say(self.lock().output);
    }

    /// Whether nobody reads the results any more.
    pub fn is_closed(&self) -> bool {
        self.lock().output.is_closed()
    }

    fn write(&self, record: &Map<String, Value>) {
        self.put(Some(record), serde_json::to_string(record).ok());
    }

    /// The line was made before the lock: all plugins' threads come by here at each
    /// event.
    fn put(&self, shown: Option<&Map<String, Value>>, line: Option<String>) {
        let mut sinks = self.lock();
        if let Some(record) = shown {
            sinks.output.record(record);
        }
        if let Some(line) = line {
            sinks.keep(&line);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sinks<'a>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn record(event: &str, source: Option<&Source>, fields: Value) -> Map<String, Value> {
    let mut record = Map::new();
    record.insert("schema".into(), json!("gm.run/1"));
    record.insert("at".into(), json!(now()));
    record.insert("event".into(), json!(event));
    if let Some(source) = source {
        record.insert("plugin".into(), json!(source.id));
        record.insert("version".into(), json!(source.version));
        record.insert("kind".into(), json!(source.kind));
    }
    if let Value::Object(fields) = fields {
        record.extend(fields);
    }
    record
}

/// RFC 3339 in UTC with microseconds, always six digits.
#[must_use]
pub fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string()
}

/// What a plugin's life came to, besides its ending.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Hook calls that were answered.
    pub calls: u64,
    /// Of them, those answered with an error.
    pub errors: u64,
    /// The hook that was open at the end.
    pub at_hook: Option<&'static str>,
    /// The event that was open at the end.
    pub at_seq: Option<u64>,
    /// Processor time of its group in microseconds.
    pub cpu_us: u64,
    /// Peak of its group's memory in bytes.
    pub memory_peak: u64,
    /// Life of the process in microseconds.
    pub wall_us: u64,
    /// What the process that made its requests did, if there was one.
    pub http: Option<Value>,
}

/// The limit that an ending is about: as text, what was reached, and where the
/// manifest says it.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    /// Text of the limit.
    pub limit: Option<String>,
    /// What was reached, in the limit's base unit.
    pub peak: Option<String>,
    /// Line of the manifest.
    pub manifest_line: Option<u32>,
}

/// The fields of an `ended` record.
#[must_use]
pub fn ended(
    ending: &Ending,
    tally: &Tally,
    reached: &Reached,
    restart: Option<(u64, u32)>,
) -> Value {
    json!({
        "ending": ending.kind.as_str(),
        "exit": ending.kind.exit(),
        "limit": reached.limit,
        "peak": reached.peak,
        "layer": ending.layer,
        "calls": tally.calls,
        "errors": tally.errors,
        "cpu_us": tally.cpu_us,
        "wall_us": tally.wall_us,
        "memory_peak_bytes": tally.memory_peak,
        "seccomp": ending.seccomp.as_ref().map(|seen| json!({
            "nr": seen.nr,
            "call": seen.nr.and_then(call_name),
            "args": seen.args,
        })),
        "signal": ending.signal,
        "detail": ending.detail,
        "manifest_line": reached.manifest_line,
        "restart": restart.map(|(after_ms, attempt)| json!({"after_ms": after_ms, "attempt": attempt})),
        "at_hook": tally.at_hook,
        "at_seq": tally.at_seq,
        "http": tally.http,
    })
}

/// An ending in words for the person who must act.
#[must_use]
pub fn ending_for_people(
    source: &Source,
    ending: &Ending,
    tally: &Tally,
    reached: &Reached,
) -> String {
    let id = &source.id;
    let line = reached
        .manifest_line
        .map(|line| format!(", manifest line {line}"))
        .unwrap_or_default();
    let limit = reached.limit.as_deref().unwrap_or("its limit");
    let layer = ending.layer.as_deref().unwrap_or("-");
    let during = tally
        .at_hook
        .map(|hook| format!(" during {hook}"))
        .unwrap_or_default();
    let detail = ending
        .detail
        .as_deref()
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    match ending.kind {
        EndingKind::Finished => format!(
            "{id} │ finished, {} calls, {} errors",
            tally.calls, tally.errors
        ),
        // No limit of its manifest.
        EndingKind::TimedOut if let Some((step, _)) = ending.fixed => format!(
            "{id} │ stopped{detail}, a fixed limit that nothing raises; {}",
            step.advice()
        ),
        EndingKind::TimedOut => format!(
            "{id} │ stopped{during}: over time_limit {limit}{line}; raise permissions.time_limit, or do less in one call"
        ),
        EndingKind::OutOfMemory => format!(
            "{id} │ stopped{during}: over memory_limit {limit}{line} (seen by {layer}); raise permissions.memory_limit, or keep less"
        ),
        EndingKind::ForbiddenSyscall => {
            let why = ending
                .seccomp
                .as_ref()
                .and_then(|seen| seen.nr)
                .map_or_else(
                    || "killed by a filter that kills at once: which call is not known".to_owned(),
                    |nr| {
                        let call =
                            call_name(nr).map_or_else(|| format!("call {nr}"), str::to_owned);
                        format!("{call} is forbidden by its seccomp profile")
                    },
                );
            format!("{id} │ stopped{during}: {why}; see gm-broker policy show {id}")
        }
        kind => format!("{id} │ {}{during} (layer {layer}){detail}", kind.as_str()),
    }
}

/// A call's name on this machine.
fn call_name(nr: i32) -> Option<&'static str> {
    gm_policy::name_of(gm_policy::Arch::native()?, u32::try_from(nr).ok()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ending::{Cause, Fixed};

    fn told(ending: &Ending, reached: &Reached) -> String {
        let source = Source {
            id: "com.test.a".to_owned(),
            version: "0.1.0".to_owned(),
            kind: "lua",
        };
        ending_for_people(&source, ending, &Tally::default(), reached)
    }

    #[test]
    fn a_fixed_limit_is_not_told_as_the_time_limit() {
        let limit = |text: &str| Reached {
            limit: Some(text.to_owned()),
            ..Reached::default()
        };
        for (step, seconds, text) in [
            (Fixed::Load, 10, "loading took over 10 s"),
            (Fixed::Shutdown, 2, "shutdown took over 2 s"),
            (Fixed::Stop, 2, "did not end within 2 s of being told to"),
            (
                Fixed::EndOfInput,
                2,
                "did not end within 2 s of end of input",
            ),
        ] {
            let cause = Cause::FixedDeadline(step, Duration::from_secs(seconds));
            let told = told(&Ending::judge(&cause, None, None), &Reached::default());
            assert!(told.contains(text), "{told}");
            assert!(!told.contains("time_limit"), "{told}");
        }
        let call = told(&Ending::judge(&Cause::Deadline, None, None), &limit("2s"));
        assert!(call.contains("over time_limit 2s"), "{call}");
    }

    #[test]
    fn a_call_that_nobody_could_report_is_told_as_such() {
        let mut ending = Ending::new(EndingKind::ForbiddenSyscall, "seccomp");
        let text = told(&ending, &Reached::default());
        assert!(
            text.contains("kills at once: which call is not known"),
            "{text}"
        );
        ending.seccomp = Some(crate::ending::SeenCall {
            nr: Some(41),
            args: [0; 6],
        });
        let text = told(&ending, &Reached::default());
        assert!(text.contains("socket is forbidden"), "{text}");
    }
}
