//! `gm-broker doctor`: what this machine can enforce, the level that follows, and the
//! one command that mends each gap.
//!
//! It tries and doesn't believe settings. What needs privilege or a child is tried by the
//! launcher, which a run would start too: the level is its own, found the same way. What
//! can be read is read here.

mod around;
mod check;
mod facts;
mod grants;
mod groups;
mod home;
mod ids;
mod machine;
mod mend;
mod namespaces;
mod table;
mod walls;

use std::path::PathBuf;

use gm_manifest::{Code, Refusal};
use gm_protocol::orders::HostReport;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::args::Invocation;
use crate::args::broker::DoctorArgs;
use crate::config::{Config, Level};
use crate::home::Home;
use crate::output::Output;
use crate::session::Session;
use around::Around;
use check::Check;
use facts::{Facts, Place};
use mend::System;
use table::TABLE;

/// The schema of every line.
pub(crate) const SCHEMA: &str = "gm.doctor/1";

/// Less than L2: nothing ever starts.
const NOTHING: &str = "L0";

/// Looks at everything; gives the exit code, everything was said.
pub fn run(args: &DoctorArgs, invocation: &Invocation, output: &mut Output) -> u8 {
    let (facts, mut verdict) = match examine(args, invocation) {
        Ok(examined) => examined,
        Err(refusal) => return output.refused(&refusal),
    };
    let mut checks: Vec<Check> = TABLE.iter().map(|row| row.check(&facts)).collect();
    if let Err(refusal) = &facts.host {
        checks
            .iter_mut()
            .for_each(|check| check.mend_first(refusal));
    }
    checks.iter().for_each(|check| verdict.lower(check));
    for check in &checks {
        output.record(&check.record());
        output.line(&check.line());
    }
    let summary = Summary {
        facts: &facts,
        verdict: &verdict,
        gaps: checks.iter().filter(|check| check.is_gap()).count(),
    };
    output.heading(&summary.line());
    let exit = match &verdict.refusal {
        Some(refusal) => output.refused(refusal),
        None => 0,
    };
    output.record(&summary.record(exit));
    exit
}

/// The level, and why a run would go no further.
struct Verdict {
    level: &'static str,
    wanted: Level,
    refusal: Option<Refusal>,
}

impl Verdict {
    /// No level stands whose wall was tried here and not felt, whatever else was found.
    fn lower(&mut self, check: &Check) {
        let Some(most) = check.leaves().filter(|most| *most < self.level) else {
            return;
        };
        self.level = most;
        if most < self.wanted.as_str() && self.refusal.is_none() {
            let detail = format!(
                "{most} is what is left without {}, but {} is the least that may run",
                check.id(),
                self.wanted
            );
            let refusal = Refusal::new(Code::WallLevel, detail);
            self.refusal = Some(refusal.rule(format!("isolation.min = \"{}\"", self.wanted)));
        }
    }
}

/// Starts the launcher as a run does, on the home that was named; where that can't be
/// used, on an empty one, so that the machine is looked at all the same.
fn examine(args: &DoctorArgs, invocation: &Invocation) -> Result<(Facts, Verdict), Refusal> {
    // Before anything of ours is in its way.
    let around = Around::look();
    let uid = rustix::process::geteuid().as_raw();
    let mut place = Place::look(invocation);
    let empty = match &place.home {
        Some(_) => None,
        None => Some(EmptyHome::make()?),
    };
    let (home, config) = match (&place.home, &empty) {
        (Some(home), _) => (home, place.config.clone()),
        (None, Some(empty)) => (&empty.home, Config::default()),
        (None, None) => return Err(Refusal::new(Code::InternalPanic, "no home to look from")),
    };
    let (session, tried) = Session::examine(home, &config);
    let wanted = config
        .isolation
        .min
        .max(args.min_isolation.unwrap_or(Level::L3));
    let (host, granted, judged) = match session {
        Ok(session) => {
            let host = session.launcher().host().clone();
            let judged = session.level(&config, Some(wanted)).map(drop);
            let granted = grants::tried(&config, &session);
            session.end();
            (Ok(host), granted, judged)
        }
        Err(refusal) => (Err(refusal.clone()), Vec::new(), Err(refusal)),
    };
    drop(empty);
    let refusal = place.fault.clone().or_else(|| judged.err());
    let verdict = Verdict {
        level: host
            .as_ref()
            .map_or(NOTHING, |host: &HostReport| host.level.as_str()),
        wanted,
        refusal,
    };
    // What was made for the launcher is no home of the operator's.
    place.config = config;
    let facts = Facts {
        uid,
        tried,
        host,
        place,
        binaries: binaries(),
        around,
        system: System::look(),
        mounts: facts::read("/proc/self/mountinfo").unwrap_or_default(),
        granted,
    };
    Ok((facts, verdict))
}

/// Where the launcher is looked for.
fn binaries() -> PathBuf {
    let own = std::fs::read_link("/proc/self/exe").unwrap_or_default();
    own.parent().map(PathBuf::from).unwrap_or_default()
}

