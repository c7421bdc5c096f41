//! `gm-broker harness`: this process becomes `gm-harness`, so that signals, streams and
//! the exit code are its own. The broker doesn't depend on the crate of the attacks.

use std::ffi::OsString;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use gm_manifest::{Code, Refusal};

use super::beside;
use crate::args::{Invocation, usage};
use crate::output::Output;

/// The binary, beside the broker's.
const HARNESS: &str = "gm-harness";

/// Becomes the harness; comes back only with why not.
pub(crate) fn become_it(words: &[OsString], invocation: &Invocation, output: &Output) -> Refusal {
    if let Err(refusal) = invocation.may_start() {
        return refusal;
    }
    let binary = match beside::open(HARNESS) {
        Ok(binary) => binary,
        Err(why) => {
            return usage(format!("{HARNESS} is not installed beside gm-broker: {why}"))
                .rule("scripts/build installs it: cargo build --release -p gm-integration-tests --bin gm-harness");
        }
    };
    // Resolved at the exec, while the descriptor is still there: what was checked is
    // what runs.
    let path = format!("/proc/self/fd/{}", binary.as_raw_fd());
    #[expect(
        clippy::disallowed_methods,
        reason = "replaces this process: no plugin and no privilege is involved"
    )]
    let mut command = Command::new(path);
    command.arg0(HARNESS);
    // What stood before the verb holds for it, too.
    if output.is_json() {
        command.args(["--format", "json"]);
    }
    if output.is_quiet() {
        command.arg("--quiet");
    }
    if let Some(home) = invocation.named_home() {
        command.arg("--home").arg(home);
    }
    let error = command.args(words).exec();
    Refusal::new(Code::InternalPanic, format!("{HARNESS}: {error}"))
}
