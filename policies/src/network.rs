//! Whom a plugin may ask over the network: manifest ∩ operator.
//!
//! No process of a plugin ever has a socket: what is granted here is the scope of
//! one host call, whose requests another process makes.

use gm_manifest::{HostPort, Network};

use crate::effective::{Refused, RefusedBy};
use crate::grant::Because;

/// Hosts that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetGrant {
    /// These; none = any public one.
    pub hosts: Option<Vec<HostPort>>,
    /// The lines that ask for them; never empty.
    pub because: Vec<Because>,
}

impl NetGrant {
    /// As records and `policy show` print it, one text a host.
    #[must_use]
    pub fn scope(&self) -> Vec<&str> {
        match &self.hosts {
            Some(hosts) => hosts.iter().map(HostPort::as_str).collect(),
            None => vec!["any public host"],
        }
    }
}

/// What was asked for, and where.
pub(crate) enum Asked {
    Public(Because),
    Hosts(Vec<(HostPort, Because)>),
}

/// What the operator allows of it; what is cut or dropped goes to `refused`.
pub(crate) fn meet(
    asked: Asked,
    allowed: &Network,
    rule: &Because,
    refused: &mut Vec<Refused>,
) -> Option<NetGrant> {
    let key = rule.key.as_deref().unwrap_or("network");
    let refuse = |value: &str, asked: &Because, why: &str| Refused {
        asked: "network",
        value: value.to_owned(),
        by: RefusedBy::Operator,
        why: format!("{key}: {why}"),
        because: vec![asked.clone(), rule.clone()],
    };
    match (asked, allowed) {
        (Asked::Public(because), Network::Public) => Some(NetGrant {
            hosts: None,
            because: vec![because],
        }),
        (Asked::Public(because), Network::Denied) => {
            refused.push(refuse("true", &because, "network = false"));
            None
        }
        (Asked::Public(because), Network::Hosts(hosts)) => {
            let why = if hosts.is_empty() {
                "hosts holds none"
            } else {
                "cut to its hosts"
            };
            refused.push(refuse("true", &because, why));
            granted(hosts.clone(), vec![because, rule.clone()])
        }
        (Asked::Hosts(asked), allowed) => {
            let (mut hosts, mut reasons) = (Vec::new(), Vec::new());
            for (host, because) in asked {
                let (held, why) = met(&host, allowed);
                refused.extend(why.map(|why| refuse(host.as_str(), &because, why)));
                if !held.is_empty() {
                    reasons.push(because);
                }
                hosts.extend(held);
            }
            granted(hosts, reasons)
        }
    }
}

fn granted(mut hosts: Vec<HostPort>, mut because: Vec<Because>) -> Option<NetGrant> {
    hosts.sort();
    hosts.dedup();
    because.sort();
    because.dedup();
    (!hosts.is_empty()).then_some(NetGrant {
        hosts: Some(hosts),
        because,
    })
}

/// What of one host is allowed, and why not all of it.
fn met(host: &HostPort, allowed: &Network) -> (Vec<HostPort>, Option<&'static str>) {
    let whole = || vec![host.clone()];
    match allowed {
        Network::Denied => (Vec::new(), Some("network = false")),
        Network::Public => (whole(), None),
        Network::Hosts(hosts) if hosts.iter().any(|wider| wider.covers(host)) => (whole(), None),
        Network::Hosts(hosts) => {
            let inside = hosts.iter().filter(|narrower| host.covers(narrower));
            let inside: Vec<HostPort> = inside.cloned().collect();
            let why = if inside.is_empty() {
                "hosts does not hold it"
            } else {
                "cut to what hosts holds of it"
            };
            (inside, Some(why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(texts: &[&str]) -> Vec<HostPort> {
        let hosts = texts.iter().map(|text| HostPort::parse(text));
        hosts.collect::<Result<_, _>>().unwrap()
    }

    fn line(line: u32) -> Because {
        Because::manifest("permissions.network", Some(line))
    }

    /// What is granted, and what is refused with the reason.
    fn met(asked: &[&str], allowed: Network) -> (Vec<String>, Vec<(String, String)>) {
        let asked = match asked {
            ["true"] => Asked::Public(line(5)),
            some => Asked::Hosts(
                hosts(some)
                    .into_iter()
                    .map(|host| (host, line(5)))
                    .collect(),
            ),
        };
        let mut refused = Vec::new();
        let rule = Because::operator("grants.network", Some(9));
        let grant = meet(asked, &allowed, &rule, &mut refused);
        let grant = grant.map(|grant| grant.scope().iter().map(ToString::to_string).collect());
        let refused = refused.into_iter().map(|one| (one.value, one.why));
        (grant.unwrap_or_default(), refused.collect())
    }

    #[test]
    fn hosts_are_granted_where_both_name_them() {
        let both = ["api.example.com:443", "b.example:80"];
        let (granted, refused) = met(&both, Network::Hosts(hosts(&["api.example.com:443"])));
        assert_eq!(granted, ["api.example.com:443"]);
        assert_eq!(
            refused,
            [(
                "b.example:80".to_owned(),
                "grants.network: hosts does not hold it".to_owned()
            )]
        );
        let (granted, refused) = met(&both, Network::Public);
        assert_eq!((granted.len(), refused.len()), (2, 0));
        let (granted, refused) = met(&both, Network::Denied);
        assert_eq!((granted.len(), refused.len()), (0, 2));
        let (granted, refused) = met(&both, Network::Hosts(Vec::new()));
        assert_eq!((granted.len(), refused.len()), (0, 2));
    }

    #[test]
    fn a_wider_request_is_cut_to_what_is_allowed_of_it() {
        let allowed = || Network::Hosts(hosts(&["*.b.example.com:443", "c.example.com:443"]));
        assert_eq!(
            met(&["x.b.example.com:443"], allowed()).0,
            ["x.b.example.com:443"]
        );
        let (granted, refused) = met(&["*.example.com:443"], allowed());
        assert_eq!(granted, ["*.b.example.com:443", "c.example.com:443"]);
        assert_eq!(
            refused[0].1,
            "grants.network: cut to what hosts holds of it"
        );
        let (granted, refused) = met(&["true"], allowed());
        assert_eq!((granted.len(), refused.len()), (2, 1));
        assert_eq!(met(&["true"], Network::Public).0, ["any public host"]);
        assert_eq!(met(&["true"], Network::Denied).0.len(), 0);
        assert_eq!(met(&["true"], Network::Hosts(Vec::new())).0.len(), 0);
    }
}
