//! Whom the host asks for addresses, and what it knows by itself: of
//! `/etc/resolv.conf` and `/etc/hosts`, read here, since the process that asks has
//! no file.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use gm_protocol::plan::{KnownHost, Reach};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// The most bytes of either file that are looked at.
const MOST_BYTES: u64 = 256 << 10;
/// As resolv.conf(5).
const MOST_SERVERS: usize = 3;
const PORT: u16 = 53;
/// What of `/etc/hosts` fits into the first frame beside all else.
const MOST_KNOWN: usize = 128;
const MOST_NAME_BYTES: usize = 8 << 10;

/// The nameservers; of a file without any, the one on this machine.
pub(super) fn servers() -> Vec<SocketAddr> {
    servers_of(&text(RESOLV_CONF))
}

/// The names that the grant may mean.
pub(super) fn known(reach: &Reach) -> Vec<KnownHost> {
    known_of(&text(HOSTS), reach)
}

/// What can't be read says nothing.
fn text(path: &str) -> String {
    let mut bytes = Vec::new();
    let read =
        std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

fn servers_of(text: &str) -> Vec<SocketAddr> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    let mut servers: Vec<SocketAddr> = lines
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, PORT))
        .take(MOST_SERVERS)
        .collect();
    if servers.is_empty() {
        servers.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    servers
}

fn known_of(text: &str, reach: &Reach) -> Vec<KnownHost> {
    let (mut known, mut bytes) = (Vec::new(), 0);
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        for name in words {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            if !name.is_ascii() || !may_mean(reach, &name) {
                continue;
            }
            // Of the names that count alone: a long file of others is no matter.
            bytes += name.len();
            if known.len() >= MOST_KNOWN || bytes > MOST_NAME_BYTES {
                return known;
            }
            known.push(KnownHost { name, address });
        }
    }
    known
}

fn may_mean(reach: &Reach, name: &str) -> bool {
    match reach {
        Reach::Public => true,
        Reach::Hosts(hosts) => hosts.iter().any(|host| match host.name.strip_prefix('*') {
            Some(below) => name.ends_with(below),
            None => host.name == name,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gm_protocol::plan::ReachHost;

    #[test]
    fn nameservers_are_those_of_the_file_or_this_machine() {
        let servers =
            |text| -> Vec<String> { servers_of(text).iter().map(ToString::to_string).collect() };
        let text = "# x\nsearch a b\nnameserver 192.0.2.1\n  nameserver 2001:db8::1 # y\nnameserver x\nnameservers 1.1.1.1\noptions edns0\n";
        assert_eq!(servers(text), ["192.0.2.1:53", "[2001:db8::1]:53"]);
        assert_eq!(servers(""), ["127.0.0.1:53"]);
        assert_eq!(servers(&"nameserver 10.0.0.1\n".repeat(9)).len(), 3);
    }

    #[test]
    fn of_the_known_names_those_that_the_grant_may_mean_are_passed_on() {
        let text = "127.0.0.1 localhost\n# 1.1.1.1 a.example\n192.0.2.1 A.example. b.example # c.example\n::1 x.d.example d.example\nnonsense e.example\n";
        let host = |name: &str| ReachHost {
            name: name.to_owned(),
            port: 443,
        };
        let names = |reach: &Reach| -> Vec<String> {
            let known = known_of(text, reach);
            known
                .iter()
                .map(|one| format!("{} {}", one.name, one.address))
                .collect()
        };
        let some = Reach::Hosts(vec![host("a.example"), host("*.d.example")]);
        assert_eq!(names(&some), ["a.example 192.0.2.1", "x.d.example ::1"]);
        assert_eq!(names(&Reach::Public).len(), 5);
        assert!(names(&Reach::Hosts(vec![])).is_empty());
        let long = format!("127.0.0.1 {}\n", "a.example ".repeat(5000));
        assert!(known_of(&long, &Reach::Public).len() <= MOST_KNOWN);
    }
}
