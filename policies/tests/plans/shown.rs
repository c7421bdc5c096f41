//! From the text of a manifest to what `policy show --host none` prints of it.

use gm_manifest::Manifest;
use gm_policy::{Line, Operator, Plan, Shown, Stages};
use gm_protocol::plan::{LANDLOCK_NEWEST, Level};

pub(crate) fn plan(manifest: &str) -> Plan {
    let manifest = Manifest::parse(manifest.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    Plan::derive(&manifest, &Operator::default()).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn lines(plan: &Plan) -> Vec<Line> {
    plan.lines(Shown {
        level: Level::L4,
        landlock_abi: LANDLOCK_NEWEST,
        stages: Stages::Both,
    })
}
