//! Mutants of all that is no filter: tried for real, where the layers are left out that
//! would hide them. Under `native` (and `lua`, whose root can't be executed from), since
//! the walls from outside are the same functions for every profile.

use std::collections::BTreeMap;

use super::run::{Host, Outcome, Way, without};
use super::{Fate, Judged, Score};
use crate::bait::{Bait, Bounds, Whose};
use crate::probes::{Group, Probe};

/// Rights to files of linux/landlock.h, by their bit. That of `refer` is denied also where
/// it isn't handled (landlock(7)), so that its mutant would be none.
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
pub const BOUNDS: Bounds = Bounds {
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

/// Mutants of one kind: layer, kind, the layers that would hide them, where they show, and
/// each one's words and change.
type Kin = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [Group],
    Vec<(String, String)>,
);

/// What a layer has of several things, of which one is gone or ten times as large.
fn changed() -> Vec<Kin> {
    let each = |names: &[&str], what: &dyn Fn(&str) -> String, change: &str| {
        let one = |name: &&str| (what(name), format!("{change}:{name}"));
        names.iter().map(one).collect::<Vec<_>>()
    };
    let rights = RIGHTS
        .iter()
        .enumerate()
        .filter(|(_, name)| **name != "refer");
    let rights = rights.map(|(bit, name)| {
        let change = format!("right:{}", 1_u64 << bit);
        (format!("{name} not handled"), change)
    });
    let handled = |name: &str, change: &str| (format!("{name} not handled"), change.to_owned());
    let ports = vec![
        handled("bind_tcp", "net:1"),
        handled("connect_tcp", "net:2"),
    ];
    let scope = |what: &str, change: &str| {
        let what = format!("{what} not in the scope");
        vec![(what, change.to_owned())]
    };
    let abstracts = scope("abstract sockets", "scope:1");
    let signals = scope("signals", "scope:2");
    let without = |flag: &str| format!("the root without {flag}");
    let larger = |name: &str| format!("{name} ten times");
    let group = |name: &str| format!("{name} of the group ten times");
    let flags = each(&["nosuid", "nodev", "ro"], &without, "mount");
    let limits = each(&LIMITS, &larger, "limit");
    let groups = each(&["memory", "pids"], &group, "group");
    let files = &[File, Namespace, Tty, Process];
    vec![
        (
            "landlock",
            "right",
            &["seccomp", "mount"],
            files,
            rights.collect(),
        ),
        ("landlock", "right", &["seccomp", "net"], &[Net], ports),
        ("landlock", "scope", &["seccomp", "net"], &[Net], abstracts),
        // Another uid would hide it, too.
        (
            "landlock",
            "scope",
            &["seccomp", "pid", "uid"],
            &[Process],
            signals,
        ),
        (
            "mount",
            "flag",
            &["seccomp", "landlock"],
            &[File, Namespace],
            flags,
        ),
        (
            "rlimits",
            "limit",
            &["seccomp", "cgroup"],
            &[Resource, Kernel],
            limits,
        ),
        (
            "cgroup",
            "limit",
            &["seccomp", "rlimits"],
            &[Resource],
            groups,
        ),
    ]
}

/// A layer that is gone as a whole: its name, kind and words, the layers that would hide
/// it, and where it shows.
type Gone = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [Group],
);

const SECCOMP_ALONE: &[&str] = &["seccomp"];
const LANDLOCK_TOO: &[&str] = &["seccomp", "landlock"];

#[rustfmt::skip]
const GONE: [Gone; 9] = [
    ("descriptors", "descriptor", "a directory of the host left open", LANDLOCK_TOO, &[Tty]),
    ("uid", "map", "mapped to uid 0 of the host", &["seccomp", "landlock", "pid"], &[Process]),
    ("pid", "namespace", "no pid namespace", &["seccomp", "landlock", "uid"], &[Process]),
    ("net", "namespace", "no network namespace", LANDLOCK_TOO, &[Net]),
    ("ipc", "namespace", "no namespace of queues", SECCOMP_ALONE, &[Net]),
    ("uts", "namespace", "no namespace of the host's name", LANDLOCK_TOO, &[Namespace]),
    ("user", "namespace", "no user namespace", SECCOMP_ALONE, &[Namespace, Process]),
    ("mount", "tree", "the host's tree", LANDLOCK_TOO, &[File]),
    ("caps", "capabilities", "capabilities kept", SECCOMP_ALONE, &[Namespace]),
];

fn mutants() -> Vec<Mutant> {
    let of_kin = |(layer, kind, hidden_by, groups, all): Kin| {
        let one = move |(what, change)| Mutant {
            layer,
            kind,
            what,
            profile: "native",
            hidden_by,
            change: vec!["--change".to_owned(), change],
            groups,
        };
        all.into_iter().map(one)
    };
    let gone = |(layer, kind, what, hidden_by, groups): Gone| Mutant {
        layer,
        kind,
        what: what.to_owned(),
        profile: "native",
        hidden_by,
        change: without(&[layer]),
        groups,
    };
    let seen = Mutant {
        profile: "lua",
        layer: "mount",
        kind: "flag",
        what: "the root without noexec".to_owned(),
        hidden_by: LANDLOCK_TOO,
        change: vec!["--change".to_owned(), "mount:noexec".to_owned()],
        groups: &[File],
    };
    let all = changed().into_iter().flat_map(of_kin);
    all.chain(GONE.map(gone)).chain([seen]).collect()
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
        let hidden = without(mutant.hidden_by);
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
