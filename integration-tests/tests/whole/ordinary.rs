//! The product as an ordinary user has it: no root, no cgroup that is theirs, and
//! one uid for them and all their plugins. That is L3, and only if they say so.

use std::time::{Duration, Instant};

use gm_integration_tests::kernel::{Process, within};
use gm_integration_tests::records::{number, text};
use gm_integration_tests::skip::lacks;
use gm_integration_tests::{Home, Live, Package, Repository, machine_code};
use rustix::process::Signal;
use serde_json::Value;

const OBSERVER: &str = "com.test.observer";

/// What the product promises.
const SOON: Duration = Duration::from_secs(1);

fn no_root() -> bool {
    lacks("root", rustix::process::geteuid().is_root())
}

/// A repository of the home's user.
fn repository(home: &Home, count: u32) -> Repository {
    let repository = Repository::of(count);
    home.give(repository.path());
    repository
}

/// A run of these plugins that wait for an event, and their processes.
fn waiting(home: &Home, ids: &[&str]) -> (Live, Vec<(Process, Value)>) {
    let mut live = home.start_events(ids);
    let started = ids.iter().map(|id| {
        let record = live.wait_for("a start", |record| {
            record["event"] == "started" && record["plugin"] == *id
        });
        let pid = u32::try_from(number(&record, "pid")).unwrap();
        (Process::find(pid).unwrap(), record)
    });
    let started = started.collect();
    (live, started)
}

#[test]
fn an_ordinary_user_hosts_machine_code_with_the_machines_own_libraries() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();
    home.allow_native(&["com.test.native", "com.test.program"]);
    home.load(&machine_code::plugin("native", &[]));
    home.load(&machine_code::program("program", &[]));

    let run = home.run(&repository(&home, 3), &["--allow-native"]);

    run.expect_exit(0);
    for id in ["com.test.native", "com.test.program"] {
        run.expect_ending(id, "finished");
        assert_eq!(run.replies(id, "on_commit_analyzed").len(), 3);
        assert_eq!(run.one(id, "started")["level"], "L3");
    }
}

#[test]
fn processes_of_a_program_are_bounded_without_a_group() {
    if no_root() {
        return;
    }
    let id = "com.test.program";
    let home = Home::of_stranger();
    home.allow_native(&[id]);
    home.load(&machine_code::program("program", &[]).permission("time_limit", "\"2s\""));
    let mut live = home.start_events(&["--allow-native"]);
    let started = live.wait_for("its start", |record| record["event"] == "started");
    let init = Process::find(u32::try_from(number(&started, "pid")).unwrap()).unwrap();

    live.write_line(r#"{"hook":"on_commit_analyzed","data":{"do":"patient-bomb"}}"#);
    let crowded = || (15..=17).contains(&(1 + init.descendants().len()));
    assert!(within(SOON, crowded));
    for _ in 0..200 {
        assert!(init.descendants().len() <= 17);
    }

    let run = live.finish();
    run.expect_exit(20);
    run.expect_ending(id, "timed_out");
    assert!(!init.lives());
}

#[test]
fn an_ordinary_user_hosts_plugins_at_the_level_that_they_allow() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();
    home.load(&Package::of("observer"));

    let run = home.run(&repository(&home, 3), &[]);

    run.expect_exit(0);
    run.expect_ending(OBSERVER, "finished");
    assert_eq!(run.replies(OBSERVER, "on_commit_analyzed").len(), 3);
    let started = run.one(OBSERVER, "started");
    assert_eq!(started["level"], "L3");
    assert_eq!(started["uid_shared"], true);
    assert_eq!(started["partially_enforced"], true);
    assert_eq!(started["uid"], home.stranger().id);
}

