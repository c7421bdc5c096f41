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

/// The probe host.
fn host() -> PathBuf {
    gm_integration_tests::project().join("target/probe-host/bin/gm-probe-host")
}
