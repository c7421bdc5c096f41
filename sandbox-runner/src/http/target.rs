//! Where a request goes: a URL taken apart, and whether the grant has its host.
//!
//! The URL is read as browsers do it (the WHATWG's standard), so that an address in
//! any spelling is that address; but what only a browser forgives is refused.

use std::net::IpAddr;

use gm_protocol::plan::Reach;
use url::{Host as UrlHost, Url};

use super::fault::{Class, Fault};

/// The longest URL.
const MOST_URL: usize = 8 << 10;

/// A host, as it is compared and looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// Lower-case ASCII without a dot at its end.
    Name(String),
    /// An address that was written out.
    Address(IpAddr),
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// A place that a request can be sent to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    url: Url,
    pub(super) tls: bool,
    pub(super) host: Host,
    pub(super) port: u16,
}

impl Target {
    /// Takes a URL apart.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        Self::read(text, None)
    }

    /// Where a response's `Location` leads from here.
    pub(super) fn redirected(&self, location: &str) -> Result<Self, Fault> {
        Self::read(location, Some(self))
    }

    /// Takes a URL apart. One that is read from another place may leave out what it
    /// shares with that: the scheme, or scheme and host.
    fn read(text: &str, from: Option<&Self>) -> Result<Self, Fault> {
        plain(text)?;
        let shares_scheme = from.and_then(|_| text.strip_prefix("//"));
        let rest = after_scheme(text).or(shares_scheme);
        match rest {
            Some(rest) => authority(rest)?,
            None if from.is_some() && !has_scheme(text) => {}
            None => return Err(bad("it does not begin with http:// or https://")),
        }
        let base = from.map(|from| &from.url);
        let url = Url::options().base_url(base).parse(text);
        let target = Self::of(url.map_err(|error| bad(&error.to_string()))?)?;
        // A path leads nowhere else, however it is written.
        match from {
            Some(from) if rest.is_none() && !from.same_origin(&target) => {
                Err(bad("it names its host in an odd way"))
            }
            _ => Ok(target),
        }
    }

    fn of(url: Url) -> Result<Self, Fault> {
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(bad("its scheme is neither http nor https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it holds credentials"));
        }
        let host = match url.host() {
            Some(UrlHost::Domain(name)) => Host::Name(name_of(name)?),
            Some(UrlHost::Ipv4(address)) => Host::Address(address.into()),
            Some(UrlHost::Ipv6(address)) => Host::Address(IpAddr::from(address).to_canonical()),
            None => return Err(bad("it names no host")),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let port = port.ok_or_else(|| bad("its port is 0"))?;
        Ok(Self {
            url,
            tls,
            host,
            port,
        })
    }

    /// Path and query, as they are sent.
    pub(super) fn path(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// The value of `Host`: the port only where it isn't the scheme's own.
    pub(super) fn authority(&self) -> String {
        match self.url.port() {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    /// Host and port, as grants and records name them.
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether both are of one origin (RFC 6454).
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        self.tls == other.tls && self.host == other.host && self.port == other.port
    }

    /// Whether the grant holds host and port.
    pub(super) fn check(&self, reach: &Reach) -> Result<(), Fault> {
        let granted = match reach {
            Reach::Public => true,
            Reach::Hosts(hosts) => hosts
                .iter()
                .any(|host| host.port == self.port && covers(&host.name, &self.host)),
        };
        if granted {
            Ok(())
        } else {
            Err(Fault::Denied(self.name()))
        }
    }
}

/// `*.` stands for one label or more; a name alone for itself.
fn covers(granted: &str, host: &Host) -> bool {
    match (granted.strip_prefix("*."), host) {
        (Some(above), Host::Name(name)) => {
            let front = name
                .strip_suffix(above)
                .and_then(|front| front.strip_suffix('.'));
            front.is_some_and(|front| !front.is_empty())
        }
        (Some(_), Host::Address(_)) => false,
        (None, host) => host.to_string() == granted,
    }
}

fn bad(why: &str) -> Fault {
    Fault::net(Class::Url, why)
}

/// What a URL must not hold in any part: browsers drop some of it without a word,
/// and take a backslash for a slash.
fn plain(text: &str) -> Result<(), Fault> {
    if text.len() > MOST_URL {
        return Err(bad("it is longer than 8 KiB"));
    }
    let odd = |c: char| c.is_ascii_control() || c == ' ' || c == '\\';
    if text.contains(odd) {
        return Err(bad("it holds a blank, a control character or a backslash"));
    }
    Ok(())
}

/// What stands behind a scheme that is one of ours.
fn after_scheme(text: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = text.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// Whether the text begins with any scheme (RFC 3986, section 3.1).
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else {
        return false;
    };
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(known)
}

/// What the parser would forgive of a host, and what it would drop.
fn authority(rest: &str) -> Result<(), Fault> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(bad("it names no host"));
    }
    if authority.contains('@') {
        return Err(bad("it holds credentials"));
    }
    Ok(())
}

