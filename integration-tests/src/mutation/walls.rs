//! Mutants of all that is no filter: tried for real, where the layers are left out that
//! would hide them. Under `native` (and `lua`, whose root can't be executed from), since
//! the walls from outside are the same functions for every profile.

use std::collections::BTreeMap;

use super::run::{Host, Outcome, Way};
use super::{Fate, Judged, Score};
use crate::bait::{Bait, Bounds, Whose};
use crate::probes::{Group, Probe};

/// Rights to files of linux/landlock.h, by their bit.
const RIGHTS: [&str; 16] = [
    "execute",
    "write_file",
    "read_file",
    "read_dir",
    "remove_dir",
    "remove_file",
    "make_char",
    "make_dir",
    "make_reg",
    "make_sock",
    "make_fifo",
    "make_block",
    "make_sym",
    "refer",
    "truncate",
    "ioctl_dev",
];

/// Resource limits by their name in `/proc/PID/limits`.
const LIMITS: [&str; 9] = [
    "Max open files",
    "Max core file size",
    "Max stack size",
    "Max data size",
    "Max locked memory",
    "Max msgqueue size",
    "Max pending signals",
    "Max realtime priority",
    "Max processes",
];

/// They measure time, or how others fare: two runs never are the same.
const TIMED: [&str; 10] = [
    "rb-cpu",
    "rb-ctxsw",
    "rb-sleep",
    "rb-stop",
    "rb-sigignore",
    "rb-io",
    "rb-dentries",
    "rb-pagetables",
    "fs-symlink-race",
    "net-families",
];

/// A probe tries to come to their double.
const BOUNDS: Bounds = Bounds {
    // Above what a process of machine code may start.
    pids: 40,
    // Above what it may use, and below ten times of that.
    memory: 100 << 20,
};

/// One mutant, and where it shows.
struct Mutant {
    layer: &'static str,
    kind: &'static str,
    what: String,
    profile: &'static str,
    /// Layers that would hide it.
    hidden_by: &'static [&'static str],
    /// Options that make it.
    change: Vec<String>,
    groups: &'static [Group],
}

use Group::{File, Kernel, Namespace, Net, Process, Resource, Tty};

fn change(text: String) -> Vec<String> {
    vec!["--change".to_owned(), text]
}

fn mutants() -> Vec<Mutant> {
    let mut list = Vec::new();
    let mut add = |layer, kind, what, hidden_by, change, groups| {
        list.push(Mutant {
            layer,
            kind,
            what,
            profile: "native",
            hidden_by,
            change,
            groups,
        });
    };
    for (bit, name) in RIGHTS.iter().enumerate() {
        let (what, right) = (format!("{name} not handled"), 1_u64 << bit);
        let change = change(format!("right:{right}"));
        let hidden: &[&str] = &["seccomp", "mount"];
        add(
            "landlock",
            "right",
            what,
            hidden,
            change,
            &[File, Namespace, Tty, Process],
        );
    }
    for (bit, name) in [(1, "bind_tcp"), (2, "connect_tcp")] {
        let (what, change) = (format!("{name} not handled"), change(format!("net:{bit}")));
        add(
            "landlock",
            "right",
            what,
            &["seccomp", "net"],
            change,
            &[Net],
        );
    }
    let what = "abstract sockets not in the scope".to_owned();
    add(
        "landlock",
        "scope",
        what,
        &["seccomp", "net"],
        change("scope:1".into()),
        &[Net],
    );
    let what = "signals not in the scope".to_owned();
    // Another uid would hide it, too.
    let hidden: &[&str] = &["seccomp", "pid", "uid"];
    add(
        "landlock",
        "scope",
        what,
        hidden,
        change("scope:2".into()),
        &[Process],
    );
    for flag in ["nosuid", "nodev", "ro"] {
        let (what, change) = (
            format!("the root without {flag}"),
            change(format!("mount:{flag}")),
        );
        let hidden: &[&str] = &["seccomp", "landlock"];
        add("mount", "flag", what, hidden, change, &[File, Namespace]);
    }
    for name in LIMITS {
        let (what, change) = (format!("{name} ten times"), change(format!("limit:{name}")));
        let hidden: &[&str] = &["seccomp", "cgroup"];
        add(
            "rlimits",
            "limit",
            what,
            hidden,
            change,
            &[Resource, Kernel],
        );
    }
    for name in ["memory", "pids"] {
        let (what, change) = (
            format!("{name} of the group ten times"),
            change(format!("group:{name}")),
        );
        let hidden: &[&str] = &["seccomp", "rlimits"];
        add("cgroup", "limit", what, hidden, change, &[Resource]);
    }
    let without = |layer: &str| vec!["--without".to_owned(), layer.to_owned()];
    let seccomp: &[&str] = &["seccomp"];
    let landlock: &[&str] = &["seccomp", "landlock"];
    let what = |text: &str| text.to_owned();
    add(
        "descriptors",
        "descriptor",
        what("a directory of the host left open"),
        landlock,
        without("descriptors"),
        &[Tty],
    );
    add(
        "uid",
        "map",
        what("mapped to uid 0 of the host"),
        &["seccomp", "landlock", "pid"],
        without("uid"),
        &[Process],
    );
    add(
        "pid",
        "namespace",
        what("no pid namespace"),
        &["seccomp", "landlock", "uid"],
        without("pid"),
        &[Process],
    );
    add(
        "net",
        "namespace",
        what("no network namespace"),
        landlock,
        without("net"),
        &[Net],
    );
    add(
        "ipc",
        "namespace",
        what("no namespace of queues"),
        seccomp,
        without("ipc"),
        &[Net],
    );
    add(
        "uts",
        "namespace",
        what("no namespace of the host's name"),
        landlock,
        without("uts"),
        &[Namespace],
    );
    add(
        "user",
        "namespace",
        what("no user namespace"),
        seccomp,
        without("user"),
        &[Namespace, Process],
    );
    add(
        "mount",
        "tree",
        what("the host's tree"),
        landlock,
        without("mount"),
        &[File],
    );
    add(
        "caps",
        "capabilities",
        what("capabilities kept"),
        seccomp,
        without("caps"),
        &[Namespace],
    );
    let seen = Mutant {
        profile: "lua",
        layer: "mount",
        kind: "flag",
        what: what("the root without noexec"),
        hidden_by: landlock,
        change: change("mount:noexec".into()),
        groups: &[File],
    };
    list.push(seen);
    list
}

