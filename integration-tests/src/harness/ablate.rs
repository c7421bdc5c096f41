//! The same probe with layers left out: then a backup must stop it, or it gets through,
//! which shows that the layers did the work. Only `gm-probe-host` can leave one out; it
//! is built for tests and never installed.
//!
//! Each is compared with the same host with all walls up, so that nothing else can be
//! what makes the difference.

use std::path::Path;

use super::Usage;
use super::evidence::Ran;
use super::outcome::Ablated;
use super::table::{Case, name};
use crate::bait::{Bait, Whose};
use crate::mutation::{Host, MOST_S, Outcome, without};
use crate::probes::{Kind, Oracle, Probe, State};

const HOST: &str = "gm-probe-host";
/// Ending of a process that a filter killed without a word: SIGSYS.
const VETO: &str = "signal:31";
const KILLED: &str = "signal:9";
/// Endings of a process that died of its own mistake: of SIGILL, SIGABRT, SIGBUS, SIGFPE
/// or SIGSEGV.
const FAULTS: [&str; 5] = ["signal:4", "signal:6", "signal:7", "signal:8", "signal:11"];
const FAULT: &str = "it died of a fault of its own there";
/// The host stops at the wall of constructors: the call that puts up the last filter is
/// still to come.
const NOT_WITH_IT: &str = "it is reached there with nothing left out, too";

/// The layers that it can leave out, as it names them.
pub const LAYERS: [&str; 13] = [
    "seccomp",
    "landlock",
    "mount",
    "pid",
    "net",
    "ipc",
    "uts",
    "user",
    "uid",
    "cgroup",
    "rlimits",
    "caps",
    "descriptors",
];

/// Which layers are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Without {
    /// Of each row the one that is expected to stop it.
    Expected,
    /// All of these.
    These(Vec<&'static str>),
}

impl Without {
    /// The word that stands for the expected one.
    pub const EXPECTED: &'static str = "expected";

    /// Reads the option's value.
    ///
    /// # Errors
    /// A layer that is not known, or named twice.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == Self::EXPECTED {
            return Ok(Self::Expected);
        }
        let mut layers = Vec::new();
        for word in text.split(',') {
            let known = LAYERS.into_iter().find(|layer| *layer == word);
            let layer = known.ok_or_else(|| {
                let known = LAYERS.join(", ");
                format!("no layer {word:?}; those that can be left out are {known}")
            })?;
            if layers.contains(&layer) {
                return Err(format!("{layer} is named twice"));
            }
            layers.push(layer);
        }
        Ok(Self::These(layers))
    }
}

/// The host of ablated probes.
pub(super) struct Ablation {
    host: Host,
    without: Without,
}

impl Ablation {
    /// Finds it beside the harness's own executable.
    ///
    /// # Errors
    /// If it isn't there, or can't put up walls.
    pub(super) fn beside(own: &Path, without: Without) -> Result<Self, Usage> {
        let host = own.with_file_name(HOST);
        if !host.is_file() {
            return Err(Usage(format!(
                "--ablate needs {HOST} beside gm-harness, which is for tests alone and never \
                 installed: scripts/build-probe-host, then target/probe-host/bin/gm-broker"
            )));
        }
        if !rustix::process::geteuid().is_root() {
            return Err(Usage(format!("--ablate needs root, as {HOST} does")));
        }
        let host = Host::new(host).map_err(Usage)?;
        Ok(Self { host, without })
    }

    /// The host.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// A case with layers left out; none if it is not hosted, or nothing of what is
    /// expected to stop it can be left out.
    pub(super) fn without(&self, case: &Case) -> Option<Ablated> {
        if case.kind != Kind::Native || case.probe.constructor {
            return None;
        }
        let layers = match &self.without {
            Without::These(layers) => layers.clone(),
            Without::Expected => {
                let own = name(&case.probe.layer);
                vec![LAYERS.into_iter().find(|layer| *layer == own)?]
            }
        };
        let compared = match unmeasured(&case.probe) {
            Some(why) => Ok(Became::Unknown(why)),
            None => self.compared(case, &layers),
        };
        let (verdict, why) = match compared {
            Ok(Became::Through(why)) => ("ESCAPED", why),
            Ok(Became::Stopped(why)) => ("CONTAINED", why),
            Ok(Became::Unknown(why)) => ("VACUOUS", why.to_owned()),
            Err(why) => ("HARNESS_ERROR", why),
        };
        Some(Ablated {
            variant: case.variant,
            without: layers.join(","),
            verdict,
            why,
        })
    }

