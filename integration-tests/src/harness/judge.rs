//! From what was observed to what it proves. Everything that isn't evidence of a wall
//! is an error of the harness, never a pass.

mod proof;

use super::control::{Control, Worked};
use super::evaluate::Filters;
use super::evidence::{Ending, Hosted, Report};
use super::table::{Case, name};
use super::verdict::Verdict;
use crate::probes::{Layer, Oracle, SetOff, State};
use proof::{DENIALS, NOT_THERE};

pub use proof::{Escape, Evaluated, Stopped};

/// The verdict on one attempt.
#[must_use]
pub fn judge(case: &Case, control: &Control, hosted: &Hosted, filters: &Filters) -> Verdict {
    // An alarm counts whatever else is missing.
    if let Some(escape) = outside(hosted) {
        return Verdict::escaped(escape);
    }
    let mut inside = inside(case, hosted, filters);
    // A level without groups promises none of their limits.
    let by_group = case.probe.layer == Layer::Cgroup && !hosted.has_a_group();
    if by_group && matches!(inside, Shown::Escaped(_)) {
        inside = no_group();
    }
    if let Shown::Escaped(what) = inside {
        return Verdict::escaped(Escape::seen(what));
    }
    match control {
        Control::Worked(worked) => concluded(case, worked, inside),
        Control::Refused(said) => match inside {
            Shown::Unproved(why) => Verdict::error(why),
            _ => vacuous(case, said, hosted, filters),
        },
        Control::Broken(why) => Verdict::error(why),
    }
}

fn concluded(case: &Case, worked: &Worked, inside: Shown) -> Verdict {
    match inside {
        Shown::Stopped(stopped) => Verdict::stopped(worked, stopped, Some(&own(case))),
        Shown::Escaped(what) => Verdict::escaped(Escape::seen(what)),
        Shown::Unproved(why) => Verdict::error(why),
        Shown::NotHere(why) => Verdict::vacuous(why),
    }
}

/// A control that can't work leaves the filters to be asked, if a call is what the
/// probe is about or what it was stopped at, and if it ran behind these very filters.
fn vacuous(case: &Case, said: &str, hosted: &Hosted, filters: &Filters) -> Verdict {
    let behind = hosted
        .started
        .as_ref()
        .is_some_and(|started| filters.are_of(started));
    let about = case.probe.denied_call(case.variant);
    let evaluated = about
        .or_else(|| stopped_at(case, hosted))
        .filter(|_| behind)
        .and_then(|call| filters.deny(call));
    match evaluated {
        Some(evaluated) => Verdict::evaluated(evaluated, &own(case)),
        None => Verdict::vacuous(format!("control got {said}")),
    }
}

/// The call of its row at which a filter ended it.
fn stopped_at<'a>(case: &Case, hosted: &'a Hosted) -> Option<&'a str> {
    let ending = hosted.ending.as_ref()?;
    let call = ending.call.as_deref()?;
    let listed = case.probe.stopped_at.iter().any(|own| own == call);
    (ending.name == "forbidden_syscall" && listed).then_some(call)
}

fn no_group() -> Shown {
    Shown::NotHere("no group here limits it".to_owned())
}

/// What was seen outside although nothing may happen there.
fn outside(hosted: &Hosted) -> Option<Escape> {
    let all: Vec<&str> = hosted
        .effects
        .iter()
        .chain(&hosted.left)
        .map(String::as_str)
        .collect();
    (!all.is_empty()).then(|| Escape::seen(all.join("; ")))
}

/// What a run itself shows.
#[derive(Debug, PartialEq, Eq)]
pub enum Shown {
    /// Something stopped it.
    Stopped(Stopped),
    /// It got through; with what was seen.
    Escaped(String),
    /// Neither of the two; why.
    Unproved(String),
    /// It can't be tried here; why.
    NotHere(String),
}

/// The verdict on an attack from outside.
#[must_use]
pub fn judge_host(case: &Case, control: &Control, shown: Shown) -> Verdict {
    match (shown, control) {
        (Shown::Escaped(what), _) => Verdict::escaped(Escape::seen(what)),
        (Shown::NotHere(why), _) => Verdict::vacuous(why),
        (shown, Control::Worked(worked)) => concluded(case, worked, shown),
        (_, Control::Refused(why) | Control::Broken(why)) => Verdict::error(why),
    }
}

