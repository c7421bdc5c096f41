//! The positive control: the same probe with no wall of ours round it, as nobody (as root
//! where the row says so). If it can't do its deed there, stopping it proves nothing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::evidence::{Ran, report};
use super::exec;
use super::table::Case;
use crate::bait::{Bait, NOBODY, Whose};
use crate::probes::{self, ControlClass, Oracle, State};
use crate::process::command;

/// That the deed can be done where nothing stops it. Made by a control that worked, or
/// by an honest act of the same kind where no control outside exists.
#[derive(Debug, Clone)]
pub struct Worked {
    how: String,
    /// What was seen of it from outside.
    effects: Vec<String>,
}

impl Worked {
    /// By an honest act under the same walls: for rows whose place is the host or the
    /// engine, which exist nowhere else.
    #[must_use]
    pub fn by_twin(twin: &super::twins::Done) -> Self {
        Self::seen(format!("twin {}", twin.id()), &[])
    }

    fn seen(how: String, effects: &[String]) -> Self {
        Self {
            how,
            effects: effects.to_vec(),
        }
    }

    /// One for the tests of the judge.
    #[cfg(test)]
    pub(super) fn for_tests(effects: &[&str]) -> Self {
        let effects: Vec<String> = effects.iter().map(|it| (*it).to_owned()).collect();
        Self::seen("ok".to_owned(), &effects)
    }

    /// Whether an effect whose name begins like this was seen from outside.
    #[must_use]
    pub fn was_seen(&self, effect: &str) -> bool {
        self.effects.iter().any(|seen| seen.starts_with(effect))
    }

    /// What it said.
    #[must_use]
    pub fn how(&self) -> &str {
        &self.how
    }
}

/// How a control went.
#[derive(Debug, Clone)]
pub enum Control {
    /// It did its deed.
    Worked(Worked),
    /// It was run, and the kernel refused: what it said.
    Refused(String),
    /// It was not run, or did not say anything: why.
    Broken(String),
}

impl Control {
    /// What reports print.
    #[must_use]
    pub fn words(&self) -> (&'static str, &str) {
        match self {
            Self::Worked(worked) => ("ok", &worked.how),
            Self::Refused(said) => ("refused", said),
            Self::Broken(why) => ("broken", why),
        }
    }
}

