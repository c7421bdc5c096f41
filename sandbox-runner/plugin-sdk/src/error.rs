//! What can go wrong in a hook, and what a host call may answer.
//!
//! A hook hands an [`Error`] back to the host as text; it never panics for one.

/// Why a hook could not do its work. The host gets the text with its causes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    clippy::error_impl_error,
    reason = "authors write it in every hook's signature, beside `Reply`"
)]
pub enum Error {
    /// The host refused a call or could not do it; nothing was done.
    #[error("{call}: {code}")]
    Host {
        /// The call's name, as in the manifest's documentation.
        call: &'static str,
        /// What the host answered.
        code: Code,
    },
    /// The host refused a request or could not make it, and says why.
    #[error("{call}: {code}: {why}")]
    Told {
        /// The call's name.
        call: &'static str,
        /// What the host answered.
        code: Code,
        /// For people; of [`Code::Net`] its first word says what it is about: `url`,
        /// `address`, `redirect`, `dns`, `connect`, `tls`, `time`, `header`, `body`
        /// or `http`.
        why: String,
    },
    /// A document could not be read or written as what it should be.
    #[error("{what} is not the JSON that was expected")]
    Document {
        /// Which document.
        what: String,
        /// Where it differs.
        source: serde_json::Error,
    },
    /// The plugin's own reason.
    #[error("{0}")]
    Plugin(String),
}

impl Error {
    /// What the host answered, if this error comes from a host call.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Host { code, .. } | Self::Told { code, .. } => Some(*code),
            Self::Document { .. } | Self::Plugin(_) => None,
        }
    }

    /// This error and its causes, as one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl From<String> for Error {
    fn from(reason: String) -> Self {
        Self::Plugin(reason)
    }
}

impl From<&str> for Error {
    fn from(reason: &str) -> Self {
        Self::Plugin(reason.to_owned())
    }
}

/// The negative numbers of the ABI `gm-2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Code {
    /// Outside the grant's scope; the run has a `denied` record with the manifest line.
    #[error("denied")]
    Denied,
    /// No such key, node, edge or asset.
    #[error("not found")]
    NotFound,
    /// Not UTF-8, not JSON, a wrong field, or a value out of range.
    #[error("invalid")]
    Invalid,
    /// An argument or the result is over its cap.
    #[error("too big")]
    TooBig,
    /// The plugin's quota is used up.
    #[error("over quota")]
    Quota,
    /// A rate, count or depth was reached.
    #[error("over a limit")]
    Limit,
    /// A file or the store could not be read or written.
    #[error("input or output error")]
    Io,
    /// A request failed or was refused.
    #[error("network error")]
    Net,
    /// The host's own error; also every call of a build that is not WebAssembly.
    #[error("internal error")]
    Internal,
    /// The host is ending this plugin.
    #[error("stopping")]
    Stopping,
}

impl Code {
    /// The code that stands for `status`; none for a number that isn't negative.
    pub(crate) fn of(status: i64) -> Option<Self> {
        match status {
            0.. => None,
            -1 => Some(Self::Denied),
            -2 => Some(Self::NotFound),
            -3 => Some(Self::Invalid),
            -4 => Some(Self::TooBig),
            -5 => Some(Self::Quota),
            -6 => Some(Self::Limit),
            -7 => Some(Self::Io),
            -8 => Some(Self::Net),
            -10 => Some(Self::Stopping),
            // A number that this version doesn't know is an error all the same.
            _ => Some(Self::Internal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_negative_status_is_an_error_and_no_other_is() {
        let table = [
            (-1, Code::Denied),
            (-2, Code::NotFound),
            (-3, Code::Invalid),
            (-4, Code::TooBig),
            (-5, Code::Quota),
            (-6, Code::Limit),
            (-7, Code::Io),
            (-8, Code::Net),
            (-9, Code::Internal),
            (-10, Code::Stopping),
            (-11, Code::Internal),
            (i64::MIN, Code::Internal),
        ];
        for (status, code) in table {
            assert_eq!(Code::of(status), Some(code), "status {status}");
        }
        assert_eq!(Code::of(0), None);
        assert_eq!(Code::of(i64::MAX), None);
    }

    #[test]
    fn error_text_for_the_host_holds_the_cause() {
        let source = serde_json::from_str::<u8>("x").unwrap_err();
        let error = Error::Document {
            what: "the commit".to_owned(),
            source,
        };
        assert_eq!(
            error.chain(),
            "the commit is not the JSON that was expected: expected value at line 1 column 1"
        );
    }

    #[test]
    fn host_error_names_call_and_code() {
        let error = Error::Host {
            call: "node_put",
            code: Code::Denied,
        };
        assert_eq!(error.to_string(), "node_put: denied");
        assert_eq!(error.code(), Some(Code::Denied));
    }
}
