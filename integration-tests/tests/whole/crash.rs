//! Whatever dies first, nothing of a run is left one second later, and the next
//! run works.

use gm_integration_tests::kernel::within;
use gm_integration_tests::records::text;
use gm_integration_tests::scene::{SOON, Scene, kill};
use gm_integration_tests::skip::below_l4;
use gm_integration_tests::{Home, Repository};
use rustix::process::Signal;
use serde_json::Value;

/// Fails if a process or a group of the run is left.
#[track_caller]
fn expect_nothing_left(scene: &Scene) {
    assert_eq!(scene.left(), [""; 0], "left after {SOON:?}");
}

fn expect_next_run_works(home: &Home) {
    let run = home.run(&Repository::of(2), &[]);
    run.expect_exit(0);
    run.expect_ending("com.test.observer", "finished");
    run.expect_ending("com.test.other", "finished");
}

#[test]
fn a_killed_broker_leaves_no_process_and_no_group() {
    if below_l4() {
        return;
    }
    let scene = Scene::new();
    scene.live.signal(Signal::KILL);
    expect_nothing_left(&scene);
    expect_next_run_works(&scene.home);
}

#[test]
fn a_broker_killed_with_its_launcher_leaves_no_process_and_the_next_run_sweeps() {
    if below_l4() {
        return;
    }
    let scene = Scene::new();
    scene.live.signal(Signal::STOP); // so that it can't see the launcher die
    kill(scene.launcher);
    scene.live.signal(Signal::KILL);
    let dead = within(SOON, || !scene.plugins.iter().any(|plugin| plugin.lives()));
    assert!(dead, "plugins outlived both: {:?}", scene.plugins);
    expect_next_run_works(&scene.home);
    let left: Vec<_> = scene.groups.iter().filter(|group| group.exists()).collect();
    assert!(left.is_empty(), "the next run swept nothing: {left:?}");
}

#[test]
fn a_killed_launcher_ends_the_run_with_exit_70_and_leaves_nothing() {
    if below_l4() {
        return;
    }
    let mut scene = Scene::new();
    kill(scene.launcher);
    let ended = |record: &Value| record["event"] == "run_ended";
    let end = scene.live.wait_for("the end of the run", ended);
    assert_eq!(end["exit"], 70);
    expect_nothing_left(&scene);
    let Scene { live, home, .. } = scene;
    let run = live.finish();
    run.expect_exit(70);
    for id in ["com.test.observer", "com.test.other"] {
        let ended = run.expect_ending(id, "crashed");
        assert!(text(ended, "detail").contains("launcher"), "{ended:#}");
    }
    expect_next_run_works(&home);
}

#[test]
fn two_runs_share_one_home() {
    if below_l4() {
        return;
    }
    let first = Scene::new();
    let second = first.home.start_events(&[]);
    let Scene {
        live,
        home,
        plugins,
        launcher,
        groups,
    } = first;
    let second = Scene::of(home, second);
    // The second one's start swept nothing of the first.
    assert!(plugins.iter().all(|plugin| plugin.lives()) && launcher.lives());
    assert!(groups.iter().all(|group| group.is_dir()));

    for run in [live.finish(), second.live.finish()] {
        run.expect_exit(0);
        run.expect_ending("com.test.observer", "finished");
        run.expect_ending("com.test.other", "finished");
    }
}

#[test]
fn an_orderly_run_leaves_nothing_either() {
    if below_l4() {
        return;
    }
    let mut scene = Scene::new();
    scene.live.close_stdin();
    let _ = scene.live.wait_for("the end of the run", |record| {
        record["event"] == "run_ended"
    });
    expect_nothing_left(&scene);
    let left = std::fs::read_dir(scene.home.path().join("state/run"))
        .unwrap()
        .count();
    let gone = || {
        std::fs::read_dir(scene.home.path().join("state/run"))
            .unwrap()
            .count()
            == 0
    };
    assert!(within(SOON, gone), "{left} instances are left in state/run");
}
