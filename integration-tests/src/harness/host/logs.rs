//! What plugins write into logs: bounded, and never under another's name.

use super::super::evidence::{LONGEST_LINE, paints};
use super::super::judge::Shown;
use super::{Attack, all, ended, held, plain};
use crate::acts::EVENT;
use crate::records::events;
use crate::{Home, Package};

pub(super) fn attacks(id: &str) -> Vec<Attack> {
    match id {
        "lg-outside" => plain(&[flood, spoof, long_line]),
        _ => Vec::new(),
    }
}

fn logger(name: &str) -> Package {
    Package::of(name).permission("host_api", "[\"log:write\"]")
}

/// What the home's logs hold, in bytes.
fn logged(home: &Home) -> u64 {
    fn size(path: &std::path::Path) -> u64 {
        let Ok(entries) = std::fs::read_dir(path) else {
            return std::fs::metadata(path).map_or(0, |it| it.len());
        };
        entries.flatten().map(|entry| size(&entry.path())).sum()
    }
    size(&home.path().join("logs"))
}

/// It logs for ever.
fn flood() -> Shown {
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n[limits]\nlog_lines = 10\nlog_flood = 100\n");
    let package = logger("log-flood").permission("time_limit", "\"30s\"");
    home.load(&package);
    let run = home.run_events(&format!("{EVENT}\n"), &[]);
    let most = 1 << 20;
    let bytes = logged(&home);
    let harm: Vec<String> = (bytes > most)
        .then(|| format!("the logs hold {bytes} bytes"))
        .into_iter()
        .collect();
    all([
        held("broker", "", &harm),
        ended("broker", &run, package.plugin(), &["log_flood"]),
    ])
}

/// A line that would paint a terminal, forge a second line and name another plugin.
fn spoof() -> Shown {
    let home = Home::new();
    let package = logger("log-spoof");
    home.load(&package);
    let run = home.run_events(&format!("{EVENT}\n"), &["--logs"]);
    let mut command = home.plain("gm-broker");
    command.args(["run", "--events", "-", "--logs"]);
    let human = crate::process::run(&mut command, format!("{EVENT}\n").as_bytes());
    if run.exit != 0 || human.exit != 0 {
        return Shown::Unproved(format!("a run failed: {} {}", run.exit, human.exit));
    }
    let mut harm = Vec::new();
    for (name, said) in [
        ("stdout", &human.stdout),
        ("stderr", &human.stderr),
        ("json", &run.stdout),
    ] {
        if paints(said) {
            harm.push(format!("{name} holds what paints"));
        }
    }
    let lines = run.of(package.plugin(), "log");
    if lines.is_empty() {
        return Shown::Unproved("it logged nothing".to_owned());
    }
    if lines.len() != events(&run.records, "log").len() {
        harm.push("a line has another's name".to_owned());
    }
    held("broker", "escaped, each under its own name", &harm)
}

/// One line of a megabyte.
fn long_line() -> Shown {
    let home = Home::new();
    let text = "function on_commit_analyzed() gm.log('info', ('x'):rep(1048576)) end\n";
    let package = Package::script("long", "lua", text).permission("host_api", "[\"log:write\"]");
    home.load(&package);
    let run = home.run_events(&format!("{EVENT}\n"), &["--logs"]);
    let lines = run.of(package.plugin(), "log");
    let lengths = lines.iter().filter_map(|line| line["text"].as_str());
    let Some(longest) = lengths.map(str::len).max() else {
        return Shown::Unproved(format!("it logged nothing: {}", run.stdout));
    };
    let harm = (longest > LONGEST_LINE).then(|| format!("a line of {longest} bytes"));
    held("broker", "cut", &harm.into_iter().collect::<Vec<_>>())
}
