//! Runs one shared object behind walls. Takes no option: its only argument is the
//! arena's size, from the launcher.

use gm_sandbox_runner::walls::{Arena, arena};

#[global_allocator]
static ARENA: Arena = arena();

fn main() {
    gm_sandbox_runner::native::live(&ARENA)
}
