//! Runs `gm-probe-host` and reads what it says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::evidence::Ran;
use crate::harness::exec;
use crate::process::command;

/// Ending of a process that saw itself that a wall is not up.
const UNWALLED: &str = "unwalled";
/// Exit code of the probe host then.
const UNWALLED_EXIT: i32 = 30;
/// The longest limit that the probe host takes for a probe, in seconds.
pub(crate) const MOST_S: u64 = 120;
/// Longest life of the probe host.
const LONGEST: Duration = Duration::from_secs(MOST_S + 10);
/// Before what the probe host said about it.
const WHY: &str = "why ";

/// Where a probe is run, and with what changed.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// Options before `--`.
    pub options: Vec<String>,
    /// Words behind the id.
    pub words: Vec<String>,
}

/// The options that leave these layers out.
#[must_use]
pub fn without(layers: &[&str]) -> Vec<String> {
    let each = layers.iter().flat_map(|layer| ["--without", layer]);
    each.map(str::to_owned).collect()
}

/// The probe host.
#[derive(Debug, Clone)]
pub struct Host {
    path: PathBuf,
    dir: PathBuf,
}

/// What a probe said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// `said=` of its report; none = it sent none.
    pub said: Option<String>,
    /// `value=` of its report.
    pub value: Option<i64>,
    /// The whole report line.
    pub line: Option<String>,
    /// The call that was refused, with its arguments.
    pub call: Option<(u32, [u64; 6])>,
    /// `ending=`.
    pub ending: String,
    /// Processes that the group ended for want of memory.
    pub oom_kills: u64,
    /// Processes that it refused.
    pub pids_refused: u64,
    /// What the probe host said where a wall could not be put up.
    pub why: String,
}

impl Outcome {
    /// What counts when two runs are compared: never a number that differs each time.
    #[must_use]
    pub fn class(&self) -> String {
        match (&self.said, self.ending.as_str()) {
            (Some(said), "exited:0") => said.clone(),
            (_, ending) => ending.to_owned(),
        }
    }

    /// Whether a wall could not be put up, twice.
    #[must_use]
    pub fn is_unwalled(&self) -> bool {
        self.ending == UNWALLED
    }

    /// That it ran at all.
    ///
    /// # Errors
    /// The process saw itself that a wall is not up.
    pub fn walled(self) -> Result<Self, String> {
        match self.is_unwalled() {
            true => Err(format!("a wall could not be put up: {}", self.why)),
            false => Ok(self),
        }
    }

    /// Reads its lines.
    pub(crate) fn read(stdout: &str) -> Self {
        let mut outcome = Self::default();
        for line in stdout.lines() {
            if line.starts_with("probe=") {
                outcome.said = word(line, "said").map(str::to_owned);
                outcome.value = word(line, "value").and_then(|value| value.parse().ok());
                outcome.line = Some(line.to_owned());
            } else if line.starts_with("group ") {
                let count = |key| word(line, key).and_then(|count| count.parse().ok());
                outcome.oom_kills = count("oom_kills").unwrap_or(0);
                outcome.pids_refused = count("pids_refused").unwrap_or(0);
            } else if line.starts_with("call ") {
                outcome.call = call(line);
            } else if let Some(why) = line.strip_prefix(WHY) {
                outcome.why = why.to_owned();
            } else if let Some(ending) = line.strip_prefix("ending=") {
                outcome.ending = ending.to_owned();
            }
        }
        outcome
    }
}

fn word<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let mut words = line.split(' ');
    words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

fn call(line: &str) -> Option<(u32, [u64; 6])> {
    let nr = word(line, "nr")?.parse().ok()?;
    let hex = |arg: &str| u64::from_str_radix(arg.strip_prefix("0x")?, 16).ok();
    let args: Option<Vec<u64>> = word(line, "args")?.split(',').map(hex).collect();
    Some((nr, args?.try_into().ok()?))
}

impl Host {
    /// The probe host of this path.
    ///
    /// # Errors
    /// It isn't there.
    pub fn new(path: PathBuf) -> Result<Self, String> {
        if !path.is_file() {
            return Err(format!(
                "no {}: scripts/build-probe-host makes it",
                path.display()
            ));
        }
        let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { path, dir })
    }

    /// Runs one probe.
    ///
    /// # Errors
    /// The probe host could not run it.
    pub fn probe(&self, profile: &str, id: &str, way: &Way) -> Result<Outcome, String> {
        let mut words = vec!["--".to_owned(), id.to_owned()];
        words.extend(way.words.iter().cloned());
        let stdout = self.run(profile, &way.options, &words)?;
        let outcome = Outcome::read(&stdout);
        match outcome.ending.as_str() {
            "" => Err(format!("{profile} {id}: no ending in {stdout:?}")),
            _ => Ok(outcome),
        }
    }

    /// Runs the twin; what became of it.
    ///
    /// # Errors
    /// The probe host could not run it.
    pub fn twin(&self, profile: &str, options: &[String]) -> Result<String, String> {
        let stdout = self.run(profile, options, &["--twin".to_owned()])?;
        let mut lines = stdout.lines();
        let line = lines.find_map(|line| line.strip_prefix("twin="));
        line.map(str::to_owned)
            .ok_or(format!("{profile}: no twin in {stdout:?}"))
    }

    /// What it did, within its own limits and some time for itself.
    ///
    /// # Errors
    /// It can't be started, or the harness is to end.
    pub(crate) fn ran(
        &self,
        profile: &str,
        options: &[String],
        words: &[String],
    ) -> Result<Ran, String> {
        crate::interrupted::check()?;
        let mut host = command(&self.path, &self.dir);
        host.args(["--profile", profile]).args(options).args(words);
        exec::run(&mut host, LONGEST).map_err(|error| error.to_string())
    }

    fn run(&self, profile: &str, options: &[String], words: &[String]) -> Result<String, String> {
        let mut ran = self.ran(profile, options, words)?;
        // The machine may have been short of something for a moment.
        if ran.exit == Some(UNWALLED_EXIT) {
            ran = self.ran(profile, options, words)?;
        }
        let (stdout, why) = (ran.stdout.trim(), ran.stderr.trim());
        match ran.exit {
            Some(0) => Ok(stdout.to_owned()),
            Some(UNWALLED_EXIT) => {
                let why = why.trim_start_matches("gm-probe-host: ").replace('\n', " ");
                Ok(format!("{stdout}\n{WHY}{why}\nending={UNWALLED}\n"))
            }
            _ => Err(format!(
                "gm-probe-host {profile} {options:?} {words:?}: {} {why}",
                ran.ending()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_probe_host_says_is_read() {
        let text = "ABLATED layer=net\nprobe=a form=live said=EPERM value=-3\ngroup oom_kills=1 pids_refused=2\ncall nr=56 args=0x11,0x0,0x0,0x0,0x0,0xff\nending=exited:0\n";
        let outcome = Outcome::read(text);
        assert_eq!(outcome.said.as_deref(), Some("EPERM"));
        assert_eq!(
            (outcome.value, outcome.oom_kills, outcome.pids_refused),
            (Some(-3), 1, 2)
        );
        assert_eq!(outcome.call, Some((56, [0x11, 0, 0, 0, 0, 0xff])));
        assert_eq!(outcome.class(), "EPERM");
        let unwalled = Outcome::read("why mounts: EPERM\nending=unwalled\n");
        assert!(unwalled.is_unwalled() && unwalled.why == "mounts: EPERM");
        let killed = Outcome::read("ending=forbidden:41\n");
        assert_eq!(killed.class(), "forbidden:41");
    }
}
