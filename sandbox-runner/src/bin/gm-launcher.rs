//! Starts walled processes for `gm-broker`; see `gm_sandbox_runner::launcher`.
//! Takes no argument and reads no environment variable.

use std::process::ExitCode;

fn main() -> ExitCode {
    match gm_sandbox_runner::launcher::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(70)
        }
    }
}

/// The error and its causes in one line on standard error.
#[expect(clippy::print_stderr, reason = "the broker isn't there to be told")]
fn report(error: &dyn std::error::Error) {
    let causes = std::iter::successors(Some(error), |e| e.source());
    let text: Vec<String> = causes.map(ToString::to_string).collect();
    eprintln!("gm-launcher: {}", text.join(": "));
}
