//! How plugins end: by a limit, a trap, a failure or in good order, and that no
//! end hurts a neighbour.

use gm_integration_tests::kernel::Process;
use gm_integration_tests::records::{events, number, text};
use gm_integration_tests::{Ended, Home, Package, Repository};
use rustix::process::{Pid, Signal, kill_process};

/// No second try: the first ending is what a test is about.
const NO_RESTART: &str = "[restart]\nmax = 0\n";

/// The most a plugin may live beyond its deadline until it is seen dead.
const SLACK_MS: u64 = 500;

/// Runs one package alone on a repository of three commits.
fn run_alone(package: &Package, config: &str, words: &[&str]) -> Ended {
    let home = Home::new();
    home.configure(config);
    home.load(package);
    home.run(&Repository::of(3), words)
}

#[test]
fn a_neighbour_of_three_bad_plugins_gets_every_event() {
    let home = Home::new();
    home.configure(NO_RESTART);
    home.load(&Package::of("endless-loop").permission("time_limit", "\"300ms\""));
    home.load(&Package::of("memory-hog"));
    home.load(&Package::of("trap"));
    home.load(&Package::of("observer"));
    let repository = Repository::of(5);

    let run = home.run(&repository, &[]);

    run.expect_exit(20);
    run.expect_ending("com.test.endless-loop", "timed_out");
    run.expect_ending("com.test.memory-hog", "out_of_memory");
    run.expect_ending("com.test.trap", "trapped");
    run.expect_ending("com.test.observer", "finished");
    let replies = run.replies("com.test.observer", "on_commit_analyzed");
    let subjects: Vec<_> = replies.iter().map(|reply| text(reply, "subject")).collect();
    assert_eq!(subjects, repository.ids(&["HEAD"]));
    let shutdown = run.replies("com.test.observer", "shutdown");
    assert_eq!(shutdown[0]["reply"]["report"], "5 events");
    let end = run.last();
    assert_eq!(end["event"], "run_ended");
    assert_eq!(end["exit"], 20);
    assert_eq!(number(end, "events"), 5);
    let counts = &end["plugins"];
    for ending in ["finished", "timed_out", "out_of_memory", "trapped"] {
        assert_eq!(counts[ending], 1, "{ending} in\n{end:#}");
    }
}

#[test]
fn an_endless_loop_ends_at_its_time_limit_and_not_much_later() {
    let package = Package::of("endless-loop").permission("time_limit", "\"400ms\"");

    let run = run_alone(&package, "", &[]);

    run.expect_exit(20);
    let ended = run.expect_ending(package.plugin(), "timed_out");
    assert_eq!(ended["exit"], 20);
    assert_eq!(ended["layer"], "deadline");
    assert_eq!(ended["limit"], "400ms");
    assert_eq!(ended["at_hook"], "on_commit_analyzed");
    assert_eq!(ended["at_seq"], 1);
    assert_eq!(ended["manifest_line"], package.line_of("time_limit"));
    assert!(ended["restart"].is_null(), "{ended:#}");
    let took: u64 = text(ended, "peak").parse().unwrap();
    assert!(
        (400..=400 + SLACK_MS).contains(&took),
        "it took {took} ms: {ended:#}"
    );
    // Its whole life: the start, `init`, and the one call.
    assert!(number(ended, "wall_us") >= 400_000, "{ended:#}");
    // A limit is final: it was not started again.
    assert_eq!(run.of(package.plugin(), "started").len(), 1);
}

#[test]
fn a_start_function_that_loops_ends_before_the_plugin_counts_as_started() {
    let package = Package::of("start-loop");

    let run = run_alone(&package, "", &[]);

    run.expect_exit(20);
    let ended = run.expect_ending(package.plugin(), "timed_out");
    assert_eq!(ended["layer"], "deadline");
    assert_eq!(number(ended, "calls"), 0);
    run.expect_nothing_started();
}

#[test]
fn a_trap_after_the_memory_limit_was_reached_is_out_of_memory() {
    let package = Package::of("memory-hog").permission("memory_limit", "\"24mb\"");

    let run = run_alone(&package, "", &[]);

    run.expect_exit(20);
    let ended = run.expect_ending(package.plugin(), "out_of_memory");
    assert_eq!(ended["exit"], 20);
    assert_eq!(ended["limit"], "24mb");
    assert!(
        ["engine", "cgroup"].contains(&text(ended, "layer")),
        "{ended:#}"
    );
    assert_eq!(ended["manifest_line"], package.line_of("memory_limit"));
    assert!(number(ended, "memory_peak_bytes") <= 24 << 20, "{ended:#}");
    // It got a good part of what it may have: the limit is not something else.
    assert!(number(ended, "memory_peak_bytes") >= 8 << 20, "{ended:#}");
    assert!(ended["restart"].is_null(), "{ended:#}");
}

