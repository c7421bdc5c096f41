//! From the table to rows: which are run, in which order, and what each comes to.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use super::ablate::Ablation;
use super::args::{Asked, Profile, RunArgs, Verb};
use super::attempt::{self, Attempt};
use super::borrowed::Borrowed;
use super::control::{self, Control, Executable, Worked};
use super::facts::Facts;
use super::host::Host;
use super::hosted::Stages;
use super::judge;
use super::outcome::{self, Ablated, Beside, Row, Summary};
use super::report::{Sink, Whole};
use super::table::{Case, fits, name};
use super::twins::{Done, Outcome, Twins};
use super::under::{self, Launcher};
use super::verdict::Class;
use super::waivers::Waivers;
use super::{SCHEMA, Usage, caught, say};
use crate::bait::NOBODY;
use crate::interrupted;
use crate::mutation;
use crate::probes::{self, ControlClass, Kind, Probe};

/// Does what was asked; the exit code.
///
/// # Errors
/// What can't be carried out, before anything was run.
pub(super) fn carry_out(asked: Asked) -> Result<u8, Usage> {
    let json = asked.is_json();
    match asked.verb {
        Verb::List(args) => Ok(match list(&args.only, json) {
            // A reader that has seen enough has what it wanted.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                say(&format!("error: stdout: {error}"));
                70
            }
            _ => 0,
        }),
        Verb::Run(args) => {
            let own = std::fs::read_link("/proc/self/exe").unwrap_or_default();
            let dir = super::hosted::beside(&own).ok_or_else(|| {
                Usage(format!(
                    "no gm, gm-broker and gm-launcher beside {}",
                    own.display()
                ))
            })?;
            crate::use_binaries_of(&dir);
            Run::new(args, asked.quiet, json, &own)?.go()
        }
    }
}

fn wanted(only: &[String], probe: &Probe) -> bool {
    let group = name(&probe.group);
    only.is_empty()
        || only
            .iter()
            .any(|glob| fits(glob, &probe.id) || fits(glob, &group))
}

/// `harness list`.
fn list(only: &[String], json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for probe in probes::table().iter().filter(|probe| wanted(only, probe)) {
        let kinds: Vec<String> = probe.kinds.iter().map(name).collect();
        let said = if json {
            let row = json!({
                "schema": SCHEMA, "kind": "row", "id": probe.id, "number": probe.number,
                "group": name(&probe.group), "kinds": kinds, "layer": name(&probe.layer),
                "backup": probe.backup.iter().map(name).collect::<Vec<_>>(),
                "control": format!("{:?}", probe.control), "twin": probe.twin,
                "variants": probe.variants, "alone": probe.alone, "vm_only": probe.vm_only,
                "limit_s": probe.limit_s, "why": probe.why,
            });
            writeln!(out, "{row}")
        } else {
            let number = format!("GM-P-{:04}", probe.number);
            writeln!(
                out,
                "{number}  {:<22} {:<10} {:<18} {}",
                probe.id,
                name(&probe.group),
                kinds.join(","),
                probe.why
            )
        };
        said?;
    }
    if json {
        let end = json!({"schema": SCHEMA, "kind": "end", "result": "ok", "exit": 0});
        writeln!(out, "{end}")?;
    }
    out.flush()
}

/// A row to run.
struct Task {
    probe: Probe,
    kind: Kind,
    /// Under another launcher than ours.
    under: Option<Arc<Launcher>>,
}

/// One run.
struct Run {
    args: RunArgs,
    ablation: Option<Ablation>,
    launcher: Option<Arc<Launcher>>,
    waivers: Waivers,
    quiet: bool,
    sinks: Vec<Sink>,
    executable: Executable,
    stages: Stages,
    host: Host,
    twins: Twins,
    facts: Mutex<Facts>,
}

