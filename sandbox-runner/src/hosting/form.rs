//! What the calls of the host take and give, for plugins that make them with values:
//! scripts and programs.

use gm_protocol::plan::HostOp;

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

/// What a call takes and gives.
pub(crate) const fn form(op: HostOp) -> (Takes, Gives) {
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
