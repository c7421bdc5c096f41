//! What is reported: one row for each probe and kind, and what all of them come to.

use serde::Serialize;
use serde_json::{Map, Value};

use super::verdict::{Class, Verdict};
use crate::mutation::Score;
use crate::probes;

/// A probe in one kind of plugin, with all of its variants.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// `gm.harness/1`.
    pub schema: &'static str,
    /// `probe`.
    pub kind: &'static str,
    /// The probe.
    pub id: String,
    /// GM-P-NNNN.
    pub number: u32,
    /// Its group.
    pub group: String,
    /// The kind of plugin; `host` for an attack from outside.
    pub profile: String,
    /// Of the report that counts.
    pub form: Option<String>,
    /// The class, as reports name it.
    pub verdict: Class,
    /// What stopped it.
    pub layer: Option<String>,
    /// What was expected to.
    pub expected: String,
    /// Why, for people.
    pub why: String,
    /// The filters were asked instead of the kernel.
    pub by_evaluation: bool,
    /// `ok`, `refused`, `broken`.
    pub control: &'static str,
    /// What it said.
    pub control_said: String,
    /// With a layer left out, if that was asked for.
    pub ablated: Vec<Ablated>,
    /// The honest act.
    pub twin: Twin,
    /// What the probe said.
    pub said: Option<String>,
    /// The forbidden call's number.
    pub nr: Option<u64>,
    /// How the plugin ended.
    pub ending: Option<String>,
    /// From its start to its end, in microseconds.
    pub contain_us: u64,
    /// Of the profile that it ran behind.
    pub profile_digest: Option<String>,
    /// Of the limit that it met.
    pub manifest_line: Option<u64>,
    /// The waiver that covers it.
    pub waiver: Option<Value>,
    /// Each variant, and whatever else was seen.
    pub evidence: Map<String, Value>,
}

/// What the probe does with a layer left out.
#[derive(Debug, Clone, Serialize)]
pub struct Ablated {
    /// Of which variant.
    pub variant: u32,
    /// Which, between commas.
    pub without: String,
    /// As of a probe: the class's name.
    pub verdict: &'static str,
    /// Why.
    pub why: String,
}

impl Ablated {
    /// One that the harness itself failed at.
    pub(super) fn broken(variant: u32, why: String) -> Self {
        Self {
            variant,
            without: String::new(),
            verdict: "HARNESS_ERROR",
            why,
        }
    }
}

/// The twin of a row.
#[derive(Debug, Clone, Serialize)]
pub struct Twin {
    /// Which.
    pub id: String,
    /// `ok` or `failed`.
    pub verdict: &'static str,
    /// Why it failed.
    pub why: Option<String>,
}

/// How a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It holds.
    Pass,
    /// It proves nothing on this kernel.
    Skip,
    /// It fails, and somebody answers for it.
    Waived,
    /// It fails; the word is what reports call it.
    Failure(&'static str),
    /// Nothing was proved.
    Error,
}

impl Row {
    /// How it counts; `strict` as the option says.
    #[must_use]
    pub fn standing(&self, strict: bool) -> Standing {
        let own = match self.verdict {
            Class::Escaped => Standing::Failure("ESCAPED"),
            _ if self.twin.verdict == "failed" => Standing::Failure("TWIN"),
            _ if self.ablation_error().is_some() => Standing::Error,
            Class::HarnessError => Standing::Error,
            Class::Degraded => Standing::Failure("DEGRADED"),
            Class::ContainedElsewhere if strict => Standing::Failure("CONTAINED_ELSEWHERE"),
            Class::Contained | Class::ContainedElsewhere => Standing::Pass,
            Class::Vacuous => Standing::Skip,
        };
        match own {
            Standing::Failure(_) | Standing::Error if self.waiver.is_some() => Standing::Waived,
            own => own,
        }
    }

    /// Why nothing is known of it with a layer left out, though that was asked for.
    #[must_use]
    pub fn ablation_error(&self) -> Option<&Ablated> {
        let mut ablated = self.ablated.iter();
        ablated.find(|it| it.verdict == "HARNESS_ERROR")
    }

