//! The walls, one by one: what stops a probe, what does if that is left out, and how
//! much of the policies the probes guard. As root, with what scripts/build-probe-host
//! has built.

#[cfg(test)]
mod ablation;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod host;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod weakened;

use std::path::PathBuf;

use gm_integration_tests::bait::{Bait, Whose};
use gm_integration_tests::mutation::{BOUNDS, Host, Outcome, Way};

/// The probe host.
fn host() -> PathBuf {
    gm_integration_tests::project().join("target/probe-host/bin/gm-probe-host")
}

/// Runs a probe with these layers left out: what became of it, and what happened outside
/// where anybody may do anything that no wall forbids.
fn run(profile: &str, without: &[&str], probe: &str) -> (Outcome, Vec<String>) {
    let bait = Bait::set_out(Whose::Root).unwrap();
    let options = without.iter().flat_map(|layer| ["--without", layer]);
    let way = Way {
        options: options.map(str::to_owned).collect(),
        words: bait.words(BOUNDS),
    };
    let outcome = Host::new(host()).unwrap().probe(profile, probe, &way);
    let outcome = outcome.unwrap();
    let effects = bait.effects(outcome.line.as_deref().unwrap_or_default().as_bytes());
    (outcome, effects)
}