#[test]
fn what_an_ordinary_users_plugin_lacks_is_what_the_record_says() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();
    home.load(&Package::of("observer"));

    let (live, started) = waiting(&home, &[OBSERVER]);

    let (process, record) = &started[0];
    let own = Process::find(live.pid()).unwrap();
    let id = home.stranger().id.to_string();
    assert_eq!(process.status("Uid"), [&*id; 4].join("\t"));
    // A gid map that is written without privilege keeps these.
    assert_eq!(process.status("Groups"), own.status("Groups"));
    assert!(!process.status("Groups").is_empty());
    for name in ["user", "mnt", "pid", "net", "ipc", "uts"] {
        assert_ne!(process.namespace(name), own.namespace(name), "{name}");
    }
    for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(process.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(process.status("NoNewPrivs"), "1");
    assert_eq!(record["seccomp"]["filters"], 4);
    let open: Vec<u32> = process.descriptors().into_keys().collect();
    assert_eq!(open, [0, 1, 2, 3]);
    let listed = record["fds"].as_array().unwrap();
    assert_eq!(listed.len(), 4, "{record:#}");
    live.finish().expect_exit(0);
}

#[test]
fn an_ordinary_users_plugins_end_as_any_others() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();
    home.load(&Package::of("endless-loop").permission("time_limit", "\"300ms\""));
    home.load(&Package::of("memory-hog").permission("memory_limit", "\"24mb\""));
    home.load(&Package::of("observer"));

    let run = home.run(&repository(&home, 2), &[]);

    run.expect_exit(20);
    run.expect_ending("com.test.endless-loop", "timed_out");
    let hog = run.expect_ending("com.test.memory-hog", "out_of_memory");
    assert_eq!(hog["layer"], "engine", "there is no other that could");
    run.expect_ending(OBSERVER, "finished");
}

#[test]
fn an_ordinary_users_revocation_reaches_a_running_plugin() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();
    home.load(&Package::of("observer"));
    home.load(&Package::of("observer").id("com.test.other"));
    let (live, started) = waiting(&home, &[OBSERVER, "com.test.other"]);

    let begun = Instant::now();
    let said = home.gm(&["plugin", "revoke", OBSERVER]);
    let took = begun.elapsed();

    said.expect_exit(0);
    assert!(took < SOON, "{took:?}");
    assert!(!started[0].0.lives() && started[1].0.lives());
    let run = live.finish();
    run.expect_exit(16);
    run.expect_ending(OBSERVER, "revoked");
    run.expect_ending("com.test.other", "finished");
    let again = home.run(&repository(&home, 1), &[OBSERVER]);
    again.expect_refused(16, "revoked/local");
}

#[test]
fn a_killed_broker_of_an_ordinary_user_leaves_no_process() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();
    home.load(&Package::of("observer"));
    let (live, started) = waiting(&home, &[OBSERVER]);
    assert!(home.stranger().processes().contains(&started[0].0));

    live.signal(Signal::KILL);

    let left = || home.stranger().processes();
    assert!(within(SOON, || left().is_empty()), "left: {:?}", left());
    let run = home.run(&repository(&home, 1), &[]);
    run.expect_exit(0);
    run.expect_ending(OBSERVER, "finished");
}

#[test]
fn an_ordinary_user_who_allows_nothing_less_is_told_what_to_change() {
    if no_root() {
        return;
    }
    let home = Home::of_stranger();
    home.load(&Package::of("observer"));
    let repository = repository(&home, 1);
    let raised = home.run(&repository, &["--min-isolation", "L4"]);
    home.write_config("");
    let package = Package::of("observer").version("1.0.1");
    home.sign(&package);

    let run = home.run(&repository, &[]);
    let load = home.try_load(&package);

    for refused in [&raised, &run, &load] {
        let said = refused.expect_refused(30, "wall/level");
        let detail = text(said, "detail");
        assert!(detail.contains("L3") && detail.contains("L4"), "{detail}");
        assert!(detail.contains("ordinary user"), "{detail}");
        let remedy = text(said, "remedy");
        assert!(remedy.contains("isolation.min"), "{remedy}");
        refused.expect_nothing_started();
    }
}
