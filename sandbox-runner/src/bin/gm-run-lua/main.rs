//! Runs one Luau plugin behind walls. Takes no option: its only argument is
//! the memory limit, from the launcher.

mod malloc;

use gm_sandbox_runner::walls::{Arena, arena};

#[global_allocator]
static ARENA: Arena = arena();

fn main() {
    gm_sandbox_runner::lua::live(&ARENA)
}