fn inside(case: &Case, hosted: &Hosted, filters: &Filters) -> Shown {
    if hosted.ran.timed_out {
        return Shown::Unproved("the broker did not end in time".to_owned());
    }
    if let Some((code, detail)) = &hosted.refused {
        return refused(case, code, detail);
    }
    let Some(ending) = &hosted.ending else {
        return Shown::Unproved(format!("no ending in the records: {}", hosted.ran.ending()));
    };
    if case.probe.hook == SetOff::Load {
        return loading(case, ending);
    }
    // A plugin that hangs in its constructors has no `started` record; of any other one
    // that was never loaded, nothing of the probe was run.
    let in_constructor =
        case.probe.constructor && matches!(&*ending.name, "timed_out" | "forbidden_syscall");
    if hosted.started.is_none() && !in_constructor {
        return Shown::Unproved(format!(
            "the plugin was never loaded: {} ({})",
            ending.name,
            ending.detail.as_deref().unwrap_or("no detail")
        ));
    }
    match &case.probe.oracle {
        Oracle::Deny(_) => denied(case, hosted, ending, filters),
        Oracle::State(_) => untouched(case, hosted, ending, filters),
        Oracle::Errno(names) => answered(case, names.all(), hosted, ending, filters),
        Oracle::Ending(names) => ended(case, names.all(), hosted, ending, filters),
    }
}

/// A refusal before anything ran proves something only where that very code is expected.
fn refused(case: &Case, code: &str, detail: &str) -> Shown {
    match &case.probe.oracle {
        Oracle::Ending(expected) if expected.all().iter().any(|one| one == code) => {
            Shown::Stopped(Stopped::by(own(case), format!("refused: {code}")))
        }
        // To be refused at load, for what it is, is what these rows are about.
        _ if case.probe.hook == SetOff::Load && of_the_code(code) => {
            Shown::Stopped(Stopped::by(own(case), format!("refused: {code}")))
        }
        _ => Shown::Unproved(format!("refused: {code}: {detail}")),
    }
}

/// Refusals that are about the code itself.
fn of_the_code(code: &str) -> bool {
    code.starts_with("artifact/")
        || matches!(code, "policy/import-not-granted" | "policy/limit-too-small")
}

/// Code that is an attack by being loaded. Where its neighbour is what counts it may end in
/// any typed way, or live; other code is refused, or stopped by a wall of its row.
fn loading(case: &Case, ending: &Ending) -> Shown {
    let typed = matches!(&*ending.name, "failed" | "trapped");
    let by_neighbour = case.probe.oracle == Oracle::State(State::Neighbour);
    let finished = ending.name == "finished";
    if by_neighbour && typed {
        return Shown::Stopped(Stopped::by(own(case), format!("ended: {}", ending.name)));
    }
    match bounded(case, ending, &Filters::default()) {
        Some(shown) => shown,
        None if by_neighbour && finished => {
            Shown::Stopped(Stopped::by(own(case), "loaded, within all limits"))
        }
        None if finished => Shown::Escaped("it was loaded, and ran".to_owned()),
        None => Shown::Unproved(format!("ended: {}", ending.name)),
    }
}

/// A call is denied if it ended the process, and the records name this very call, or if
/// it was answered as the filters answer it.
fn denied(case: &Case, hosted: &Hosted, ending: &Ending, filters: &Filters) -> Shown {
    let Some(call) = case.probe.denied_call(case.variant) else {
        return Shown::Unproved("the row names no call for this variant".to_owned());
    };
    if ending.name == "forbidden_syscall" {
        return forbidden(&[call], ending, filters);
    }
    let Some(report) = &hosted.report else {
        return silent(hosted, ending);
    };
    if case.probe.is_reached(&report.said) {
        return Shown::Escaped(format!("{call} reached the kernel: {}", report.said));
    }
    if filters.answers_with(call, &report.said) {
        return Shown::Stopped(Stopped::by(
            "seccomp",
            format!("{call} said {}", report.said),
        ));
    }
    other_layer(case, report)
}

