//! `gm-probe-host`: the walls of a profile, put up by the product's own functions with
//! one of them left out, and a probe behind them. What then stops the probe, or that
//! nothing does, says which wall did the work.
//!
//! It runs the probes that are linked into it and nothing else. They run with a uid,
//! namespaces and groups of their own, until a time limit.
//!
//! ```text
//! gm-probe-host --profile PROFILE [--without LAYER]... [--change CHANGE]...
//!               [--bare | --mutant N | --trace] [--limit-s N] (-- ID [KEY=VALUE]... | --twin)
//! ```
//! `data=` and `granted=` grant what they name, but not to a mutant, nor with `--bare`.
//! `--change` makes one thing weaker, `--mutant` is one of the policy's mutants, and
//! behind the filters of `--trace` every call that isn't allowed is reported, also those
//! that the profile would kill for without a word. `--twin` runs the shipped engine with
//! honest code of ours instead.
//!
//! Output: `ABLATED layer=L` for each layer that is left out, `CHANGED C` for whatever
//! else is weaker, the probe's report line if it came to it,
//! `group oom_kills=N pids_refused=N`, `call nr=N args=A,B,C,D,E,F` if one was forbidden
//! and reported, and at last `ending=exited:N | signal:N | forbidden:NR | timed_out`;
//! of a twin `twin=` and what became of it.
//! Exit: 0 it was run, 2 usage, 30 a wall could not be put up, 64 no such probe,
//! 70 the walls are not what was asked for.

mod command;
mod host;
mod inside;
mod linked;
mod look;
mod program;
mod start;
mod twin;
mod walls;

use std::process::ExitCode;

use gm_sandbox_runner::walls::{Arena, apart};

pub use walls::{Profile, Walls};

/// The first word of the process that hosts the probe.
const INSIDE: &str = "gm-probe-host-inside";
/// Address space for this process's heap; its memory is taken when it is used.
const HEAP: usize = 1 << 30;

/// The whole life of the binary: of who puts the walls up from outside, or of the
/// process inside.
pub fn live(arena: &Arena) -> ExitCode {
    if std::env::args().next().as_deref() == Some(INSIDE) {
        inside::live(arena);
    }
    let as_program = std::env::args().next().as_deref() == Some(program::NAME);
    // A program has less, and so does its heap.
    let heap = if as_program { HEAP / 256 } else { HEAP };
    if let Err(error) = apart::open(arena, heap) {
        eprintln!("gm-probe-host: no heap: {error}");
        return ExitCode::from(70);
    }
    if as_program {
        return program::live();
    }
    let request = match command::Request::parse(std::env::args().skip(1)) {
        Ok(request) => request,
        Err(why) => {
            eprintln!("gm-probe-host: {why}");
            return ExitCode::from(2);
        }
    };
    match host::run(&request, &mut std::io::stdout()) {
        Ok(status) => ExitCode::from(status),
        Err(failed) => {
            eprintln!("gm-probe-host: {}", failed.why);
            ExitCode::from(failed.exit)
        }
    }
}