#[test]
fn a_trap_after_more_pages_were_refused_than_a_memory_may_have_is_out_of_memory() {
    // Beyond what any memory has, and beyond the module's own maximum.
    for (maximum, pages) in [("", 65_535), ("8", 8)] {
        let source = format!(
            r#"(module
              (memory (export "memory") 4 {maximum})
              (func (export "gm_alloc") (param i32) (result i32) (i32.const 4096))
              (func (export "on_commit_analyzed") (param i32 i32) (result i32)
                (if (i32.lt_s (memory.grow (i32.const {pages})) (i32.const 0))
                  (then (unreachable)))
                (i32.const 0)))"#
        );
        let package = Package::with_code("com.test.greedy", &Package::assemble(&source));

        let run = run_alone(&package, "", &[]);

        run.expect_exit(20);
        let ended = run.expect_ending(package.plugin(), "out_of_memory");
        assert_eq!(ended["layer"], "engine");
    }
}

#[test]
fn a_plugin_that_lives_with_what_memory_it_gets_finishes() {
    let package = Package::of("modest-grower");

    let run = run_alone(&package, "", &[]);

    run.expect_exit(0);
    run.expect_ending(package.plugin(), "finished");
    let replies = run.replies(package.plugin(), "on_commit_analyzed");
    assert_eq!(replies.len(), 3);
    assert_eq!(replies[0]["reply"]["modest"], true);
}

#[test]
fn a_trap_ends_the_process_and_is_named() {
    for name in ["trap", "out-of-bounds", "bad-pointer", "bad-alloc"] {
        let package = Package::of(name);

        let run = run_alone(&package, NO_RESTART, &[]);

        run.expect_exit(1);
        let ended = run.expect_ending(package.plugin(), "trapped");
        assert_eq!(ended["exit"], 1);
        assert_eq!(ended["layer"], "engine", "{name}");
        assert_eq!(ended["at_hook"], "on_commit_analyzed", "{name}");
        assert!(
            ended["limit"].is_null() && ended["peak"].is_null(),
            "{ended:#}"
        );
        assert!(
            run.replies(package.plugin(), "on_commit_analyzed")
                .is_empty()
        );
    }
}

#[test]
fn an_exhausted_stack_is_a_trap_that_says_stack() {
    let package = Package::of("stack-overflow");

    let run = run_alone(&package, NO_RESTART, &[]);

    let ended = run.expect_ending(package.plugin(), "trapped");
    assert!(text(ended, "detail").contains("stack"), "{ended:#}");
}

#[test]
fn a_trapped_plugin_is_started_afresh_a_few_times_and_never_gets_an_event_twice() {
    let package = Package::of("trap");
    let home = Home::new();
    home.configure("[restart]\nmax = 2\nbackoff = \"20ms\"\n");
    home.load(&package);

    let run = home.run(&Repository::of(6), &[]);

    run.expect_exit(1);
    let ended = run.of(package.plugin(), "ended");
    let at: Vec<_> = ended
        .iter()
        .map(|record| number(record, "at_seq"))
        .collect();
    assert_eq!(at, [1, 2, 3], "{ended:#?}");
    let attempts: Vec<_> = ended
        .iter()
        .map(|r| r["restart"]["attempt"].as_u64())
        .collect();
    assert_eq!(attempts, [Some(1), Some(2), None]);
    assert_eq!(ended[0]["restart"]["after_ms"], 20);
    assert_eq!(ended[1]["restart"]["after_ms"], 80);
    // Each life is a process of its own.
    let started = run.of(package.plugin(), "started");
    let pids: std::collections::BTreeSet<_> = started.iter().map(|r| number(r, "pid")).collect();
    assert_eq!(pids.len(), 3, "{started:#?}");
    assert_eq!(number(run.last(), "events"), 6);
}

#[test]
fn a_plugin_that_says_no_in_init_has_failed_and_gets_no_event() {
    let package = Package::of("init-fails");

    let run = run_alone(&package, NO_RESTART, &[]);

    run.expect_exit(1);
    let ended = run.expect_ending(package.plugin(), "failed");
    assert!(text(ended, "detail").contains("no lamp"), "{ended:#}");
    assert_eq!(run.of(package.plugin(), "started").len(), 1);
    assert!(
        run.replies(package.plugin(), "on_commit_analyzed")
            .is_empty()
    );
}