impl Run {
    fn new(args: RunArgs, quiet: bool, json: bool, own: &Path) -> Result<Self, Usage> {
        let executable = Executable::put(probes::ELF)
            .map_err(|error| Usage(format!("the probes can't be written down: {error}")))?;
        control::can_run(&executable).map_err(|why| {
            let place = std::env::temp_dir();
            Usage(format!(
                "controls can't be executed below {}: {why}; name a directory with TMPDIR that \
                 uid {NOBODY} may enter, and that isn't mounted noexec",
                place.display()
            ))
        })?;
        crate::home::try_level().map_err(Usage)?;
        let waivers = args.waivers.as_deref().map(Waivers::read).transpose()?;
        let ablation = args.ablate.clone();
        let ablation = ablation.map(|without| Ablation::beside(own, without));
        let ablation = ablation.transpose()?;
        let sinks = Sink::all(&args.report, json)?;
        let mut launcher = args.under.as_deref().map(Launcher::parse).transpose()?;
        if let Some(launcher) = &mut launcher {
            launcher.ask(&executable);
        }
        let plan = match &args.plugin {
            Some(id) => Some(Borrowed::read(id, args.home.as_deref())?),
            None => None,
        };
        Ok(Self {
            waivers: waivers.unwrap_or_default(),
            ablation,
            launcher: launcher.map(Arc::new),
            args,
            quiet,
            sinks,
            executable,
            stages: Stages::new(plan),
            host: Host::default(),
            twins: Twins::default(),
            facts: Mutex::new(Facts::read()),
        })
    }

    fn go(self) -> Result<u8, Usage> {
        let tasks = self.tasks();
        if tasks.is_empty() {
            return Err(Usage("no probe fits --only and --profile".to_owned()));
        }
        let mut rows = self.all(tasks);
        // Beside another launcher, ours are there to compare.
        let (mut theirs, ours): (Vec<Row>, Vec<Row>) = rows
            .drain(..)
            .partition(|row| self.launcher.is_none() || row.profile == "under");
        let comparison = self
            .args
            .under
            .as_deref()
            .map(|text| under::table(text, &theirs, &ours));
        under::note_ours(&mut theirs, &ours);
        let mut beside = self.scored();
        if let Some(exit) = interrupted::exit() {
            return Ok(exit);
        }
        beside.missed.extend(self.waivers.apply(&mut theirs));
        beside.missed.extend(self.missed(&theirs));
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let summary = Summary::of(&theirs, beside, self.args.strict);
        let whole = Whole {
            facts: &facts,
            rows: &theirs,
            summary: &summary,
            strict: self.args.strict,
            comparison: comparison.as_ref(),
        };
        Ok(self.conclude(&whole))
    }

    /// Each row in each of its kinds.
    fn tasks(&self) -> Vec<Task> {
        let only = match (self.args.profile, &self.launcher) {
            (_, Some(_)) => Some(Kind::Native),
            (Profile::All, None) => self.stages.kind(),
            (Profile::Wasm, None) => Some(Kind::Wasm),
            (Profile::Lua, None) => Some(Kind::Lua),
            (Profile::Js, None) => Some(Kind::Js),
            (Profile::Native, None) => Some(Kind::Native),
            (Profile::Host, None) => Some(Kind::Host),
        };
        let rows = probes::table().into_iter();
        let rows = rows.filter(|probe| !probe.vm_only && wanted(&self.args.only, probe));
        let each = |probe: Probe| {
            let kinds = probe.kinds.clone().into_iter();
            let kinds = kinds.filter(move |kind| only.is_none_or(|only| only == *kind));
            kinds
                .map(move |kind| (probe.clone(), kind))
                .collect::<Vec<_>>()
        };
        rows.flat_map(each)
            .flat_map(|(probe, kind)| self.tasks_of(probe, kind))
            .collect()
    }

    /// Where a row is run: in a plugin of ours, and under another launcher if one is named.
    fn tasks_of(&self, probe: Probe, kind: Kind) -> Vec<Task> {
        let ours = Task {
            probe: probe.clone(),
            kind,
            under: None,
        };
        let Some(launcher) = &self.launcher else {
            return vec![ours];
        };
        // Constructors are shared objects, which no launcher starts.
        if !under::is_for_all(probe.group) || probe.constructor {
            return Vec::new();
        }
        let theirs = Task {
            probe,
            kind,
            under: Some(Arc::clone(launcher)),
        };
        // Beside one that can't even greet there is nothing to compare.
        match launcher.is_broken() {
            true => vec![theirs],
            false => vec![theirs, ours],
        }
    }

