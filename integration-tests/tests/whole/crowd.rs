//! Many at once: plugins of one run, and what a broker was started with.

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::kernel::Process;
use gm_integration_tests::process::Live;
use gm_integration_tests::records::text;
use gm_integration_tests::scene::{PLUGINS, Scene};
use gm_integration_tests::{Home, Package, Repository};

/// Opens its first argument a hundred times and executes the rest with all of them.
const INHERIT: &str = "for n in {1..100}; do exec {fd}<\"$0\"; done; exec \"$@\"";

#[test]
fn twenty_plugins_of_one_run_get_all_their_events() {
    let home = Home::new();
    let counter = "function on_commit_analyzed(commit) return {index = commit.index} end";
    let crowd: Vec<Package> = (0..20)
        .map(|n| Package::script(&format!("crowd{n}"), "lua", counter))
        .collect();
    crowd.iter().for_each(|package| home.load(package));
    let repository = Repository::of(3);

    let run = home.run(&repository, &[]);

    run.expect_exit(0);
    let commits = repository.ids(&["HEAD"]);
    for package in &crowd {
        run.expect_ending(package.plugin(), "finished");
        let replies = run.replies(package.plugin(), "on_commit_analyzed");
        let subjects: Vec<_> = replies.iter().map(|reply| text(reply, "subject")).collect();
        assert_eq!(subjects, commits, "{}", package.plugin());
    }
}

#[test]
fn what_a_broker_inherited_reaches_no_plugin_and_stops_none() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home.load(&Package::of("observer").id(PLUGINS[1]));
    let kept = home.beside("kept");
    std::fs::write(&kept, "the shell's").unwrap();
    let mut command = home.through(&["bash", "-c", INHERIT, path_text(&kept)], "gm-broker");
    command.args(["--format", "json", "run", "--events", "-"]);
    let mut scene = Scene::of(home, Live::start(&mut command));
    let holds = |process: &Process| {
        let descriptors = process.descriptors();
        let kept = descriptors.values().filter(|to| **to == path_text(&kept));
        kept.count()
    };

    let broker = Process::find(scene.live.pid()).unwrap();
    // Launcher, sweeper, plugins.
    let started = broker.descendants();
    let event = r#"{"hook":"on_commit_analyzed","data":{}}"#;
    scene.live.write_line(event);

    assert_eq!(holds(&broker), 100, "it was started without them");
    assert!(started.len() > scene.plugins.len(), "{started:?}");
    for process in &started {
        assert_eq!(holds(process), 0, "{:?}", process.descriptors());
    }
    let run = scene.live.finish();
    run.expect_exit(0);
    for id in PLUGINS {
        run.expect_ending(id, "finished");
        assert_eq!(run.replies(id, "on_commit_analyzed").len(), 1);
    }
}
