//! `--under 'CMD ... --'`: the probes of machine code under anybody's launcher, beside the
//! same probes with no launcher and in a plugin of ours.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::Usage;
use super::control::{self, Control, Executable, Worked};
use super::evidence::{Ran, report};
use super::exec;
use super::judge::{Escape, Stopped};
use super::outcome::Row;
use super::report::Block;
use super::table::Case;
use super::verdict::Verdict;
use crate::bait::{Bait, Whose, random_name};
use crate::probes::{Group, Oracle, Probe, State};
use crate::process::command;

/// The launcher's command line, up to and with its `--`.
pub(super) struct Launcher {
    words: Vec<String>,
    /// Why it is not to be believed, if it isn't.
    broken: Option<String>,
}

impl Launcher {
    /// Takes the option apart: words as a shell has them, with quotes and backslashes.
    ///
    /// # Errors
    /// If there is no word, or a quote is open.
    pub(super) fn parse(text: &str) -> Result<Self, Usage> {
        let words =
            words(text).ok_or_else(|| Usage(format!("--under {text:?}: a quote is open")))?;
        match words.is_empty() {
            true => Err(Usage("--under names no command".to_owned())),
            false => Ok(Self {
                words,
                broken: None,
            }),
        }
    }

    /// Makes it run `gm-probe self NONCE`: a launcher that can't, proves nothing with
    /// anything else.
    pub(super) fn ask(&mut self, executable: &Executable) {
        self.broken = self.greeted(executable).err();
    }

    /// Whether it didn't.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    fn greeted(&self, executable: &Executable) -> Result<(), String> {
        let nonce = random_name().map_err(|error| error.to_string())?;
        let bait = Bait::set_out(Whose::Nobody).map_err(|error| error.to_string())?;
        let mut command = self.command(executable, &bait);
        command.args(["self", &nonce]);
        let ran = exec::run(&mut command, GREETING)
            .map_err(|error| format!("the launcher can't be started: {error}"))?;
        let said = ran
            .stdout
            .lines()
            .any(|line| line.trim() == format!("self={nonce}"));
        match said && ran.exit == Some(0) {
            true => Ok(()),
            false => Err(format!(
                "the launcher did not run gm-probe self: {}, {}",
                ran.ending(),
                first_line(&ran)
            )),
        }
    }

    fn command(&self, executable: &Executable, bait: &Bait) -> Command {
        let places = [
            ("{probe}", executable.path().to_owned()),
            ("{data}", bait.data()),
            ("{granted}", bait.granted()),
        ];
        let placed = |word: &String| {
            let fill = |word: String, (name, at): &(&str, PathBuf)| {
                word.replace(name, &at.display().to_string())
            };
            places.iter().fold(word.clone(), fill)
        };
        let ours: &[&str] = match rustix::process::geteuid().is_root() {
            true => &APART,
            false => &[],
        };
        let ours = ours.iter().map(|word| (*word).to_owned());
        let mut words = ours.chain(self.words.iter().map(placed));
        let mut command = command(words.next().unwrap_or_default(), &bait.data());
        command.args(words).arg(executable.path());
        command
    }

    /// One probe: its control, then the launcher.
    pub(super) fn verdict(&self, executable: &Executable, case: &Case) -> (Verdict, Control) {
        if let Some(why) = &self.broken {
            return (Verdict::error(why), Control::Broken("not run".to_owned()));
        }
        if case.probe.as_root.contains(&case.variant) {
            // That whoever the launcher runs it as can't do it either is nobody's wall.
            let why = "only root can do it".to_owned();
            return (Verdict::vacuous(&*why), Control::Refused(why));
        }
        let control = control::run(executable, case);
        let verdict = match &control {
            Control::Worked(worked) => match self.tried(executable, case, worked) {
                Ok(Tried::Stopped(stopped)) => Verdict::stopped(worked, stopped, None),
                Ok(Tried::Escaped(escape)) => Verdict::escaped(escape),
                Ok(Tried::Unproved(why)) => Verdict::error(why),
                Err(error) => Verdict::error(format!("the launcher can't be started: {error}")),
            },
            Control::Refused(said) => Verdict::vacuous(format!("control got {said}")),
            Control::Broken(why) => Verdict::error(why),
        };
        (verdict, control)
    }

    fn tried(
        &self,
        executable: &Executable,
        case: &Case,
        worked: &Worked,
    ) -> std::io::Result<Tried> {
        let bait = Bait::set_out(Whose::Nobody)?;
        let mut command = self.command(executable, &bait);
        command.arg(&case.probe.id).args(case.words(&bait));
        let limit = Duration::from_secs(case.probe.limit_s) + GREETING;
        let ran = exec::run(&mut command, limit)?;
        let effects = bait.effects(&ran.output);
        Ok(judged(case, worked, &ran, &effects))
    }
}

