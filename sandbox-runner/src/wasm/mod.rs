//! Runs one WASM plugin: from the bare process to its last call.
//!
//! The engine is set up and warmed before the walls with a module of our own;
//! the plugin's code is mapped behind them, and no instruction of it runs
//! before the last filter is up.

mod calls;
mod extism;
mod imports;
mod kernel;
mod load;
mod memory;
mod wasi;

use crate::hosting;
use crate::walls::{self, Arena, WallError, begin, sys};

/// The whole life of the process that runs a plugin.
pub fn live(arena: &Arena) -> ! {
    // 1. Before the walls: all that makes system calls which no filter allows.
    let engine = prepare(arena).unwrap_or_else(|error| begin::unwalled(&error));
    // 2. The walls' data and the task, from the host.
    let mut link = begin::link();
    let setup = begin::setup(&mut link);
    let task = hosting::task(&setup);
    let assets = hosting::assets(task).unwrap_or_else(|error| begin::unwalled(&error));
    // 3. and 4. Landlock, filters, report; the host's look from outside.
    let walled = walls::put_up(&setup, &mut link);
    let walled = walled.unwrap_or_else(|error| begin::unwalled(&error));
    // 5. The plugin's code is mapped; 6. the last filter, then its first
    //    instruction, which may be its `start` function.
    let module = engine.load(walled, task, &mut link).narrow();
    let (module, narrowed) = module.unwrap_or_else(|error| begin::unwalled(&error));
    let plugin = module.instantiate(narrowed, link, task, assets);
    // 7. Calls, until the host says stop or is gone.
    hosting::serve(plugin)
}

fn prepare(arena: &Arena) -> Result<load::Engine, WallError> {
    walls::prepare(c"gm-run-wasm")?;
    walls::open_arena(arena, 0)?;
    let engine = load::Engine::warm()?;
    // After the warm-up, as the engine's own handlers are installed by it.
    sys::traps::report_traps()?;
    Ok(engine)
}
