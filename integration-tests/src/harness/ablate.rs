//! The same probe with its expected layer left out: then a backup must stop it, or it
//! gets through, which shows that the layer did the work. Only `gm-probe-host` can leave a
//! layer out; it is built for tests and never installed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Usage;
use super::bait::Bait;
use super::evidence::{Ran, report};
use super::exec;
use super::outcome::Ablated;
use super::table::{Case, name};
use crate::process::command;

const HOST: &str = "gm-probe-host";
const START: Duration = Duration::from_secs(10);

/// The host of ablated probes.
pub(super) struct Ablation(PathBuf);

impl Ablation {
    /// Finds it beside the harness's own executable.
    ///
    /// # Errors
    /// If it isn't there.
    pub(super) fn beside(own: &Path) -> Result<Self, Usage> {
        let path = own.with_file_name(HOST);
        match path.is_file() {
            true => Ok(Self(path)),
            false => Err(Usage(format!(
                "--ablate needs {HOST} beside gm-harness, which is for tests alone and never installed: \
                 cargo build --release -p gm-integration-tests --features probe-host --bin {HOST}"
            ))),
        }
    }

    /// A case without its expected layer.
    pub(super) fn without(&self, case: &Case) -> Ablated {
        let without = name(&case.probe.layer);
        let (verdict, why) = match self.tried(case, &without) {
            Ok((verdict, why)) => (verdict, why),
            Err(why) => ("HARNESS_ERROR", why),
        };
        Ablated {
            without,
            verdict: verdict.to_owned(),
            why,
        }
    }

    fn tried(&self, case: &Case, without: &str) -> Result<(&'static str, String), String> {
        let bait = Bait::set_out().map_err(|error| error.to_string())?;
        let mut line = command(&self.0, Path::new("/"));
        line.args([
            "--profile",
            &name(&case.kind),
            "--without",
            without,
            "--",
            &case.probe.id,
        ]);
        line.args(case.words(&bait, "/data", "/grant/0"));
        let limit = Duration::from_secs(case.probe.limit_s) + START;
        let ran = exec::run(&mut line, limit).map_err(|error| error.to_string())?;
        let effects = bait.effects(&ran.output);
        judged(case, &ran, without, &effects)
    }
}

fn judged(
    case: &Case,
    ran: &Ran,
    without: &str,
    effects: &[String],
) -> Result<(&'static str, String), String> {
    let told = ran
        .stdout
        .lines()
        .any(|line| line.trim() == format!("ABLATED layer={without}"));
    let ending = ran
        .stdout
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("ending="));
    let (true, Some(ending)) = (told, ending) else {
        return Err(format!(
            "{HOST} did not do it: {}: {}",
            ran.ending(),
            ran.stderr
        ));
    };
    if !effects.is_empty() {
        return Ok(("ESCAPED", effects.join("; ")));
    }
    match report(&ran.stdout, &case.probe.id) {
        Some(report) if case.probe.is_reached(&report.said) => {
            Ok(("ESCAPED", format!("said {}", report.said)))
        }
        Some(report) => Ok(("CONTAINED", format!("said {}", report.said))),
        None if ending.starts_with("forbidden:") || ending == "timed_out" => {
            Ok(("CONTAINED", ending.to_owned()))
        }
        None => Err(format!("no report; {ending}")),
    }
}