/// Before a launcher of root's, which may hold nothing: what an attack mounts, and the
/// name that it gives the host, are gone with it.
const APART: [&str; 6] = [
    "unshare",
    "--mount",
    "--propagation=private",
    "--uts",
    "--ipc",
    "--",
];

/// How long a launcher may take to start anything.
const GREETING: Duration = Duration::from_secs(10);

enum Tried {
    Stopped(Stopped),
    Escaped(Escape),
    Unproved(String),
}

fn judged(case: &Case, worked: &Worked, ran: &Ran, effects: &[String]) -> Tried {
    if !effects.is_empty() {
        return Tried::Escaped(Escape::seen(effects.join("; ")));
    }
    let report = report(&ran.stdout, &case.probe.id);
    if let Some(report) = &report {
        // If this very effect of its control was seen from outside, that nothing was seen is
        // the answer, whatever it says: a datagram may go to a network of its own.
        let nothing = format!("said {}, and nothing was seen outside", report.said);
        let watched = effect(&case.probe).is_some_and(|effect| worked.was_seen(effect));
        if let Some(stopped) = Stopped::by_state("unknown", &nothing, watched) {
            return Tried::Stopped(stopped);
        }
        if case.probe.is_reached(&report.said) {
            return Tried::Escaped(Escape::seen(format!("said {}", report.said)));
        }
    }
    // Of a call it counts that it was denied; of what else it may want, that this isn't
    // there, too.
    let (quiet, own) = match &case.probe.oracle {
        Oracle::Errno(words) => (true, words.all()),
        Oracle::State(_) => (true, case.probe.stops.as_slice()),
        Oracle::Deny(_) | Oracle::Ending(_) => (false, &[][..]),
    };
    let hidden = case.probe.group == Group::Process;
    match Stopped::under(ran, report.as_ref(), (quiet, hidden), own) {
        Some(stopped) => Tried::Stopped(stopped),
        None => Tried::Unproved(match report {
            Some(report) => format!("said {}, which is no denial", report.said),
            None => format!("no report: {}, {}", ran.ending(), first_line(ran)),
        }),
    }
}

/// What the bait itself shows of its deed, if it does.
fn effect(probe: &Probe) -> Option<&'static str> {
    match probe.oracle {
        Oracle::State(State::CanaryBytes) => Some("canary-bytes"),
        Oracle::State(State::HostFile) => Some("host-file"),
        Oracle::State(State::Listener) => Some("listener"),
        _ => None,
    }
}

fn first_line(ran: &Ran) -> String {
    let line = ran.stderr.lines().find(|line| !line.trim().is_empty());
    line.map_or("nothing on stderr".to_owned(), |line| {
        line.chars().take(200).collect()
    })
}

/// Whether a probe can be run under any launcher: it is an executable, and what it does
/// is about the kernel.
pub(super) fn is_for_all(group: Group) -> bool {
    matches!(
        group,
        Group::Abi
            | Group::Process
            | Group::Namespace
            | Group::File
            | Group::Tty
            | Group::Net
            | Group::Kernel
            | Group::Resource
    )
}