    fn compared(&self, case: &Case, layers: &[&str]) -> Result<Became, String> {
        let whole = self.run(case, &[])?;
        let part = self.run(case, layers)?;
        compared(&case.probe, &whole, &part)
    }

    fn run(&self, case: &Case, layers: &[&str]) -> Result<Seen, String> {
        let bait = Bait::set_out(Whose::Nobody).map_err(|error| error.to_string())?;
        let seconds = case.probe.limit_s.clamp(1, MOST_S);
        let mut options = vec!["--limit-s".to_owned(), seconds.to_string()];
        options.extend(without(layers));
        if !case.probe.permissions.contains_key("filesystem") {
            options.push("--bare".to_owned());
        }
        let mut words = vec!["--".to_owned(), case.probe.id.clone()];
        words.extend(case.words(&bait));
        let ran = self.host.ran(&name(&case.kind), &options, &words)?;
        let effects = bait.effects(&ran.output);
        let outcome = read(&ran, layers)?;
        Ok(Seen { outcome, effects })
    }
}

/// What it says of a run. It names each layer that it has left out, in its own order.
fn read(ran: &Ran, layers: &[&str]) -> Result<Outcome, String> {
    let told = ran.stdout.lines();
    let mut told: Vec<&str> = told
        .filter_map(|line| line.strip_prefix("ABLATED layer="))
        .collect();
    let mut wanted = layers.to_vec();
    told.sort_unstable();
    wanted.sort_unstable();
    let outcome = Outcome::read(&ran.stdout);
    match told == wanted && !outcome.ending.is_empty() && ran.exit == Some(0) {
        true => Ok(outcome),
        false => Err(format!(
            "{HOST} did not do it: {}: {}",
            ran.ending(),
            ran.stderr.trim()
        )),
    }
}

/// A run in the probe host.
#[derive(Debug, Default)]
struct Seen {
    outcome: Outcome,
    /// What happened outside.
    effects: Vec<String>,
}

/// What became of a probe without its layers.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    Through(String),
    Stopped(String),
    Unknown(&'static str),
}

/// What only a whole run could show: how others fare, and what is left behind.
fn unmeasured(probe: &Probe) -> Option<&'static str> {
    match &probe.oracle {
        Oracle::State(State::Neighbour | State::Survivors | State::Log) => {
            Some("what it does to others is not measured in the probe host")
        }
        _ => None,
    }
}

/// Of some states the probe's word alone means nothing; how far it came does.
fn is_counted(probe: &Probe) -> bool {
    matches!(
        probe.oracle,
        Oracle::State(State::Descriptors | State::Memory | State::Disk)
    )
}

fn compared(probe: &Probe, whole: &Seen, part: &Seen) -> Result<Became, String> {
    let counted = is_counted(probe);
    if !whole.effects.is_empty() {
        let seen = whole.effects.join("; ");
        return Err(format!("it gets through with nothing left out: {seen}"));
    }
    if through(probe, whole).is_some() && !counted {
        return Ok(Became::Unknown(NOT_WITH_IT));
    }
    let farther = value(part) > value(whole);
    match through(probe, part) {
        Some(why) if !counted || farther || !part.effects.is_empty() => Ok(Became::Through(why)),
        Some(why) => Ok(Became::Stopped(format!("{why}, no more than before"))),
        None if FAULTS.contains(&part.outcome.ending.as_str()) => Ok(Became::Unknown(FAULT)),
        None => stopped(&part.outcome).map(Became::Stopped),
    }
}

fn value(seen: &Seen) -> i64 {
    seen.outcome.value.unwrap_or(0)
}

fn through(probe: &Probe, seen: &Seen) -> Option<String> {
    if !seen.effects.is_empty() {
        return Some(seen.effects.join("; "));
    }
    let said = seen.outcome.said.as_ref()?;
    let value = value(seen);
    probe
        .is_reached(said)
        .then(|| format!("said {said} ({value})"))
}

