//! Kills, crash loops and set-ups that fail: nothing is left, and nothing runs without
//! its walls.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use super::super::judge::Shown;
use super::{Attack, all, ended, held, plain, refusal, refused, refused_one};
use crate::acts::EVENT;
use crate::kernel::within;
use crate::process::Ended;
use crate::scene::{PLUGINS, SOON, Scene, kill};
use crate::{Home, Package};

pub(super) fn attacks(id: &str) -> Vec<Attack> {
    match id {
        "lc-broker-kill" => plain(&[killed_broker, killed_both, stopped_broker]),
        "lc-launcher-kill" => plain(&[killed_launcher, stopped_launcher]),
        "lc-crashloop" => plain(&[crash_loop]),
        "lc-admission" => plain(&[too_many, no_memory]),
        "lc-setup-fail" => plain(&[
            no_engine,
            engine_others_write,
            engine_is_a_link,
            home_others_write,
            no_user_namespaces,
        ]),
        _ => Vec::new(),
    }
}

/// The next run on this home works: nothing is held by a dead one.
fn works_again(home: &Home) -> Shown {
    let run = home.run_events(&format!("{EVENT}\n"), &[]);
    let well = run.exit == 0
        && PLUGINS.iter().all(|id| {
            run.of(id, "ended")
                .iter()
                .any(|it| it["ending"] == "finished")
        });
    let harm: Vec<String> = (!well)
        .then(|| format!("the next run failed: {}", run.stdout))
        .into_iter()
        .collect();
    held(
        "cgroup",
        "nothing left after a second, and the next run works",
        &harm,
    )
}

fn killed_broker() -> Shown {
    let scene = Scene::new();
    scene.live.signal(Signal::KILL);
    all([held("cgroup", "", &scene.left()), works_again(&scene.home)])
}

/// Broker and launcher at once: the kernel kills the plugins, the next run sweeps.
fn killed_both() -> Shown {
    let scene = Scene::new();
    scene.live.signal(Signal::STOP); // so that it can't see the launcher die
    kill(scene.launcher);
    scene.live.signal(Signal::KILL);
    swept(&scene)
}

/// Nobody who could clean up is left: no process is there after a second, no group after
/// the next start.
fn swept(scene: &Scene) -> Shown {
    let alive = || scene.plugins.iter().filter(|plugin| plugin.lives());
    let dead = within(SOON, || alive().next().is_none());
    let harm: Vec<String> = (!dead)
        .then(|| "plugins outlived both".to_owned())
        .into_iter()
        .collect();
    let again = works_again(&scene.home);
    let gone = within(SOON, || !scene.groups.iter().any(|group| group.exists()));
    let left: Vec<String> = (!gone)
        .then(|| format!("not swept: {:?}", scene.groups))
        .into_iter()
        .collect();
    all([held("cgroup", "", &harm), held("cgroup", "", &left), again])
}

/// A broker that is stopped keeps no plugin from its end.
fn stopped_broker() -> Shown {
    let scene = Scene::new();
    scene.live.signal(Signal::STOP);
    scene.live.signal(Signal::KILL);
    all([held("cgroup", "", &scene.left()), works_again(&scene.home)])
}

fn killed_launcher() -> Shown {
    let mut scene = Scene::new();
    kill(scene.launcher);
    scene.live.wait_for("the end of the run", |record| {
        record["event"] == "run_ended"
    });
    let left = scene.left();
    let Scene { live, home, .. } = scene;
    let run = live.finish();
    let harm: Vec<String> = (run.exit != 70)
        .then(|| format!("exit {}", run.exit))
        .into_iter()
        .collect();
    let [one, other] = PLUGINS;
    all([
        held("cgroup", "", &left),
        held("broker", "", &harm),
        ended("broker", &run, one, &["crashed"]),
        ended("broker", &run, other, &["crashed"]),
        works_again(&home),
    ])
}

/// A launcher that does not answer holds up neither the end nor the kill.
fn stopped_launcher() -> Shown {
    let scene = Scene::new();
    let pid = i32::try_from(scene.launcher.pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let stopped = pid.map(|pid| rustix::process::kill_process(pid, Signal::STOP));
    assert!(matches!(stopped, Some(Ok(()))), "{stopped:?}");
    scene.live.signal(Signal::KILL);
    // A stopped process can't see its broker die; its death is what ends the rest.
    kill(scene.launcher);
    swept(&scene)
}

fn crash_loop() -> Shown {
    let home = Home::new();
    home.configure("[restart]\nbackoff = \"10ms\"\n");
    home.load(&Package::of("init-trap"));
    let run = home.run_events("", &[]);
    let lives = run.of("com.test.init-trap", "ended").len();
    let harm: Vec<String> = (lives > 4)
        .then(|| format!("it was started {lives} times"))
        .into_iter()
        .collect();
    let again = home.run_events("", &["com.test.init-trap"]);
    all([
        held("broker", "", &harm),
        refused("broker", &again, &["policy/quarantined"]),
    ])
}

fn too_many() -> Shown {
    let home = Home::new();
    home.configure("[limits]\nplugins = 1\n");
    for id in PLUGINS {
        home.load(&Package::of("observer").id(id));
    }
    let run = home.run_events("", &[]);
    let [one, other] = PLUGINS;
    let unharmed = run
        .of(one, "ended")
        .iter()
        .any(|it| it["ending"] == "finished");
    let started = !run.of(other, "started").is_empty();
    let harm = [
        (started, "it was started"),
        (!unharmed, "the running one was harmed"),
    ];
    let harm: Vec<String> = harm
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, what)| what.to_owned())
        .collect();
    all([
        held("broker", "", &harm),
        refused_one("broker", &run, &["policy/admission"]),
    ])
}

