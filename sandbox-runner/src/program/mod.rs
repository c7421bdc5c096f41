//! Runs one static executable and speaks for it: from the bare process to the
//! program's end. The first process of its pid namespace.
//!
//! The program runs below it, behind the same walls but for the last filter, and
//! reaches the host through lines that are read here. A line is a stranger's: it is
//! bounded and parsed, and whatever is odd about it ends both.

mod channel;
mod lines;
mod words;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use channel::Program;

use crate::elf;
use crate::hosting::{self, Host};
use crate::walls::sys::process::{Exec, Started, start};
use crate::walls::sys::{self, mapped};
use crate::walls::{self, Arena, WallError, begin};

/// What a program is called by itself.
const NAME: &std::ffi::CStr = c"program";

/// The whole life of the process.
pub fn live(arena: &Arena) -> ! {
    // 1. Before the walls: the executable as bytes.
    let (file, bytes) = prepare(arena).unwrap_or_else(|error| begin::unwalled(&error));
    // 2. The walls' data and the task, from the host.
    let mut link = begin::link();
    let setup = begin::setup(&mut link);
    let task = hosting::task(&setup);
    let assets = hosting::assets(task).unwrap_or_else(|error| begin::unwalled(&error));
    // 3. and 4. Landlock, filters, report; the host's look from outside.
    let walled = walls::put_up(&setup, &mut link);
    let walled = walled.unwrap_or_else(|error| begin::unwalled(&error));
    // 5. The first look at the executable, then the one exec: the program runs.
    if let Err(why) = elf::executable(bytes) {
        hosting::not_loaded(&mut link, &why);
    }
    let (started, pipes) = match execute(file.as_fd()) {
        Ok(started) => started,
        Err(errno) => {
            let why = format!("it could not be executed: {errno}");
            hosting::not_loaded(&mut link, &why)
        }
    };
    drop(file);
    // 6. From here on no further process is made here.
    let narrowed = walled.narrow();
    let narrowed = narrowed.unwrap_or_else(|error| begin::unwalled(&error));
    let host = Host::new(link, task, assets);
    // 7. Calls, until the host says stop or is gone, or the program has ended.
    hosting::serve(Program::new(narrowed, host, started, pipes))
}

fn prepare(arena: &Arena) -> Result<(OwnedFd, &'static [u8]), WallError> {
    walls::prepare(c"gm-init")?;
    walls::open_arena(arena, 0)?;
    sys::signals::leave_faults()?;
    // The program is in the same pid namespace and may send signals.
    sys::signals::leave_forbidden_calls()?;
    // Hash maps seed themselves at their first use.
    words::read(b"{\"call\":0,\"reply\":null}").ok_or(WallError::WarmUp)?;
    let file = sys::inherited(gm_protocol::plan::FD_CODE)?;
    let bytes = mapped::read_only(file.as_fd()).map_err(std::io::Error::from)?;
    Ok((file, bytes))
}

/// Our ends of the program's standard descriptors.
struct Pipes {
    input: OwnedFd,
    output: OwnedFd,
    error: OwnedFd,
}

/// Starts the program and waits until it is executed.
fn execute(file: BorrowedFd<'_>) -> Result<(Started, Pipes), Errno> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC);
    let (their_input, input) = pipe()?;
    let (output, their_output) = pipe()?;
    let (error, their_error) = pipe()?;
    let (outcome, failed) = pipe()?;
    let started = start(&Exec {
        file,
        name: NAME,
        standard: [
            their_input.as_fd(),
            their_output.as_fd(),
            their_error.as_fd(),
        ],
        failed: failed.as_fd(),
    });
    let started = started.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::INVAL))?;
    // Else its exec would not be seen.
    drop(failed);
    let mut errno = [0; 4];
    match rustix::io::retry_on_intr(|| rustix::io::read(&outcome, &mut errno))? {
        0 => Ok((
            started,
            Pipes {
                input,
                output,
                error,
            },
        )),
        _ => Err(Errno::from_raw_os_error(i32::from_le_bytes(errno))),
    }
}
