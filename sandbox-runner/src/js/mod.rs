//! Runs one JavaScript plugin: from the bare process to its last call.
//!
//! The engine is set up and warmed before the walls with a script of our own;
//! the plugin's text is parsed behind the last filter, and nothing but that text
//! ever becomes code.

mod calls;
mod engine;
mod errors;
mod gm;
mod modules;
mod raw;
mod text;

use gm_protocol::plan::SCRIPT_RESERVE;

use crate::hosting::script;
use crate::walls::{self, Arena, WallError, sys};

/// The whole life of the process that runs a plugin.
pub fn live(arena: &Arena) -> ! {
    script::live(prepare(arena), engine::Engine::load)
}

fn prepare(arena: &Arena) -> Result<engine::Engine, WallError> {
    walls::prepare(c"gm-run-js")?;
    sys::signals::leave_faults()?;
    sys::live_in_utc()?;
    // What a script's heap may take: at its end the process ends, whatever the
    // script would like to catch.
    walls::open_arena(arena, SCRIPT_RESERVE)?;
    engine::Engine::warm()
}
