//! The types of the ABI for WASM: of what a module imports from `gm`, and of
//! what it exports. Compiler and runner read the same table.

#[cfg(feature = "compile-wasm")]
use gm_protocol::plan::Hook;
use gm_protocol::plan::HostOp;

use super::Import;

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

impl Import {
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
                HostOp::EventEmit | HostOp::StorageSet => Shape::Change2,
                HostOp::NodePut | HostOp::EdgePut | HostOp::StorageDelete => Shape::Change,
                HostOp::FileRead => Shape::Read,
                HostOp::FileWrite => Shape::Write,
                HostOp::ConfigGet
                | HostOp::NodeGet
                | HostOp::NodeQuery
                | HostOp::EdgeGet
                | HostOp::EdgeQuery
                | HostOp::FileList
                | HostOp::HttpRequest
                | HostOp::StorageGet
                | HostOp::StorageList => Shape::Query,
            },
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

#[cfg(test)]
#[cfg(feature = "compile-wasm")]
mod tests {
    use super::*;

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
