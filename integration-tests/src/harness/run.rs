//! From the table to rows: which are run, in which order, and what each comes to.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::args::{Asked, Profile, RunArgs, Verb};
use super::control::{self, Control, Executable, Worked};
use super::facts::Facts;
use super::host::Host;
use super::hosted::Stages;
use super::judge;
use super::outcome::{Row, Summary, Twin, worst};
use super::report::{Format, Whole};
use super::table::{Case, fits, name};
use super::twins::{Outcome, Twins};
use super::verdict::{Class, Verdict};
use super::waivers::Waivers;
use super::{SCHEMA, Usage, caught, say};
use crate::probes::{self, ControlClass, Kind, Probe};

/// Does what was asked; the exit code.
///
/// # Errors
/// What can't be carried out, before anything was run.
pub(super) fn carry_out(asked: Asked) -> Result<u8, Usage> {
    let json = asked.is_json();
    match asked.verb {
        Verb::List(args) => Ok(list(&args.only, json)),
        Verb::Run(args) => {
            let own = std::fs::read_link("/proc/self/exe").unwrap_or_default();
            let dir = super::hosted::beside(&own).ok_or_else(|| {
                Usage(format!(
                    "no gm, gm-broker and gm-launcher beside {}",
                    own.display()
                ))
            })?;
            crate::use_binaries_of(&dir);
            Run::new(args, asked.quiet)?.go(json)
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
fn list(only: &[String], json: bool) -> u8 {
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
        // A reader that has seen enough has what it wanted.
        if said.is_err() {
            return 0;
        }
    }
    if json {
        let _ = writeln!(
            out,
            "{}",
            json!({"schema": SCHEMA, "kind": "end", "result": "ok", "exit": 0})
        );
    }
    0
}

/// One run.
struct Run {
    args: RunArgs,
    waivers: Waivers,
    quiet: bool,
    executable: Executable,
    stages: Stages,
    host: Host,
    twins: Twins,
    facts: Mutex<Facts>,
}

impl Run {
    fn new(args: RunArgs, quiet: bool) -> Result<Self, Usage> {
        let executable = Executable::put(probes::ELF)
            .map_err(|error| Usage(format!("the probes can't be written down: {error}")))?;
        let waivers = args.waivers.as_deref().map(Waivers::read).transpose()?;
        Ok(Self {
            waivers: waivers.unwrap_or_default(),
            args,
            quiet,
            executable,
            stages: Stages::default(),
            host: Host::default(),
            twins: Twins::default(),
            facts: Mutex::new(Facts::read()),
        })
    }

    fn go(self, json: bool) -> Result<u8, Usage> {
        let tasks = self.tasks();
        if tasks.is_empty() {
            return Err(Usage("no probe fits --only and --profile".to_owned()));
        }
        let mut rows = self.all(tasks);
        let mut missed = self.waivers.apply(&mut rows);
        missed.extend(self.missed(&rows));
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        let summary = Summary::of(&rows, missed, self.args.strict);
        let whole = Whole {
            facts: &facts,
            rows: &rows,
            summary: &summary,
            strict: self.args.strict,
            comparison: None,
        };
        self.conclude(&whole, json)
    }

    /// Each row in each of its kinds.
    fn tasks(&self) -> Vec<(Probe, Kind)> {
        let profile = match self.args.profile {
            Profile::All => None,
            Profile::Wasm => Some(Kind::Wasm),
            Profile::Lua => Some(Kind::Lua),
            Profile::Js => Some(Kind::Js),
            Profile::Native => Some(Kind::Native),
            Profile::Host => Some(Kind::Host),
        };
        let rows = probes::table().into_iter();
        let rows = rows.filter(|probe| !probe.vm_only && wanted(&self.args.only, probe));
        rows.flat_map(|probe| {
            let kinds = probe.kinds.clone().into_iter();
            let kinds = kinds.filter(move |kind| profile.is_none_or(|only| only == *kind));
            kinds
                .map(move |kind| (probe.clone(), kind))
                .collect::<Vec<_>>()
        })
        .collect()
    }

    /// Runs them: many at once, then those alone that need the machine for themselves.
    fn all(&self, tasks: Vec<(Probe, Kind)>) -> Vec<Row> {
        let total = tasks.len();
        let numbered = tasks.into_iter().enumerate();
        let (alone, together): (VecDeque<_>, VecDeque<_>) =
            numbered.partition(|(_, (probe, _))| probe.alone);
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
        queue: &Mutex<VecDeque<(usize, (Probe, Kind))>>,
        done: &Mutex<Vec<(usize, Row)>>,
        total: usize,
    ) {
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some((at, (probe, kind))) = next else {
                return;
            };
            let row = self.row(&probe, kind, worker);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            self.progress(done.len() + 1, total, &row);
            done.push((at, row));
        }
    }

    fn progress(&self, done: usize, total: usize, row: &Row) {
        if row.verdict == Class::Escaped {
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
    }

    fn row(&self, probe: &Probe, kind: Kind, worker: usize) -> Row {
        let begun = Instant::now();
        let twin = self.twins.outcome(&probe.twin, kind);
        let attempts: Vec<Attempt> = Case::all(probe, kind)
            .iter()
            .map(|case| self.attempt(case, &twin, worker))
            .collect();
        let verdicts: Vec<Verdict> = attempts.iter().map(|it| it.verdict.clone()).collect();
        let verdict = worst(&verdicts).cloned();
        let verdict = verdict.unwrap_or_else(|| Verdict::error("it has no variant"));
        let took = begun.elapsed().as_micros();
        rowed(probe, kind, &verdict, &attempts, &twin, took)
    }

    /// One variant; whatever fails in the harness itself is an error, never a pass.
    fn attempt(&self, case: &Case, twin: &Outcome, worker: usize) -> Attempt {
        let tried = caught(|| self.tried(case, twin, worker));
        tried.unwrap_or_else(|why| Attempt::broken(case, why))
    }

    fn tried(&self, case: &Case, twin: &Outcome, worker: usize) -> Attempt {
        let control = match (case.probe.control, twin) {
            (ControlClass::E | ControlClass::H, Ok(done)) => Control::Worked(Worked::by_twin(done)),
            (ControlClass::E | ControlClass::H, Err(why)) => {
                Control::Broken(format!("its twin failed: {why}"))
            }
            _ => control::run(&self.executable, case),
        };
        if case.kind == Kind::Host {
            return self.outside(case, &control, twin);
        }
        let (hosted, filters) = match self.stages.run(case, worker) {
            Ok(both) => both,
            Err(why) => return Attempt::broken(case, why),
        };
        let level = hosted.level().or_else(|| twin.as_ref().ok()?.level());
        self.learn(&hosted.started, level);
        let verdict = judge::judge(case, &control, &hosted, &filters);
        let verdict = verdict.at_level(level, self.args.level.name());
        let (state, said) = control.words();
        Attempt {
            variant: case.variant,
            verdict,
            control: state,
            control_said: said.to_owned(),
            report: hosted.report.clone(),
            ending: hosted.ending.clone(),
            profile: hosted.profile().map(str::to_owned),
            effects: hosted.effects.clone(),
        }
    }

    /// An attack from outside, which shows its evidence itself.
    fn outside(&self, case: &Case, control: &Control, twin: &Outcome) -> Attempt {
        let shown = self.host.attack(&case.probe.id, case.variant);
        let level = twin.as_ref().ok().and_then(|done| done.level());
        let verdict =
            judge::judge_host(case, control, shown).at_level(level, self.args.level.name());
        let (state, said) = control.words();
        Attempt {
            control: state,
            control_said: said.to_owned(),
            ..Attempt::of(case, verdict)
        }
    }

    /// What a started plugin says about the machine.
    fn learn(&self, started: &Option<Value>, level: Option<&str>) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(abi) = started
            .as_ref()
            .and_then(|it| it.pointer("/landlock/abi")?.as_u64())
        {
            facts.landlock_abi = Some(abi);
        }
        if let Some(level) = level {
            facts.level = Some(level.to_owned());
        }
    }

    /// Too many rows that prove nothing, or others than those that are known.
    fn missed(&self, rows: &[Row]) -> Vec<String> {
        let vacuous = |row: &&Row| row.verdict == Class::Vacuous && row.waiver.is_none();
        let count = rows.iter().filter(vacuous).count();
        match self.args.max_vacuous {
            Some(most) if count > most => {
                vec![format!("{count} rows are vacuous, at most {most} may be")]
            }
            Some(_) => Vec::new(),
            None => self.newly_vacuous(rows),
        }
    }

    /// Variants whose control does not work although no list says so for this kernel.
    fn newly_vacuous(&self, rows: &[Row]) -> Vec<String> {
        let release = self
            .facts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .kernel
            .clone();
        let known = probes::vacuous();
        let refused = |row: &&Row| row.waiver.is_none() && row.profile == "native";
        let mut missed = Vec::new();
        for row in rows.iter().filter(refused) {
            for (name, variant) in &row.evidence {
                let number = name.strip_prefix("variant-").and_then(|it| it.parse().ok());
                let listed = |number| known.iter().any(|it| it.covers(&release, &row.id, number));
                if variant["control"] == "refused" && !number.is_some_and(listed) {
                    missed.push(format!(
                        "{} {name} is vacuous here, and no list says so",
                        row.id
                    ));
                }
            }
        }
        missed
    }

    fn conclude(&self, whole: &Whole<'_>, json: bool) -> Result<u8, Usage> {
        let mut reports = self.args.report.clone();
        let asked = reports.contains(&(Format::Json, None));
        if json && !asked {
            reports.push((Format::Json, None));
        }
        for (format, file) in reports {
            let text = format.write(whole);
            match file {
                Some(file) => std::fs::write(&file, text)
                    .map_err(|error| Usage(format!("{}: {error}", file.display())))?,
                None => {
                    let _ = std::io::stdout().lock().write_all(text.as_bytes());
                }
            }
        }
        Ok(whole.summary.exit)
    }
}

/// Twice the processors: most of a run is waiting.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, |processors| 2 * processors.get())
}

