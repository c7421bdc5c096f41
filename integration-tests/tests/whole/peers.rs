//! A hostile process in the engine's place: whatever it writes to the link, the
//! broker names it, ends it, and serves its neighbour meanwhile.

use std::time::Duration;

use gm_integration_tests::acts::{EVENT, NEIGHBOUR, Seen, acting, home, perform};
use gm_integration_tests::peer;
use gm_integration_tests::records::{number, text};
use serde_json::Value;

/// What every act leaves as it was, and how it ended.
trait Expect {
    fn expect(&self, act: &str, endings: &[&str]) -> &Value;
}

impl Expect for Seen {
    #[track_caller]
    fn expect(&self, act: &str, endings: &[&str]) -> &Value {
        assert_eq!(self.harm(), [""; 0], "{act}");
        let ended = self.run.one(&self.id, "ended");
        assert!(endings.contains(&text(ended, "ending")), "{act}: {ended:#}");
        ended
    }
}

#[test]
fn an_honest_stand_in_is_served_like_any_engine() {
    let home = home(peer::directory());
    let seen = perform(&home, "none");
    seen.expect("none", &["finished"]);
    seen.run.expect_exit(0);
}

#[test]
fn a_frame_that_breaks_a_rule_is_the_last() {
    let home = home(peer::directory());
    for act in [
        "short-packet",
        "one-byte",
        "header-only",
        "length-too-small",
        "length-huge",
        "wrong-magic",
        "flags",
        "over-a-frame",
        "raised-buffer",
        "seq-repeated",
        "seq-skipped",
        "unknown-tag",
        "huge-claim",
        "trailing-bytes",
        "cut-body",
    ] {
        let seen = perform(&home, act);
        let ended = seen.expect(act, &["protocol_violation"]);
        assert_eq!(ended["layer"], "link", "{act}");
        assert_eq!(ended["exit"], 20, "{act}");
        seen.run.expect_exit(20);
        assert!(
            seen.run.replies(&seen.id, "on_commit_analyzed").is_empty(),
            "{act}"
        );
        // Nothing that its neighbour said is in anything about it.
        let records = seen.run.records.iter();
        let about = records.filter(|record| record["plugin"] == seen.id.as_str());
        for record in about {
            assert!(!record.to_string().contains("honest"), "{act}: {record:#}");
        }
    }
}

#[test]
fn a_message_out_of_turn_is_the_last() {
    let home = home(peer::directory());
    for act in [
        "report-twice",
        "loaded-twice",
        "other-call",
        "answered-twice",
        "wrong-call-id",
        "claims-longer-argument",
        "parts-for-ever",
        "parts-out-of-order",
        "answer-without-call",
    ] {
        let seen = perform(&home, act);
        seen.expect(act, &["protocol_violation"]);
        seen.run.expect_exit(20);
    }
}

#[test]
fn no_frame_and_no_silence_moves_a_deadline() {
    let home = home(peer::directory());
    for act in ["half-an-answer", "never-reads", "drips", "reply-is-no-json"] {
        let seen = perform(&home, act);
        let ended = seen.expect(act, &["timed_out"]);
        assert_eq!(ended["layer"], "deadline", "{act}");
        assert_eq!(ended["limit"], "700ms", "{act}");
        let took: u64 = text(ended, "peak").parse().unwrap();
        assert!((700..=1200).contains(&took), "{act} took {took} ms");
    }
}

#[test]
fn a_flood_is_stopped_and_the_neighbour_does_not_notice() {
    let home = home(peer::directory());
    let seen = perform(&home, "flood");
    // Which cap is first depends on how fast it is; that one is, does not.
    seen.expect("flood", &["protocol_violation", "log_flood", "timed_out"]);
    assert!(seen.took < Duration::from_secs(20), "{:?}", seen.took);
}

