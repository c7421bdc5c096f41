//! How much one plugin may make the broker write down in a run.
//!
//! A refusal, a reply and an emitted record cost a plugin nothing. Without a bound
//! they would fill stdout, and rotate the journal until neither the neighbours'
//! records nor the run's own are in it. So each plugin has a share of the journal.
//! What is beyond a bound is counted, and the count is told: never dropped in silence.

use std::collections::BTreeMap;

use gm_protocol::plan::HostOp;
use serde_json::{Value, json};

use crate::logs::KEPT;

/// So many refusals of each host call are written one by one. Nobody reads more of
/// them, and a plugin can do nothing that would deserve more.
const DENIED: u64 = 100;
/// Emitted records are results, so there may be more where there was more to look at:
/// first so many …
const EMITTED: Amount = Amount {
    records: 10_000,
    bytes: 16 << 20,
};
/// … and so many more for each source event.
const EMITTED_PER_EVENT: Amount = Amount {
    records: 100,
    bytes: 64 << 10,
};
/// One of so many parts of a share is for refusals alone: no reply takes their place.
const FOR_DENIED: u64 = 4;

struct Amount {
    records: u64,
    bytes: u64,
}

/// Which records a plugin causes as often as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A refused host call.
    Denied(HostOp),
    /// What it emitted.
    Emitted,
    /// A hook's answer.
    Reply,
}

impl Kind {
    /// The records' `event`.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Emitted => "emitted",
            Self::Reply => "reply",
        }
    }

    fn call(self) -> Option<&'static str> {
        match self {
            Self::Denied(op) => Some(op.as_str()),
            Self::Emitted | Self::Reply => None,
        }
    }
}

/// What of one kind there was in this run.
#[derive(Debug, Default)]
struct Count {
    total: u64,
    written: u64,
    in_journal: u64,
    /// What was missing when it was last told.
    told: u64,
}

impl Count {
    fn missing(&self) -> u64 {
        self.total - self.in_journal
    }
}

/// One plugin's share, over all its lives in a run.
#[derive(Debug)]
pub struct Share {
    /// Bytes of the journal that are left for refusals, and for all else.
    left: (u64, u64),
    events: u64,
    emitted_bytes: u64,
    counts: BTreeMap<Kind, Count>,
}

impl Share {
    /// The share of one of so many plugins, of a journal that is rotated at `log_file`
    /// bytes.
    ///
    /// All shares together leave room for one of the files that are kept: in it are the
    /// run's own records, starts and endings.
    #[must_use]
    pub fn new(log_file: u64, plugins: usize) -> Self {
        let all = log_file.saturating_mul(u64::from(KEPT).saturating_sub(1));
        let share = all / u64::try_from(plugins.max(1)).unwrap_or(u64::MAX);
        let for_denied = share / FOR_DENIED;
        Self {
            left: (for_denied, share - for_denied),
            events: 0,
            emitted_bytes: 0,
            counts: BTreeMap::new(),
        }
    }

    /// The plugin is given an event of the source.
    pub fn event(&mut self) {
        self.events += 1;
    }

    /// Counts a record of about `len` bytes; false = it is only counted.
    pub(super) fn admits(&mut self, kind: Kind, len: usize) -> bool {
        let count = self.counts.entry(kind).or_default();
        count.total += 1;
        let admitted = match kind {
            Kind::Denied(_) => count.written < DENIED,
            Kind::Emitted => {
                let len = u64::try_from(len).unwrap_or(u64::MAX);
                let bytes = self.emitted_bytes.saturating_add(len);
                let most =
                    |first: u64, each: u64| first.saturating_add(each.saturating_mul(self.events));
                let admitted = count.written < most(EMITTED.records, EMITTED_PER_EVENT.records)
                    && bytes <= most(EMITTED.bytes, EMITTED_PER_EVENT.bytes);
                if admitted {
                    self.emitted_bytes = bytes;
                }
                admitted
            }
            // There is one for each event, and it is what the caller asked for.
            Kind::Reply => true,
        };
        count.written += u64::from(admitted);
        admitted
    }

    /// Whether a record that was admitted, a line of `len` bytes, also has its place in
    /// the journal.
    pub(super) fn keeps(&mut self, kind: Kind, len: usize) -> bool {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let (for_denied, for_all) = &mut self.left;
        let take = |from: &mut u64| match from.checked_sub(len) {
            Some(left) => {
                *from = left;
                true
            }
            None => false,
        };
        let kept = match kind {
            Kind::Denied(_) => take(for_denied) || take(for_all),
            Kind::Emitted | Kind::Reply => take(for_all),
        };
        if kept && let Some(count) = self.counts.get_mut(&kind) {
            count.in_journal += 1;
        }
        kept
    }

