//! The launcher against the kernel: real children, looked at from outside and
//! asked from inside.
//!
//! Not run by the test harness, which has threads. This program is also the
//! engine: it copies itself beside a copy of gm-launcher under an engine's
//! name, so it must be linked statically (an empty mount tree has no loader).
//! The checks need root: an ordinary user's machine gives L3 at most.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program of checks: whatever goes wrong fails the check that asked"
)]

mod broker;
mod engine;
mod hostile;
mod leaks;
mod walls;

use std::process::ExitCode;

/// A check: a sentence about the product, and what finds out.
type Check = (&'static str, fn());

fn main() -> ExitCode {
    let own_name = std::env::args().next().unwrap_or_default();
    if ["gm-run-wasm", "gm-compile-wasm", "gm-http"].contains(&own_name.as_str()) {
        return engine::live();
    }
    if !rustix::process::geteuid().is_root() {
        println!("launcher: skipped, root is needed");
        return ExitCode::SUCCESS;
    }
    // cargo test passes a filter, and options of a harness that isn't here.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let mut failed = 0;
    for (name, check) in [walls::CHECKS, hostile::CHECKS, leaks::CHECKS].concat() {
        if filter
            .as_ref()
            .is_some_and(|filter| !name.contains(filter.as_str()))
        {
            continue;
        }
        let passed = std::panic::catch_unwind(check).is_ok();
        println!("{} {name}", if passed { "ok    " } else { "FAILED" });
        failed += u8::from(!passed);
    }
    ExitCode::from(failed)
}
