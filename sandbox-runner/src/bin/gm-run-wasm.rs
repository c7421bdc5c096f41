//! Runs one WASM plugin behind walls. Takes no option: its only argument is
//! the arena's size, from the launcher.

use std::process::ExitCode;

use gm_sandbox_runner::walls::{Arena, arena};

#[global_allocator]
static ARENA: Arena = arena();

fn main() -> ExitCode {
    gm_sandbox_runner::engine::live(&ARENA)
}