/// The executable with all probes, where nobody can execute it.
pub struct Executable {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Executable {
    /// Writes it down.
    ///
    /// # Errors
    /// If that can't be done.
    pub fn put(bytes: &[u8]) -> std::io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::Builder::new()
            .prefix("gm-harness-probe-")
            .tempdir()?;
        let path = dir.path().join("gm-probe");
        std::fs::write(&path, bytes)?;
        for path in [dir.path(), path.as_path()] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
        }
        Ok(Self { _dir: dir, path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a control can be run at all where the probes lie.
///
/// # Errors
/// Why nobody can execute them there.
pub fn can_run(executable: &Executable) -> Result<(), String> {
    let mut line = command(executable.path(), Path::new("/"));
    Whose::Nobody.run_as(&mut line);
    let ran = exec::run(line.args(["self", "1"]), Duration::from_secs(10));
    let ran = ran.map_err(|error| error.to_string())?;
    match ran.stdout.trim() == "self=1" {
        true => Ok(()),
        false => Err(format!("{} {}", ran.ending(), ran.stderr.trim())),
    }
}

/// Runs the control of a case.
#[must_use]
pub fn run(executable: &Executable, case: &Case) -> Control {
    match observe(executable, case) {
        Ok(control) => control,
        Err(error) => Control::Broken(format!("the control could not be run: {error}")),
    }
}

fn observe(executable: &Executable, case: &Case) -> std::io::Result<Control> {
    if let Some(object) = probes::constructor(&case.probe.id, case.variant) {
        return constructed(object, case);
    }
    let bait = Bait::set_out(Whose::Nobody)?;
    let mut command = unconfined(executable, case, &bait);
    let ran = exec::run(&mut command, limit(case))?;
    let effects = bait.effects(&ran.output);
    Ok(judged(case, &ran, &effects))
}

/// A constructor is run by whatever loads it: here by a program that does nothing else.
/// It can't report, so what counts is that it came back, or, if that is its deed, that
/// it didn't.
fn constructed(object: &[u8], case: &Case) -> std::io::Result<Control> {
    let bait = Bait::set_out(Whose::Nobody)?;
    let path = bait.path().join("constructor.so");
    std::fs::write(&path, object)?;
    let mut line = command("true", &bait.data());
    // The loader says what it runs, ld.so(8): not every `true` has one.
    line.env("LD_PRELOAD", &path).env("LD_DEBUG", "files");
    Whose::Nobody.run_as(&mut line);
    let ran = exec::run(&mut line, limit(case))?;
    let how = ran.ending();
    let begun = format!("calling init: {}", path.display());
    let loaded = ran.stderr.contains(&begun);
    let endless = case.probe.is_reached("no-end");
    match loaded && ((endless && ran.timed_out) || (!endless && ran.exit == Some(0))) {
        true => Ok(Control::Worked(Worked::seen(
            format!("its constructor ran, unconfined: {how}"),
            &[],
        ))),
        false => Ok(Control::Broken(format!(
            "its constructor did not run: {how} {}",
            ran.stderr
        ))),
    }
}

/// The probe with no wall round it: as nobody, or, where only root can do the deed, as who
/// runs the harness. One that takes all there is gets a process namespace of its own, whose
/// end is the end of all that it made.
fn unconfined(executable: &Executable, case: &Case, bait: &Bait) -> Command {
    let as_root = case.probe.as_root.contains(&case.variant);
    let root = rustix::process::geteuid().is_root() && !as_root;
    let mut line = command(executable.path(), &bait.data());
    if case.probe.alone && root {
        let id = NOBODY.to_string();
        line = command("unshare", &bait.data());
        line.args(["--pid", "--fork", "--kill-child=KILL", "--"]);
        line.args([
            "setpriv",
            "--reuid",
            &id,
            "--regid",
            &id,
            "--clear-groups",
            "--",
        ]);
        line.arg(executable.path());
    } else if !as_root {
        Whose::Nobody.run_as(&mut line);
    }
    line.arg(&case.probe.id).args(case.words(bait));
    if matches!(case.probe.control, ControlClass::U) && !as_root {
        line.arg("in=userns");
    }
    line
}

/// A control has worked if the probe reports what only those hear who got through, and,
/// where the deed is a thing that can be seen from outside, if it was seen.
fn judged(case: &Case, ran: &Ran, effects: &[String]) -> Control {
    let Some(report) = report(&ran.stdout, &case.probe.id) else {
        // Not to end, or to end badly, is what some of them want to show.
        let why = ran.ending();
        let wanted = (ran.timed_out && case.probe.is_reached("no-end"))
            || (ran.signal.is_some() && case.probe.is_reached("signal"));
        return match wanted {
            true => Control::Worked(Worked::seen(why, effects)),
            false => Control::Broken(format!("the control said nothing: {why}")),
        };
    };
    if ran.exit != Some(0) {
        return Control::Broken(format!("the control ended oddly: {}", ran.ending()));
    }
    if !case.probe.is_reached(&report.said) {
        return Control::Refused(report.said);
    }
    let how = match effects {
        [] => report.said,
        effects => effects.join("; "),
    };
    // What shall never be read must have been read here, or the search finds nothing ever.
    let seen = effects
        .iter()
        .any(|effect| effect.starts_with("canary-bytes"));
    match case.probe.oracle {
        Oracle::State(State::CanaryBytes) if !seen => Control::Broken(format!(
            "the control says {how}, but the secret is not in its words"
        )),
        _ => Control::Worked(Worked::seen(how, effects)),
    }
}

/// How long a control may take. What is to show that it doesn't end needs no more than a
/// while for that.
fn limit(case: &Case) -> Duration {
    const WHILE: Duration = Duration::from_secs(2);
    match case.probe.is_reached("no-end") {
        true => WHILE,
        false => Duration::from_secs(case.probe.limit_s) + WHILE,
    }
}
