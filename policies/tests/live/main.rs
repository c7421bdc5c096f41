//! The filters against this machine's kernel: what it answers a process that
//! has installed them is what the model says, call by call.
//!
//! Not run by cargo's harness, which has threads: a process with one thread
//! forks here. No call that is asked is ever made, so `reboot` can be asked
//! too; only the two numbers that the kernel lets past every filter are
//! made, and do nothing. What the machine lacks fails the test, unless
//! `GM_TEST_MAY_SKIP` names it: `seccomp`, or `ia32` for calls by `int 0x80`.
#![cfg_attr(
    all(target_os = "linux", target_arch = "x86_64"),
    expect(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::print_stdout,
        reason = "a program of checks: whatever goes wrong fails the check that asked"
    )
)]

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod ask;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod checks;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod sys;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn main() -> std::process::ExitCode {
    checks::all()
}

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
fn main() {}
