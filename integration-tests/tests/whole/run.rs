//! A run as its operator sees it: which events come, in which order and form,
//! and what is recorded.

use std::io::Write as _;

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::process::{self, Live};
use gm_integration_tests::records::{events, number, text};
use gm_integration_tests::{Ended, Home, Package, Repository};
use serde_json::{Value, json};

const OBSERVER: &str = "com.test.observer";

fn observed() -> Home {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home
}

fn subjects(run: &Ended) -> Vec<&str> {
    let replies = run.replies(OBSERVER, "on_commit_analyzed");
    replies
        .into_iter()
        .map(|reply| text(reply, "subject"))
        .collect()
}

fn event(data: &str) -> String {
    format!("{{\"hook\":\"on_commit_analyzed\",\"data\":{data}}}\n")
}

#[test]
fn every_commit_comes_once_and_after_its_parents() {
    let home = observed();
    let mut repository = Repository::of(3);
    let _ = repository.git(&["checkout", "--quiet", "-b", "side", "HEAD~1"]);
    repository.commit(&[("side.txt", "side\n")]);
    let _ = repository.git(&["checkout", "--quiet", "main"]);
    repository.commit(&[("main.txt", "main\n")]);
    let _ = repository.git(&["merge", "--quiet", "--no-ff", "--message", "merge", "side"]);

    let run = home.run(&repository, &[]);

    run.expect_exit(0);
    let replies = run.replies(OBSERVER, "on_commit_analyzed");
    let commits: Vec<&Value> = replies.iter().map(|reply| &reply["reply"]).collect();
    let ids: Vec<&str> = commits.iter().map(|commit| text(commit, "id")).collect();
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    let mut all = repository.ids(&["HEAD"]);
    all.sort();
    assert_eq!(sorted, all);
    for (at, commit) in commits.iter().enumerate() {
        assert_eq!(commit["schema"], "gm.commit/1");
        assert_eq!(commit["index"], at + 1);
        assert_eq!(commit["total"], 6);
        for parent in commit["parents"].as_array().unwrap() {
            assert!(
                ids[..at].contains(&parent.as_str().unwrap()),
                "{parent} after {at}"
            );
        }
    }
    assert_eq!(commits[5]["merge"], true);
    for (at, reply) in replies.iter().enumerate() {
        assert_eq!(reply["seq"], at + 1);
        assert_eq!(reply["status"], "ok");
    }
}

#[test]
fn a_commit_is_described_as_git_describes_it() {
    let home = observed();
    let repository = Repository::of(2);

    let run = home.run(&repository, &["--last", "1"]);

    let replies = run.replies(OBSERVER, "on_commit_analyzed");
    let commit = &replies[0]["reply"];
    assert_eq!(commit["message"], "change 2\n\nThe body.\n");
    assert_eq!(
        commit["tree"],
        repository.git(&["rev-parse", "HEAD^{tree}"])
    );
    let ann = json!({"name": "Ann Author", "email": "ann@test.example",
                     "time": 1_700_000_120, "offset": 60});
    assert_eq!(commit["author"], ann);
    assert_eq!(commit["files_total"], 2);
    let files = commit["files"].as_array().unwrap();
    assert_eq!(files[0]["path"], "log.txt");
    assert_eq!(
        (&files[0]["status"], &files[0]["added"]),
        (&json!("M"), &json!(1))
    );
    assert_eq!(files[1]["path"], "src/2.txt");
    assert_eq!(
        (&files[1]["status"], &files[1]["deleted"]),
        (&json!("A"), &json!(0))
    );
}

#[test]
fn a_run_begins_and_ends_with_records_of_its_own() {
    let home = observed();
    let repository = Repository::of(2);

    let run = home.run(&repository, &[]);

    let begun = events(&run.records, "run_started");
    assert_eq!(begun.len(), 1);
    assert_eq!(begun[0]["plugins"], json!([OBSERVER]));
    assert_eq!(begun[0]["total"], 2);
    assert_eq!(begun[0]["head"], repository.git(&["rev-parse", "HEAD"]));
    assert_eq!(begun[0]["safe_mode"], false);
    assert_eq!(text(begun[0], "instance").len(), 16);
    let end = run.last();
    assert_eq!(end["event"], "run_ended");
    assert_eq!(end["plugins"], json!({"finished": 1}));
    assert_eq!(
        (&end["exit"], &end["interrupted"]),
        (&json!(0), &json!(false))
    );
    for record in &run.records {
        assert_eq!(record["schema"], "gm.run/1");
        let at = text(record, "at");
        assert!(at.len() == 27 && at.ends_with('Z'), "{at}");
    }
    // The same records lie in the home.
    let kept = std::fs::read_to_string(home.path().join("logs/broker.jsonl")).unwrap();
    let kept: Vec<Value> = kept
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let instance = text(begun[0], "instance");
    let first = kept
        .iter()
        .position(|record| record["instance"] == instance)
        .unwrap();
    assert_eq!(kept[first..], run.records[..]);
}