    /// Runs them: many at once, then those alone that need the machine for themselves.
    fn all(&self, tasks: Vec<Task>) -> Vec<Row> {
        let total = tasks.len();
        let numbered = tasks.into_iter().enumerate();
        let (alone, together): (VecDeque<_>, VecDeque<_>) =
            numbered.partition(|(_, task)| task.probe.alone);
        let done = Mutex::new(Vec::with_capacity(total));
        let jobs = self.args.jobs.map_or_else(workers, usize::from);
        for (queue, jobs) in [(together, jobs), (alone, 1)] {
            let queue = Mutex::new(queue);
            std::thread::scope(|scope| {
                for worker in 0..jobs {
                    let (queue, done) = (&queue, &done);
                    scope.spawn(move || self.work(worker, queue, done, total));
                }
            });
        }
        let mut rows = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        rows.sort_by_key(|(at, _)| *at);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn work(
        &self,
        worker: usize,
        queue: &Mutex<VecDeque<(usize, Task)>>,
        done: &Mutex<Vec<(usize, Row)>>,
        total: usize,
    ) {
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some((at, task)) = next.filter(|_| interrupted::exit().is_none()) else {
                return;
            };
            let row = self.row(&task, worker);
            if interrupted::exit().is_some() {
                return;
            }
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            self.progress(done.len() + 1, total, &row);
            done.push((at, row));
        }
    }

    fn progress(&self, done: usize, total: usize, row: &Row) {
        if row.verdict == Class::Escaped && row.profile != "under" {
            say(&format!(
                "ESCAPED {} ({}): {}",
                row.id, row.profile, row.why
            ));
        } else if !self.quiet {
            say(&format!(
                "{done}/{total} {} {} ({})",
                row.verdict.name(),
                row.id,
                row.profile
            ));
        }
        for it in row.ablated.iter().filter(|_| !self.quiet) {
            let how = match it.verdict {
                // No failure: it shows that the layer did the work.
                "ESCAPED" => "gets through",
                "HARNESS_ERROR" => "is not known",
                _ => continue,
            };
            say(&format!(
                "  variant {} {how} without {}: {}",
                it.variant, it.without, it.why
            ));
        }
    }

    fn row(&self, task: &Task, worker: usize) -> Row {
        let begun = Instant::now();
        let (probe, kind) = (&task.probe, task.kind);
        if let Some(launcher) = &task.under {
            let attempts: Vec<Attempt> = Case::all(probe, kind)
                .iter()
                .map(|case| {
                    let (verdict, control) = launcher.verdict(&self.executable, case);
                    Attempt::of(case, verdict, &control)
                })
                .collect();
            return attempt::row(probe, "under", &attempts, None, begun.elapsed());
        }
        let twin = self.twins.outcome(&probe.twin, kind);
        let attempts: Vec<Attempt> = Case::all(probe, kind)
            .iter()
            .map(|case| self.attempt(case, &twin, worker))
            .collect();
        let profile = attempt::profile(kind);
        attempt::row(probe, &profile, &attempts, Some(&twin), begun.elapsed())
    }

    /// One variant; whatever fails in the harness itself is an error, never a pass.
    fn attempt(&self, case: &Case, twin: &Outcome, worker: usize) -> Attempt {
        if let Err(why) = interrupted::check() {
            return Attempt::broken(case, why);
        }
        let tried = caught(|| self.tried(case, twin, worker));
        let mut attempt = tried.unwrap_or_else(|why| Attempt::broken(case, why));
        let ablation = self.ablation.as_ref();
        attempt.ablated = ablation.and_then(|ablation| {
            let ablated = caught(|| ablation.without(case));
            ablated.unwrap_or_else(|why| Some(Ablated::broken(case.variant, why)))
        });
        attempt
    }