pub(super) fn judge(host: &Host, probes: &[Probe], score: &mut Score) -> Result<(), String> {
    let mut seen = Seen {
        host,
        bait: Bait::set_out(Whose::Root).map_err(|error| format!("no bait: {error}"))?,
        before: BTreeMap::new(),
    };
    for mutant in mutants() {
        let own = probes.iter().filter(|probe| fits(probe, &mutant));
        let killer = seen.killer(&mutant, own)?;
        score.mutants.push(Judged {
            profile: mutant.profile.to_owned(),
            layer: mutant.layer,
            kind: mutant.kind.to_owned(),
            fate: match killer {
                Some(killer) => Fate::Killed(killer),
                None => Fate::Survived(format!(
                    "without {} no probe fares otherwise",
                    mutant.hidden_by.join(", ")
                )),
            },
            what: mutant.what,
            live: true,
        });
    }
    Ok(())
}

fn fits(probe: &Probe, mutant: &Mutant) -> bool {
    probe.is_hosted() && mutant.groups.contains(&probe.group) && !TIMED.contains(&probe.id.as_str())
}

/// Runs, and what they gave before anything was changed.
struct Seen<'a> {
    host: &'a Host,
    bait: Bait,
    before: BTreeMap<(String, String, u32), Outcome>,
}