/// A filter's own ending, at one of these calls.
fn forbidden(calls: &[&str], ending: &Ending, filters: &Filters) -> Shown {
    let number = ending.nr.map(|nr| nr.to_string());
    let named = |call: &&&str| {
        number.is_some()
            && (ending.call.as_deref() == Some(**call) || number.as_deref() == Some(**call))
    };
    if let Some((call, nr)) = calls.iter().find(named).zip(ending.nr) {
        let words = format!("forbidden_syscall {call} ({nr})");
        return Shown::Stopped(Stopped::by("seccomp", words));
    }
    // Killed without a word, as only the veto layer does.
    let silent = ending.call.is_none() && ending.nr.is_none();
    let vetoed = calls
        .iter()
        .find(|call| silent && filters.kill_silently(call));
    match vetoed {
        Some(call) => Shown::Stopped(Stopped::by(
            "seccomp",
            format!("killed by the veto on {call}"),
        )),
        None => Shown::Unproved(format!(
            "it was stopped at {} ({:?}), not at {}",
            ending.call.as_deref().unwrap_or("a call that nobody named"),
            ending.nr,
            match calls {
                [] => "any call of its row".to_owned(),
                calls => calls.join(", "),
            }
        )),
    }
}

/// Nothing happened outside, and the probe was stopped or says that it failed.
fn untouched(case: &Case, hosted: &Hosted, ending: &Ending, filters: &Filters) -> Shown {
    if let Some(shown) = bounded(case, ending, filters) {
        return shown;
    }
    // To die by a signal is the deed; what it leaves was looked for.
    let died =
        ending.name == "crashed" && ending.signal.is_some() && case.probe.is_reached("signal");
    if died && case.probe.oracle == Oracle::State(State::Survivors) {
        return dead(case, hosted);
    }
    match &hosted.report {
        Some(report) if case.probe.is_reached(&report.said) => done(case, hosted, report),
        Some(report) => said(case, report),
        None => silent(hosted, ending),
    }
}

/// It is a wall's answer only if the row says that this wall answers so: a bug of the
/// probe has words, too.
fn said(case: &Case, report: &Report) -> Shown {
    match case.probe.stops.contains(&report.said) {
        true => own_layer(case, report),
        false => Shown::Unproved(format!(
            "said {}, which is no answer of its wall",
            report.said
        )),
    }
}

/// What died wrote no core, as the limit of such a process says.
fn dead(case: &Case, hosted: &Hosted) -> Shown {
    // At one byte the kernel calls no handler either; at none it does.
    match hosted.core_limit {
        Some(1) => Shown::Stopped(Stopped::by(own(case), "it died, and may leave no core")),
        Some(limit) => Shown::Escaped(format!(
            "it died, and may leave a core: its limit is {limit}"
        )),
        None => Shown::Unproved("it died, and nobody knows how large its core may be".to_owned()),
    }
}

/// It says that it did it. Of some states more than its word is known: they are measured
/// from outside, and what is beyond a limit is seen there (`outside`).
fn done(case: &Case, hosted: &Hosted, report: &Report) -> Shown {
    let measured = match &case.probe.oracle {
        Oracle::State(State::Neighbour | State::Memory) if !hosted.has_a_group() => {
            return no_group();
        }
        Oracle::State(State::Neighbour) if !hosted.served_a_neighbour() => {
            return Shown::Unproved("no answer of its neighbour fell into its life".to_owned());
        }
        Oracle::State(State::Neighbour) => hosted
            .kept_its_share()
            .then_some("its neighbour was served, and it kept its share of a processor"),
        // What was never counted is within any limit.
        Oracle::State(State::Memory) if hosted.memory_peak().is_none() => {
            return Shown::Unproved("its memory was not counted".to_owned());
        }
        Oracle::State(State::Memory) => Some("all of it was charged, within its limit"),
        Oracle::State(State::Descriptors) => {
            let own = hosted.descriptors().and_then(|own| i64::try_from(own).ok());
            own.is_some_and(|own| report.value <= own)
                .then_some("exactly the descriptors of its record")
        }
        Oracle::State(State::Log) => Some("its lines are bounded, plain and under its own name"),
        Oracle::State(State::Survivors) => Some("nothing of it was left"),
        _ => None,
    };
    match measured {
        Some(words) => Shown::Stopped(Stopped::by(own(case), words)),
        None => Shown::Escaped(format!("it says {} ({})", report.said, report.value)),
    }
}

