//! What is the same in every script language: the life of the process, the calls of
//! the host as scripts make them, and how a hook ends.

use gm_protocol::abi::{CallError, LogLevel};
use gm_protocol::plan::{FD_CODE, Hook, HostOp, PluginSetup};
use gm_protocol::runner_end::RunnerEnd;

use super::form::{Gives, Takes, form};
use super::{Args, Breach, Host, Plugin};
use crate::abi::Import;
use crate::walls::{self, Narrowed, WallError, begin, sys};

/// The status of a hook that raised an error.
const FAILED: i32 = 1;

/// A call, as scripts see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) call: Import,
    pub(crate) takes: Takes,
    pub(crate) gives: Gives,
}

impl Form {
    /// All calls that scripts can make.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let asset = Self {
            name: "asset_read",
            call: Import::AssetRead,
            takes: Takes::Read,
            gives: Gives::Bytes,
        };
        let ops = HostOp::ALL.iter().map(|op| {
            let (takes, gives) = form(*op);
            Self {
                name: op.as_str(),
                call: Import::Op(*op),
                takes,
                gives,
            }
        });
        std::iter::once(asset).chain(ops)
    }
}

/// The whole life of a process that runs a script. Before the walls comes all that
/// makes system calls which no filter allows: `prepared` is what that gave.
pub(crate) fn live<E, P: Plugin>(
    prepared: Result<E, WallError>,
    load: impl FnOnce(E, Narrowed, RunnerEnd, &PluginSetup, &'static [u8], &'static [u8]) -> P,
) -> ! {
    // 1. The engine, warmed.
    let engine = prepared.unwrap_or_else(|error| begin::unwalled(&error));
    // 2. The walls' data and the task, from the host; code and assets are mapped.
    let mut link = begin::link();
    let setup = begin::setup(&mut link);
    let task = super::task(&setup);
    let code = begin::sealed(FD_CODE).unwrap_or_else(|error| begin::unwalled(&error));
    let assets = super::assets(task).unwrap_or_else(|error| begin::unwalled(&error));
    // 3. and 4. Landlock, filters, report; the host's look from outside.
    let walled = walls::put_up(&setup, &mut link);
    // 5. Nothing but the link stays open; 6. the last filter, then the script's
    //    text is parsed and its first instruction runs.
    let narrowed = walled.and_then(|walled| {
        sys::close_from(4)?;
        walled.narrow()
    });
    let narrowed = narrowed.unwrap_or_else(|error| begin::unwalled(&error));
    let plugin = load(engine, narrowed, link, task, code, assets);
    // 7. Calls, until the host says stop or is gone.
    super::serve(plugin)
}

/// The script's reply.
pub(crate) fn reply(host: &mut Host, text: &str) -> Result<i64, Breach> {
    host.call(Import::Reply, text_args(text))
}

/// The end of a hook: its status, and the reply or the error's text.
pub(crate) fn left(host: &mut Host, done: Result<(), String>) -> (i32, Option<Vec<u8>>) {
    if let Err(text) = &done {
        // A hook is running, so it can't break the contract.
        let _ = host.call(Import::Fail, text_args(text));
    }
    let answer = host.leave();
    match done {
        Ok(()) => (0, answer.reply),
        Err(_) => (FAILED, answer.error),
    }
}

fn text_args(text: &str) -> Args<'_> {
    Args {
        first: text.as_bytes(),
        ..Args::default()
    }
}

/// Whether a script has every hook that its manifest names; if not, why it is not
/// loaded, in the words that a module hears (`compile/check.rs`).
pub(crate) fn has_all(named: &[Hook], has: impl Fn(Hook) -> bool) -> Result<(), String> {
    match named.iter().find(|hook| !has(**hook)) {
        Some(hook) => Err(format!(
            "{hook}: no function of this name (artifact/missing-export)"
        )),
        None => Ok(()),
    }
}

/// The number of a level's name.
pub(crate) fn level(name: &str) -> Option<i64> {
    LogLevel::from_name(name).map(|level| level.number().into())
}

/// What an error means, for who reads its text.
pub(crate) const fn meaning(error: CallError) -> &'static str {
    match error {
        CallError::Denied => "the grant does not cover it",
        CallError::NotFound => "there is none",
        CallError::Invalid => "an argument is not what the call takes",
        CallError::TooBig => "an argument or result is over its cap",
        CallError::Quota => "no room is left",
        CallError::Limit => "a rate, count or depth is reached",
        CallError::Io => "the file or store could not be used",
        CallError::Net => "the request failed or was refused",
        CallError::Internal => "the host could not do it",
        CallError::Stopping => "the host is ending this plugin",
    }
}
