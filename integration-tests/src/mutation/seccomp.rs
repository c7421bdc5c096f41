//! Mutants of filters: judged by what they answer to the calls that the probes make.

use std::collections::BTreeSet;

use gm_policy::mutation::{Meaning, Mutant, Mutants, Mutation};
use gm_policy::{SeccompData, name_of};

use super::run::{Host, Outcome, Way};
use super::{Fate, Judged, Score};
use crate::probes::{HONEST, Oracle, PERMITTED, Probe};

/// i386, whose calls a 64-bit process can make, too.
const FOREIGN: u32 = 0x4000_0003;
/// The twin's words for a start that the engine itself gave up.
const NOT_WALLED_IN: &str = "not walled in";
/// The probe host's words for a process that ended before it could go.
const DIED: [&str; 2] = ["closed the link", "it ended before it was looked at"];
/// What probes ask for; nothing of it is reached before the call that is denied.
const WORDS: [&str; 10] = [
    "canary=/canary",
    "pid=2",
    "tcp=9",
    "udp=9",
    "abstract=gm-nobody",
    "unix=/gm-nobody",
    "data=/data",
    "granted=/grant/0",
    "pids_max=4",
    "memory=1048576",
];

/// A call that a probe makes and the policy denies.
struct Traced {
    id: String,
    variant: u32,
    data: SeccompData,
}

pub(super) fn judge(
    host: &Host,
    profile: &str,
    probes: &[Probe],
    score: &mut Score,
) -> Result<(), String> {
    let mutants = Mutants::named(profile).map_err(|error| error.to_string())?;
    let traced = trace(host, profile, probes, &mutants, score)?;
    let twin = host.twin(profile, &[])?;
    if !is_well(profile, &twin) {
        return Err(format!("{profile}: behind all walls the twin is {twin}"));
    }
    let mut tried = BTreeSet::new();
    for mutant in &mutants.list {
        match mutant.meaning {
            Meaning::Equal => score.equal += 1,
            Meaning::EqualToStrangers if mutant.mutation != Mutation::Narrow => {
                score.beyond_strangers += 1;
            }
            Meaning::EqualToStrangers | Meaning::Other => {
                let mut judged = match mutant.mutation {
                    Mutation::Narrow => narrowed(host, profile, mutant, &twin)?,
                    _ => widened(profile, mutant, &mutants, &traced),
                };
                if !judged.is_killed()
                    && let Some(fate) = told_by_honest_act(host, profile, mutant)?
                {
                    (judged.fate, judged.live) = (fate, true);
                }
                let first = judged.is_killed() && !judged.live && tried.insert(mutant.mutation);
                if first {
                    judged.live = true;
                    witness(host, profile, mutant, &mutants, &traced, score)?;
                }
                score.mutants.push(judged);
            }
        }
    }
    Ok(())
}

/// Runs each probe that is to be denied a call behind filters that report it.
fn trace(
    host: &Host,
    profile: &str,
    probes: &[Probe],
    mutants: &Mutants,
    score: &mut Score,
) -> Result<Vec<Traced>, String> {
    let mut all = Vec::new();
    for probe in probes.iter().filter(|probe| is_denied(probe)) {
        for variant in 0..probe.variants {
            let mut way = way(variant);
            way.options = vec!["--trace".to_owned()];
            let outcome = host.probe(profile, &probe.id, &way)?.walled()?;
            // One of the calls that this profile allows, or none at all.
            let Some((nr, args)) = outcome.call else {
                continue;
            };
            let foreign = probe.denied_call(variant) == Some("wrong-arch");
            let arch = if foreign {
                FOREIGN
            } else {
                mutants.arch.audit_word()
            };
            let data = SeccompData {
                nr,
                arch,
                ip: 0,
                args,
            };
            if mutants.allows(&data) {
                let call = name_of(mutants.arch, nr).unwrap_or("?");
                let id = &probe.id;
                score.wrong.push(format!(
                    "{profile} {id} variant {variant}: {call} was trapped, but the policy allows it"
                ));
                continue;
            }
            all.push(Traced {
                id: probe.id.clone(),
                variant,
                data,
            });
        }
    }
    match all.is_empty() {
        true => Err(format!("{profile}: no probe is denied any call")),
        false => Ok(all),
    }
}

/// The arguments of one action of a probe.
fn way(variant: u32) -> Way {
    let mut words: Vec<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
    words.push(format!("variant={variant}"));
    Way {
        options: Vec::new(),
        words,
    }
}

/// Only an oracle that names the call is red as soon as the call is made, whatever else
/// stops its effect.
fn is_denied(probe: &Probe) -> bool {
    probe.is_hosted() && matches!(probe.oracle, Oracle::Deny(_))
}

fn judged(profile: &str, mutant: &Mutant, fate: Fate, live: bool) -> Judged {
    Judged {
        profile: profile.to_owned(),
        layer: "seccomp",
        kind: mutant.mutation.name().to_owned(),
        what: mutant.what.clone(),
        fate,
        live,
    }
}

