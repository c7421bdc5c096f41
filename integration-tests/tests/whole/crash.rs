//! Whatever dies first, nothing of a run is left one second later, and the next
//! run works.

use std::path::PathBuf;
use std::time::Duration;

use gm_integration_tests::kernel::{Process, group_directory, within};
use gm_integration_tests::records::{number, text};
use gm_integration_tests::skip::below_l4;
use gm_integration_tests::{Home, Live, Package, Repository};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What the product promises.
const SOON: Duration = Duration::from_secs(1);

/// A run of two plugins that wait for an event, with all that it made.
struct Scene {
    live: Live,
    home: Home,
    launcher: Process,
    plugins: Vec<Process>,
    groups: Vec<PathBuf>,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        home.load(&Package::of("observer"));
        home.load(&Package::of("observer").id("com.test.other"));
        let live = home.start_events(&[]);
        Self::of(home, live)
    }

    fn of(home: Home, mut live: Live) -> Self {
        let mut plugins = Vec::new();
        let mut groups = Vec::new();
        for id in ["com.test.observer", "com.test.other"] {
            let started = live.wait_for("a start", |record| {
                record["event"] == "started" && record["plugin"] == id
            });
            let pid = u32::try_from(number(&started, "pid")).unwrap();
            plugins.push(Process::find(pid).unwrap());
            groups.extend(groups_of(&started));
        }
        let broker = Process::find(live.pid()).unwrap();
        let named = |process: &Process| process.status("Name") == "gm-launcher";
        let launcher = broker.descendants().into_iter().find(named).unwrap();
        assert!(groups.iter().all(|group| group.is_dir()), "{groups:?}");
        Self {
            live,
            home,
            launcher,
            plugins,
            groups,
        }
    }

    /// Fails if a process or a group of the run is left after [`SOON`].
    #[track_caller]
    fn expect_nothing_left(&self) {
        let processes = || {
            let all = self.plugins.iter().chain([&self.launcher]);
            all.filter(|process| process.lives()).collect::<Vec<_>>()
        };
        let groups = || {
            self.groups
                .iter()
                .filter(|group| group.exists())
                .collect::<Vec<_>>()
        };
        let gone = within(SOON, || processes().is_empty() && groups().is_empty());
        assert!(
            gone,
            "left after {SOON:?}: {:?}, {:?}",
            processes(),
            groups()
        );
    }
}

/// The directories of a plugin's groups and of the instance that they are in.
fn groups_of(started: &Value) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for controller in ["memory", "pids", "cpu"] {
        let path = text(&started["cgroup"], controller);
        if !path.is_empty() {
            let group = group_directory(controller, path);
            let instance = group.ancestors().nth(2).unwrap().to_path_buf();
            assert!(
                instance
                    .file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("gm-"),
                "{}",
                instance.display()
            );
            all.extend([group, instance]);
        }
    }
    all
}

fn kill(process: Process) {
    let pid = Pid::from_raw(i32::try_from(process.pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
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
    scene.expect_nothing_left();
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
    scene.expect_nothing_left();
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
    scene.expect_nothing_left();
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
