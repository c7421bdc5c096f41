//! Checks and compiles one module, behind the same walls as a plugin, then ends.
//!
//! The module is a stranger's; so is this process, once it has read it. Its
//! output is trusted no further than to run behind the walls of that plugin.

mod check;
mod code;

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;

use gm_protocol::message::{FromRunner, ModuleFault, ModuleFaultKind, ToRunner};
use gm_protocol::plan::{CompileSetup, FD_LINK, FD_MODULE, FD_OUTPUT, Role};
use gm_protocol::runner_end::RunnerEnd;

use crate::walls::sys::sealed::Sealed;
use crate::walls::{self, Arena, Narrowed, WallError, last, sys};

pub use code::Compiler;

/// The whole life of the compile process.
pub fn live(arena: &Arena) -> ExitCode {
    // 1. Before the walls: the arena, so that no filter allows mmap for the
    //    heap, and a compiler that is all set.
    let compiler = match prepare(arena) {
        Ok(compiler) => compiler,
        Err(error) => end(&error),
    };
    let Ok(socket) = sys::inherited(FD_LINK) else {
        sys::exit_now(last::BROKEN_LINK)
    };
    let mut link = RunnerEnd::new(File::from(socket));
    // 2. The walls' data and the task.
    let Ok(ToRunner::Setup(setup)) = link.recv() else {
        sys::exit_now(last::BROKEN_LINK)
    };
    let Role::Compile(task) = &setup.role else {
        sys::exit_now(last::BROKEN_LINK)
    };
    let (module, output) = match descriptors() {
        Ok(both) => both,
        Err(error) => end(&error),
    };
    // 3. to 5. Landlock, filters, report, the host's look, the last filter.
    let walled = match walls::put_up(&setup, &mut link).and_then(walls::Walled::narrow) {
        Ok(walled) => walled,
        Err(error) => end(&error),
    };
    // 6. The first byte of the module is read here.
    let answer = work(&walled, &compiler, task, &module, output);
    // 7. The verdict; the artifact itself lies in the output.
    match link.send(&answer) {
        Ok(()) => sys::exit_now(0),
        Err(_) => sys::exit_now(last::BROKEN_LINK),
    }
}

fn prepare(arena: &Arena) -> Result<Compiler, WallError> {
    walls::prepare(c"gm-compile-wasm")?;
    sys::signals::leave_faults()?;
    walls::open_arena(arena)?;
    Ok(Compiler::new())
}

fn descriptors() -> Result<(Sealed, File), WallError> {
    let module = Sealed::map(sys::inherited(FD_MODULE)?).map_err(std::io::Error::from)?;
    Ok((module, File::from(sys::inherited(FD_OUTPUT)?)))
}

fn work(
    walled: &Narrowed,
    compiler: &Compiler,
    task: &CompileSetup,
    module: &Sealed,
    mut output: File,
) -> FromRunner {
    let compiled = check::module(walled, module.bytes(), task)
        .and_then(|counts| compiler.compile(module.bytes(), counts));
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

fn end(error: &WallError) -> ! {
    let (control, errno) = error.claim();
    last::wall(control, errno)
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