fn no_memory() -> Shown {
    let home = Home::new();
    // More than any machine has.
    home.configure("[limits]\nreserve = \"1000000gb\"\n");
    home.load(&Package::of("observer"));
    refused("broker", &home.run_events("", &[]), &["policy/admission"])
}

/// A copy of the product's directory, changed, and a home on it with a plugin that was
/// loaded by the whole one.
fn with_changed(change: impl Fn(&std::path::Path)) -> Home {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let place = home.beside("bin");
    crate::home::copy_binaries(&place);
    let home = home.with_binaries(&place);
    // What is refused then is so for the change.
    home.run_events("", &[]).expect_exit(0);
    change(&place);
    home
}

fn no_engine() -> Shown {
    let home = with_changed(|bin| assert!(std::fs::remove_file(bin.join("gm-run-wasm")).is_ok()));
    refused(
        "broker",
        &home.run_events("", &[]),
        &["wall/engine-missing"],
    )
}

fn engine_others_write() -> Shown {
    let home = with_changed(|bin| {
        let mode = PermissionsExt::from_mode(0o757);
        assert!(std::fs::set_permissions(bin.join("gm-run-wasm"), mode).is_ok());
    });
    refused(
        "broker",
        &home.run_events("", &[]),
        &["wall/engine-missing"],
    )
}

fn engine_is_a_link() -> Shown {
    let home = with_changed(|bin| {
        let (engine, other) = (bin.join("gm-run-wasm"), bin.join("other"));
        let moved = std::fs::rename(&engine, &other)
            .and_then(|()| std::os::unix::fs::symlink(&other, &engine));
        assert!(moved.is_ok(), "{moved:?}");
    });
    refused(
        "broker",
        &home.run_events("", &[]),
        &["wall/engine-missing"],
    )
}

fn home_others_write() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let opened = std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o777));
    assert!(opened.is_ok(), "{opened:?}");
    refused(
        "broker",
        &home.run_events("", &[]),
        &["store/unsafe-permissions"],
    )
}

/// Where no user namespace can be made, there is no level at which anything may run. The
/// same without that limit gets further, so that nothing else of the wrapper is the cause.
fn no_user_namespaces() -> Shown {
    let home = Home::new();
    home.load(&Package::of("observer"));
    // Root of a user namespace of its own may make none below it, and changes nobody else's.
    let run = |first: &str| {
        let script = format!("{first} && exec \"$0\" \"$@\"");
        let words = ["unshare", "--user", "--map-root-user", "sh", "-c", &script];
        let mut command = home.through(&words, "gm-broker");
        command.args(["--format", "json", "run", "--events", "-"]);
        crate::process::run(&mut command, b"")
    };
    let open = run("true");
    if open.records.is_empty() {
        return Shown::Unproved(format!(
            "without that limit: {}{}",
            open.stdout, open.stderr
        ));
    }
    if let Some(why) = without_user_namespaces(&open) {
        return Shown::NotHere(format!("also where they may be made: {why}"));
    }
    // It gets as far as the level there, which a user namespace alone doesn't give.
    if let Some((code, detail)) = refusal_of(&open).filter(|(code, _)| *code != "wall/level") {
        return Shown::NotHere(format!("in a user namespace of its own: {code}: {detail}"));
    }
    let closed = run("echo 0 > /proc/sys/user/max_user_namespaces");
    let shown = refused("broker", &closed, &["wall/level", "wall/user-ns"]);
    match (&shown, without_user_namespaces(&closed)) {
        (Shown::Stopped(_), None) => Shown::Unproved(format!(
            "it is refused for another reason: {}",
            closed.stdout
        )),
        _ => shown,
    }
}

/// Code and words of the first refusal.
fn refusal_of(run: &Ended) -> Option<(&str, &str)> {
    let refusal = refusal(run)?;
    Some((refusal["code"].as_str()?, refusal["detail"].as_str()?))
}

/// The refusal, if it is one for want of user namespaces.
fn without_user_namespaces(run: &Ended) -> Option<String> {
    let (code, detail) = refusal_of(run)?;
    // ENOSPC is the kernel's answer to a namespace above the limit.
    let named = ["user-ns", "clone3: No space left on device"];
    let named = named.iter().any(|word| detail.contains(word));
    let names = code == "wall/user-ns" || (code == "wall/level" && named);
    names.then(|| format!("{code}: {detail}"))
}
