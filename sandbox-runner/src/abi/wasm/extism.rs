//! `extism-1` as data: the functions of Extism's host, with their types and the
//! host call of ours without whose grant each can't be imported.

use gm_protocol::plan::{HostOp, HostOps};

use super::Value::{I32, I64};

/// The module that they come from.
pub(crate) const MODULE: &str = "extism:host/env";
/// Where kits before 1.0 import them from, with [`OLD_PREFIX`] before each name.
pub(crate) const OLD_MODULE: &str = "env";
/// What those names begin with.
pub(crate) const OLD_PREFIX: &str = "extism_";
/// What a kit of C or C++ calls before the first hook.
pub(crate) const CONSTRUCTORS: &str = "__wasm_call_ctors";
/// Each hook takes nothing; 0 = done.
#[cfg(feature = "compile-wasm")]
pub(crate) const HOOK: super::Type = super::Type {
    takes: &[],
    gives: &[I32],
};

/// The export that carries out a command, where none takes them all.
pub(crate) fn command(name: &str) -> String {
    name.replace('-', "_")
}

calls! {
    named if cfg(test);
    /// A function of Extism's host.
    Call;
    Alloc = "alloc" (I64) (I64);
    Free = "free" (I64) ();
    Length = "length" (I64) (I64);
    LengthUnsafe = "length_unsafe" (I64) (I64);
    LoadU8 = "load_u8" (I64) (I32);
    LoadU64 = "load_u64" (I64) (I64);
    StoreU8 = "store_u8" (I64 I32) ();
    StoreU64 = "store_u64" (I64 I64) ();
    InputLoadU8 = "input_load_u8" (I64) (I32);
    InputLoadU64 = "input_load_u64" (I64) (I64);
    InputSet = "input_set" (I64 I64) ();
    InputLength = "input_length" () (I64);
    InputOffset = "input_offset" () (I64);
    OutputSet = "output_set" (I64 I64) ();
    OutputLength = "output_length" () (I64);
    OutputOffset = "output_offset" () (I64);
    ErrorSet = "error_set" (I64) ();
    ErrorGet = "error_get" () (I64);
    Reset = "reset" () ();
    MemoryBytes = "memory_bytes" () (I64);
    ConfigGet = "config_get" (I64) (I64);
    VarGet = "var_get" (I64) (I64);
    VarSet = "var_set" (I64 I64) ();
    HttpRequest = "http_request" (I64 I64) (I64);
    HttpStatusCode = "http_status_code" () (I32);
    HttpHeaders = "http_headers" () (I64);
    LogTrace = "log_trace" (I64) ();
    LogDebug = "log_debug" (I64) ();
    LogInfo = "log_info" (I64) ();
    LogWarn = "log_warn" (I64) ();
    LogError = "log_error" (I64) ();
    GetLogLevel = "get_log_level" () (I32);
}

impl Call {
    /// What is missing in the grant, as a host call's name. What stays inside
    /// the runner needs nothing.
    pub(crate) fn lacks(self, ops: HostOps) -> Option<&'static str> {
        let op = match self {
            Self::ConfigGet => HostOp::ConfigGet,
            Self::LogTrace | Self::LogDebug | Self::LogInfo | Self::LogWarn | Self::LogError => {
                HostOp::Log
            }
            Self::HttpRequest => HostOp::HttpRequest,
            _ => return None,
        };
        (!ops.has(op)).then_some(op.as_str())
    }
}