/// What one variant came to.
struct Attempt {
    variant: u32,
    verdict: Verdict,
    control: &'static str,
    control_said: String,
    report: Option<super::evidence::Report>,
    ending: Option<super::evidence::Ending>,
    profile: Option<String>,
    effects: Vec<String>,
}

impl Attempt {
    fn broken(case: &Case, why: String) -> Self {
        Self::of(case, Verdict::error(why))
    }

    fn of(case: &Case, verdict: Verdict) -> Self {
        Self {
            variant: case.variant,
            verdict,
            control: "broken",
            control_said: String::new(),
            report: None,
            ending: None,
            profile: None,
            effects: Vec::new(),
        }
    }

    fn evidence(&self) -> Value {
        let ending = self.ending.as_ref();
        json!({
            "verdict": self.verdict.class(), "layer": self.verdict.layer(), "why": self.verdict.why(),
            "control": self.control, "control_said": self.control_said,
            "said": self.report.as_ref().map(|report| &report.said),
            "value": self.report.as_ref().map(|report| report.value),
            "ending": ending.map(|it| &it.name), "call": ending.and_then(|it| it.call.as_ref()),
            "nr": ending.and_then(|it| it.nr), "effects": self.effects,
        })
    }
}

fn rowed(
    probe: &Probe,
    kind: Kind,
    verdict: &Verdict,
    attempts: &[Attempt],
    twin: &Outcome,
    took: u128,
) -> Row {
    let counts = attempts.iter().find(|it| it.verdict == *verdict);
    let report = counts.and_then(|it| it.report.as_ref());
    let ending = counts.and_then(|it| it.ending.as_ref());
    let each = attempts
        .iter()
        .map(|it| (format!("variant-{}", it.variant), it.evidence()));
    Row {
        schema: SCHEMA,
        kind: "probe",
        id: probe.id.clone(),
        number: probe.number,
        group: name(&probe.group),
        profile: name(&kind),
        form: report.map(|it| if it.live { "live" } else { "harmless" }.to_owned()),
        verdict: verdict.class(),
        layer: verdict.layer().map(str::to_owned),
        expected: name(&probe.layer),
        why: verdict.why().to_owned(),
        by_evaluation: verdict.is_by_evaluation(),
        control: counts.map_or("broken", |it| it.control),
        control_said: counts.map(|it| it.control_said.clone()).unwrap_or_default(),
        ablated: Vec::new(),
        twin: Twin {
            id: probe.twin.clone(),
            verdict: if twin.is_ok() { "ok" } else { "failed" },
            why: twin.as_ref().err().cloned(),
        },
        said: report.map(|it| it.said.clone()),
        nr: ending.and_then(|it| it.nr),
        ending: ending.map(|it| it.name.clone()),
        contain_us: u64::try_from(took).unwrap_or(u64::MAX),
        profile_digest: counts.and_then(|it| it.profile.clone()),
        manifest_line: ending.and_then(|it| it.manifest_line),
        waiver: None,
        evidence: each.collect::<Map<String, Value>>(),
    }
}