    /// Its variants that prove nothing on this kernel, and why; nobody's whom a waiver covers.
    pub fn vacuous(&self) -> impl Iterator<Item = (u32, &str)> {
        let open = self.waiver.is_none();
        let each = self.evidence.iter().filter(move |_| open);
        each.filter_map(|(name, variant)| {
            let number = name.strip_prefix("variant-")?.parse().ok()?;
            let is_vacuous = variant["verdict"] == Class::Vacuous.name();
            is_vacuous.then(|| (number, variant["why"].as_str().unwrap_or_default()))
        })
    }

    /// Whether something that was asked about it is not known.
    fn is_unproved(&self) -> bool {
        self.verdict == Class::HarnessError || self.ablation_error().is_some()
    }

    /// As reports name it.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{}/{} ({})", self.group, self.id, self.profile)
    }

    /// What to do about a failure, for people.
    #[must_use]
    pub fn fix(&self) -> &'static str {
        match self.standing(true) {
            Standing::Failure("ESCAPED") if self.profile == "under" => {
                "that launcher let it through: compare it with ours in the table"
            }
            Standing::Failure("ESCAPED") => {
                "do not run plugins on this machine with this version; report it as SECURITY.md says"
            }
            Standing::Failure("TWIN") => {
                "something honest was stopped: look at the twin's words, then at gm-broker doctor"
            }
            Standing::Failure("DEGRADED") => {
                "gm-broker doctor names what is missing; --level LEVEL asks for less"
            }
            Standing::Failure(_) => {
                "a later wall did an earlier one's work: compare the profile with policy show"
            }
            Standing::Error => {
                "nothing is known about this wall: run it alone with --only, and look at its evidence"
            }
            _ => "",
        }
    }
}

/// The worst of several verdicts stands for all; vacuous only if all are.
#[must_use]
pub fn worst(verdicts: &[Verdict]) -> Option<&Verdict> {
    let weight = |verdict: &&Verdict| match verdict.class() {
        Class::Vacuous => 0,
        Class::Contained => 1 + u8::from(!verdict.is_by_evaluation()),
        Class::ContainedElsewhere => 3,
        Class::Degraded => 4,
        Class::HarnessError => 5,
        Class::Escaped => 6,
    };
    verdicts.iter().max_by_key(weight)
}

/// More vacuous variants than there may be.
pub(super) fn too_vacuous(rows: &[Row], most: usize) -> Vec<String> {
    let count = rows.iter().flat_map(Row::vacuous).count();
    match count > most {
        true => vec![format!(
            "{count} variants are vacuous, at most {most} may be"
        )],
        false => Vec::new(),
    }
}

/// Vacuous variants that the list has not, if it knows this kernel: of another nobody
/// has said what can't be done there.
pub(super) fn newly_vacuous(rows: &[Row], release: &str) -> Vec<String> {
    let known = probes::vacuous();
    if !known.iter().any(|it| it.is_of(release)) {
        return Vec::new();
    }
    let root = rustix::process::geteuid().is_root();
    let covered = |row: &Row, variant: u32| {
        let mut known = known.iter();
        known.any(|it| it.covers(release, &row.id, variant, root))
    };
    let each = |row: &Row| {
        let new = row.vacuous().filter(|(variant, _)| !covered(row, *variant));
        let title = row.title();
        new.map(|(variant, _)| {
            format!("{title} variant {variant} is vacuous here, and no list says so")
        })
        .collect::<Vec<_>>()
    };
    // What another launcher's controls can do is no matter of the list.
    let ours = rows.iter().filter(|row| row.profile != "under");
    ours.flat_map(each).collect()
}

