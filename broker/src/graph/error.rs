//! How a host call may fail, as plugins see it.

/// The errors of host calls. A call that fails has done nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum HostError {
    /// Outside the grant's scope, or another writer's record.
    #[error("denied")]
    Denied,
    /// There is no such thing.
    #[error("not_found")]
    NotFound,
    /// Not UTF-8, not JSON, a wrong field, or a value out of range.
    #[error("invalid")]
    Invalid,
    /// An argument or result over its cap.
    #[error("too_big")]
    TooBig,
    /// The plugin's storage is full.
    #[error("quota")]
    Quota,
    /// Over a rate, count or depth.
    #[error("limit")]
    Limit,
    /// A file or store failed.
    #[error("io")]
    Io,
    /// A request failed or was refused.
    #[error("net")]
    Net,
    /// A fault of the host.
    #[error("internal")]
    Internal,
    /// The host is ending this plugin.
    #[error("stopping")]
    Stopping,
}

impl HostError {
    /// The number that the plugin gets as the call's result.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Denied => -1,
            Self::NotFound => -2,
            Self::Invalid => -3,
            Self::TooBig => -4,
            Self::Quota => -5,
            Self::Limit => -6,
            Self::Io => -7,
            Self::Net => -8,
            Self::Internal => -9,
            Self::Stopping => -10,
        }
    }

    /// The stable name, as in records and scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::TooBig => "too_big",
            Self::Quota => "quota",
            Self::Limit => "limit",
            Self::Io => "io",
            Self::Net => "net",
            Self::Internal => "internal",
            Self::Stopping => "stopping",
        }
    }
}

impl From<rusqlite::Error> for HostError {
    fn from(_: rusqlite::Error) -> Self {
        Self::Io
    }
}

#[cfg(test)]
mod tests {
    use super::HostError::*;

    #[test]
    fn numbers_and_names_are_those_of_the_abi() {
        let table = [
            Denied, NotFound, Invalid, TooBig, Quota, Limit, Io, Net, Internal, Stopping,
        ];
        let names = [
            "denied",
            "not_found",
            "invalid",
            "too_big",
            "quota",
            "limit",
            "io",
            "net",
            "internal",
            "stopping",
        ];
        for (number, (error, name)) in (1..).zip(table.into_iter().zip(names)) {
            assert_eq!(
                (error.code(), error.name(), error.to_string().as_str()),
                (-number, name, name)
            );
        }
    }
}
