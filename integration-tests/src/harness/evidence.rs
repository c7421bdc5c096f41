//! What was observed of one process or one run: raw material, no judgement.

use std::time::Duration;

use serde_json::Value;

use crate::probes::Said;

/// The most bytes of one logged line: twice of what the product cuts it at, since what it
/// escapes grows.
pub const LONGEST_LINE: usize = 8 << 10;

/// Whether it holds what a terminal carries out: a control character, or one that turns
/// the direction of writing.
#[must_use]
pub fn paints(text: &str) -> bool {
    text.contains(|c: char| {
        let control = c.is_control() && !matches!(c, '\n' | '\t');
        control || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

/// A probe's one line. It is a claim: what counts is what is seen from outside.
pub type Report = Said;

/// The report of this very probe.
#[must_use]
pub fn report(output: &str, id: &str) -> Option<Report> {
    Said::read(output).filter(|said| said.id == id)
}

/// How a process went that the harness started itself.
#[derive(Debug, Default)]
pub struct Ran {
    /// Its exit code, if it exited.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The harness ended it.
    pub timed_out: bool,
    /// What it wrote, both streams, cut at a bound.
    pub output: Vec<u8>,
    /// What it wrote to stdout, as text.
    pub stdout: String,
    /// What it wrote to stderr, as text.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Ran {
    /// Its JSON objects.
    #[must_use]
    pub fn records(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Its lines that are none. What the bound of the output cut is no line.
    pub fn other_lines(&self) -> impl Iterator<Item = &str> {
        let whole = self.stdout.split_inclusive('\n');
        let whole = whole.filter(|line| line.ends_with('\n') && !line.trim().is_empty());
        whole.filter(|line| serde_json::from_str::<serde::de::IgnoredAny>(line).is_err())
    }

    /// How it ended, for people.
    #[must_use]
    pub fn ending(&self) -> String {
        match (self.timed_out, self.exit, self.signal) {
            (true, ..) => "it did not end in time".to_owned(),
            (_, Some(exit), _) => format!("exit {exit}"),
            (_, _, Some(signal)) => format!("signal {signal}"),
            _ => "it ended in no known way".to_owned(),
        }
    }
}

/// How the broker says that a plugin ended.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// `finished`, `forbidden_syscall`, `timed_out` …
    pub name: String,
    /// When.
    pub at: Option<String>,
    /// What ended it.
    pub layer: Option<String>,
    /// The forbidden call's name.
    pub call: Option<String>,
    /// The forbidden call's number; none if nobody knows.
    pub nr: Option<u64>,
    /// The signal.
    pub signal: Option<u64>,
    /// More words.
    pub detail: Option<String>,
    /// The manifest line of the limit.
    pub manifest_line: Option<u64>,
    /// The most memory that was counted.
    pub memory_peak: Option<u64>,
    /// Processor time by time, both in microseconds.
    pub cpu_of_wall: Option<(u64, u64)>,
}

impl Ending {
    fn read(record: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            name: text(&record["ending"]).unwrap_or_default(),
            at: text(&record["at"]),
            layer: text(&record["layer"]),
            call: record.pointer("/seccomp/call").and_then(text),
            nr: record.pointer("/seccomp/nr").and_then(Value::as_u64),
            signal: record["signal"].as_u64(),
            detail: text(&record["detail"]),
            manifest_line: record["manifest_line"].as_u64(),
            memory_peak: record["memory_peak_bytes"].as_u64(),
            cpu_of_wall: record["cpu_us"].as_u64().zip(record["wall_us"].as_u64()),
        }
    }
}

/// A probe's run in a hosted plugin.
#[derive(Debug, Default)]
pub struct Hosted {
    /// The broker's own process.
    pub ran: Ran,
    /// The `started` record: read-backs agreed, the code was loaded.
    pub started: Option<Value>,
    /// The last `ended` record.
    pub ending: Option<Ending>,
    /// A refusal's code and words.
    pub refused: Option<(String, String)>,
    /// The plugin's report line.
    pub report: Option<Report>,
    /// An error that the plugin answered with.
    pub error: Option<String>,
    /// How large a core of such a process may be, as the kernel says; none if nobody
    /// looked.
    pub core_limit: Option<u64>,
    /// When an honest plugin beside it was answered, as records tell the time.
    pub neighbour: Vec<String>,
    /// What happened outside although nothing should have.
    pub effects: Vec<String>,
    /// What was left behind, or taken beyond a limit.
    pub left: Vec<String>,
}

impl Hosted {
    /// Reads the records of a run of one probe in this plugin.
    #[must_use]
    pub fn read(ran: Ran, plugin: &str, id: &str) -> Self {
        let records = ran.records();
        let of = |event: &str| {
            let own = |record: &&Value| {
                let about = &record["plugin"];
                record["event"] == event && (about == plugin || about.is_null())
            };
            records.iter().rev().find(own)
        };
        let reply = of("reply");
        let last = records.last();
        let text = [reply.map(|record| &record["reply"]), last]
            .into_iter()
            .flatten()
            .find_map(|reply| said_by(reply, id));
        let refused = of("refused").map(|record| {
            let text = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            (text("code"), text("detail"))
        });
        let over = of("started").zip(of("ended")).and_then(|(started, ended)| {
            let peak = ended["memory_peak_bytes"].as_u64()?;
            let limit = started.pointer("/limits/memory_bytes")?.as_u64()?;
            (peak > limit).then(|| format!("memory: {peak} bytes of {limit}"))
        });
        Self {
            started: of("started").cloned(),
            ending: of("ended").map(Ending::read),
            refused,
            report: text,
            error: reply.and_then(|record| record["error"].as_str().map(str::to_owned)),
            core_limit: None,
            neighbour: Vec::new(),
            effects: Vec::new(),
            left: over.into_iter().collect(),
            ran,
        }
    }

    /// The level that it ran at.
    #[must_use]
    pub fn level(&self) -> Option<&str> {
        self.started.as_ref()?["level"].as_str()
    }

    /// Whether a group limits it: there are all of its kinds, or none.
    #[must_use]
    pub fn has_a_group(&self) -> bool {
        let group = self
            .started
            .as_ref()
            .and_then(|it| it.pointer("/cgroup/cpu")?.as_str());
        group.is_some_and(|group| !group.is_empty())
    }

    /// Whether it kept to the share of a processor that it was given: a tenth more at most,
    /// and what two periods of the kernel's quota hold.
    #[must_use]
    pub fn kept_its_share(&self) -> bool {
        /// Of a quota, in microseconds: cfs_period_us.
        const PERIOD: u64 = 100_000;
        let given = self
            .started
            .as_ref()
            .and_then(|it| it.pointer("/limits/cpu_percent")?.as_u64());
        let used = self.ending.as_ref().and_then(|it| it.cpu_of_wall);
        let (Some(given), Some((cpu, wall))) = (given, used) else {
            return false;
        };
        let time = wall.saturating_mul(11) / 10 + 2 * PERIOD;
        cpu.saturating_mul(100) <= time.saturating_mul(given)
    }

    /// Whether its neighbour was answered between its start and its end.
    #[must_use]
    pub fn served_a_neighbour(&self) -> bool {
        let begun = self.started.as_ref().and_then(|it| it["at"].as_str());
        let ended = self.ending.as_ref().and_then(|it| it.at.as_deref());
        let (Some(begun), Some(ended)) = (begun, ended) else {
            return false;
        };
        // In UTC and of one length, so that times are in order as texts, too.
        let within = |at: &String| begun < at.as_str() && at.as_str() < ended;
        self.neighbour.iter().any(within)
    }

    /// The most memory that was counted; none if nothing was.
    #[must_use]
    pub fn memory_peak(&self) -> Option<u64> {
        let peak = self.ending.as_ref()?.memory_peak;
        peak.filter(|peak| *peak > 0)
    }

    /// How many descriptors it has by its record.
    #[must_use]
    pub fn descriptors(&self) -> Option<usize> {
        Some(self.started.as_ref()?.get("fds")?.as_array()?.len())
    }

    /// The profile's digest.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.started.as_ref()?["profile"].as_str()
    }
}

/// The report in a command's reply: `{"status":0,"text":"…"}` or `{"status":0,"data":{"text":"…"}}`.
fn said_by(reply: &Value, id: &str) -> Option<Report> {
    ["/text", "/data/text", "/data/report"]
        .into_iter()
        .filter_map(|at| reply.pointer(at)?.as_str())
        .find_map(|text| report(text, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_whole_line_of_the_very_probe() {
        let good = "noise\nprobe=sc-a form=harmless said=EFAULT value=-14\n";
        assert_eq!(report(good, "sc-a").unwrap().value, -14);
        for bad in [
            "",
            "probe=sc-b form=live said=ok value=0",
            "probe=sc-a form=wild said=ok value=0",
            "probe=sc-a form=live said=ok",
            "probe=sc-a form=live said=ok value=x",
            "xprobe=sc-a form=live said=ok value=0",
        ] {
            assert_eq!(report(bad, "sc-a"), None, "{bad}");
        }
    }
}