fn stopped(outcome: &Outcome) -> Result<String, String> {
    let ending = outcome.ending.as_str();
    match &outcome.said {
        Some(said) => Ok(format!("said {said}")),
        None if ending.starts_with("forbidden:") || ending == "timed_out" => Ok(ending.to_owned()),
        None if ending == VETO => Ok("killed by the veto".to_owned()),
        None if ending == KILLED && outcome.oom_kills > 0 => Ok("out_of_memory".to_owned()),
        None => Err(format!("no report; {ending}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes;

    fn probe(id: &str) -> Probe {
        let mut table = probes::table().into_iter();
        table.find(|probe| probe.id == id).unwrap()
    }

    fn seen(text: &str) -> Seen {
        Seen {
            outcome: Outcome::read(text),
            effects: Vec::new(),
        }
    }

    const FORBIDDEN: &str = "group oom_kills=0 pids_refused=0\ncall nr=425 args=0x1,0x0,0x0,0x0,0x0,0x0\nending=forbidden:425\n";

    #[test]
    fn only_layers_that_there_are_can_be_named() {
        assert_eq!(Without::parse("expected"), Ok(Without::Expected));
        let two = Without::These(vec!["seccomp", "net"]);
        assert_eq!(Without::parse("seccomp,net"), Ok(two));
        for text in ["", "sekomp", "seccomp,", "seccomp,seccomp", "deadline"] {
            assert!(Without::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_host_that_left_out_something_else_or_failed_did_not_do_it() {
        let ran = |stdout: &str, exit| Ran {
            stdout: stdout.to_owned(),
            exit: Some(exit),
            ..Ran::default()
        };
        let said = format!("ABLATED layer=seccomp\nABLATED layer=net\n{FORBIDDEN}");
        assert!(read(&ran(&said, 0), &["net", "seccomp"]).is_ok());
        for (stdout, exit, layers) in [
            (&*said, 0, &["seccomp"][..]),
            (&*said, 30, &["seccomp", "net"]),
            (FORBIDDEN, 0, &["seccomp"]),
            ("ABLATED layer=seccomp\n", 0, &["seccomp"]),
            ("", 0, &[]),
        ] {
            assert!(read(&ran(stdout, exit), layers).is_err(), "{stdout:?}");
        }
    }

    #[test]
    fn what_gets_through_without_a_layer_was_stopped_by_it() {
        let ring = probe("sc-io-uring");
        let line = |said: &str| {
            seen(&format!(
                "probe=sc-io-uring form=harmless said={said} value=0\nending=exited:0\n"
            ))
        };
        let became = |whole: &Seen, part: &Seen| compared(&ring, whole, part);
        assert_eq!(
            became(&seen(FORBIDDEN), &line("EFAULT")),
            Ok(Became::Through("said EFAULT (0)".to_owned()))
        );
        assert_eq!(
            became(&seen(FORBIDDEN), &line("EPERM")),
            Ok(Became::Stopped("said EPERM".to_owned()))
        );
        assert_eq!(
            became(&seen(FORBIDDEN), &seen(FORBIDDEN)),
            Ok(Became::Stopped("forbidden:425".to_owned()))
        );
        let touched = Seen {
            effects: vec!["listener-tcp: 1 came".to_owned()],
            ..line("EPERM")
        };
        assert!(matches!(
            became(&seen(FORBIDDEN), &touched),
            Ok(Became::Through(_))
        ));
        // With nothing left out something outside must not happen.
        assert!(became(&touched, &line("EFAULT")).is_err());
        let unknown = Ok(Became::Unknown(NOT_WITH_IT));
        assert_eq!(became(&line("EFAULT"), &line("EFAULT")), unknown);
        // To crash is no evidence, to say nothing a failure.
        let unknown = Ok(Became::Unknown(FAULT));
        assert_eq!(
            became(&seen(FORBIDDEN), &seen("ending=signal:11\n")),
            unknown
        );
        assert!(became(&seen(FORBIDDEN), &seen("ending=signal:9\n")).is_err());
        assert!(became(&seen(FORBIDDEN), &seen("ending=exited:0\n")).is_err());
    }

    #[test]
    fn what_is_counted_must_have_come_farther() {
        let leak = probe("fd-leak");
        let line = |value| {
            seen(&format!(
                "probe=fd-leak form=live said=ok value={value}\nending=exited:0\n"
            ))
        };
        let became = |whole, part| compared(&leak, &line(whole), &line(part));
        assert!(matches!(became(4, 5), Ok(Became::Through(_))));
        assert!(matches!(became(4, 4), Ok(Became::Stopped(_))));
    }
}
