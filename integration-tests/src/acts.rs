//! Acts of the hostile peer, each beside an honest plugin that must not notice.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kernel::{Process, within};
use crate::{Ended, Home, Package};

/// The honest plugin.
pub const NEIGHBOUR: &str = "com.test.observer";

/// A line of `--events`.
pub const EVENT: &str = r#"{"hook":"on_commit_analyzed","data":{}}"#;

/// The broker may grow by this much at most, whatever it is sent.
const GROWTH_KB: u64 = 8 << 10;

/// How an act ended, and what it did to the broker.
pub struct Seen {
    /// The run.
    pub run: Ended,
    /// The plugin in whose place it was done.
    pub id: String,
    /// From the event to the end.
    pub took: Duration,
    descriptors: (usize, usize),
    grown_kb: u64,
}

impl Seen {
    /// What it did to others: nothing, or each thing in words.
    #[must_use]
    pub fn harm(&self) -> Vec<String> {
        let mut harm = Vec::new();
        let (before, after) = self.descriptors;
        if after > before {
            harm.push(format!("the broker's {before} descriptors became {after}"));
        }
        if self.grown_kb >= GROWTH_KB {
            harm.push(format!("the broker grew by {} KiB", self.grown_kb));
        }
        let ended = self.run.of(NEIGHBOUR, "ended");
        if ended
            .last()
            .is_none_or(|ended| ended["ending"] != "finished")
        {
            harm.push(format!("the neighbour did not finish: {ended:?}"));
        }
        // The neighbour had both events and an answer to each.
        let replies = self.run.replies(NEIGHBOUR, "on_commit_analyzed");
        let honest = replies
            .iter()
            .filter(|reply| reply["reply"]["honest"] == true);
        if replies.len() != 2 || honest.count() != 2 {
            harm.push(format!("the neighbour's answers are {replies:?}"));
        }
        harm
    }
}

/// A home on the binaries of a directory in which the peer has an engine's place.
#[must_use]
pub fn home(directory: &Path) -> Home {
    let home = Home::new().with_binaries(directory);
    home.configure("[restart]\nmax = 0\n");
    home.load(&Package::of("observer"));
    home
}

/// A plugin in whose place this act is done.
#[must_use]
pub fn acting(id: &str, act: &str) -> Package {
    Package::of("observer")
        .id(id)
        .asset(&format!("act.{act}"), b"")
        .permission("host_api", "[\"log:write\"]")
        .permission("time_limit", "\"700ms\"")
}

/// Runs one act beside an honest plugin, with two events.
///
/// # Panics
/// If the run is not as far as that in time.
#[must_use]
pub fn perform(home: &Home, act: &str) -> Seen {
    let id = format!("com.test.act-{act}");
    home.load(&acting(&id, act));
    let mut live = home.start_events(&[NEIGHBOUR, &id]);
    let is =
        |record: &Value, event: &str, of: &str| record["event"] == event && record["plugin"] == of;
    live.wait_for("the neighbour's start", |record| {
        is(record, "started", NEIGHBOUR)
    });
    // Started, or dead before that: from here on nothing more is opened for it.
    live.wait_for(act, |record| {
        is(record, "started", &id) || is(record, "ended", &id)
    });
    let broker = Process::find(live.pid()).unwrap();
    let before = (broker.descriptors().len(), resident_kb(broker));
    let begun = Instant::now();
    live.write_line(EVENT);
    live.write_line(EVENT);
    let answered = |record: &Value| is(record, "reply", NEIGHBOUR) && record["seq"] == 2;
    live.wait_for("the neighbour's second answer", answered);
    let over = |record: &Value| {
        is(record, "ended", &id) || (is(record, "reply", &id) && record["seq"] == 2)
    };
    live.wait_for(act, over);
    let took = begun.elapsed();
    let mut now = 0;
    within(Duration::from_secs(1), || {
        now = broker.descriptors().len();
        now <= before.0
    });
    let grown_kb = resident_kb(broker).saturating_sub(before.1);
    Seen {
        run: live.finish(),
        id,
        took,
        descriptors: (before.0, now),
        grown_kb,
    }
}

fn resident_kb(process: Process) -> u64 {
    let text = process.status("VmRSS");
    text.split(' ').next().unwrap().parse().unwrap()
}
