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

use gm_protocol::plan::{FD_CODE, SCRIPT_RESERVE};

use crate::hosting;
use crate::walls::{self, Arena, WallError, sys};

/// The whole life of the process that runs a plugin.
pub fn live(arena: &Arena) -> ! {
    // 1. Before the walls: all that makes system calls which no filter allows.
    let engine = prepare(arena).unwrap_or_else(|error| hosting::unwalled(&error));
    // 2. The walls' data and the task, from the host; the package is mapped.
    let mut link = hosting::link();
    let setup = hosting::setup(&mut link);
    let task = hosting::task(&setup);
    let code = hosting::sealed(FD_CODE).unwrap_or_else(|error| hosting::unwalled(&error));
    let assets = hosting::assets(task).unwrap_or_else(|error| hosting::unwalled(&error));
    // 3. and 4. Landlock, filters, report; the host's look from outside.
    let walled = walls::put_up(&setup, &mut link);
    // 5. Nothing but the link stays open; 6. the last filter, then the script's
    //    text is parsed and its first instruction runs.
    let narrowed = walled.and_then(|walled| {
        sys::close_from(4)?;
        walled.narrow()
    });
    let narrowed = narrowed.unwrap_or_else(|error| hosting::unwalled(&error));
    let plugin = engine.load(narrowed, link, task, code, assets);
    // 7. Calls, until the host says stop or is gone.
    hosting::serve(plugin)
}

fn prepare(arena: &Arena) -> Result<engine::Engine, WallError> {
    walls::prepare(c"gm-run-js")?;
    sys::signals::leave_faults()?;
    sys::live_in_utc()?;
    // What a script's heap may take: at its end the process ends, whatever the
    // script would like to catch.
    walls::open_arena_but(arena, SCRIPT_RESERVE)?;
    engine::Engine::warm()
}
