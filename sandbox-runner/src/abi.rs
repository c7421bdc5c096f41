//! The calls of the ABI `gm-2` as data: the same for every kind of plugin. Their
//! types, for WASM, are in [`wasm`], with what modules for other hosts import.

#[cfg(any(feature = "wasm", feature = "compile-wasm"))]
pub(crate) mod wasm;

use gm_protocol::plan::HostOp;

/// A function of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Import {
    /// Sets the reply document.
    Reply,
    /// Sets the error's text.
    Fail,
    /// Copies the last result.
    #[cfg(any(feature = "wasm", feature = "compile-wasm"))]
    Result,
    /// Reads a file of the package.
    AssetRead,
    /// Asks the host process.
    Op(HostOp),
}

impl Import {
    /// The import of a name, if the ABI has it.
    #[cfg(any(
        feature = "wasm",
        feature = "compile-wasm",
        feature = "native",
        feature = "program"
    ))]
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "reply" => Some(Self::Reply),
            "fail" => Some(Self::Fail),
            #[cfg(any(feature = "wasm", feature = "compile-wasm"))]
            "result" => Some(Self::Result),
            "asset_read" => Some(Self::AssetRead),
            other => HostOp::from_name(other).map(Self::Op),
        }
    }
}

#[cfg(test)]
#[cfg(any(feature = "wasm", feature = "compile-wasm"))]
mod tests {
    use super::*;

    #[test]
    fn every_host_call_is_an_import_with_its_permission() {
        for op in HostOp::ALL {
            let import = Import::from_name(op.as_str()).unwrap();
            assert_eq!(import, Import::Op(*op));
        }
        assert_eq!(Import::from_name("socket"), None);
    }
}
