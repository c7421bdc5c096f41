//! Plugins of machine code: behind two words of the operator, a key that is trusted
//! for it, and walls that stand before their constructors run.

use gm_integration_tests::kernel::Process;
use gm_integration_tests::machine_code::{plugin, program};
use gm_integration_tests::records::{events, number, text};
use gm_integration_tests::{Ended, Home, Package};
use serde_json::Value;

const ID: &str = "com.test.native";
const NEIGHBOUR: &str = "com.test.observer";
/// A home that lets both forms of machine code run, with this in its configuration.
fn home(config: &str) -> Home {
    let home = Home::new();
    home.configure(config);
    home.allow_native(&[ID, "com.test.program"]);
    home
}

/// One event for each word.
pub(crate) fn events_of(words: &[&str]) -> String {
    let line = |word: &&str| {
        format!("{{\"hook\":\"on_commit_analyzed\",\"data\":{{\"do\":\"{word}\"}}}}\n")
    };
    words.iter().map(line).collect()
}

/// Runs a package and a neighbour in WebAssembly on these words.
fn run_beside(package: &Package, words: &[&str]) -> Ended {
    let home = home("[restart]\nmax = 0\n");
    home.load(package);
    home.load(&Package::of("observer"));
    home.run_events(&events_of(words), &["--allow-native"])
}

#[test]
fn a_native_plugin_runs_only_with_both_words_and_a_key_for_it() {
    let home = Home::new();
    let package = plugin("native", &[]);
    home.sign(&package);
    let refused = |ended: &Ended| {
        let refusal = ended.expect_refused(17, "policy/native-disallowed");
        text(refusal, "detail").to_owned()
    };

    assert!(refused(&home.try_load(&package)).contains("allow_native"));
    home.name_native(&[ID]);
    assert!(refused(&home.try_load(&package)).contains("the key is not trusted"));
    home.trust_native();
    home.try_load(&package).expect_exit(0);
    let run = home.run_events(&events_of(&["reply"]), &[ID]);
    run.expect_exit(17);
    run.expect_nothing_started();
    assert!(refused(&run).contains("--allow-native"));

    let run = home.run_events(&events_of(&["reply"]), &["--allow-native"]);
    run.expect_exit(0);
    run.expect_ending(ID, "finished");
    let replies = run.replies(ID, "on_commit_analyzed");
    assert_eq!(replies[0]["reply"]["hello"], true);
    let shutdown = run.replies(ID, "shutdown");
    assert_eq!(shutdown[0]["reply"]["report"], "2 calls");
}

#[test]
fn a_native_plugin_is_never_tried() {
    let home = home("");
    for package in [plugin("native", &[]), program("program", &[])] {
        let tried = home.gm(&["plugin", "try", package.text()]);
        tried.expect_refused(17, "policy/native-disallowed");
    }
}

#[test]
fn walls_of_a_native_plugin_are_those_of_its_plan() {
    let home = home("");
    home.load(&plugin("native", &[]).asset("lists/words.txt", b"{\"words\":1}"));
    let mut live = home.start_events(&["--allow-native"]);
    let started = live.wait_for("its start", |record| record["event"] == "started");
    let process = Process::find(u32::try_from(number(&started, "pid")).unwrap()).unwrap();

    let planned = home.policy("show", ID);
    let of = |kind: &str| -> Vec<&Value> {
        planned.iter().filter(|line| line["kind"] == kind).collect()
    };
    let points = of("mount")
        .into_iter()
        .filter(|line| line["type"] != "file");
    let points: Vec<_> = points.map(|line| text(line, "target")).collect();
    let mounts = process.mounts();
    let mut there: Vec<_> = mounts.iter().map(|mount| mount.target.as_str()).collect();
    there.sort_unstable();
    assert_eq!(there, points, "{planned:#?}");
    assert_eq!(points.len(), 7);
    assert!(
        mounts
            .iter()
            .all(|mount| mount.has("ro") && mount.has("nosuid"))
    );

    let seccomp = &started["seccomp"];
    assert_eq!(
        (&seccomp["filters"], &seccomp["wall"]),
        (&4.into(), &"loading".into())
    );
    assert_eq!(seccomp["ceiling"], 17);
    let plan = of("plan")[0];
    assert_eq!(plan["running_calls"], seccomp["running_calls"]);
    assert_eq!(started["profile"], plan["profile"]);
    assert_eq!(started["limits"]["pids"], 16);
    assert_eq!(process.status("Seccomp_filters"), "4");
    assert_eq!(process.descriptors().len(), 4);

    live.write_line(events_of(&["asset"]).trim_end());
    let run = live.finish();
    run.expect_exit(0);
    assert_eq!(
        run.replies(ID, "on_commit_analyzed")[0]["reply"]["words"],
        1
    );
}

