//! How people steer a run: safe mode, signals, a closed stdout, options.

use std::time::Duration;

use gm_integration_tests::kernel::{Process, within};
use gm_integration_tests::process::Live;
use gm_integration_tests::records::{events, number};
use gm_integration_tests::{Home, Package, Repository, process};
use rustix::process::Signal;

const OBSERVER: &str = "com.test.observer";

/// A line of `--events`.
const EVENT: &str = r#"{"hook":"on_commit_analyzed","data":{}}"#;

fn observed() -> Home {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home
}

#[test]
fn safe_mode_starts_no_plugin() {
    let home = observed();
    let repository = Repository::of(2);

    let none = home.run(&repository, &["--safe-mode"]);
    let named = home.run(&repository, &["--safe-mode", OBSERVER]);
    let mut command = home.json("gm-broker");
    command
        .env("GM_PLUGINS", "disabled")
        .args(["run", "--repo", repository.text()]);
    let variable = process::run(&mut command, b"");
    let mut command = home.json("gm-broker");
    command
        .env("GM_PLUGINS", "enabled")
        .args(["run", "--repo", repository.text()]);
    let unknown = process::run(&mut command, b"");

    for run in [&none, &variable] {
        run.expect_exit(0);
        run.expect_nothing_started();
        assert_eq!(events(&run.records, "run_started")[0]["safe_mode"], true);
    }
    named.expect_refused(17, "policy/safe-mode");
    named.expect_nothing_started();
    unknown.expect_refused(2, "usage/arguments");
    unknown.expect_nothing_started();
}

#[test]
fn a_reader_that_leaves_stops_the_run_cleanly() {
    let home = observed();
    let mut live = home.start_events(&[]);
    let started = live.wait_for("a start", |record| record["event"] == "started");
    let plugin = Process::find(u32::try_from(number(&started, "pid")).unwrap()).unwrap();

    let exit = live.hang_up(EVENT);

    assert_eq!(exit, 0);
    assert!(!plugin.lives());
}

#[test]
fn the_first_interrupt_ends_a_run_in_good_order() {
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let home = observed();
        let mut live = home.start_events(&[]);
        live.write_line(EVENT);
        let _ = live.wait_for("a reply", |record| {
            record["event"] == "reply" && record["seq"] == 1
        });

        live.signal(signal);
        let end = live.wait_for("the end of the run", |record| {
            record["event"] == "run_ended"
        });
        let run = live.finish();

        run.expect_exit(exit);
        assert_eq!(end["interrupted"], true);
        run.expect_ending(OBSERVER, "finished");
        let shutdown = run.replies(OBSERVER, "shutdown");
        assert_eq!(shutdown[0]["reply"]["report"], "1 events");
    }
}

#[test]
fn a_run_that_shall_outlive_its_terminal_does() {
    let home = observed();
    let ignoring = ["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""];
    let mut command = home.through(&ignoring, "gm-broker");
    command.args(["--format", "json", "run", "--events", "-"]);
    let mut live = Live::start(&mut command);
    live.wait_for("a start", |record| record["event"] == "started");
    live.signal(Signal::HUP);
    live.write_line(EVENT);
    live.wait_for("a reply", |record| {
        record["event"] == "reply" && record["seq"] == 1
    });
    let run = live.finish();
    run.expect_exit(0);
    run.expect_ending(OBSERVER, "finished");
}

/// Processor time in hundredths of a second, as a rule (proc_pid_stat(5)).
fn ticks(process: Process) -> u64 {
    let stat = process.file("stat");
    let mut words = stat.rsplit_once(')').unwrap().1.split_whitespace();
    words.nth(11).unwrap().parse().unwrap()
}

#[test]
fn an_early_interrupt_is_one_too() {
    let home = observed();
    for wait in [0, 3, 10, 30] {
        let live = home.start_events(&[]);
        // Before that the process is no broker yet: nobody can catch its signals.
        let broker = Process::find(live.pid()).unwrap();
        assert!(within(Duration::from_secs(10), || broker.status("SigBlk")
            != "0000000000000000"));
        std::thread::sleep(Duration::from_millis(wait));
        live.signal(Signal::TERM);
        let run = live.finish();
        run.expect_exit(143);
        assert_eq!(run.last()["event"], "run_ended");
    }
}

#[test]
fn a_pipe_that_nobody_writes_to_is_left_at_the_first_interrupt() {
    let home = observed();
    let pipe = home.beside("events");
    let kind = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    let mut live = home.start(&["run", "--events", pipe.to_str().unwrap()]);
    live.wait_for("a start", |record| record["event"] == "started");
    live.signal(Signal::INT);
    let run = live.finish();
    run.expect_exit(130);
    run.expect_ending(OBSERVER, "finished");
}

#[test]
fn the_brokers_signal_mask_is_the_brokers_alone() {
    let home = observed();
    let mut live = home.start_events(&[]);
    live.wait_for("a start", |record| record["event"] == "started");
    let broker = Process::find(live.pid()).unwrap();
    assert_ne!(broker.status("SigBlk"), "0000000000000000");
    for process in broker.descendants() {
        assert_eq!(process.status("SigBlk"), "0000000000000000");
    }
    live.close_stdin();
    live.finish().expect_exit(0);
}

#[test]
fn the_second_interrupt_ends_a_run_at_once() {
    let home = Home::new();
    let package = Package::of("endless-loop").permission("time_limit", "\"60s\"");
    home.load(&package);
    let mut live = home.start_events(&[]);
    live.write_line(EVENT);
    let started = live.wait_for("a start", |record| record["event"] == "started");
    let plugin = Process::find(u32::try_from(number(&started, "pid")).unwrap()).unwrap();
    // Only a call takes that long; a signal before it would be the end of all events.
    assert!(within(Duration::from_secs(10), || ticks(plugin) > 5));

    live.signal_until_end(Signal::INT);
    let run = live.finish();

    run.expect_exit(130);
    run.expect_ending(package.plugin(), "killed_by_operator");
}

#[test]
fn fail_fast_stops_at_the_first_bad_ending() {
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    home.load(&Package::of("observer"));
    home.load(&Package::of("trap"));
    let mut live = home.start_events(&["--fail-fast"]);
    live.write_line(EVENT);

    // Its stdin stays open: without the option it would wait for more.
    let _ = live.wait_for("the end of the run", |record| {
        record["event"] == "run_ended"
    });
    let run = live.finish();

    run.expect_exit(1);
    run.expect_ending("com.test.trap", "trapped");
    run.expect_ending(OBSERVER, "finished");
}

#[test]
fn every_invocation_prints_its_exit_code_as_json() {
    let home = Home::without_key();
    for words in [
        &["run", "--no-such-option"][..],
        &["no-such-verb"],
        &["run", "--last", "x"],
        &[],
    ] {
        let run = home.broker(words);
        run.expect_exit(2);
        assert_eq!(run.last()["exit"], 2, "{run:#?}");
    }
    let version = home.broker(&["--version"]);
    version.expect_exit(0);
    assert_eq!(version.last()["schema"], "gm.version/1");
}
