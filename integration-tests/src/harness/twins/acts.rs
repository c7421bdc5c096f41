//! What each twin does.

use crate::probes::{self, Kind};
use crate::{Ended, Home, Package};

/// An event of no repository.
const EVENT: &str = "{\"hook\":\"on_commit_analyzed\",\"data\":{}}\n";

/// What came of it: the level that it ran at.
type Acted = Result<Option<String>, String>;

/// Does the act of this name in a plugin of this kind.
pub(super) fn act(id: &str, kind: Kind) -> Acted {
    match id {
        "t-hello" | "t-native" => hello(kind),
        _ => Err(format!("there is no twin {id}")),
    }
}

/// A harmless plugin of the kind: loaded, three hooks, an answer to each. One of machine
/// code is the probes' own, which says a word back.
fn hello(kind: Kind) -> Acted {
    if kind == Kind::Native {
        return native();
    }
    let home = Home::new();
    let package = match kind {
        Kind::Lua => Package::script(
            "hello",
            "lua",
            "function on_commit_analyzed(doc) return { honest = true } end\n",
        ),
        Kind::Js => Package::script(
            "hello",
            "js",
            "function on_commit_analyzed(doc) { return { honest: true }; }\n",
        ),
        _ => Package::of("observer"),
    };
    home.load(&package);
    let run = home.run_events(&EVENT.repeat(3), &[]);
    let replies = run.replies(package.plugin(), "on_commit_analyzed");
    let answered = replies
        .iter()
        .filter(|reply| reply["status"] == "ok")
        .count();
    finished(&run, &package, answered == 3)
}

fn native() -> Acted {
    let home = Home::new();
    let package = Package::with_code("com.test.probe", probes::SHARED).kind("native");
    let package = package.hooks(&[]).command("probe");
    home.allow_native(&[package.plugin()]);
    home.load(&package);
    let words = [
        "plugin",
        "run",
        package.plugin(),
        "probe",
        "--allow-native",
        "--",
    ];
    let run = home.gm(&[&words[..], &["self", "honest"]].concat());
    let right = run.last()["text"]
        .as_str()
        .is_some_and(|text| text.trim() == "self=honest");
    finished(&run, &package, right)
}

fn finished(run: &Ended, package: &Package, right: bool) -> Acted {
    let ended = run.of(package.plugin(), "ended");
    let good = ended
        .last()
        .is_some_and(|ended| ended["ending"] == "finished");
    if run.exit != 0 || !good || !right {
        return Err(format!("exit {}: {}{}", run.exit, run.stdout, run.stderr));
    }
    let started = run.of(package.plugin(), "started");
    Ok(started
        .first()
        .and_then(|it| it["level"].as_str())
        .map(str::to_owned))
}
