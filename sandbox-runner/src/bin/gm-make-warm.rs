//! Makes the warm-up artifact that lies beside `gm-run-wasm`. Used by the
//! set-up, on a module of our own; never installed.

use std::path::PathBuf;
use std::process::ExitCode;

/// What the runner exercises before its walls: a call, a growth of memory, a
/// call of the host, and a trap that the library raises.
const WARM: &str = include_str!("../wasm/warm.wat");

fn make(to: PathBuf) -> Result<(), String> {
    let module = wat::parse_str(WARM).map_err(|error| error.to_string())?;
    let artifact = gm_sandbox_runner::compile::Compiler::new().compile_own(&module)?;
    std::fs::write(&to, artifact)
        .map_err(|error| format!("could not write {}: {error}", to.display()))
}

#[expect(
    clippy::print_stderr,
    reason = "a tool of the set-up: its error is its output"
)]
fn main() -> ExitCode {
    let Some(to) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: gm-make-warm OUT");
        return ExitCode::from(2);
    };
    match make(to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gm-make-warm: {error}");
            ExitCode::FAILURE
        }
    }
}
