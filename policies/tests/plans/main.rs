//! Plans of whole manifests: the golden ones, and what holds of all of them.
#![cfg(target_arch = "x86_64")]

mod golden;
mod properties;

use gm_manifest::Manifest;
use gm_policy::{Line, Operator, Plan, Shown, Stages};
use gm_protocol::plan::{LANDLOCK_NEWEST, Level};

/// As `policy show --host none` has it.
fn lines(plan: &Plan) -> Vec<Line> {
    plan.lines(Shown {
        level: Level::L4,
        landlock_abi: LANDLOCK_NEWEST,
        stages: Stages::Both,
    })
}

fn plan(manifest: &str) -> Plan {
    let manifest = Manifest::parse(manifest.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    Plan::derive(&manifest, &Operator::default()).unwrap_or_else(|error| panic!("{error}"))
}
