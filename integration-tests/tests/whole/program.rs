//! Static executables as plugins: lines for calls, a log for their error output, a
//! few processes, and one exec.

use gm_integration_tests::kernel::{Process, within};
use gm_integration_tests::machine_code::program;
use gm_integration_tests::records::{events, number, text};
use gm_integration_tests::skip::below_l4;
use gm_integration_tests::{Ended, Home, Package};
use rustix::process::{Pid, Signal, kill_process};

use crate::native::events_of;

const ID: &str = "com.test.program";
const NEIGHBOUR: &str = "com.test.observer";

fn home(config: &str) -> Home {
    let home = Home::new();
    home.configure(config);
    home.allow_native(&[ID]);
    home
}

fn run_beside(package: &Package, words: &[&str]) -> Ended {
    let home = home("[restart]\nmax = 0\n");
    home.load(package);
    home.load(&Package::of("observer"));
    home.run_events(&events_of(words), &["--allow-native", "--logs"])
}

#[test]
fn a_program_is_called_by_lines_and_answers_by_lines() {
    let package = program("program", &[])
        .asset("lists/words.txt", b"{\"words\":1}")
        .permission("host_api", "[\"nodes:read\"]");

    let run = run_beside(&package, &["reply", "error", "host", "asset", "child"]);

    run.expect_exit(1);
    run.expect_ending(ID, "finished");
    let replies = run.replies(ID, "on_commit_analyzed");
    assert_eq!(replies[0]["reply"]["hello"], true);
    assert_eq!(replies[1]["error"], "not today");
    assert_eq!(replies[2]["reply"]["got"]["error"], "not_found");
    assert_eq!(replies[3]["reply"]["text"]["words"], 1);
    assert_eq!(replies[4]["reply"]["status"], 5);
    let started = run.one(ID, "started");
    assert_eq!(
        (&started["kind"], &started["limits"]["pids"]),
        (&"native".into(), &16.into())
    );
    assert_eq!(started["seccomp"]["wall"], "loading");
    assert!(number(&started["seccomp"], "running_calls") <= 40);
}

#[test]
fn the_least_memory_is_enough_for_a_program() {
    let package = program("program", &[]).permission("memory_limit", "\"4mb\"");
    let run = run_beside(&package, &["reply", "child"]);
    run.expect_exit(0);
    run.expect_ending(ID, "finished");
}

#[test]
fn a_program_needs_both_words() {
    let home = Home::new();
    let package = program("program", &[]);
    home.sign(&package);
    home.try_load(&package)
        .expect_refused(17, "policy/native-disallowed");
    let home = self::home("");
    home.load(&program("program", &[]));
    let run = home.run_events(&events_of(&["reply"]), &[ID]);
    run.expect_refused(17, "policy/native-disallowed");
    run.expect_nothing_started();
}

#[test]
fn error_output_of_a_program_is_its_log_without_a_grant() {
    let run = run_beside(&program("program", &[]), &["stderr", "reply"]);
    run.expect_exit(0);
    let lines = events(&run.records, "log");
    let lines: Vec<_> = lines
        .iter()
        .map(|line| (&line["plugin"], text(line, "text")))
        .collect();
    let id = ID.into();
    assert_eq!(lines, [(&id, "one line"), (&id, "and another")]);
}

#[test]
fn fork_bombs_of_a_program_end_at_sixteen_processes() {
    for what in ["bomb", "patient-bomb"] {
        // Enough memory for sixteen of it, or that limit would be met first.
        let package = program("program", &[])
            .permission("time_limit", "\"1s\"")
            .permission("memory_limit", "\"256mb\"");

        let run = run_beside(&package, &["reply", what]);

        run.expect_exit(20);
        let ended = run.expect_ending(ID, "too_many_processes");
        assert_eq!(
            (&ended["limit"], &ended["layer"]),
            (&"16".into(), &"cgroup".into())
        );
        run.expect_ending(NEIGHBOUR, "finished");
        assert_eq!(run.replies(NEIGHBOUR, "on_commit_analyzed").len(), 2);
    }
}

#[test]
fn processes_that_lost_their_parent_make_room_for_others() {
    let package = program("program", &[]).permission("time_limit", "\"30s\"");
    let run = run_beside(&package, &["orphans", "reply"]);
    run.expect_exit(0);
    run.expect_ending(ID, "finished");
}

#[test]
fn a_program_that_asks_and_never_reads_stands_still_until_its_deadline() {
    let package = program("program", &[]).permission("time_limit", "\"2s\"");
    let run = run_beside(&package, &["unread"]);
    run.expect_exit(20);
    let ended = run.expect_ending(ID, "timed_out");
    assert!(number(ended, "memory_peak_bytes") < 16 << 20, "{ended:#}");
    run.expect_ending(NEIGHBOUR, "finished");
}

#[test]
fn no_signal_of_a_program_reaches_who_speaks_for_it() {
    let run = run_beside(&program("program", &[]), &["strike", "reply"]);
    run.expect_exit(0);
    run.expect_ending(ID, "finished");
    assert_eq!(run.replies(ID, "on_commit_analyzed").len(), 2);
}

