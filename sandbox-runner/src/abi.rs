//! The calls of the ABI `gm-2` as data, and its error codes: the same for every
//! kind of plugin. Their types, for WASM, are in [`wasm`], with what modules for
//! other hosts import.

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
    /// A rate, count or depth.
    #[cfg(feature = "scripts")]
    pub(crate) const LIMIT: i32 = -6;
    /// The file can't be read or written.
    pub(crate) const IO: i32 = -7;
    /// The request failed or was refused.
    #[cfg(any(feature = "scripts", feature = "program"))]
    pub(crate) const NET: i32 = -8;
    /// The host is ending this plugin.
    #[cfg(feature = "scripts")]
    pub(crate) const STOPPING: i32 = -10;
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
