//! How a host call may fail, as plugins see it.

use std::fmt;

use gm_protocol::abi::CallError;

/// The errors of host calls. A call that fails has done nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostError {
    /// Outside the grant's scope, or another writer's record.
    Denied,
    /// There is no such thing.
    NotFound,
    /// Not UTF-8, not JSON, a wrong field, or a value out of range.
    Invalid,
    /// An argument or result over its cap.
    TooBig,
    /// The plugin's storage is full.
    Quota,
    /// Over a rate, count or depth.
    Limit,
    /// A file or store failed.
    Io,
    /// A request failed or was refused.
    Net,
    /// A fault of the host.
    Internal,
    /// The host is ending this plugin.
    Stopping,
}

impl HostError {
    /// The number that the plugin gets as the call's result.
    #[must_use]
    pub const fn code(self) -> i32 {
        self.in_the_abi().number()
    }

    /// The stable name, as in records and scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.in_the_abi().as_str()
    }

    const fn in_the_abi(self) -> CallError {
        match self {
            Self::Denied => CallError::Denied,
            Self::NotFound => CallError::NotFound,
            Self::Invalid => CallError::Invalid,
            Self::TooBig => CallError::TooBig,
            Self::Quota => CallError::Quota,
            Self::Limit => CallError::Limit,
            Self::Io => CallError::Io,
            Self::Net => CallError::Net,
            Self::Internal => CallError::Internal,
            Self::Stopping => CallError::Stopping,
        }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for HostError {}

impl From<rusqlite::Error> for HostError {
    fn from(_: rusqlite::Error) -> Self {
        Self::Io
    }
}