#[test]
fn a_range_and_the_last_ones_are_those_of_git() {
    let home = observed();
    let repository = Repository::of(6);

    let range = home.run(&repository, &["--range", "HEAD~4..HEAD~1"]);
    let last = home.run(&repository, &["--last", "2"]);

    range.expect_exit(0);
    assert_eq!(subjects(&range), repository.ids(&["HEAD~4..HEAD~1"]));
    assert_eq!(subjects(&range).len(), 3);
    last.expect_exit(0);
    assert_eq!(subjects(&last), repository.ids(&["--max-count=2", "HEAD"]));
}

#[test]
fn events_of_a_file_are_handed_on_as_they_are() {
    let home = observed();
    let file = home.beside("events.jsonl");
    let lines =
        event("{\"n\":1}") + "\n" + &event("{\"text\":\"a\\u0000b\",\"deep\":{\"x\":[1,2]}}");
    std::fs::write(&file, lines).unwrap();

    let run = home.broker(&["run", "--events", path_text(&file)]);

    run.expect_exit(0);
    let replies = run.replies(OBSERVER, "on_commit_analyzed");
    let seen: Vec<&Value> = replies.iter().map(|reply| &reply["reply"]).collect();
    assert_eq!(
        seen,
        [
            &json!({"n": 1}),
            &json!({"text": "a\0b", "deep": {"x": [1, 2]}})
        ]
    );
    assert_eq!(number(run.last(), "events"), 2);
}

#[test]
fn a_bad_line_of_events_ends_the_run_after_those_before_it() {
    let home = observed();
    for bad in [
        "{\"hook\":\"on_commit_analyzed\"}",
        "[]",
        "[\"on_commit_analyzed\",{}]",
        "{",
        "{\"hook\":\"init\",\"data\":{}}",
    ] {
        let lines = event("{\"n\":1}") + bad + "\n" + &event("{\"n\":2}");

        let run = home.run_events(&lines, &[]);

        run.expect_exit(2);
        let refused = run.refused();
        assert_eq!(refused["code"], "source/bad-event", "{refused:#}");
        assert!(
            text(refused, "detail").contains('2'),
            "no line in {refused:#}"
        );
        let replies = run.replies(OBSERVER, "on_commit_analyzed");
        assert_eq!(replies.len(), 1, "after {bad}");
        run.expect_ending(OBSERVER, "finished");
    }
}

#[test]
fn replies_and_logs_are_printed_as_asked() {
    let home = Home::new();
    let package = Package::of("log-spoof").permission("host_api", "[\"log:write\"]");
    home.load(&package);
    let repository = Repository::of(2);

    let usual = home.run(&repository, &[]);
    let other = home.run(&repository, &["--no-replies", "--logs"]);

    assert_eq!(
        usual.replies(package.plugin(), "on_commit_analyzed").len(),
        2
    );
    assert!(events(&usual.records, "log").is_empty());
    assert!(events(&other.records, "reply").is_empty());
    assert_eq!(events(&other.records, "log").len(), 2);
    let kept = home.gm(&["plugin", "logs", package.plugin()]);
    kept.expect_exit(0);
    assert_eq!(events(&kept.records, "log").len(), 4);
}

/// A plugin that has logged twice, and its log.
fn logged() -> (Home, Package, std::path::PathBuf) {
    let home = Home::new();
    let package = Package::of("log-spoof").permission("host_api", "[\"log:write\"]");
    home.load(&package);
    home.run(&Repository::of(2), &[]).expect_exit(0);
    let name = format!("logs/plugins/{}.jsonl", package.plugin());
    let file = home.path().join(name);
    (home, package, file)
}

#[test]
fn what_is_no_record_of_a_plugins_log_is_not_shown_as_one() {
    let (home, package, file) = logged();
    let before = std::fs::read(&file).unwrap();
    let other = String::from_utf8(before.clone())
        .unwrap()
        .replace(package.plugin(), "com.test.other");
    let long = vec![b'x'; 1 << 20];
    let junk: [&[u8]; 7] = [
        b"5",
        b"{}",
        b"\xff\xfe",
        b"[\"log\"]",
        b"",
        other.as_bytes(),
        &long,
    ];
    let mut bytes = junk.join(&b'\n');
    bytes.push(b'\n');
    bytes.extend(&before);
    bytes.extend(b"{\"event\":\"log\"");
    std::fs::write(&file, bytes).unwrap();

    let kept = home.gm(&["plugin", "logs", package.plugin()]);

    kept.expect_exit(0);
    assert_eq!(events(&kept.records, "log").len(), 2);
    assert_eq!(kept.last()["records"], 2);
    assert_eq!(kept.records.len(), 3, "{kept:#?}");
}