/// What all rows come to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// `gm.harness/1`.
    pub schema: &'static str,
    /// `summary`.
    pub kind: &'static str,
    /// Rows of each class.
    pub contained: usize,
    /// Stopped by another layer.
    pub elsewhere: usize,
    /// Escaped.
    pub escaped: usize,
    /// Vacuous.
    pub vacuous: usize,
    /// Vacuous variants, also of rows whose others prove something.
    pub vacuous_variants: usize,
    /// Contained where the filters were asked.
    pub by_evaluation: usize,
    /// Below the level.
    pub degraded: usize,
    /// Not proved.
    pub error: usize,
    /// Twins that failed.
    pub twins_failed: usize,
    /// Rows that a waiver covers.
    pub waived: usize,
    /// With a layer left out, if that was asked for: how many variants got through, so
    /// that the layer did the work.
    pub ablated_through: usize,
    /// How many were stopped by another layer.
    pub ablated_held: usize,
    /// Which part of all changes of the policies the probes notice. None without the
    /// probe host, and where only some probes are run.
    pub mutation_score: Option<f64>,
    /// Why nobody can say it, though it was asked for.
    pub mutation_error: Option<String>,
    /// Thresholds that were missed, for people.
    pub missed: Vec<String>,
    /// The exit code.
    pub exit: u8,
}

/// What counts besides the rows.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// Thresholds that were missed.
    pub missed: Vec<String>,
    /// As of [`Summary`].
    pub mutation_score: Option<f64>,
    /// As of [`Summary`].
    pub mutation_error: Option<String>,
}

impl Beside {
    /// The mutation score, with its own thresholds.
    #[must_use]
    pub fn of_score(score: Result<Score, String>) -> Self {
        let score = match score {
            Ok(score) if score.mutants.is_empty() => Err("no policy was changed".to_owned()),
            Ok(score) if !score.wrong.is_empty() => Err(score.wrong.join("; ")),
            other => other,
        };
        let score = match score {
            Ok(score) => score,
            Err(why) => {
                return Self {
                    mutation_error: Some(why),
                    ..Self::default()
                };
            }
        };
        let thresholds = score.thresholds();
        let missed = thresholds.iter().filter(|(_, part, least)| part < least);
        let missed = missed.map(|(layer, part, least)| {
            let what = if layer.is_some() { "filters" } else { "policies" };
            format!(
                "of all changes of the {what} the probes notice {part:.3}, at least {least} they must (gm-mutation-score names the rest)"
            )
        });
        Self {
            missed: missed.collect(),
            mutation_score: Some(score.part(None)),
            mutation_error: None,
        }
    }
}

impl Summary {
    /// Counts the rows.
    #[must_use]
    pub fn of(rows: &[Row], beside: Beside, strict: bool) -> Self {
        let Beside {
            missed,
            mutation_score,
            mutation_error,
        } = beside;
        let count = |class: Class| rows.iter().filter(|row| row.verdict == class).count();
        let stands = |standing: Standing| rows.iter().any(|row| row.standing(strict) == standing);
        let each = || rows.iter().flat_map(|row| &row.ablated);
        let ablated = |verdict: &str| each().filter(|it| it.verdict == verdict).count();
        let failed = |word: &'static str| stands(Standing::Failure(word));
        let twins: std::collections::BTreeSet<(&str, &str)> = rows
            .iter()
            .filter(|row| row.twin.verdict == "failed" && row.waiver.is_none())
            .map(|row| (&*row.twin.id, &*row.profile))
            .collect();
        let one = ["ESCAPED", "TWIN", "CONTAINED_ELSEWHERE"]
            .into_iter()
            .any(failed);
        let exit = match () {
            () if one || !twins.is_empty() || !missed.is_empty() => 1,
            () if stands(Standing::Error) || mutation_error.is_some() => 70,
            () if failed("DEGRADED") => 30,
            () => 0,
        };
        Self {
            schema: super::SCHEMA,
            kind: "summary",
            contained: count(Class::Contained),
            elsewhere: count(Class::ContainedElsewhere),
            escaped: count(Class::Escaped),
            vacuous: count(Class::Vacuous),
            vacuous_variants: rows.iter().flat_map(Row::vacuous).count(),
            by_evaluation: rows.iter().filter(|row| row.by_evaluation).count(),
            degraded: count(Class::Degraded),
            error: rows.iter().filter(|row| row.is_unproved()).count(),
            twins_failed: twins.len(),
            waived: rows.iter().filter(|row| row.waiver.is_some()).count(),
            ablated_through: ablated("ESCAPED"),
            ablated_held: ablated("CONTAINED"),
            mutation_score,
            mutation_error,
            missed,
            exit,
        }
    }
}
