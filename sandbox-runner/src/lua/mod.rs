//! Runs one Luau plugin: from the bare process to its last call.
//!
//! The virtual machine is made and exercised before the walls; the script is
//! parsed when the last filter is up. It has no file, no clock of its own, no
//! bytecode and no way to load text but `require` of its package's files.

mod calls;
mod value;
mod vm;

use gm_protocol::plan::SCRIPT_RESERVE;

use crate::hosting::script;
use crate::walls::{self, Arena, WallError, sys};

/// The whole life of the process that runs a plugin.
pub fn live(arena: &Arena) -> ! {
    script::live(prepare(arena), vm::Vm::load)
}

fn prepare(arena: &Arena) -> Result<vm::Vm, WallError> {
    walls::prepare(c"gm-run-lua")?;
    sys::signals::leave_faults()?;
    // What a script's heap may take: at its end the process ends, whatever the
    // script would like to catch.
    walls::open_arena(arena, SCRIPT_RESERVE)?;
    vm::Vm::warm().map_err(|_| WallError::WarmUp)
}