#[test]
fn a_followed_log_shows_what_comes_and_ends_with_its_reader() {
    let (home, package, file) = logged();
    let words = [
        "--format",
        "json",
        "plugin",
        "logs",
        package.plugin(),
        "--follow",
    ];
    let text = std::fs::read_to_string(&file).unwrap();
    let last = text.lines().next_back().unwrap();

    let mut live = Live::start(home.plain("gm").args(words));
    live.wait_for("the log", |record| record["event"] == "log");
    let mut log = std::fs::File::options().append(true).open(&file).unwrap();
    let (begin, end) = last.split_at(last.len() / 2);
    write!(log, "5\n{begin}").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    writeln!(
        log,
        "{}",
        end.replace("\"level\":", "\"late\":1,\"level\":")
    )
    .unwrap();
    live.wait_for("a late record", |record| {
        record["event"] == "log" && record.to_string().contains("late")
    });
    live.signal(rustix::process::Signal::TERM);
    let followed = live.finish();
    followed.expect_exit(143);
    assert_eq!(events(&followed.records, "log").len(), 3);

    // Nothing more is logged: it must look by itself. The shell waits for both.
    let pipe = "{ \"$0\" \"$@\"; echo \"ended with $?\" >&2; } | head -n 1";
    let mut command = home.through(&["sh", "-c", pipe], "gm");
    let left = process::run(command.args(words), b"");
    assert_eq!(left.stdout.lines().count(), 1);
    assert!(left.stderr.contains("ended with 0"), "{left:#?}");
}

#[test]
fn a_setting_outside_the_manifests_list_is_denied_and_the_line_is_named() {
    let home = Home::new();
    home.configure("[config]\n\"other.secret\" = \"hush\"\n");
    let package = Package::of("nosy")
        .permission("host_api", "[\"config:read\"]")
        .permission("config", "[\"lint.*\"]");
    home.load(&package);

    let run = home.run(&Repository::of(1), &[]);

    run.expect_exit(0);
    let denied = run.one(package.plugin(), "denied");
    assert_eq!(denied["call"], "config_get");
    assert_eq!(denied["code"], "denied");
    assert_eq!(denied["what"], "other.secret");
    assert_eq!(denied["seq"], 1);
    let lines = [package.line_of("config = "), package.line_of("host_api")];
    assert!(
        lines.iter().any(|line| denied["manifest_line"] == *line),
        "{denied:#}"
    );
    assert!(!run.stdout.contains("hush"));
}

#[test]
fn people_get_reports_on_stdout_and_the_rest_on_stderr() {
    let home = observed();
    let repository = Repository::of(2);
    let mut command = home.plain("gm-broker");
    command.args(["run", "--repo", repository.text()]);

    let run = gm_integration_tests::process::run(&mut command, b"");

    run.expect_exit(0);
    assert!(
        run.stdout.contains(OBSERVER) && run.stdout.contains("2 events"),
        "{run:#?}"
    );
    assert!(!run.stdout.contains('{'), "{run:#?}");
}

#[test]
fn no_report_begins_another_ones() {
    let home = Home::new();
    let report = "function shutdown() return { report = 'mine\\n\\ncom.other\\nforged' } end";
    home.load(&Package::script("forger", "lua", report).hooks(&[]));
    let mut command = home.plain("gm-broker");
    command.args(["run", "--events", "-"]);

    let run = gm_integration_tests::process::run(&mut command, b"");

    run.expect_exit(0);
    assert!(run.stdout.contains("\n  com.other\n"), "{run:#?}");
    let heads = run.stdout.lines().filter(|line| line.starts_with("com."));
    assert_eq!(heads.collect::<Vec<_>>(), ["com.test.forger"]);
}

#[test]
fn a_plugin_that_asks_as_fast_as_it_is_answered_is_slowed_down_and_not_ended() {
    let home = Home::new();
    let chatty = |name: &str, time: &str| {
        Package::of("chatty")
            .id(&format!("com.test.{name}"))
            .permission("host_api", "[\"nodes:read\"]")
            .permission("time_limit", time)
    };
    let (patient, hasty) = (chatty("patient", "\"30s\""), chatty("hasty", "\"900ms\""));
    home.load(&patient);
    home.load(&hasty);
    let run = |frames: u32, id: &str| {
        home.configure(&format!("[limits]\nframes = {frames}\n"));
        let begun = std::time::Instant::now();
        (home.run_events(&event("{}"), &[id]), begun.elapsed())
    };

    let (usual, _) = run(20_000, hasty.plugin());
    let (slow, took) = run(1000, patient.plugin());
    let (over, _) = run(1000, hasty.plugin());

    usual.expect_exit(0);
    slow.expect_exit(0);
    let reply = slow.replies(patient.plugin(), "on_commit_analyzed");
    assert_eq!(number(reply[0], "host_calls"), 2500);
    assert!(took.as_secs() >= 2, "2,500 calls took {took:?} only");
    // Its time goes on meanwhile.
    over.expect_ending(hasty.plugin(), "timed_out");
}
