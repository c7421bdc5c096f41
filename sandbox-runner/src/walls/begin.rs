//! What every walled process does before and besides its own work: it takes the
//! link, hears its walls and its task, and ends where a wall is missing.

use std::fs::File;

use gm_protocol::message::ToRunner;
use gm_protocol::plan::{FD_LINK, Setup};
use gm_protocol::runner_end::RunnerEnd;

use super::{WallError, last, sys};

/// The link to the host: the inherited descriptor.
pub(crate) fn link() -> RunnerEnd {
    match sys::inherited(FD_LINK) {
        Ok(socket) => RunnerEnd::new(File::from(socket)),
        Err(_) => sys::exit_now(last::BROKEN_LINK),
    }
}

/// The host's first frame: walls and task.
pub(crate) fn setup(link: &mut RunnerEnd) -> Setup {
    match link.recv() {
        Ok(ToRunner::Setup(setup)) => *setup,
        _ => sys::exit_now(last::BROKEN_LINK),
    }
}

/// The bytes of an inherited sealed memfd, mapped and closed.
#[cfg(any(feature = "hosting", feature = "compile-wasm"))]
pub(crate) fn sealed(fd: i32) -> Result<&'static [u8], WallError> {
    let memfd = sys::inherited(fd)?;
    let sealed = sys::sealed::Sealed::map(memfd).map_err(std::io::Error::from)?;
    Ok(sealed.bytes())
}

/// Ends the process because a wall is missing.
pub(crate) fn unwalled(error: &WallError) -> ! {
    let (control, errno) = error.claim();
    last::wall(control, errno)
}
