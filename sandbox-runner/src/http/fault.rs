//! Why a request was not made, or has no response: as the plugin is told.

use std::io;

use gm_protocol::abi::CallError;

/// What a refused or failed request is about: the first word of its text, by which
/// a plugin can tell one from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The URL: its form, scheme or credentials.
    Url,
    /// The address that the name leads to, or that was named.
    Address,
    /// A redirect: one too many, or to less than was asked for.
    Redirect,
    /// The name has no address, or nobody told it.
    Dns,
    /// Nobody answers at the address.
    Connect,
    /// The certificate, or the handshake.
    Tls,
    /// It took too long.
    Time,
    /// The response's head.
    Header,
    /// The response's body.
    Body,
    /// What came is no HTTP/1.1, or ended in the middle.
    Http,
}

impl Class {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Address => "address",
            Self::Redirect => "redirect",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Time => "time",
            Self::Header => "header",
            Self::Body => "body",
            Self::Http => "http",
        }
    }
}

/// A request without a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Outside of the grant: host and port that were asked for.
    Denied(String),
    /// The request's document is not of its form.
    Invalid(String),
    /// The response's document is over its cap.
    TooBig,
    /// Refused, or failed.
    Net(Class, String),
}

impl Fault {
    pub(super) fn net(class: Class, why: impl Into<String>) -> Self {
        Self::Net(class, why.into())
    }

    /// The same fault as the plugin hears of it: the ABI's number, and the text.
    pub(super) fn told(self) -> (i64, Vec<u8>) {
        match self {
            Self::Denied(what) => (CallError::Denied.status(), what.into_bytes()),
            Self::Invalid(why) => (CallError::Invalid.status(), why.into_bytes()),
            Self::TooBig => (CallError::TooBig.status(), Vec::new()),
            Self::Net(class, why) => {
                let text = format!("{}: {why}", class.as_str());
                (CallError::Net.status(), text.into_bytes())
            }
        }
    }

    /// What went wrong on a connection while it was used for `class`.
    pub(super) fn io(class: Class, error: &io::Error) -> Self {
        let tls = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (tls, error.kind()) {
            (Some(tls), _) => Self::net(Class::Tls, tls.to_string()),
            (None, io::ErrorKind::TimedOut) => Self::net(Class::Time, "it took too long"),
            (None, io::ErrorKind::UnexpectedEof) => {
                Self::net(Class::Http, "the connection ended in the middle")
            }
            (None, kind) => Self::net(class, kind.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_tls_or_time_is_told_apart_from_one_of_the_connection() {
        let tls = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        let told = |error: &io::Error| {
            let (status, text) = Fault::io(Class::Connect, error).told();
            (status, String::from_utf8(text).unwrap())
        };
        assert!(told(&tls).1.starts_with("tls: "));
        assert_eq!(
            told(&io::ErrorKind::TimedOut.into()),
            (-8, "time: it took too long".to_owned())
        );
        assert!(
            told(&io::ErrorKind::ConnectionRefused.into())
                .1
                .starts_with("connect: ")
        );
    }
}