/// A name that can be asked for. The parser has made it lower-case ASCII.
fn name_of(name: &str) -> Result<String, Fault> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |label: &str| {
        let known = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(known)
    };
    if name.len() > 253 || !name.split('.').all(plain) {
        return Err(bad("its host is no name that can be looked up"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gm_protocol::plan::ReachHost;

    fn why(text: &str) -> String {
        match Target::parse(text) {
            Err(Fault::Net(Class::Url, why)) => why,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn urls_that_only_a_browser_would_forgive_are_refused() {
        for (text, part) in [
            ("ftp://a.example/", "does not begin"),
            ("file:///etc/passwd", "does not begin"),
            ("http:/a.example", "does not begin"),
            ("http:a.example", "does not begin"),
            ("//a.example/", "does not begin"),
            ("a.example", "does not begin"),
            ("http:///a.example", "no host"),
            ("http://", "no host"),
            ("http://?a", "no host"),
            ("http://user@a.example/", "credentials"),
            ("http://user:word@a.example/", "credentials"),
            ("http://@a.example/", "credentials"),
            ("http://a.example@b.example/", "credentials"),
            ("http://a.example\\@b.example/", "backslash"),
            ("http://a.example/\r\nX: y", "control"),
            ("http://a.example/\tb", "control"),
            (" http://a.example/", "blank"),
            ("http://a.example:0/", "port is 0"),
            ("http://a.example:99999/", "port"),
            ("http://[fe80::1%25eth0]/", "IPv6"),
            ("http://[fe80::1%eth0]/", "IPv6"),
            ("http://1.2.3.4.5/", "IPv4"),
            ("http://256.1.1.1/", "IPv4"),
            ("http://a..example/", "looked up"),
            ("http://a!b.example/", "looked up"),
        ] {
            assert!(why(text).contains(part), "{text:?}: {}", why(text));
        }
        assert!(why(&format!("http://a.example/{}", "x".repeat(9000))).contains("longer"));
    }

    #[test]
    fn an_address_in_any_spelling_is_that_address() {
        for text in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://017700000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://\u{ff11}27.0.0.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
        ] {
            let host = Target::parse(text).map(|target| target.host);
            assert_eq!(
                host.as_ref().ok(),
                Some(&Host::Address([127, 0, 0, 1].into())),
                "{text}: {host:?}"
            );
        }
        let host = |text| Target::parse(text).unwrap().host.to_string();
        assert_eq!(host("http://[0:0::1]:80/"), "[::1]");
        assert_eq!(host("http://A.Example./"), "a.example");
        assert_eq!(host("http://b\u{fc}cher.example/"), "xn--bcher-kva.example");
    }

    #[test]
    fn what_is_sent_is_the_path_with_its_query_and_no_fragment() {
        let target = Target::parse("HTTPS://A.example:8443/x y".replace(' ', "%20").as_str());
        let target = target.unwrap();
        assert_eq!(target.path(), "/x%20y");
        assert_eq!(target.authority(), "a.example:8443");
        let target = Target::parse("https://a.example?q=1#part").unwrap();
        assert_eq!(
            (target.path().as_str(), target.authority().as_str()),
            ("/?q=1", "a.example")
        );
        assert_eq!(target.name(), "a.example:443");
    }

    #[test]
    fn the_grant_is_compared_by_name_and_port() {
        let reach = |name: &str, port| {
            Reach::Hosts(vec![ReachHost {
                name: name.to_owned(),
                port,
            }])
        };
        let granted = |name: &str, port, url: &str| {
            Target::parse(url)
                .unwrap()
                .check(&reach(name, port))
                .is_ok()
        };
        for (name, port, url) in [
            ("api.example.com", 443, "https://api.example.com/"),
            ("api.example.com", 443, "https://API.Example.COM./x"),
            ("api.example.com", 80, "http://api.example.com:80/"),
            ("*.example.com", 443, "https://a.example.com/"),
            ("*.example.com", 443, "https://a.b.example.com/"),
            ("127.0.0.1", 8080, "http://127.0.0.1:8080/"),
            ("127.0.0.1", 8080, "http://2130706433:8080/"),
        ] {
            assert!(granted(name, port, url), "{name}:{port} {url}");
        }
        for (name, port, url) in [
            ("api.example.com", 443, "http://api.example.com/"),
            ("api.example.com", 443, "https://api.example.com:444/"),
            (
                "api.example.com",
                443,
                "https://api.example.com.evil.example/",
            ),
            ("api.example.com", 443, "https://xapi.example.com/"),
            ("*.example.com", 443, "https://example.com/"),
            ("*.example.com", 443, "https://badexample.com/"),
            ("*.0.0.1", 80, "http://127.0.0.1/"),
            ("2130706433", 80, "http://2130706433/"),
        ] {
            assert!(!granted(name, port, url), "{name}:{port} {url}");
        }
        let none = Reach::Hosts(Vec::new());
        let denied = Target::parse("http://a.example/").unwrap().check(&none);
        assert_eq!(denied, Err(Fault::Denied("a.example:80".into())));
    }

    #[test]
    fn a_redirect_is_read_from_where_one_is() {
        let from = Target::parse("https://a.example/x/y?z").unwrap();
        let to = |location: &str| from.redirected(location).map(|to| (to.name(), to.path()));
        assert_eq!(
            to("../b").unwrap(),
            ("a.example:443".into(), "/b".to_owned())
        );
        assert_eq!(
            to("//b.example/c").unwrap(),
            ("b.example:443".into(), "/c".to_owned())
        );
        assert!(from.same_origin(&from.redirected("/b").unwrap()));
        assert!(!from.same_origin(&from.redirected("//b.example/").unwrap()));
        for location in [
            "?q",
            "#part",
            "",
            "b:c/d",
            "1:2",
            "./b:c",
            "/@b.example",
            "/x:0",
        ] {
            let there = from.redirected(location);
            assert_eq!(
                there.is_ok_and(|there| there.same_origin(&from)),
                location != "b:c/d",
                "{location}"
            );
        }
    }

    #[test]
    fn a_redirect_is_forgiven_no_more_than_a_url() {
        let from = Target::parse("https://a.example/x/y?z").unwrap();
        for (location, part) in [
            ("ftp://a.example/", "does not begin"),
            ("javascript:alert(1)", "does not begin"),
            ("http:/b.example/", "does not begin"),
            ("http:b.example/", "does not begin"),
            ("https:/b.example/", "does not begin"),
            ("https:b", "does not begin"),
            ("https:///b.example/", "no host"),
            ("///b.example/", "no host"),
            ("////b.example/", "no host"),
            ("//", "no host"),
            ("//?b.example", "no host"),
            ("https://u:p@a.example/", "credentials"),
            ("https://@a.example/", "credentials"),
            ("https://:@a.example/", "credentials"),
            ("//u@a.example/", "credentials"),
            ("//@b.example/", "credentials"),
            ("//a.example@b.example/", "credentials"),
            ("//b.example:0/", "port is 0"),
            ("https://b.example:0/", "port is 0"),
            ("//b.example:99999/", "port"),
            ("//1.2.3.4.5/", "IPv4"),
            ("//[fe80::1%25eth0]/", "IPv6"),
            ("//b..example/", "looked up"),
            ("//b!c.example/", "looked up"),
            ("https:\\\\b.example/", "backslash"),
            ("/\\b.example/", "backslash"),
            ("/a\nb", "control"),
            (" //b.example/", "blank"),
        ] {
            match from.redirected(location) {
                Err(Fault::Net(Class::Url, why)) => {
                    assert!(why.contains(part), "{location:?}: {why}");
                }
                other => panic!("{location:?}: {other:?}"),
            }
        }
        let long = format!("/{}", "x".repeat(9000));
        assert!(from.redirected(&long).is_err());
    }
}