    fn tried(&self, case: &Case, twin: &Outcome, worker: usize) -> Attempt {
        let control = match (case.probe.control, twin) {
            (ControlClass::E | ControlClass::H, Ok(done)) => Control::Worked(Worked::by_twin(done)),
            (ControlClass::E | ControlClass::H, Err(why)) => {
                Control::Broken(format!("its twin failed: {why}"))
            }
            _ => control::run(&self.executable, case),
        };
        self.learn_of_control(case, &control);
        let asked = self.args.level.name();
        let level_of_twin = twin.as_ref().ok().and_then(Done::level);
        if case.kind == Kind::Host {
            let shown = self.host.attack(&case.probe.id, case.variant);
            let verdict = judge::judge_host(case, &control, shown);
            return Attempt::of(case, verdict.at_level(level_of_twin, asked), &control);
        }
        let (hosted, filters) = match self.stages.run(case, worker) {
            Ok(both) => both,
            Err(why) => return Attempt::broken(case, why),
        };
        // Refused, or ended before it was loaded: its twin was as far as that.
        let level = hosted.level().or(level_of_twin);
        self.learn(hosted.started.as_ref(), level);
        let verdict = judge::judge(case, &control, &hosted, &filters);
        Attempt::of(case, verdict.at_level(level, asked), &control).with(&hosted)
    }

    /// What two controls say about the machine.
    fn learn_of_control(&self, case: &Case, control: &Control) {
        let answer = match control {
            Control::Worked(worked) => worked.how() != "ENOSYS",
            Control::Refused(_) => false,
            Control::Broken(_) => return,
        };
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        match &*case.probe.id {
            "sc-x32" => facts.x32 = Some(facts.x32.unwrap_or(false) || answer),
            "sc-int80" => facts.ia32 = Some(facts.ia32.unwrap_or(false) || answer),
            _ => {}
        }
    }

    /// What a started plugin says about the machine.
    fn learn(&self, started: Option<&Value>, level: Option<&str>) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(abi) = started.and_then(|it| it.pointer("/landlock/abi")?.as_u64()) {
            facts.landlock_abi = Some(abi);
        }
        if let Some(level) = level {
            facts.level = Some(level.to_owned());
        }
    }

    /// How much of the policies the probes notice, all of them, of the profiles that are
    /// run: only the probe host can change a policy.
    fn scored(&self) -> Beside {
        let whole = self.args.only.is_empty() && self.args.plugin.is_none();
        let asked = self.ablation.as_ref().filter(|_| whole);
        let Some((ablation, (profiles, walls))) = asked.zip(self.args.profile.policies()) else {
            return Beside::default();
        };
        if !self.quiet {
            say(&format!("changing the policies: {}", profiles.join(", ")));
        }
        let options = mutation::Options {
            host: ablation.host().clone(),
            profiles: profiles.iter().map(|name| (*name).to_owned()).collect(),
            probes: probes::table(),
            walls,
        };
        let score = caught(|| mutation::score(&options)).and_then(|score| score);
        Beside::of_score(score)
    }

    /// Too many variants that prove nothing, or others than those that are known.
    fn missed(&self, rows: &[Row]) -> Vec<String> {
        match self.args.max_vacuous {
            Some(most) => outcome::too_vacuous(rows, most),
            None => {
                let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
                outcome::newly_vacuous(rows, &facts.kernel)
            }
        }
    }

    /// Writes the reports; the exit code. What can't be written hides no failure.
    fn conclude(&self, whole: &Whole<'_>) -> u8 {
        let mut summary = whole.summary.clone();
        let mut write = |sink: &Sink| {
            let whole = Whole {
                summary: &summary,
                ..*whole
            };
            if let Err(why) = sink.write(&whole) {
                say(&format!("error: a report can't be written: {why}"));
                summary.exit = if summary.exit == 1 { 1 } else { 70 };
            }
        };
        // Stdout last, which says the exit code of all.
        let (on_stdout, files): (Vec<&Sink>, Vec<&Sink>) =
            self.sinks.iter().partition(|sink| sink.is_stdout());
        files.into_iter().chain(on_stdout).for_each(&mut write);
        summary.exit
    }
}

/// Twice the processors: most of a run is waiting.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| 2 * processors.get())
}