fn answered(
    case: &Case,
    names: &[String],
    hosted: &Hosted,
    ending: &Ending,
    filters: &Filters,
) -> Shown {
    if let Some(shown) = bounded(case, ending, filters) {
        return shown;
    }
    match &hosted.report {
        Some(report) if names.contains(&report.said) => own_layer(case, report),
        Some(report) if case.probe.is_reached(&report.said) => {
            Shown::Escaped(format!("it says {} ({})", report.said, report.value))
        }
        Some(report) => other_layer(case, report),
        None => silent(hosted, ending),
    }
}

fn ended(
    case: &Case,
    names: &[String],
    hosted: &Hosted,
    ending: &Ending,
    filters: &Filters,
) -> Shown {
    let filter = ending.name == "forbidden_syscall";
    if names.contains(&ending.name) && !filter {
        let layer = ending.layer.clone().unwrap_or_else(|| own(case));
        return Shown::Stopped(Stopped::by(layer, format!("ended: {}", ending.name)));
    }
    if let Some(shown) = bounded(case, ending, filters) {
        return shown;
    }
    match &hosted.report {
        Some(report) if case.probe.is_reached(&report.said) => {
            Shown::Escaped(format!("{} after it says {}", ending.name, report.said))
        }
        Some(report) => said(case, report),
        None => silent(hosted, ending),
    }
}

/// The endings by which a wall stops a process, each where the row expects one of the
/// walls that end so. A crash is none of them. A filter counts at the calls that the row
/// names.
fn bounded(case: &Case, ending: &Ending, filters: &Filters) -> Option<Shown> {
    const WALLS: [(&str, &[Layer]); 6] = [
        ("timed_out", &[Layer::Deadline]),
        (
            "out_of_memory",
            &[Layer::Cgroup, Layer::Rlimits, Layer::Engine],
        ),
        ("too_many_processes", &[Layer::Cgroup, Layer::Rlimits]),
        ("protocol_violation", &[Layer::Broker]),
        ("log_flood", &[Layer::Broker]),
        ("trapped", &[Layer::Engine]),
    ];
    if ending.name == "forbidden_syscall" {
        let calls: Vec<&str> = case.probe.stopped_at.iter().map(String::as_str).collect();
        return Some(forbidden(&calls, ending, filters));
    }
    let mut walls = WALLS.iter();
    let (_, walls) = walls.find(|(name, _)| *name == ending.name)?;
    if !walls.iter().any(|wall| case.probe.is_stopped_by(*wall)) {
        let why = format!("{}, which is no wall of its row", ending.name);
        return Some(Shown::Unproved(why));
    }
    let layer = ending.layer.as_deref().unwrap_or("unknown");
    let stopped = Stopped::by(layer, format!("ended: {}", ending.name));
    Some(Shown::Stopped(stopped))
}

fn own(case: &Case) -> String {
    name(&case.probe.layer)
}

fn own_layer(case: &Case, report: &Report) -> Shown {
    Shown::Stopped(Stopped::by(own(case), format!("said {}", report.said)))
}

/// The kernel said no for another reason than the expected one. Which, nobody knows; the
/// row's first backup is what is behind it. With none, or with an answer that the kernel
/// has for bad arguments or for want of room, it is nobody's wall, unless the row says that
/// it is.
fn other_layer(case: &Case, report: &Report) -> Shown {
    let listed = case.probe.stops.contains(&report.said);
    let said = &*report.said;
    let errno = DENIALS.contains(&said) || NOT_THERE.contains(&said);
    match case.probe.backup.first() {
        Some(backup) if listed || errno => {
            let words = format!("said {}", report.said);
            Shown::Stopped(Stopped::by(name(backup), words))
        }
        None if listed => own_layer(case, report),
        _ => Shown::Unproved(format!(
            "said {}, which is no answer of its walls",
            report.said
        )),
    }
}

fn silent(hosted: &Hosted, ending: &Ending) -> Shown {
    let error = hosted
        .error
        .as_deref()
        .map(|error| format!("; the plugin's error: {error}"));
    Shown::Unproved(format!(
        "no report; ended: {}{}",
        ending.name,
        error.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests;