impl Seen<'_> {
    fn killer<'p>(
        &mut self,
        mutant: &Mutant,
        probes: impl Iterator<Item = &'p Probe>,
    ) -> Result<Option<String>, String> {
        let hidden: Vec<String> = mutant
            .hidden_by
            .iter()
            .flat_map(|layer| ["--without".to_owned(), (*layer).to_owned()])
            .collect();
        for probe in probes {
            for variant in 0..probe.variants {
                let before = self.before(mutant.profile, &hidden, probe, variant)?;
                // What nothing stops here has nothing to tell.
                let free = before
                    .said
                    .as_ref()
                    .is_some_and(|said| probe.is_reached(said));
                if free && probe.group != Resource && mutant.kind != "namespace" {
                    continue;
                }
                let options = [hidden.as_slice(), mutant.change.as_slice()].concat();
                let after = self.run(mutant.profile, options, probe, variant)?;
                if after.is_unwalled() {
                    let why = read_back(mutant, &after)?;
                    return Ok(Some(format!("the read-back: {why}")));
                }
                if is_other(probe, &before, &after) {
                    return Ok(Some(format!(
                        "{} variant {variant}: {} instead of {}",
                        probe.id,
                        told(&after),
                        told(&before)
                    )));
                }
            }
        }
        Ok(None)
    }

    fn before(
        &mut self,
        profile: &str,
        hidden: &[String],
        probe: &Probe,
        variant: u32,
    ) -> Result<Outcome, String> {
        let key = (
            format!("{profile} {}", hidden.join(" ")),
            probe.id.clone(),
            variant,
        );
        if let Some(known) = self.before.get(&key) {
            return Ok(known.clone());
        }
        let outcome = self
            .run(profile, hidden.to_vec(), probe, variant)?
            .walled()?;
        self.before.insert(key, outcome.clone());
        Ok(outcome)
    }

    fn run(
        &mut self,
        profile: &str,
        mut options: Vec<String>,
        probe: &Probe,
        variant: u32,
    ) -> Result<Outcome, String> {
        options.extend(["--limit-s".to_owned(), probe.limit_s.to_string()]);
        let laid = self.bait.lay_out_again();
        laid.map_err(|error| format!("no bait: {error}"))?;
        let mut words = self.bait.words(BOUNDS);
        words.push(format!("variant={variant}"));
        self.host.probe(profile, &probe.id, &Way { options, words })
    }
}

/// A mutant may be what its own process sees is missing: then that names the wall. All
/// else that keeps a process from its start is a failure of the machine.
fn read_back(mutant: &Mutant, after: &Outcome) -> Result<String, String> {
    let controls: &[&str] = match mutant.layer {
        "landlock" => &["landlock"],
        "mount" => &["mounts", "mount-ns"],
        "rlimits" | "descriptors" => &["descriptors"],
        "cgroup" => &["cgroup-memory", "cgroup-pids"],
        "uid" => &["uid"],
        "pid" => &["pid-ns"],
        "net" => &["net-ns"],
        "ipc" => &["ipc-ns"],
        "uts" => &["uts-ns"],
        "user" => &["user-ns", "uid"],
        "caps" => &["caps"],
        _ => &[],
    };
    let named = |control: &&str| {
        let why = after.why.strip_prefix("wall/").unwrap_or(&after.why);
        why.strip_prefix(*control)
            .is_some_and(|rest| rest.starts_with(':'))
    };
    match controls.iter().any(named) {
        true => Ok(after.why.clone()),
        false => Err(format!(
            "{}: a wall could not be put up: {}",
            mutant.what, after.why
        )),
    }
}

/// Less than so many more is chance, or a step of the kernel's own.
const FLOOR: u64 = 4;

fn is_other(probe: &Probe, before: &Outcome, after: &Outcome) -> bool {
    if before.class() != after.class() || (before.oom_kills > 0) != (after.oom_kills > 0) {
        return true;
    }
    // How far it came: twice as far is no chance, but from nothing one is no double.
    let far = |outcome: &Outcome| outcome.value.unwrap_or(0).unsigned_abs();
    let least = far(before).saturating_mul(2).max(FLOOR);
    probe.group == Resource && far(after) > least
}

fn told(outcome: &Outcome) -> String {
    match outcome.value {
        Some(value) => format!("{} ({value})", outcome.class()),
        None => outcome.class(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes;

    fn far(value: i64) -> Outcome {
        Outcome {
            value: Some(value),
            ending: "exited:0".to_owned(),
            ..Outcome::default()
        }
    }

    #[test]
    fn one_is_not_the_double_of_nothing() {
        let all = probes::table();
        let probe = all.iter().find(|probe| probe.group == Resource).unwrap();
        for (before, after, other) in [
            (0, 1, false),
            (0, 5, true),
            (60, 120, false),
            (60, 121, true),
        ] {
            assert_eq!(
                is_other(probe, &far(before), &far(after)),
                other,
                "{before} {after}"
            );
        }
    }

    #[test]
    fn only_a_read_back_that_names_the_mutant_is_a_kill() {
        let list = mutants();
        let nosuid = list.iter().find(|mutant| mutant.what.ends_with("nosuid"));
        let after = |why: &str| Outcome {
            why: why.to_owned(),
            ..Outcome::default()
        };
        let mutant = nosuid.unwrap();
        assert!(read_back(mutant, &after("mounts: EPERM")).is_ok());
        for why in [
            "",
            "no report of the walls: the deadline passed",
            "landlock: EPERM",
            "mountsX",
        ] {
            assert!(read_back(mutant, &after(why)).is_err(), "{why}");
        }
    }
}
