//! Hosts that a manifest asks to reach.

use crate::Unfit;
use crate::unfit::text_type;

/// `name:port`. The name is exact, or `*.` and two or more labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    text: String,
    port: u16,
}

impl HostPort {
    /// Takes a host with its port; lower case, as it is compared.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let (name, port) = text
            .rsplit_once(':')
            .ok_or(Unfit::new("a host is written name:port"))?;
        let port = parse_port(port).ok_or(Unfit::new("a port is 1 to 65535"))?;
        check_name(name)?;
        Ok(Self {
            text: text.to_owned(),
            port,
        })
    }

    /// The name, with its `*.` if it has one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text.rsplit_once(':').map_or("", |(name, _)| name)
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The text as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every host of `other` is one of this: `*.` stands for one label or
    /// more.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let below = self
            .name()
            .strip_prefix('*')
            .is_some_and(|suffix| other.name().ends_with(suffix));
        self == other || (below && self.port == other.port)
    }
}

text_type!(HostPort);

fn parse_port(text: &str) -> Option<u16> {
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn check_name(name: &str) -> Result<(), Unfit> {
    if name.len() > 253 {
        return Err(Unfit::new("a host name has at most 253 bytes"));
    }
    let exact = name.strip_prefix("*.");
    for label in exact.unwrap_or(name).split('.') {
        let plain = label
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if label.is_empty()
            || label.len() > 63
            || !plain
            || label.starts_with('-')
            || label.ends_with('-')
        {
            return Err(Unfit::new(
                "labels of a host name are 1 to 63 of a-z, 0-9 and inner -",
            ));
        }
    }
    if exact.is_some_and(|rest| !rest.contains('.')) {
        return Err(Unfit::new("*. stands before two or more labels"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_hosts_are_refused() {
        for text in [
            "",
            "a",
            ":80",
            "a:",
            "a:0",
            "a:080",
            "a:65536",
            "a:+80",
            "A.com:80",
            "*:80",
            "*.com:80",
            "a.*.com:80",
            "a..b:80",
            "-a:80",
            "a b:80",
            "[::1]:80",
            "https://a:80",
            "a.com.:80",
            "ä.com:80",
        ] {
            assert!(HostPort::parse(text).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn a_host_has_a_name_and_a_port() {
        let host = HostPort::parse("*.example.com:443").unwrap();
        assert_eq!((host.name(), host.port()), ("*.example.com", 443));
        assert!(HostPort::parse("localhost:8080").is_ok());
    }

    #[test]
    fn a_star_covers_what_stands_below_it_on_the_same_port() {
        let covers = |wider: &str, other: &str| {
            HostPort::parse(wider)
                .unwrap()
                .covers(&HostPort::parse(other).unwrap())
        };
        assert!(covers("*.a.example:443", "b.a.example:443"));
        assert!(covers("*.a.example:443", "c.b.a.example:443"));
        assert!(covers("*.a.example:443", "*.b.a.example:443"));
        assert!(covers("a.example:443", "a.example:443"));
        for (wider, other) in [
            ("*.a.example:443", "a.example:443"),
            ("*.a.example:443", "ba.example:443"),
            ("*.a.example:443", "b.a.example:80"),
            ("b.a.example:443", "*.a.example:443"),
            ("*.b.a.example:443", "*.a.example:443"),
        ] {
            assert!(!covers(wider, other), "{wider} {other}");
        }
    }
}