#[test]
fn a_trap_in_init_is_a_trap_at_no_event() {
    let package = Package::of("init-trap");

    let run = run_alone(&package, NO_RESTART, &[]);

    run.expect_exit(1);
    let ended = run.expect_ending(package.plugin(), "trapped");
    assert_eq!(ended["at_hook"], "init");
    assert_eq!(ended["at_seq"], 0);
}

#[test]
fn text_of_a_plugin_can_not_fake_a_line_of_the_host() {
    let home = Home::new();
    home.configure(NO_RESTART);
    home.load(&Package::of("init-fails"));
    let mut plain = home.plain("gm-broker");
    let repository = Repository::of(1);

    let run =
        gm_integration_tests::process::run(plain.args(["run", "--repo", repository.text()]), b"");

    run.expect_exit(1);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("no lamp"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said}");
    assert!(
        !said.lines().any(|line| line.starts_with("run ended")),
        "{said}"
    );
}

#[test]
fn an_error_of_a_hook_is_recorded_and_the_plugin_goes_on() {
    let package = Package::of("hook-error");

    let run = run_alone(&package, "", &[]);

    run.expect_exit(1);
    let replies = run.replies(package.plugin(), "on_commit_analyzed");
    assert_eq!(replies.len(), 3);
    for reply in replies {
        assert_eq!(reply["status"], "error");
        assert_eq!(reply["error"], "not today");
    }
    let ended = run.expect_ending(package.plugin(), "finished");
    assert_eq!(number(ended, "errors"), 3);
}

#[test]
fn a_reply_that_is_no_object_or_too_big_is_answered_with_a_code() {
    let package = Package::of("bad-reply");

    let run = run_alone(&package, "", &[]);

    run.expect_exit(0);
    run.expect_ending(package.plugin(), "finished");
    let replies = run.replies(package.plugin(), "on_commit_analyzed");
    assert_eq!(replies.len(), 3);
    assert!(
        replies
            .iter()
            .all(|r| r["status"] == "ok" && r["reply"].is_null()),
        "{replies:#?}"
    );
}

#[test]
fn a_flood_of_log_lines_ends_the_plugin_that_sends_it() {
    let package = Package::of("log-flood")
        .permission("host_api", "[\"log:write\"]")
        .permission("time_limit", "\"30s\"");

    let run = run_alone(&package, "[limits]\nlog_lines = 10\nlog_flood = 100\n", &[]);

    run.expect_exit(20);
    let ended = run.expect_ending(package.plugin(), "log_flood");
    assert_eq!(ended["exit"], 20);
    assert_eq!(ended["layer"], "log");
    assert_eq!(ended["limit"], "100");
}

#[test]
fn a_log_line_can_not_fake_another_source_or_paint_the_terminal() {
    let package = Package::of("log-spoof").permission("host_api", "[\"log:write\"]");

    let run = run_alone(&package, "", &["--logs"]);

    run.expect_exit(0);
    let lines = events(&run.records, "log");
    assert_eq!(lines.len(), 3, "{run:#?}");
    for line in lines {
        assert_eq!(line["plugin"], package.plugin());
        assert_eq!(line["level"], "warn");
        let said = text(line, "text");
        assert!(said.contains("I did it"), "{said:?}");
        let harmful = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!said.contains(harmful), "{said:?}");
    }
}

#[test]
fn a_process_killed_by_a_stranger_has_crashed_and_its_neighbour_has_not() {
    let home = Home::new();
    home.configure(NO_RESTART);
    home.load(&Package::of("observer"));
    home.load(&Package::of("observer").id("com.test.victim"));
    let mut live = home.start_events(&[]);
    let started = live.wait_for("the victim's start", |record| {
        record["event"] == "started" && record["plugin"] == "com.test.victim"
    });
    let victim = Process::find(u32::try_from(number(&started, "pid")).unwrap()).unwrap();
    let pid = Pid::from_raw(i32::try_from(victim.pid).unwrap()).unwrap();

    kill_process(pid, Signal::KILL).unwrap();
    live.wait_for("its ending", |record| {
        record["event"] == "ended" && record["plugin"] == "com.test.victim"
    });
    live.write_line(r#"{"hook":"on_commit_analyzed","data":{"n":1}}"#);
    let run = live.finish();

    run.expect_exit(1);
    let ended = run.expect_ending("com.test.victim", "crashed");
    assert_eq!(ended["signal"], 9);
    run.expect_ending("com.test.observer", "finished");
    let replies = run.replies("com.test.observer", "on_commit_analyzed");
    assert_eq!(replies[0]["reply"]["n"], 1);
    assert!(!victim.lives());
}