#[test]
fn host_calls_of_a_native_plugin_are_granted_or_denied_like_any_others() {
    let home = home("");
    home.load(&plugin("native", &[]).permission("host_api", "[\"nodes:read\", \"log:write\"]"));

    let words = ["host:node_get", "host:log", "host:event_emit"];
    let run = home.run_events(&events_of(&words), &["--allow-native", "--logs"]);

    run.expect_exit(0);
    let replies = run.replies(ID, "on_commit_analyzed");
    let status: Vec<_> = replies
        .iter()
        .map(|reply| &reply["reply"]["status"])
        .collect();
    assert_eq!(status, [-2, 0, -1]);
    assert_eq!(run.one(ID, "denied")["call"], "event_emit");
    let lines = events(&run.records, "log");
    assert_eq!(
        (&lines[0]["text"], &lines[0]["level"]),
        (&"a line".into(), &"warn".into())
    );
}

#[test]
fn a_granted_file_is_read_by_call_and_by_the_c_library() {
    let home = home("");
    let file = home.beside("granted.txt");
    std::fs::write(&file, "{\"granted\":1}").unwrap();
    let path = file.to_str().unwrap();
    home.configure(&format!(
        "[grants]\nfilesystem = {{ read = [\"{path}\"], write = [] }}\n"
    ));
    home.name_native(&[ID]);
    let asked = format!("{{ read = [\"{path}\"] }}");
    home.load(&plugin("native", &[]).permission("filesystem", &asked));

    let read = format!("read:{path}");
    let words = ["grant", &*read, "open-quietly", "open-to-write"];
    let run = home.run_events(&events_of(&words), &["--allow-native"]);

    let replies = run.replies(ID, "on_commit_analyzed");
    assert_eq!(replies[0]["reply"]["granted"], 1);
    assert_eq!(replies[1]["reply"]["granted"], 1);
    assert_eq!(replies[2]["reply"]["errno"], 2);
    run.expect_ending(ID, "forbidden_syscall");
}

#[test]
fn errors_and_bad_replies_are_recorded_and_the_plugin_goes_on() {
    let home = home("");
    home.load(&plugin("native", &[]));

    let words = ["error", "not-json", "too-long", "reply"];
    let run = home.run_events(&events_of(&words), &["--allow-native"]);

    run.expect_exit(1);
    let replies = run.replies(ID, "on_commit_analyzed");
    let error = |at: usize| text(replies[at], "error");
    assert_eq!(error(0), "not today");
    assert!(error(1).contains("not one JSON object"));
    assert!(error(2).contains("at most 1048576 bytes"));
    assert_eq!(replies[3]["status"], "ok");
    run.expect_ending(ID, "finished");
}

#[test]
fn init_of_a_native_plugin_may_say_no() {
    let run = run_beside(&plugin("native", &["-DINIT_FAILS"]), &["reply"]);
    let ended = run.expect_ending(ID, "failed");
    assert!(text(ended, "detail").contains("no lamp"), "{ended:#}");
    run.expect_ending(NEIGHBOUR, "finished");
}

#[test]
fn what_a_constructor_tries_is_stopped_named_and_hurts_no_neighbour() {
    for (what, call) in [
        ("open", "openat"),
        ("connect", "socket"),
        ("fork", "clone"),
        ("exec", "execve"),
        ("handler", "rt_sigaction"),
    ] {
        let package = plugin("native", &[&format!("-DCONSTRUCTOR=\"{what}\"")]);

        let run = run_beside(&package, &["reply"]);

        run.expect_exit(20);
        let ended = run.expect_ending(ID, "forbidden_syscall");
        assert_eq!(ended["layer"], "seccomp");
        assert_eq!(ended["seccomp"]["call"], call, "{what}");
        assert_eq!(ended["signal"], 31);
        assert_eq!(number(ended, "calls"), 0);
        assert!(run.of(ID, "started").is_empty());
        run.expect_ending(NEIGHBOUR, "finished");
        assert_eq!(run.replies(NEIGHBOUR, "on_commit_analyzed").len(), 1);
    }
}

