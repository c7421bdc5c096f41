//! The ABI `gm-2` as data: which functions a module may import from `gm`, and
//! which it exports, with their types. Compiler and runner read the same table.

#[cfg(feature = "compile-wasm")]
use gm_protocol::plan::Hook;
use gm_protocol::plan::{HostOp, HostOps};

/// The module that imports come from.
pub(crate) const MODULE: &str = "gm";
/// The memory that every plugin exports.
#[cfg(feature = "compile-wasm")]
pub(crate) const MEMORY: &str = "memory";
/// Hands out the buffers of documents.
pub(crate) const ALLOC: &str = "gm_alloc";
/// Takes them back.
pub(crate) const FREE: &str = "gm_free";
/// Called once, before `init`.
pub(crate) const INITIALIZE: &str = "_initialize";

/// A value's type, of those that the ABI uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

/// Parameters and results of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) takes: &'static [Value],
    pub(crate) gives: &'static [Value],
}

use Value::{I32, I64};

const TEXT_TO_I32: Type = Type {
    takes: &[I32, I32],
    gives: &[I32],
};

/// What a function takes and gives, beyond numbers: a text is an address and a
/// length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A text; gives a status.
    Change,
    /// A text; gives the length of a result.
    Query,
    /// Two texts; gives a status.
    Change2,
    /// A level and a text; gives a status.
    Log,
    /// A text, an offset and the most bytes; gives the length of a result.
    Read,
    /// A text, an offset, another text and flags; gives a count.
    Write,
}

impl Shape {
    const fn ty(self) -> Type {
        match self {
            Self::Change => TEXT_TO_I32,
            Self::Query => Type {
                takes: &[I32, I32],
                gives: &[I64],
            },
            Self::Change2 => Type {
                takes: &[I32, I32, I32, I32],
                gives: &[I32],
            },
            Self::Log => Type {
                takes: &[I32, I32, I32],
                gives: &[I32],
            },
            Self::Read => Type {
                takes: &[I32, I32, I64, I32],
                gives: &[I64],
            },
            Self::Write => Type {
                takes: &[I32, I32, I64, I32, I32, I32],
                gives: &[I32],
            },
        }
    }
}

/// A function of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Import {
    /// Sets the reply document.
    Reply,
    /// Sets the error's text.
    Fail,
    /// Copies the last result.
    Result,
    /// Reads a file of the package.
    AssetRead,
    /// Asks the host process.
    Op(HostOp),
}

impl Import {
    /// The import of a name, if the ABI has it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "reply" => Some(Self::Reply),
            "fail" => Some(Self::Fail),
            "result" => Some(Self::Result),
            "asset_read" => Some(Self::AssetRead),
            other => HostOp::from_name(other).map(Self::Op),
        }
    }

    /// Its type.
    pub(crate) const fn ty(self) -> Type {
        self.shape().ty()
    }

    /// What it takes and gives.
    pub(crate) const fn shape(self) -> Shape {
        match self {
            Self::Reply | Self::Fail | Self::Result => Shape::Change,
            Self::AssetRead => Shape::Read,
            Self::Op(op) => match op {
                HostOp::Log => Shape::Log,
                HostOp::EventEmit => Shape::Change2,
                HostOp::NodePut | HostOp::EdgePut => Shape::Change,
                HostOp::FileRead => Shape::Read,
                HostOp::FileWrite => Shape::Write,
                HostOp::ConfigGet
                | HostOp::NodeGet
                | HostOp::NodeQuery
                | HostOp::EdgeGet
                | HostOp::EdgeQuery
                | HostOp::FileList => Shape::Query,
            },
        }
    }

    /// Whether the grant gives it. What stays inside the runner needs none.
    pub(crate) const fn granted(self, ops: HostOps) -> bool {
        match self {
            Self::Reply | Self::Fail | Self::Result | Self::AssetRead => true,
            Self::Op(op) => ops.has(op),
        }
    }
}

/// The type that an export of this name must have, if the ABI knows the name.
#[cfg(feature = "compile-wasm")]
pub(crate) fn export(name: &str) -> Option<Type> {
    match name {
        ALLOC => Some(Type {
            takes: &[I32],
            gives: &[I32],
        }),
        FREE => Some(Type {
            takes: &[I32, I32],
            gives: &[],
        }),
        INITIALIZE => Some(Type {
            takes: &[],
            gives: &[],
        }),
        other => Hook::from_name(other).map(|_| TEXT_TO_I32),
    }
}

/// Error codes as the ABI returns them.
#[cfg(feature = "hosting")]
pub(crate) mod code {
    /// Outside the grant.
    pub(crate) const DENIED: i32 = -1;
    /// There is none.
    pub(crate) const NOT_FOUND: i32 = -2;
    /// Not UTF-8, not JSON, or a value out of range.
    pub(crate) const INVALID: i32 = -3;
    /// An argument or result over its cap.
    pub(crate) const TOO_BIG: i32 = -4;
    /// No room left.
    pub(crate) const QUOTA: i32 = -5;
    /// The file can't be read or written.
    pub(crate) const IO: i32 = -7;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_call_is_an_import_with_its_permission() {
        for op in HostOp::ALL {
            let import = Import::from_name(op.as_str()).unwrap();
            assert_eq!(import, Import::Op(*op));
            assert!(import.granted(HostOps::NONE.with(*op)));
            assert!(!import.granted(HostOps::NONE));
        }
        assert_eq!(Import::from_name("socket"), None);
    }

    #[cfg(feature = "compile-wasm")]
    #[test]
    fn hooks_and_the_allocator_have_their_types() {
        assert_eq!(export("on_commit_analyzed"), Some(TEXT_TO_I32));
        assert_eq!(
            export("gm_free"),
            Some(Type {
                takes: &[I32, I32],
                gives: &[]
            })
        );
        assert_eq!(export("_start"), None);
    }
}
