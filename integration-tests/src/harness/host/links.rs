//! What a process in the engine's place does to the broker over its link. The broker
//! trusts nothing that comes from there: not a length, not an order, not a word about
//! walls. Each act runs beside an honest plugin that must not notice.

use serde_json::Value;

use super::super::judge::Shown;
use super::{Attack, Host, all, boxed, ended, held};
use crate::acts::{EVENT, NEIGHBOUR, Seen, acting, home, perform};
use crate::{Ended, Home, Package};

const BROKEN: &[&str] = &["protocol_violation"];

pub(super) fn attacks(id: &str) -> Vec<Attack> {
    match id {
        "ip-lenbomb" => acts(
            &[
                "length-huge",
                "length-too-small",
                "huge-claim",
                "over-a-frame",
                "raised-buffer",
            ],
            BROKEN,
        ),
        "ip-garbage" => acts(
            &[
                "garbage-start",
                "wrong-magic",
                "flags",
                "unknown-tag",
                "trailing-bytes",
                "cut-body",
                "short-packet",
                "one-byte",
                "header-only",
            ],
            BROKEN,
        ),
        "ip-truncate-stall" => acts(
            &[
                "half-an-answer",
                "never-reads",
                "drips",
                "silent-start",
                "silent-load",
            ],
            &["timed_out"],
        ),
        "ip-depth-enum" => acts(
            &[
                "seq-repeated",
                "seq-skipped",
                "other-call",
                "answered-twice",
                "wrong-call-id",
                "claims-longer-argument",
                "parts-for-ever",
                "parts-out-of-order",
            ],
            BROKEN,
        ),
        "ip-last" => acts(
            &[
                "report-twice",
                "loaded-twice",
                "loaded-before-report",
                "answer-before-go",
                "loaded-before-go",
                "answer-without-call",
                "frame-after-last",
                "half-closed",
                "empty-packet",
                "last-in-the-row",
            ],
            // The first last word counts, so what the wait status says may come first.
            &["protocol_violation", "crashed", "failed", "trapped"],
        ),
        "ip-version" => acts(&["old-protocol"], &["wall_missing"]),
        "ip-flood" => acts(
            &["flood"],
            &["protocol_violation", "log_flood", "timed_out"],
        ),
        "lc-lying-runner" => acts(
            &[
                "no-filter",
                "one-filter-less",
                "no-last-filter",
                "says-root",
                "says-capable",
                "dumpable",
                "says-unwalled",
                "more-descriptors",
                "keeps-assets",
            ],
            &["wall_missing"],
        ),
        "fd-scm-in" => vec![boxed(|host| {
            let seen = act(host, "descriptors");
            all([
                // It ends otherwise where the kernel took one of its packets not.
                ended("descriptors", &seen.run, &seen.id, &["finished"]),
                held(
                    "descriptors",
                    "the kernel dropped every descriptor that was sent",
                    &seen.harm(),
                ),
            ])
        })],
        "ip-ungranted" => vec![boxed(ungranted), boxed(odd_names)],
        "ip-impersonate" => vec![boxed(short_packets)],
        "ip-writer" => vec![boxed(|_| foreign_node())],
        _ => Vec::new(),
    }
}

/// Each act, and the endings that the broker may give it.
fn acts(names: &'static [&'static str], endings: &'static [&'static str]) -> Vec<Attack> {
    let one = |name: &&'static str| {
        let name = *name;
        boxed(move |host: &Host| {
            let seen = act(host, name);
            all([
                ended("broker", &seen.run, &seen.id, endings),
                never_answered(&seen),
                held("broker", &format!("{name}: named and ended"), &seen.harm()),
            ])
        })
    };
    names.iter().map(one).collect()
}

fn act(host: &Host, name: &str) -> Seen {
    perform(&home(host.hostile_runner()), name)
}

/// No answer of it was taken for one.
fn never_answered(seen: &Seen) -> Shown {
    let replies = seen.run.replies(&seen.id, "on_commit_analyzed");
    // Two events: an act may be done at the second, after an honest first answer.
    let taken = if replies.len() > 1 {
        vec!["both of its answers were taken".to_owned()]
    } else {
        Vec::new()
    };
    held("broker", "its answers were not taken", &taken)
}

/// A host call that nobody granted.
fn ungranted(host: &Host) -> Shown {
    let seen = act(host, "ungranted-call");
    let denied = !seen.run.of(&seen.id, "denied").is_empty();
    let stopped = denied
        || seen
            .run
            .of(&seen.id, "ended")
            .iter()
            .any(|it| it["ending"] == "protocol_violation");
    let harm = if stopped {
        seen.harm()
    } else {
        vec!["the call was neither denied nor fatal".to_owned()]
    };
    held("broker", "denied, or the end of it", &harm)
}

/// Calls that were granted, with names that are none.
fn odd_names(host: &Host) -> Shown {
    let seen = act(host, "odd-names");
    let mut harm = seen.harm();
    if seen.run.of(&seen.id, "denied").is_empty() {
        harm.push("no odd name was denied".to_owned());
    }
    held("broker", "every odd name was denied", &harm)
}

/// One plugin's frames are never in what is read as another's.
fn short_packets(host: &Host) -> Shown {
    let home = home(host.hostile_runner());
    let (teller, reader) = ("com.test.secret-a", "com.test.short-b");
    home.load(&acting(teller, "tells-secrets"));
    home.load(&acting(reader, "late-short-packet"));
    let mut live = home.start_events(&[NEIGHBOUR, teller, reader, "--logs"]);
    live.write_line(EVENT);
    live.write_line(EVENT);
    let run = live.finish();
    let told = |record: &&Value| record.to_string().contains("the secret of A");
    let told: Vec<&Value> = run.records.iter().filter(told).collect();
    if told.is_empty() {
        return Shown::Unproved("the secret was never told".to_owned());
    }
    let wrong = told.iter().filter(|record| record["plugin"] != teller);
    let wrong: Vec<String> = wrong
        .map(|record| format!("the secret is in {record}"))
        .collect();
    all([
        ended("broker", &run, reader, BROKEN),
        held("broker", "each word has its own source", &wrong),
    ])
}

/// A node that another plugin wrote.
fn foreign_node() -> Shown {
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    let (first, second) = ("com.test.writer", "com.test.thief");
    for id in [first, second] {
        home.load(
            &Package::of("writer")
                .id(id)
                .permission("host_api", "[\"nodes:write\"]"),
        );
    }
    let graph = home.beside("graph.db");
    let put = |id: &str| -> Ended {
        let file = graph.display().to_string();
        home.run_events(&format!("{EVENT}\n"), &[id, "--graph", &file])
    };
    let honest = put(first);
    if honest.exit != 0 {
        return Shown::Unproved(format!("the owner could not write: {}", honest.stdout));
    }
    let stolen = put(second);
    let taken = stolen
        .replies(second, "on_commit_analyzed")
        .iter()
        .any(|reply| reply["status"] == "ok");
    let denied = stolen.of(second, "denied");
    let harm = match (taken, denied.is_empty()) {
        (true, _) => vec!["another plugin's node was overwritten".to_owned()],
        (false, true) => vec!["no put was denied".to_owned()],
        (false, false) => Vec::new(),
    };
    held("broker", "the put was denied", &harm)
}
