//! The types of the ABIs for WASM: of what a module imports, and of what it
//! exports. Compiler and runner read the same tables. Here stands `gm-2`; what
//! modules for other hosts import stands below.

#[macro_use]
mod calls;
pub(crate) mod extism;
pub(crate) mod wasi;

use std::fmt;

#[cfg(feature = "compile-wasm")]
use gm_protocol::plan::Hook;
use gm_protocol::plan::{Abi, HostOp, HostOps};

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

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
        })
    }
}

/// Parameters and results of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) takes: &'static [Value],
    pub(crate) gives: &'static [Value],
}

/// As WebAssembly's text format has it.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(func")?;
        for (word, values) in [("param", self.takes), ("result", self.gives)] {
            if !values.is_empty() {
                write!(f, " ({word}")?;
                values.iter().try_for_each(|value| write!(f, " {value}"))?;
                f.write_str(")")?;
            }
        }
        f.write_str(")")
    }
}

use Value::{I32, I64};

#[cfg(feature = "compile-wasm")]
const NOTHING: Type = Type {
    takes: &[],
    gives: &[],
};
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

/// A function of the host, of whatever module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// Of [`MODULE`].
    Gm(Import),
    /// Of [`wasi::MODULE`].
    Wasi(wasi::Call),
    /// Of [`extism::MODULE`].
    Extism(extism::Call),
}

impl Function {
    /// What a module that speaks `abi` means by this import. Module `gm` is
    /// there under each ABI, as nothing else reaches the graph.
    pub(crate) fn find(abi: Abi, module: &str, name: &str) -> Option<Self> {
        match (module, abi) {
            (MODULE, _) => Import::from_name(name).map(Self::Gm),
            (wasi::MODULE, _) => wasi::Call::from_name(name).map(Self::Wasi),
            (extism::MODULE, Abi::Extism1) => extism::Call::from_name(name).map(Self::Extism),
            (extism::OLD_MODULE, Abi::Extism1) => {
                let name = name.strip_prefix(extism::OLD_PREFIX)?;
                extism::Call::from_name(name).map(Self::Extism)
            }
            _ => None,
        }
    }

    /// Its type.
    pub(crate) const fn ty(self) -> Type {
        match self {
            Self::Gm(import) => import.ty(),
            Self::Wasi(call) => call.ty(),
            Self::Extism(call) => call.ty(),
        }
    }

    /// The host call without whose grant it can't be imported, if that is
    /// missing.
    pub(crate) fn lacks(self, ops: HostOps) -> Option<&'static str> {
        match self {
            Self::Gm(Import::Op(op)) if !ops.has(op) => Some(op.as_str()),
            Self::Gm(_) | Self::Wasi(_) => None,
            Self::Extism(call) => call.lacks(ops),
        }
    }
}

/// The type that an export of this name must have, if the ABI knows the name.
#[cfg(feature = "compile-wasm")]
pub(crate) fn export(abi: Abi, name: &str) -> Option<Type> {
    match name {
        extism::CONSTRUCTORS if abi == Abi::Extism1 => Some(NOTHING),
        _ if abi == Abi::Extism1 && Hook::from_name(name).is_some() => Some(extism::HOOK),
        ALLOC => Some(Type {
            takes: &[I32],
            gives: &[I32],
        }),
        FREE => Some(Type {
            takes: &[I32, I32],
            gives: &[],
        }),
        INITIALIZE => Some(NOTHING),
        other => Hook::from_name(other).map(|_| TEXT_TO_I32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_the_host_is_imported_with_its_grant_alone() {
        for op in HostOp::ALL {
            let found = Function::find(Abi::Gm2, MODULE, op.as_str()).unwrap();
            assert_eq!(found.lacks(HostOps::NONE.with(*op)), None);
            assert_eq!(found.lacks(HostOps::NONE), Some(op.as_str()));
        }
        let log = Function::find(Abi::Extism1, extism::MODULE, "log_warn").unwrap();
        assert_eq!(log.lacks(HostOps::NONE), Some("log"));
        assert_eq!(log.lacks(HostOps::NONE.with(HostOp::Log)), None);
        let inside = Function::find(Abi::Gm2, wasi::MODULE, "fd_write").unwrap();
        assert_eq!(inside.lacks(HostOps::NONE), None);
    }

    #[test]
    fn a_module_is_known_only_under_its_abi() {
        for call in extism::Call::ALL {
            let name = call.name();
            let found = Some(Function::Extism(*call));
            assert_eq!(Function::find(Abi::Extism1, extism::MODULE, name), found);
            assert_eq!(Function::find(Abi::Gm2, extism::MODULE, name), None);
            assert_eq!(Function::find(Abi::Extism1, "env", name), None);
            let old = format!("extism_{name}");
            assert_eq!(Function::find(Abi::Extism1, "env", &old), found);
            assert_eq!(Function::find(Abi::Gm2, "env", &old), None);
        }
        for call in wasi::Call::ALL {
            let found = Some(Function::Wasi(*call));
            for abi in Abi::ALL {
                assert_eq!(Function::find(*abi, wasi::MODULE, call.name()), found);
            }
        }
        assert_eq!(extism::Call::ALL.len(), 32);
        assert_eq!(wasi::Call::ALL.len(), 46);
    }

    #[test]
    fn a_type_reads_as_in_the_text_format() {
        let read = |ty: Type| ty.to_string();
        assert_eq!(read(TEXT_TO_I32), "(func (param i32 i32) (result i32))");
        let free = extism::Call::Free.ty();
        assert_eq!(read(free), "(func (param i64))");
        let offset = extism::Call::InputOffset.ty();
        assert_eq!(read(offset), "(func (result i64))");
        assert_eq!(read(extism::Call::Reset.ty()), "(func)");
    }

    #[cfg(feature = "compile-wasm")]
    #[test]
    fn hooks_and_the_allocator_have_their_types() {
        assert_eq!(export(Abi::Gm2, "on_commit_analyzed"), Some(TEXT_TO_I32));
        assert_eq!(export(Abi::Extism1, "init"), Some(extism::HOOK));
        assert_eq!(export(Abi::Gm2, extism::CONSTRUCTORS), None);
        assert_eq!(
            export(Abi::Gm2, "gm_free"),
            Some(Type {
                takes: &[I32, I32],
                gives: &[]
            })
        );
        assert_eq!(export(Abi::Gm2, "_start"), None);
    }
}
