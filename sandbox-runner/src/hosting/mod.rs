//! What every engine shares: the task, the answers to a plugin's
//! calls of the host, and the loop that serves the host's calls.
//!
//! An engine brings its own warm-up and loader, then hands a [`Plugin`] to
//! [`serve`]. Nothing here knows how a plugin's code is run.

mod files;
#[cfg(any(feature = "scripts", feature = "program"))]
pub(crate) mod form;
mod host;
#[cfg(feature = "scripts")]
pub(crate) mod script;
mod serve;

use gm_protocol::link::LinkError;
use gm_protocol::plan::{FD_ASSETS, PluginSetup, Role, Setup};

#[cfg(feature = "wasm")]
pub(crate) use files::{Kind, Stat};
#[cfg(feature = "wasm")]
pub(crate) use host::Answer;
#[cfg(feature = "scripts")]
pub(crate) use host::Breach;
pub(crate) use host::{Args, Host};
pub(crate) use serve::{NOT_RUN, Plugin, not_loaded, serve};

use crate::walls::{WallError, begin, last, sys};

/// The task of a process that runs a plugin.
pub(crate) fn task(setup: &Setup) -> &PluginSetup {
    match &setup.role {
        Role::Plugin(task) => task,
        Role::Compile(_) | Role::Http(_) => sys::exit_now(last::BROKEN_LINK),
    }
}

/// The package's files: one sealed memfd, mapped here, as no filter allows it.
pub(crate) fn assets(task: &PluginSetup) -> Result<&'static [u8], WallError> {
    if task.assets.is_empty() {
        return Ok(&[]);
    }
    begin::sealed(FD_ASSETS)
}

/// The package's files whose names end so: modules that a script may ask for.
#[cfg(feature = "scripts")]
pub(crate) fn modules(
    task: &PluginSetup,
    assets: &'static [u8],
    endings: &[&str],
) -> Vec<(String, &'static [u8])> {
    let named = |path: &str| endings.iter().any(|ending| path.ends_with(ending));
    let files = task.assets.iter().filter(|file| named(&file.path));
    files
        .filter_map(|file| Some((file.path.clone(), host::slice(assets, file)?)))
        .collect()
}

/// Ends the process because the host is gone, or says what it must not.
pub(crate) fn hung_up(error: &LinkError) -> ! {
    match error {
        LinkError::Closed => sys::exit_now(0),
        _ => sys::exit_now(last::BROKEN_LINK),
    }
}