fn widened(profile: &str, mutant: &Mutant, mutants: &Mutants, traced: &[Traced]) -> Judged {
    let fate = match killer(mutant, mutants, traced) {
        Some(traced) => Fate::Killed(format!("{} variant {}", traced.id, traced.variant)),
        None => Fate::Survived(match (mutant.call, &mutant.witness) {
            (Some(call), Some(at)) => {
                let args = at.args.map(|arg| format!("{arg:#x}")).join(", ");
                format!("no probe makes such a call of {call}, such as ({args})")
            }
            _ => "no probe makes such a call".to_owned(),
        }),
    };
    judged(profile, mutant, fate, false)
}

fn killer<'a>(mutant: &Mutant, mutants: &Mutants, traced: &'a [Traced]) -> Option<&'a Traced> {
    let mut red = traced
        .iter()
        .filter(|each| mutant.answer(&each.data) != mutants.original(&each.data));
    red.next()
}

/// Does what was computed: the probe that would notice must, behind the real thing.
fn witness(
    host: &Host,
    profile: &str,
    mutant: &Mutant,
    mutants: &Mutants,
    traced: &[Traced],
    score: &mut Score,
) -> Result<(), String> {
    let Some(killer) = killer(mutant, mutants, traced) else {
        return Ok(());
    };
    let mut way = way(killer.variant);
    way.options = vec!["--bare".to_owned()];
    let before = host.probe(profile, &killer.id, &way)?.walled()?;
    way.options = mutated(mutant);
    let after = class_behind(host.probe(profile, &killer.id, &way)?)?;
    if before.class() == after {
        score.wrong.push(format!(
            "{profile} {}: {} variant {} was to notice, but ended {} as before",
            mutant.what, killer.id, killer.variant, after
        ));
    }
    Ok(())
}

fn mutated(mutant: &Mutant) -> Vec<String> {
    vec!["--mutant".to_owned(), mutant.number.to_string()]
}

/// What became of a run behind a mutant's filters. That it dies as it begins, twice, is
/// the mutant's doing, since behind the policy it began; any other failure is none.
fn class_behind(outcome: Outcome) -> Result<String, String> {
    let died = DIED.iter().any(|words| outcome.why.contains(words));
    match outcome.is_unwalled() && died {
        true => Ok("died as it began".to_owned()),
        false => Ok(outcome.walled()?.class()),
    }
}

/// Whether the honest code did its work: a twin that always fails notices nothing.
fn is_well(profile: &str, twin: &str) -> bool {
    let said = twin.strip_suffix(" exited:0");
    match profile {
        "compile" => said == Some("compiled"),
        "http" => said.is_some_and(|said| said.starts_with("fetched:")),
        _ => said == Some("done:0"),
    }
}

/// What allows less is run with honest code.
fn narrowed(host: &Host, profile: &str, mutant: &Mutant, before: &str) -> Result<Judged, String> {
    let mut after = host.twin(profile, &mutated(mutant))?;
    if after.starts_with(NOT_WALLED_IN) {
        after = host.twin(profile, &mutated(mutant))?;
    }
    let fate = match after == before {
        false => Fate::Killed(format!("twin: {after}")),
        true => Fate::Survived("the twin does without it".to_owned()),
    };
    Ok(judged(profile, mutant, fate, true))
}

/// The honest act that makes this call, if the mutant changes what comes of it. An act
/// that the policy itself stops has nothing to tell.
fn told_by_honest_act(host: &Host, profile: &str, mutant: &Mutant) -> Result<Option<Fate>, String> {
    let acts = PERMITTED.iter().zip(0..);
    for (call, variant) in acts.filter(|(call, _)| mutant.call == Some(**call)) {
        let mut way = way(variant);
        way.options = vec!["--bare".to_owned()];
        let before = host.probe(profile, HONEST, &way)?.walled()?.class();
        if before.starts_with("forbidden") || before.starts_with("signal") {
            continue;
        }
        way.options = mutated(mutant);
        let after = host.probe(profile, HONEST, &way)?;
        // What allows less may be what the start itself needs: the twin says that.
        if after.is_unwalled() && mutant.mutation == Mutation::Narrow {
            continue;
        }
        let after = class_behind(after)?;
        if after != before {
            let told = format!("{HONEST} {call}: {after} instead of {before}");
            return Ok(Some(Fate::Killed(told)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::is_well;

    #[test]
    fn only_a_twin_that_did_its_work_is_a_beginning() {
        for (profile, twin) in [
            ("lua", "done:0 exited:0"),
            ("compile", "compiled exited:0"),
            ("http", "fetched:408 exited:0"),
        ] {
            assert!(is_well(profile, twin), "{twin}");
        }
        for twin in [
            "done:1 exited:0",
            "done:0 signal:31",
            "ended exited:0",
            "not walled in (x) exited:30",
        ] {
            assert!(!is_well("lua", twin), "{twin}");
        }
        assert!(!is_well("compile", "done:0 exited:0"));
        assert!(!is_well("http", "ended signal:31"));
    }
}
