//! Runs one WASM plugin: from the bare process to its last call.
//!
//! The engine is set up and warmed before the walls with a module of our own;
//! the plugin's code is mapped behind them, and no instruction of it runs
//! before the last filter is up.

mod calls;
mod files;
mod host;
mod imports;
mod load;
mod memory;

use std::fs::File;
use std::process::ExitCode;

use gm_protocol::message::{FromRunner, ToRunner};
use gm_protocol::plan::{FD_ASSETS, FD_LINK, Role, Setup, WasmSetup};
use gm_protocol::runner_end::RunnerEnd;

use crate::walls::sys::sealed::Sealed;
use crate::walls::{self, Arena, WallError, last, sys};

/// The whole life of the process that runs a plugin.
pub fn live(arena: &Arena) -> ExitCode {
    // 1. Before the walls: all that makes system calls which no filter allows.
    let engine = prepare(arena).unwrap_or_else(|error| end(&error));
    // 2. The walls' data and the task, from the host.
    let socket = sys::inherited(FD_LINK).unwrap_or_else(|_| sys::exit_now(last::BROKEN_LINK));
    let mut link = RunnerEnd::new(File::from(socket));
    let setup = setup(&mut link);
    let Role::Wasm(task) = &setup.role else {
        sys::exit_now(last::BROKEN_LINK)
    };
    let assets = assets(task).unwrap_or_else(|error| end(&error));
    // 3. and 4. Landlock, filters, report; the host's look from outside.
    let walled = walls::put_up(&setup, &mut link).unwrap_or_else(|error| end(&error));
    // 5. The plugin's code is mapped; 6. the last filter, then its first
    //    instruction, which may be its `start` function.
    let module = engine.load(walled, task);
    let (module, narrowed) = module.narrow().unwrap_or_else(|error| end(&error));
    let mut plugin = module.instantiate(narrowed, link, task, assets);
    // 7. Calls, until the host says stop or is gone.
    plugin.serve()
}

fn prepare(arena: &Arena) -> Result<load::Engine, WallError> {
    walls::prepare(c"gm-run-wasm")?;
    walls::open_arena(arena)?;
    let engine = load::Engine::warm()?;
    // After the warm-up, as the engine's own handlers are installed by it.
    sys::traps::report_traps()?;
    Ok(engine)
}

fn setup(link: &mut RunnerEnd) -> Setup {
    match link.recv() {
        Ok(ToRunner::Setup(setup)) => setup,
        _ => sys::exit_now(last::BROKEN_LINK),
    }
}

/// The package's files: one sealed memfd, mapped here, as no filter allows it.
fn assets(task: &WasmSetup) -> Result<&'static [u8], WallError> {
    if task.assets.is_empty() {
        return Ok(&[]);
    }
    let memfd = sys::inherited(FD_ASSETS)?;
    Ok(Sealed::map(memfd).map_err(std::io::Error::from)?.bytes())
}

fn end(error: &WallError) -> ! {
    let (control, errno) = error.claim();
    last::wall(control, errno)
}

/// What is said once the code is there and the last filter is up.
const fn loaded(init: bool, shutdown: bool) -> FromRunner {
    FromRunner::Loaded { init, shutdown }
}