#[test]
fn a_file_that_a_constructor_opens_by_the_loaders_own_call_is_not_there() {
    // The constructor ends the process with 99 if it gets the file.
    let package = plugin("native", &["-DCONSTRUCTOR=\"open-quietly\""]);
    let run = run_beside(&package, &["open-quietly"]);
    run.expect_ending(ID, "finished");
    let replies = run.replies(ID, "on_commit_analyzed");
    // ENOENT: the mount tree holds nothing of the host.
    assert_eq!(replies[0]["reply"]["errno"], 2);
}

#[test]
fn a_constructor_that_never_returns_ends_at_the_deadline_of_loads() {
    let package = plugin("native", &["-DCONSTRUCTOR=\"spin\""]);

    let run = run_beside(&package, &["reply"]);

    run.expect_exit(20);
    let ended = run.expect_ending(ID, "timed_out");
    assert_eq!(
        (&ended["layer"], &ended["limit"]),
        (&"deadline".into(), &"10s".into())
    );
    assert!(run.of(ID, "started").is_empty());
    run.expect_ending(NEIGHBOUR, "finished");
    assert_eq!(run.replies(NEIGHBOUR, "on_commit_analyzed").len(), 1);
}

#[test]
fn bombs_of_a_native_plugin_end_at_their_limit() {
    for (what, exit, ending, layer) in [
        ("spin", 20, "timed_out", "deadline"),
        ("memory", 20, "out_of_memory", "cgroup"),
        ("stack", 1, "crashed", "engine"),
        ("fork", 20, "forbidden_syscall", "seccomp"),
        ("connect", 20, "forbidden_syscall", "seccomp"),
    ] {
        let package = plugin("native", &[]).permission("time_limit", "\"1s\"");

        let run = run_beside(&package, &["reply", what]);

        run.expect_exit(exit);
        let ended = run.expect_ending(ID, ending);
        assert_eq!(ended["layer"], layer, "{what}");
        assert_eq!(ended["at_seq"], 2, "{what}");
        if what == "stack" {
            assert_eq!(ended["signal"], 11);
        }
        if what == "memory" {
            assert!(number(ended, "memory_peak_bytes") <= 32 << 20, "{ended:#}");
        }
        run.expect_ending(NEIGHBOUR, "finished");
        assert_eq!(run.replies(NEIGHBOUR, "on_commit_analyzed").len(), 2);
    }
}

#[test]
fn code_that_is_not_self_contained_fails_with_its_reason() {
    for (words, why) in [
        (&["-Wl,-rpath,/tmp"][..], "DT_RPATH"),
        (&["-Wl,-z,execstack"], "executable stack"),
        (
            &["-DSYMBOL=gm_plugin_v1"],
            "version 1 (gm_plugin_v1), this host version 2",
        ),
        (
            &["-DSYMBOL=gm_plugin_v3"],
            "version 3 (gm_plugin_v3), this host version 2",
        ),
        (&["-DVERSION=3"], "of version 3, this host speaks version 2"),
    ] {
        let run = run_beside(&plugin("native", words), &["reply"]);
        run.expect_exit(1);
        let ended = run.expect_ending(ID, "failed");
        let detail = text(ended, "detail");
        assert!(detail.contains(why), "{words:?}: {detail}");
        run.expect_ending(NEIGHBOUR, "finished");
    }
}

#[test]
fn a_memory_limit_below_the_code_is_refused_and_the_least_one_is_enough() {
    let home = home("");
    let small = plugin("native", &[]).permission("memory_limit", "\"4mb\"");
    home.load(&small);
    let run = home.run_events(&events_of(&["reply"]), &["--allow-native"]);
    run.expect_exit(0);
    run.expect_ending(ID, "finished");

    let large = plugin("native", &["-DLARGE"])
        .asset("large", &vec![0; 4 << 20])
        .version("1.1.0")
        .permission("memory_limit", "\"4mb\"");
    home.load(&large);
    let run = home.run_events(&events_of(&["reply"]), &[ID, "--allow-native"]);
    run.expect_exit(17);
    run.expect_refused(17, "policy/limit-too-small");
}
