//! What one variant of a row came to, and the row that all of them make.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::SCHEMA;
use super::control::Control;
use super::evidence::{Ending, Hosted, Report};
use super::outcome::{Ablated, Row, Twin, worst};
use super::table::{Case, name};
use super::twins::Outcome;
use super::verdict::Verdict;
use crate::probes::{Kind, Probe};

/// What one variant came to.
pub(super) struct Attempt {
    variant: u32,
    verdict: Verdict,
    control: &'static str,
    control_said: String,
    report: Option<Report>,
    ending: Option<Ending>,
    profile: Option<String>,
    effects: Vec<String>,
    /// With a layer left out.
    pub(super) ablated: Option<Ablated>,
}

impl Attempt {
    /// One that was not as far as a control.
    pub(super) fn broken(case: &Case, why: String) -> Self {
        let control = Control::Broken(String::new());
        Self::of(case, Verdict::error(why), &control)
    }

    /// A verdict with its control.
    pub(super) fn of(case: &Case, verdict: Verdict, control: &Control) -> Self {
        let (state, said) = control.words();
        Self {
            variant: case.variant,
            verdict,
            control: state,
            control_said: said.to_owned(),
            report: None,
            ending: None,
            profile: None,
            effects: Vec::new(),
            ablated: None,
        }
    }

    /// The same with what was seen of a plugin.
    pub(super) fn with(self, hosted: &Hosted) -> Self {
        Self {
            report: hosted.report.clone(),
            ending: hosted.ending.clone(),
            profile: hosted.profile().map(str::to_owned),
            effects: hosted.effects.iter().chain(&hosted.left).cloned().collect(),
            ..self
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

/// A row out of its variants: the worst of them counts.
pub(super) fn row(
    probe: &Probe,
    profile: &str,
    attempts: &[Attempt],
    twin: Option<&Outcome>,
    took: Duration,
) -> Row {
    let verdicts: Vec<Verdict> = attempts.iter().map(|it| it.verdict.clone()).collect();
    let none = Verdict::error("it has no variant");
    let verdict = worst(&verdicts).unwrap_or(&none);
    let counts = attempts.iter().find(|it| it.verdict == *verdict);
    let report = counts.and_then(|it| it.report.as_ref());
    let ending = counts.and_then(|it| it.ending.as_ref());
    let each = attempts
        .iter()
        .map(|it| (format!("variant-{}", it.variant), it.evidence()));
    let row = Row {
        schema: SCHEMA,
        kind: "probe",
        id: probe.id.clone(),
        number: probe.number,
        group: name(&probe.group),
        profile: profile.to_owned(),
        form: report.map(|it| if it.live { "live" } else { "harmless" }.to_owned()),
        verdict: verdict.class(),
        layer: verdict.layer().map(str::to_owned),
        expected: name(&probe.layer),
        why: verdict.why().to_owned(),
        by_evaluation: verdict.is_by_evaluation(),
        control: counts.map_or("broken", |it| it.control),
        control_said: counts.map(|it| it.control_said.clone()).unwrap_or_default(),
        ablated: attempts
            .iter()
            .filter_map(|it| it.ablated.clone())
            .collect(),
        twin: twin_of(probe, twin),
        said: report.map(|it| it.said.clone()),
        nr: ending.and_then(|it| it.nr),
        ending: ending.map(|it| it.name.clone()),
        contain_us: contained_in(ending, took),
        profile_digest: counts.and_then(|it| it.profile.clone()),
        manifest_line: ending.and_then(|it| it.manifest_line),
        waiver: None,
        evidence: each.collect::<Map<String, Value>>(),
    };
    with_ablation_error(row)
}

/// What nobody knows with a layer left out stands where reports say why.
fn with_ablation_error(row: Row) -> Row {
    match row.ablation_error() {
        None => row,
        Some(it) => Row {
            why: format!("{}; without {}: {}", row.why, it.without, it.why),
            ..row
        },
    }
}

/// From the plugin's start to its end, as the records have it; of what has none, the time
/// that all of the row took.
fn contained_in(ending: Option<&Ending>, took: Duration) -> u64 {
    let lived = ending.and_then(|it| it.cpu_of_wall).map(|(_, wall)| wall);
    lived.unwrap_or_else(|| u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
}

fn twin_of(probe: &Probe, twin: Option<&Outcome>) -> Twin {
    let (verdict, why) = match twin {
        None => ("none", None),
        Some(Ok(_)) => ("ok", None),
        Some(Err(why)) => ("failed", Some(why.clone())),
    };
    Twin {
        id: probe.twin.clone(),
        verdict,
        why,
    }
}

/// What reports call the place of a case.
pub(super) fn profile(kind: Kind) -> String {
    name(&kind)
}