/// The table: each probe with no launcher, under this one, and in a plugin of ours.
pub(super) fn table(launcher: &str, theirs: &[Row], ours: &[Row]) -> Block {
    let by_id: BTreeMap<&str, &Row> = ours.iter().map(|row| (&*row.id, row)).collect();
    let cell = |row: &Row| match &row.layer {
        Some(layer) if layer != "unknown" => format!("{} ({layer})", row.verdict.name()),
        _ => row.verdict.name().to_owned(),
    };
    let lines = theirs.iter().map(|row| {
        let alone = match row.control {
            "ok" => "done".to_owned(),
            other => format!("{other}: {}", row.control_said),
        };
        let own = by_id.get(&*row.id).map_or("-".to_owned(), |row| cell(row));
        vec![
            format!("GM-P-{:04}", row.number),
            row.id.clone(),
            alone,
            cell(row),
            own,
        ]
    });
    Block::Table {
        head: vec![
            "".to_owned(),
            "probe".to_owned(),
            "no sandbox".to_owned(),
            launcher.to_owned(),
            "gm-broker (native)".to_owned(),
        ],
        lines: lines.collect(),
    }
}

/// Notes on each row what our own plugin made of it, so that JSON holds the table, too.
pub(super) fn note_ours(theirs: &mut [Row], ours: &[Row]) {
    for row in theirs {
        if let Some(own) = ours.iter().find(|own| own.id == row.id) {
            let ours = serde_json::json!({"verdict": own.verdict, "layer": own.layer});
            row.evidence.insert("gm-broker".to_owned(), ours);
        }
    }
}

/// Words as a shell has them; none if a quote is open. A last `--` is the launcher's.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().push(letters.next()?),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(id: &str) -> Case {
        let mut rows = crate::probes::table().into_iter();
        Case {
            probe: rows.find(|probe| probe.id == id).unwrap(),
            kind: crate::probes::Kind::Native,
            variant: 0,
        }
    }

    fn is_contained(id: &str, seen: &[&str], said: &str) -> bool {
        let ran = Ran {
            exit: Some(0),
            stdout: format!("probe={id} form=live said={said} value=0\n"),
            ..Ran::default()
        };
        let tried = judged(&case(id), &Worked::for_tests(seen), &ran, &[]);
        matches!(tried, Tried::Stopped(_))
    }

    #[test]
    fn silence_counts_only_where_the_control_was_heard() {
        let heard = ["listener-udp: 1 came"];
        for said in ["ok", "EBADF", "ETIMEDOUT"] {
            assert!(is_contained("net-inet", &heard, said), "{said}");
            assert!(!is_contained("net-inet", &[], said), "{said}");
            assert!(!is_contained("net-inet", &["host-file: x"], said), "{said}");
        }
        // What is denied or isn't there needs no silence; what the kernel says to bad
        // arguments is no denial.
        for (said, is) in [("EPERM", true), ("ENETUNREACH", true), ("EFAULT", false)] {
            assert_eq!(is_contained("net-inet", &[], said), is, "{said}");
        }
        for (said, is) in [("ENOENT", true), ("EBADF", false), ("EINVAL", false)] {
            assert_eq!(is_contained("pr-proc-mem", &[], said), is, "{said}");
        }
        assert!(is_contained("rb-mlock-map", &[], "EAGAIN"));
        assert!(!is_contained("fd-dirfd", &[], "EBADF"));
    }

    #[test]
    fn words_are_those_of_a_shell() {
        let of = |text: &str| words(text).unwrap();
        assert_eq!(
            of("bwrap --ro-bind / / --"),
            ["bwrap", "--ro-bind", "/", "/", "--"]
        );
        assert_eq!(
            of(r#"a 'b c' "d\" e" f\ g ''"#),
            ["a", "b c", "d\" e", "f g", ""]
        );
        assert_eq!(of("  "), [""; 0]);
        assert_eq!(words("a 'b"), None);
        assert_eq!(words("a \\"), None);
    }
}
