//! Checks and compiles one module, behind the same walls as a plugin, then ends.
//!
//! The module is a stranger's; so is this process, once it has read it. Its
//! output is trusted no further than to run behind the walls of that plugin.

mod check;
mod code;

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use gm_protocol::message::{FromRunner, ModuleFault, ModuleFaultKind};
use gm_protocol::plan::{CompileSetup, FD_MODULE, FD_OUTPUT, Role};

use crate::walls::{self, Arena, Narrowed, WallError, begin, last, sys};

pub use code::Compiler;

/// The whole life of the compile process.
pub fn live(arena: &Arena) -> ExitCode {
    // 1. Before the walls: the arena, so that no filter allows mmap for the
    //    heap, and a compiler that is all set.
    let compiler = prepare(arena).unwrap_or_else(|error| begin::unwalled(&error));
    // 2. The walls' data and the task.
    let mut link = begin::link();
    let setup = begin::setup(&mut link);
    let Role::Compile(task) = &setup.role else {
        sys::exit_now(last::BROKEN_LINK)
    };
    let (module, output) = descriptors().unwrap_or_else(|error| begin::unwalled(&error));
    // 3. to 5. Landlock, filters, report, the host's look, the last filter.
    let walled = walls::put_up(&setup, &mut link).and_then(walls::Walled::narrow);
    let walled = walled.unwrap_or_else(|error| begin::unwalled(&error));
    // 6. The first byte of the module is read here.
    let answer = work(&walled, &compiler, task, module, output);
    // 7. The verdict; the artifact itself lies in the output.
    match link.send(&answer) {
        Ok(()) => sys::exit_now(0),
        Err(_) => sys::exit_now(last::BROKEN_LINK),
    }
}

fn prepare(arena: &Arena) -> Result<Compiler, WallError> {
    walls::prepare(c"gm-compile-wasm")?;
    sys::signals::leave_faults()?;
    walls::open_arena(arena, 0)?;
    Ok(Compiler::new())
}

fn descriptors() -> Result<(&'static [u8], File), WallError> {
    let module = begin::sealed(FD_MODULE)?;
    Ok((module, File::from(sys::inherited(FD_OUTPUT)?)))
}

fn work(
    walled: &Narrowed,
    compiler: &Compiler,
    task: &CompileSetup,
    module: &[u8],
    mut output: File,
) -> FromRunner {
    let compiled =
        check::module(walled, module, task).and_then(|counts| compiler.compile(module, counts));
    let artifact = match compiled {
        Ok(artifact) => artifact,
        Err(fault) => return FromRunner::Refused(fault),
    };
    let len = u64::try_from(artifact.len()).unwrap_or(u64::MAX);
    if len > task.output_bytes || output.write_all(&artifact).is_err() {
        let detail = format!("an artifact of {len} bytes, over {}", task.output_bytes);
        return FromRunner::Refused(fault(ModuleFaultKind::TooComplex, "", &detail));
    }
    FromRunner::Compiled { len }
}

/// The most bytes of a name or a detail: both come from the module.
const MOST_TEXT: usize = 200;

fn fault(kind: ModuleFaultKind, name: &str, detail: &str) -> ModuleFault {
    let cut = |text: &str| {
        text.get(..text.floor_char_boundary(MOST_TEXT))
            .unwrap_or_default()
            .to_owned()
    };
    ModuleFault {
        kind,
        name: cut(name),
        detail: cut(detail),
    }
}