#[test]
fn a_program_executes_nothing_but_itself_and_that_once() {
    let run = run_beside(
        &program("program", &[]),
        &["exec-again", "exec-by-path", "exec"],
    );
    run.expect_exit(20);
    let replies = run.replies(ID, "on_commit_analyzed");
    let errno: Vec<_> = replies
        .iter()
        .map(|reply| &reply["reply"]["errno"])
        .collect();
    // EBADF: there is no such descriptor any more. ENOENT: the path is not there.
    assert_eq!(errno, [9, 2]);
    let ended = run.expect_ending(ID, "forbidden_syscall");
    assert_eq!(
        (&ended["layer"], &ended["at_seq"]),
        (&"seccomp".into(), &3.into())
    );
    assert!(ended["seccomp"]["nr"].is_null(), "{ended:#}");
    run.expect_ending(NEIGHBOUR, "finished");
}

#[test]
fn ends_of_a_program_have_the_names_of_all_ends() {
    for (what, exit, ending) in [
        ("spin", 20, "timed_out"),
        ("memory", 20, "out_of_memory"),
        ("stack", 1, "crashed"),
        ("exit", 1, "crashed"),
        ("connect", 20, "forbidden_syscall"),
        ("not-json", 20, "protocol_violation"),
        ("out-of-turn", 20, "protocol_violation"),
        ("long-line", 20, "protocol_violation"),
    ] {
        let package = program("program", &[]).permission("time_limit", "\"2s\"");

        let run = run_beside(&package, &["reply", what]);

        run.expect_exit(exit);
        let ended = run.expect_ending(ID, ending);
        assert_eq!(ended["at_seq"], 2, "{what}");
        match what {
            "stack" => assert_eq!(ended["signal"], 11),
            "memory" => assert_eq!(ended["layer"], "cgroup"),
            _ => {}
        }
        run.expect_ending(NEIGHBOUR, "finished");
    }
}

#[test]
fn a_host_call_is_not_served_in_the_name_of_an_event_that_comes_later() {
    let package = || program("program", &[]).permission("host_api", "[\"events:emit\"]");

    let run = run_beside(&package(), &["reply", "emit", "reply"]);
    run.expect_exit(0);
    run.expect_ending(ID, "finished");
    let emitted = events(&run.records, "emitted");
    assert_eq!(emitted.len(), 1);
    assert_eq!(emitted[0]["seq"], 2);

    for what in ["emit-ahead", "reply-ahead"] {
        let run = run_beside(&package(), &["reply", what, "reply"]);
        run.expect_exit(20);
        let ended = run.expect_ending(ID, "protocol_violation");
        assert_eq!(ended["at_seq"], 3, "{what}");
        let detail = text(ended, "detail");
        assert!(detail.contains("before it was called"), "{ended:#}");
        assert_eq!(run.replies(ID, "on_commit_analyzed").len(), 2, "{what}");
        assert!(events(&run.records, "emitted").is_empty(), "{what}");
        run.expect_ending(NEIGHBOUR, "finished");
    }
}

#[test]
fn a_program_that_outlives_the_end_of_its_input_is_timed_out() {
    let run = run_beside(&program("program", &[]), &["linger", "reply"]);

    run.expect_exit(20);
    let ended = run.expect_ending(ID, "timed_out");
    assert_eq!(
        text(ended, "detail"),
        "did not end within 2 s of end of input"
    );
    assert_eq!(
        (&ended["limit"], &ended["layer"]),
        (&"2s".into(), &"deadline".into())
    );
    assert!(ended["signal"].is_null(), "{ended:#}");
    let took: u64 = text(ended, "peak").parse().unwrap();
    assert!((2000..3000).contains(&took), "{ended:#}");
    // All that it was asked it has answered.
    assert_eq!(run.replies(ID, "on_commit_analyzed").len(), 2);
    run.expect_ending(NEIGHBOUR, "finished");
}

#[test]
fn a_child_that_the_memory_limit_took_is_told_though_the_program_ends_well() {
    if below_l4() {
        return;
    }
    let run = run_beside(&program("program", &[]), &["reply", "hungry-child"]);

    run.expect_exit(20);
    let ended = run.expect_ending(ID, "out_of_memory");
    assert_eq!(
        (&ended["layer"], &ended["limit"]),
        (&"cgroup".into(), &"32mb".into())
    );
    run.expect_ending(NEIGHBOUR, "finished");
}

#[test]
fn a_program_that_is_no_static_executable_is_not_executed() {
    let run = run_beside(&program("program", &["-Wl,-z,execstack"]), &["reply"]);
    run.expect_exit(1);
    let ended = run.expect_ending(ID, "failed");
    assert!(
        text(ended, "detail").contains("executable stack"),
        "{ended:#}"
    );
}

#[test]
fn nothing_of_a_program_outlives_the_broker() {
    let home = home("");
    home.load(&program("program", &[]));
    let mut live = home.start_events(&["--allow-native"]);
    let started = live.wait_for("its start", |record| record["event"] == "started");
    let init = Process::find(u32::try_from(number(&started, "pid")).unwrap()).unwrap();
    live.write_line(events_of(&["reply"]).trim_end());
    live.wait_for("its reply", |record| {
        record["event"] == "reply" && record["hook"] == "on_commit_analyzed"
    });
    let children = init.descendants();
    assert_eq!(children.len(), 1, "{children:?}");
    let descriptors = children[0].descriptors();
    assert_eq!(descriptors.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);

    let pid = Pid::from_raw(i32::try_from(live.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();

    let gone = || !init.lives() && !children[0].lives();
    assert!(within(std::time::Duration::from_secs(1), gone));
}