    /// What is to be told of this kind now: at the first record that is missing in the
    /// journal, at the tenth, the hundredth and so on.
    pub(super) fn due(&mut self, kind: Kind) -> Option<Sum> {
        let count = self.counts.get_mut(&kind)?;
        let missing = count.missing();
        let step = missing.checked_ilog10().map(|power| 10_u64.pow(power));
        (step == Some(missing) && missing > count.told).then(|| Sum::of(kind, count))
    }

    /// What was not told yet.
    pub(super) fn rest(&mut self) -> Vec<Sum> {
        let counts = self.counts.iter_mut();
        let untold = counts.filter(|(_, count)| count.missing() > count.told);
        untold.map(|(kind, count)| Sum::of(*kind, count)).collect()
    }
}

/// The sum that stands for records.
#[derive(Debug)]
pub(super) struct Sum {
    kind: Kind,
    total: u64,
    written: u64,
    in_journal: u64,
}

impl Sum {
    fn of(kind: Kind, count: &mut Count) -> Self {
        count.told = count.missing();
        Self {
            kind,
            total: count.total,
            written: count.written,
            in_journal: count.in_journal,
        }
    }

    /// The fields of an `omitted` record. All numbers are of the whole run so far.
    pub(super) fn fields(&self) -> Value {
        json!({
            "of": self.kind.event(),
            "call": self.kind.call(),
            "total": self.total,
            "written": self.written,
            "in_journal": self.in_journal,
        })
    }

    /// For people.
    pub(super) fn text(&self, id: &str) -> String {
        let what = match self.kind.call() {
            Some(call) => format!("{call} was denied {} times", self.total),
            None => format!("{} {} records", self.total, self.kind.event()),
        };
        let (written, kept) = (self.written, self.in_journal);
        match written == self.total {
            true => format!("{id} │ {what}; {kept} of them are in logs/broker.jsonl, its share"),
            false => format!("{id} │ {what}; {written} of them were recorded, the rest counted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED_GET: Kind = Kind::Denied(HostOp::NodeGet);

    /// How many of so many were admitted and kept, and the sums on the way.
    fn flood(share: &mut Share, kind: Kind, times: u64, len: usize) -> (u64, u64, Vec<u64>) {
        let (mut written, mut kept, mut told) = (0, 0, Vec::new());
        for _ in 0..times {
            if share.admits(kind, len) {
                written += 1;
                kept += u64::from(share.keeps(kind, len));
            }
            told.extend(share.due(kind).map(|sum| sum.total));
        }
        (written, kept, told)
    }

    #[test]
    fn refusals_are_written_one_by_one_then_counted_in_steps() {
        let mut share = Share::new(10 << 20, 2);
        let (written, kept, told) = flood(&mut share, DENIED_GET, 100_000, 300);
        assert_eq!((written, kept), (100, 100));
        assert_eq!(told, [101, 110, 200, 1_100, 10_100]);
        let rest: Vec<Value> = share.rest().iter().map(Sum::fields).collect();
        let sum = json!({"of": "denied", "call": "node_get", "total": 100_000, "written": 100, "in_journal": 100});
        assert_eq!(rest, [sum]);
        assert!(share.rest().is_empty());
    }

    #[test]
    fn one_call_that_floods_hides_no_other_ones_refusal() {
        let mut share = Share::new(10 << 20, 2);
        flood(&mut share, DENIED_GET, 100_000, 300);
        let other = Kind::Denied(HostOp::EdgeGet);
        assert_eq!(flood(&mut share, other, 1, 300), (1, 1, vec![]));
    }

    #[test]
    fn replies_fill_their_share_of_the_journal_and_no_refusals() {
        let mut share = Share::new(1 << 20, 2);
        let (written, kept, told) = flood(&mut share, Kind::Reply, 1_000, 64 << 10);
        // One mebibyte for each of two plugins, a quarter of it for refusals.
        assert_eq!((written, kept), (1_000, 12));
        assert_eq!(told, [13, 22, 112]);
        assert_eq!(flood(&mut share, DENIED_GET, 2, 300), (2, 2, vec![]));
    }

    #[test]
    fn emitted_records_are_as_many_as_there_were_events_for() {
        let mut share = Share::new(1 << 30, 1);
        assert_eq!(flood(&mut share, Kind::Emitted, 50_000, 100).0, 10_000);
        share.event();
        assert_eq!(flood(&mut share, Kind::Emitted, 50_000, 100).0, 100);
        let mut share = Share::new(1 << 30, 1);
        assert_eq!(flood(&mut share, Kind::Emitted, 50, 1 << 20).0, 16);
    }

    #[test]
    fn all_shares_leave_a_file_of_the_journal() {
        for plugins in [0, 1, 2, 3, 64] {
            let share = Share::new(10 << 20, plugins);
            let all = (share.left.0 + share.left.1) * u64::try_from(plugins.max(1)).unwrap();
            assert!(all <= 20 << 20, "{plugins}: {all}");
        }
    }
}
