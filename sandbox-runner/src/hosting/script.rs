//! The calls of the host as scripts make them, the same in every script language.

use gm_protocol::abi::{CallError, LogLevel};
use gm_protocol::plan::{Hook, HostOp};

use super::form::{Gives, Takes, form};
use crate::abi::Import;

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
