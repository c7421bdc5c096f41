//! The walls, one by one: what stops a probe, what does if that is left out, and how
//! much of the policies the probes guard. As root, with what scripts/build-probe-host
//! has built.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests: whatever goes wrong fails the one that asked"
)]

mod ablation;
mod bait;
mod harness;
mod host;
mod mutation;
mod weakened;

use std::path::PathBuf;

/// The probe host.
fn host() -> PathBuf {
    gm_integration_tests::project().join("target/probe-host/bin/gm-probe-host")
}