#[test]
fn nothing_of_one_plugins_frames_is_in_anothers_short_packet() {
    let home = home(peer::directory());
    let (a, b) = ("com.test.secret-a", "com.test.short-b");
    home.load(&acting(a, "tells-secrets"));
    home.load(&acting(b, "late-short-packet"));
    let mut live = home.start_events(&[NEIGHBOUR, a, b, "--logs"]);
    live.write_line(EVENT);
    live.write_line(EVENT);
    let run = live.finish();
    run.expect_ending(a, "finished");
    run.expect_ending(b, "protocol_violation");
    run.expect_ending(NEIGHBOUR, "finished");
    assert_eq!(run.replies(NEIGHBOUR, "on_commit_analyzed").len(), 2);
    let told: Vec<&Value> = run
        .records
        .iter()
        .filter(|record| record.to_string().contains("the secret of A"))
        .collect();
    // Once for each frame; the act is done at each of the two calls.
    assert_eq!(told.len(), 6, "{told:#?}");
    assert!(told.iter().all(|record| record["plugin"] == a), "{told:#?}");
    let mut shown = run
        .stderr
        .lines()
        .filter(|line| line.contains("the secret"));
    assert!(shown.all(|line| line.contains(a)), "{}", run.stderr);
    let log = home.path().join(format!("logs/plugins/{b}.jsonl"));
    let log = std::fs::read_to_string(log).unwrap_or_default();
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn three_floods_together_leave_the_neighbour_its_share() {
    let home = home(peer::directory());
    let ids: Vec<String> = (1..=3).map(|n| format!("com.test.flood-{n}")).collect();
    for id in &ids {
        home.load(&acting(id, "flood"));
    }
    let mut words = vec![NEIGHBOUR];
    words.extend(ids.iter().map(String::as_str));
    let mut live = home.start_events(&words);
    live.write_line(EVENT);
    live.write_line(EVENT);
    let run = live.finish();
    for id in &ids {
        let ended = run.one(id, "ended");
        let ending = text(ended, "ending");
        assert!(
            ["protocol_violation", "log_flood", "timed_out"].contains(&ending),
            "{ended:#}"
        );
    }
    run.expect_ending(NEIGHBOUR, "finished");
    assert_eq!(run.replies(NEIGHBOUR, "on_commit_analyzed").len(), 2);
}

#[test]
fn descriptors_in_good_frames_are_dropped_by_the_kernel() {
    let home = home(peer::directory());
    // `perform` has compared the broker's descriptors.
    perform(&home, "descriptors").expect("descriptors", &["finished"]);
}

#[test]
fn a_host_call_without_its_permission_is_denied_or_ends_the_plugin() {
    let home = home(peer::directory());
    let seen = perform(&home, "ungranted-call");
    let ended = seen.expect("ungranted-call", &["protocol_violation", "finished"]);
    let denied = !seen.run.of(&seen.id, "denied").is_empty();
    assert!(
        denied || ended["ending"] == "protocol_violation",
        "{:#?}",
        seen.run
    );
}

#[test]
fn names_that_are_none_are_denied_like_any_other() {
    let home = home(peer::directory());
    let seen = perform(&home, "odd-names");
    seen.expect("odd-names", &["finished"]);
    // Once a call and name; the records are lines of JSON, whatever the names are.
    assert!(!seen.run.of(&seen.id, "denied").is_empty());
}

#[test]
fn calls_at_once_and_credentials_change_nothing() {
    let home = home(peer::directory());
    for act in ["calls-at-once", "asks-for-credentials"] {
        perform(&home, act).expect(act, &["finished"]);
    }
}

#[test]
fn one_task_too_many_and_a_forbidden_call_are_named() {
    let home = home(peer::directory());
    let seen = perform(&home, "multiplies");
    let ended = seen.expect("multiplies", &["too_many_processes"]);
    assert_eq!(ended["layer"], "cgroup");
    seen.run.expect_exit(20);

    let seen = perform(&home, "forbidden-call");
    let ended = seen.expect("forbidden-call", &["forbidden_syscall"]);
    assert_eq!(ended["layer"], "seccomp");
    // It said no last word, so nobody knows which call it was.
    assert!(ended["seccomp"]["nr"].is_null(), "{ended:#}");
    seen.run.expect_exit(20);
}

#[test]
fn what_comes_after_the_last_words_is_not_read() {
    let home = home(peer::directory());
    for act in [
        "frame-after-last",
        "half-closed",
        "empty-packet",
        "last-in-the-row",
    ] {
        let seen = perform(&home, act);
        seen.expect(act, &["protocol_violation", "crashed", "failed", "trapped"]);
        assert!(
            seen.run.replies(&seen.id, "on_commit_analyzed").is_empty(),
            "{act}"
        );
    }
}

#[test]
fn a_runner_that_lies_about_its_walls_never_gets_a_call() {
    let home = home(peer::directory());
    for (act, wall) in [
        ("no-filter", "seccomp"),
        ("one-filter-less", "seccomp"),
        ("no-last-filter", "seccomp"),
        ("old-protocol", "seccomp"),
        ("says-root", "uid"),
        ("says-capable", "caps"),
        ("dumpable", "caps"),
        ("says-unwalled", "landlock"),
        ("more-descriptors", "descriptors"),
        ("keeps-assets", "descriptors"),
    ] {
        let seen = perform(&home, act);
        let ended = seen.expect(act, &["wall_missing"]);
        assert_eq!(ended["layer"], wall, "{act}");
        assert_eq!(number(ended, "exit"), 30, "{act}");
        assert!(seen.run.of(&seen.id, "started").is_empty(), "{act}");
        seen.run.expect_exit(30);
    }
}

#[test]
fn a_start_that_goes_another_way_ends_there() {
    let home = home(peer::directory());
    for (act, ending) in [
        ("garbage-start", "protocol_violation"),
        ("loaded-before-report", "protocol_violation"),
        ("answer-before-go", "protocol_violation"),
        ("loaded-before-go", "protocol_violation"),
        ("silent-start", "timed_out"),
        ("silent-load", "timed_out"),
    ] {
        let seen = perform(&home, act);
        seen.expect(act, &[ending]);
        assert!(seen.run.of(&seen.id, "started").is_empty(), "{act}");
        seen.run.expect_exit(20);
    }
}