/// A home that lasts as long as the look.
struct EmptyHome {
    home: Home,
    _dir: TempDir,
}

impl EmptyHome {
    fn make() -> Result<Self, Refusal> {
        let failed = |error: std::io::Error| {
            Refusal::new(
                Code::StoreCorrupt,
                format!("an empty home can't be made: {error}"),
            )
        };
        let base = match rustix::process::geteuid().is_root() {
            true => "/run",
            false => "/tmp",
        };
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let dir = tempfile::Builder::new()
            .prefix("gm-doctor-")
            .permissions(private)
            .tempdir_in(base)
            .map_err(failed)?;
        let (home, _) = crate::home::open(dir.path())?;
        Ok(Self { home, _dir: dir })
    }
}

/// The last line.
struct Summary<'a> {
    facts: &'a Facts,
    verdict: &'a Verdict,
    gaps: usize,
}

impl Summary<'_> {
    fn record(&self, exit: u8) -> Value {
        let host = self.facts.host.as_ref().ok();
        json!({
            "schema": SCHEMA,
            "kind": "summary",
            "level": self.verdict.level,
            "wanted": self.verdict.wanted.as_str(),
            "gaps": host.map(|host| host.gaps.clone()).unwrap_or_default(),
            "landlock_abi": host.map_or(0, |host| host.landlock_abi),
            "kernel": host.map(|host| host.kernel.clone()),
            "arch": std::env::consts::ARCH,
            "cgroup_mode": host.map(|host| host.cgroup_mode.clone()),
            "uid_shared": host.map(|host| host.uid_shared),
            "exit": exit,
        })
    }

    fn line(&self) -> String {
        let Verdict { level, wanted, .. } = self.verdict;
        let meaning = match *level {
            "L4" => "every wall, a uid and a group for each plugin",
            "L3" => "every wall, but no uid or no group of each plugin's own",
            "L2" if self.limits() => {
                "filters and Landlock, with limits by groups, but no namespaces: nothing starts"
            }
            "L2" => "filters and Landlock, but no namespaces: nothing starts",
            _ => "nothing starts",
        };
        let gaps = match self.gaps {
            0 => "no gap".to_owned(),
            1 => "1 gap".to_owned(),
            more => format!("{more} gaps"),
        };
        format!("level {level}: {meaning} ({gaps}; {wanted} is asked for)")
    }

    fn limits(&self) -> bool {
        use gm_protocol::trials::Trial;
        [Trial::GroupMemory, Trial::GroupPids, Trial::GroupCpu]
            .iter()
            .all(|what| self.facts.outcome(*what).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::check::{Row, Seen};
    use super::*;

    fn facts() -> Facts {
        Facts {
            uid: 0,
            tried: Vec::new(),
            host: Err(Refusal::new(Code::InternalLauncher, "none")),
            place: Place {
                path: None,
                home: None,
                config: Config::default(),
                fault: None,
            },
            binaries: PathBuf::new(),
            around: Around {
                container: None,
                filters: 0,
            },
            system: System::Other,
            mounts: String::new(),
            granted: Vec::new(),
        }
    }

    fn gap(level_without: Option<&'static str>) -> Check {
        let row = Row {
            id: "wall",
            needed_for: "a test",
            level_without,
            look: |_| Seen::gap("missing", "mend it"),
        };
        row.check(&facts())
    }

    #[test]
    fn a_wall_that_was_not_felt_lowers_the_level_whatever_the_launcher_says() {
        for (without, level, refused) in [
            (None, "L4", false),
            (Some("L3"), "L3", true),
            (Some("L0"), "L0", true),
        ] {
            let mut verdict = Verdict {
                level: "L4",
                wanted: Level::L4,
                refusal: None,
            };
            verdict.lower(&gap(without));
            assert_eq!(verdict.level, level);
            assert_eq!(verdict.refusal.is_some(), refused);
        }
    }

    #[test]
    fn what_was_found_first_stays_the_reason() {
        let mut verdict = Verdict {
            level: "L3",
            wanted: Level::L3,
            refusal: Some(Refusal::new(Code::StoreUnsafePermissions, "the home")),
        };
        verdict.lower(&gap(Some("L2")));
        assert_eq!(verdict.level, "L2");
        let code = verdict.refusal.map(|refusal| refusal.code);
        assert_eq!(code, Some(Code::StoreUnsafePermissions));
    }

    #[test]
    fn without_a_launcher_no_line_says_that_a_wall_works() {
        let checks: Vec<Check> = TABLE.iter().map(|row| row.check(&facts())).collect();
        for id in [
            "clone3",
            "landlock",
            "namespace-user",
            "cgroup-memory",
            "seccomp-kill",
        ] {
            let check = checks.iter().find(|check| check.id() == id);
            assert!(check.is_some_and(Check::is_gap), "{id}");
        }
        assert!(checks.iter().all(|check| !check.line().contains('\n')));
    }
}
