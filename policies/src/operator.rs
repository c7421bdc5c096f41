//! The operator's side of a grant: what `broker.toml` lets any plugin have.
//!
//! Plain values: the file is read, checked and refused elsewhere. A value that
//! the file lacks is its documented default and carries no line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use gm_manifest::{
    Bytes, Filesystem, GrantPath, HostPermission, Millis, Network, Percent, PluginId,
};

use crate::grant::Because;

/// A value of `broker.toml` and the line that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<T> {
    /// The value.
    pub value: T,
    /// Its line, from 1; `None` = the default.
    pub line: Option<u32>,
}

impl<T> Told<T> {
    /// A value that the file lacks.
    pub const fn default(value: T) -> Self {
        Self { value, line: None }
    }

    /// A value on a line of the file.
    pub const fn at(value: T, line: u32) -> Self {
        Self {
            value,
            line: Some(line),
        }
    }

    pub(crate) fn because(&self, key: &str) -> Because {
        Because::operator(key, self.line)
    }
}

/// Everything of `broker.toml` that bears on a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// `[ceilings]`: a larger request is cut to this.
    pub ceilings: Ceilings,
    /// `[grants]`: what a manifest may ask for at all.
    pub grants: Grants,
    /// `[plugins."ID"]`, by id.
    pub plugins: BTreeMap<PluginId, PluginRules>,
    /// `[limits] compile_memory`
    pub compile_memory: Told<Bytes>,
    /// `[limits] compile_time`
    pub compile_time: Told<Millis>,
    /// `[limits] reply`
    pub reply: Bytes,
    /// `[http]`
    pub http: HttpRules,
}

/// `[http]`: what holds of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRules {
    /// `timeout`: wall clock of one request, its redirects included.
    pub timeout: Told<Millis>,
    /// `body`: of one response.
    pub body: Told<Bytes>,
    /// `redirects` of one request.
    pub redirects: Told<u32>,
    /// `allow_private`: addresses that may be asked although they are not public.
    pub allow_private: Vec<SocketAddr>,
}

impl Default for HttpRules {
    fn default() -> Self {
        Self {
            timeout: Told::default(Millis::new(10_000)),
            body: Told::default(Bytes::mb(1)),
            redirects: Told::default(3),
            allow_private: Vec::new(),
        }
    }
}

/// `[ceilings]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// `memory`
    pub memory: Told<Bytes>,
    /// `time`
    pub time: Told<Millis>,
    /// `cpu`
    pub cpu: Told<Percent>,
    /// `storage`
    pub storage: Told<Bytes>,
}

/// `[grants]`; an empty list grants nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// `filesystem`: paths at or below which a plugin may be granted one.
    pub filesystem: Told<Filesystem>,
    /// `network`
    pub network: Told<Network>,
    /// `host_api`
    pub host_api: Told<BTreeSet<HostPermission>>,
}

/// One plugin's own rules. A grant that is here replaces the one of
/// `[grants]`; a limit replaces the manifest's, within `[ceilings]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginRules {
    /// `filesystem`
    pub filesystem: Option<Told<Filesystem>>,
    /// `network`
    pub network: Option<Told<Network>>,
    /// `host_api`
    pub host_api: Option<Told<BTreeSet<HostPermission>>>,
    /// `memory_limit`
    pub memory_limit: Option<Told<Bytes>>,
    /// `time_limit`
    pub time_limit: Option<Told<Millis>>,
    /// `cpu_limit`
    pub cpu_limit: Option<Told<Percent>>,
    /// `storage`
    pub storage: Option<Told<Bytes>>,
}

/// The defaults of an absent `broker.toml`.
impl Default for Operator {
    fn default() -> Self {
        Self {
            ceilings: Ceilings::default(),
            grants: Grants::default(),
            plugins: BTreeMap::new(),
            compile_memory: Told::default(Bytes::mb(512)),
            compile_time: Told::default(Millis::new(60_000)),
            reply: Bytes::mb(1),
            http: HttpRules::default(),
        }
    }
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            memory: Told::default(Bytes::mb(512)),
            time: Told::default(Millis::new(60_000)),
            cpu: Told::default(Percent::FULL),
            storage: Told::default(Bytes::mb(64)),
        }
    }
}

impl Default for Grants {
    fn default() -> Self {
        let filesystem = Filesystem {
            read: paths(&["$REPO", "$DATA", "$ASSETS"]),
            write: paths(&["$DATA"]),
        };
        Self {
            filesystem: Told::default(filesystem),
            network: Told::default(Network::Denied),
            host_api: Told::default(HostPermission::ALL.into_iter().collect()),
        }
    }
}

/// Well-formed by the test below; a text that isn't would grant nothing.
fn paths(texts: &[&str]) -> Vec<GrantPath> {
    texts
        .iter()
        .filter_map(|text| GrantPath::parse(text).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_grants_are_the_documented_ones() {
        let grants = Operator::default().grants;
        let read: Vec<_> = grants
            .filesystem
            .value
            .read
            .iter()
            .map(GrantPath::as_str)
            .collect();
        assert_eq!(read, ["$REPO", "$DATA", "$ASSETS"]);
        assert_eq!(grants.filesystem.value.write.len(), 1);
        assert_eq!(grants.network.value, Network::Denied);
        assert_eq!(grants.host_api.value.len(), 7);
    }
}
