//! The calls of the host as scripts make them: names, arguments and results,
//! the same in every script language.

use gm_protocol::plan::{Hook, HostOp};

use crate::abi::{Import, code};

/// What a call is given, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// A key, name, id or path.
    Text,
    /// A value that is sent as JSON.
    Document,
    /// A topic and a value that is sent as JSON.
    TextDocument,
    /// A key and bytes.
    TextBytes,
    /// The name of a level and a text.
    LevelText,
    /// A name or path, an offset (0) and the most bytes (all).
    Read,
    /// A path, bytes, and options: `offset`, `create`, `truncate`.
    Write,
}

/// What a call gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// A value that came as JSON.
    Document,
    /// A string of bytes.
    Bytes,
    /// A count.
    Count,
    /// Nothing.
    Nothing,
}

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

const fn form(op: HostOp) -> (Takes, Gives) {
    match op {
        HostOp::Log => (Takes::LevelText, Gives::Nothing),
        HostOp::ConfigGet | HostOp::NodeGet | HostOp::FileList => (Takes::Text, Gives::Document),
        HostOp::NodeQuery | HostOp::EdgeGet | HostOp::EdgeQuery | HostOp::HttpRequest => {
            (Takes::Document, Gives::Document)
        }
        HostOp::NodePut | HostOp::EdgePut => (Takes::Document, Gives::Count),
        HostOp::EventEmit => (Takes::TextDocument, Gives::Nothing),
        HostOp::FileRead => (Takes::Read, Gives::Bytes),
        HostOp::FileWrite => (Takes::Write, Gives::Count),
        HostOp::StorageGet => (Takes::Text, Gives::Bytes),
        HostOp::StorageList => (Takes::Text, Gives::Document),
        HostOp::StorageSet => (Takes::TextBytes, Gives::Nothing),
        HostOp::StorageDelete => (Takes::Text, Gives::Count),
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
    let levels = ["trace", "debug", "info", "warn", "error"];
    let at = levels.iter().position(|level| *level == name)?;
    i64::try_from(at).ok()
}

/// The name of an error code, as scripts compare it, and what it means.
pub(crate) fn error(status: i64) -> (&'static str, &'static str) {
    match i32::try_from(status).unwrap_or(0) {
        code::DENIED => ("denied", "the grant does not cover it"),
        code::NOT_FOUND => ("not_found", "there is none"),
        code::INVALID => ("invalid", "an argument is not what the call takes"),
        code::TOO_BIG => ("too_big", "an argument or result is over its cap"),
        code::QUOTA => ("quota", "no room is left"),
        code::LIMIT => ("limit", "a rate, count or depth is reached"),
        code::IO => ("io", "the file or store could not be used"),
        code::NET => ("net", "the request failed or was refused"),
        code::STOPPING => ("stopping", "the host is ending this plugin"),
        _ => ("internal", "the host could not do it"),
    }
}
