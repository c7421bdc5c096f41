//! What a manifest asks for. Absent means the documented default, which for
//! everything that reaches out of the process is: nothing.

use crate::document::{Table, Value};
use crate::unfit::text_type;
use crate::{Bytes, Code, GrantPath, HostPort, Kind, Millis, Percent, Refusal, Unfit};
use std::collections::BTreeSet;

/// The table `[permissions]`: a request, not a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permissions {
    /// Paths to read and to write.
    pub filesystem: Filesystem,
    /// Hosts to reach.
    pub network: Network,
    /// Memory of the whole process.
    pub memory_limit: Bytes,
    /// Wall clock of one call, host calls included; 10 ms to 10 min.
    pub time_limit: Millis,
    /// Share of one core.
    pub cpu_limit: Percent,
    /// Private key-value storage; `None` means none.
    pub storage: Option<Bytes>,
    /// Groups of host calls.
    pub host_api: BTreeSet<HostPermission>,
    /// Configuration keys that `config:read` may see.
    pub config: Vec<ConfigPattern>,
}

/// Paths asked for; both lists empty means none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filesystem {
    /// To read; at most 32.
    pub read: Vec<GrantPath>,
    /// To write; at most 32.
    pub write: Vec<GrantPath>,
}

/// Hosts asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// None.
    Denied,
    /// Any public host.
    Public,
    /// These; an empty list means none. At most 64.
    Hosts(Vec<HostPort>),
}

/// A group of host calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPermission {
    /// `log:write`
    LogWrite,
    /// `nodes:read`
    NodesRead,
    /// `nodes:write`
    NodesWrite,
    /// `edges:read`
    EdgesRead,
    /// `edges:write`
    EdgesWrite,
    /// `config:read`
    ConfigRead,
    /// `events:emit`
    EventsEmit,
}

impl HostPermission {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::LogWrite,
        Self::NodesRead,
        Self::NodesWrite,
        Self::EdgesRead,
        Self::EdgesWrite,
        Self::ConfigRead,
        Self::EventsEmit,
    ];

    /// The name, as in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LogWrite => "log:write",
            Self::NodesRead => "nodes:read",
            Self::NodesWrite => "nodes:write",
            Self::EdgesRead => "edges:read",
            Self::EdgesWrite => "edges:write",
            Self::ConfigRead => "config:read",
            Self::EventsEmit => "events:emit",
        }
    }

    /// Takes a name.
    ///
    /// # Errors
    /// No group has this name.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let found = Self::ALL
            .into_iter()
            .find(|permission| permission.as_str() == text);
        found.ok_or(Unfit::new(
            "host_api knows log:write nodes:read nodes:write edges:read edges:write config:read events:emit",
        ))
    }
}

text_type!(HostPermission);

/// A dotted configuration key, or one and `.*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigPattern(String);

impl ConfigPattern {
    /// Takes a key, or key + `.*`.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let key = text.strip_suffix(".*").unwrap_or(text);
        let plain = |segment: &str| {
            !segment.is_empty()
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        if text.len() > 128 || !key.split('.').all(plain) {
            return Err(Unfit::new(
                "a config key is dotted [A-Za-z0-9_-], at most 128 bytes, and may end in .*",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it lets this key be seen; `a.*` holds what is below `a`, not `a` itself.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        match self.0.strip_suffix(".*") {
            None => self.0 == key,
            Some(stem) => key
                .strip_prefix(stem)
                .is_some_and(|rest| rest.starts_with('.') && rest.len() > 1),
        }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(ConfigPattern);

/// The keys of `[permissions]`.
pub(crate) const KEYS: [&str; 8] = [
    "filesystem",
    "network",
    "memory_limit",
    "time_limit",
    "cpu_limit",
    "storage",
    "host_api",
    "config",
];
const MAX_PATHS: usize = 32;
const MAX_HOSTS: usize = 64;
const MAX_CONFIG: usize = 32;

impl Permissions {
    /// What a manifest without `[permissions]` asks for.
    pub(crate) fn none() -> Self {
        Self {
            filesystem: Filesystem::default(),
            network: Network::Denied,
            memory_limit: Bytes::mb(32),
            time_limit: Millis::new(2_000),
            cpu_limit: Percent::FULL,
            storage: None,
            host_api: BTreeSet::new(),
            config: Vec::new(),
        }
    }

    pub(crate) fn allow_only_known(table: &Table<'_, '_>) -> Result<(), Refusal> {
        table.allow_only(&KEYS)?;
        for (key, known) in [
            ("filesystem", &["read", "write"][..]),
            ("network", &["hosts"][..]),
        ] {
            if let Some(inner) = table.value(key).and_then(|value| value.as_table()) {
                inner.allow_only(known)?;
            }
        }
        Ok(())
    }

    pub(crate) fn read(table: &Table<'_, '_>, kind: Kind) -> Result<Self, Refusal> {
        const BAD: Code = Code::ManifestBadValue;
        let mut asked = Self::none();
        if let Some(value) = table.value("filesystem") {
            asked.filesystem = filesystem(&value)?;
        }
        if let Some(value) = table.value("network") {
            asked.network = network(&value)?;
        }
        if let Some(value) = table.value("memory_limit") {
            asked.memory_limit = memory_limit(&value, kind)?;
        }
        if let Some(value) = table.value("time_limit") {
            asked.time_limit = time_limit(&value)?;
        }
        if let Some(value) = table.value("cpu_limit") {
            asked.cpu_limit = value.fit(BAD, Percent::parse)?;
        }
        if let Some(value) = table.value("storage") {
            asked.storage = Some(value.fit(BAD, Bytes::parse)?);
        }
        if let Some(value) = table.value("host_api") {
            let most = HostPermission::ALL.len();
            asked.host_api = value
                .fit_each(most, BAD, HostPermission::parse)?
                .into_iter()
                .collect();
        }
        if let Some(value) = table.value("config") {
            asked.config = value.fit_each(MAX_CONFIG, BAD, ConfigPattern::parse)?;
        }
        Ok(asked)
    }
}

fn filesystem(value: &Value<'_, '_>) -> Result<Filesystem, Refusal> {
    const RULE: &str = "it is false or { read = [..], write = [..] }";
    if value.as_bool() == Some(false) {
        return Ok(Filesystem::default());
    }
    let table = value
        .as_table()
        .ok_or_else(|| value.refuse(Code::ManifestBadValue, RULE))?;
    let paths = |key| match table.value(key) {
        Some(list) => list.fit_each(MAX_PATHS, Code::ManifestBadPath, GrantPath::parse),
        None => Ok(Vec::new()),
    };
    Ok(Filesystem {
        read: paths("read")?,
        write: paths("write")?,
    })
}

fn network(value: &Value<'_, '_>) -> Result<Network, Refusal> {
    const RULE: &str = "it is false, true or { hosts = [\"name:port\"] }";
    match (value.as_bool(), value.as_table()) {
        (Some(false), _) => Ok(Network::Denied),
        (Some(true), _) => Ok(Network::Public),
        (None, Some(table)) => {
            let hosts = table.required("hosts")?;
            hosts
                .fit_each(MAX_HOSTS, Code::ManifestBadValue, HostPort::parse)
                .map(Network::Hosts)
        }
        (None, None) => Err(value.refuse(Code::ManifestBadValue, RULE)),
    }
}

/// The least memory is what the engine itself needs before any plugin code.
fn memory_limit(value: &Value<'_, '_>, kind: Kind) -> Result<Bytes, Refusal> {
    let limit = value.fit(Code::ManifestBadValue, Bytes::parse)?;
    let least = kind.least_memory();
    if limit < least {
        let rule = format!("{} needs at least {least}", kind.as_str());
        return Err(value.refuse(Code::ManifestBadValue, &rule));
    }
    Ok(limit)
}

fn time_limit(value: &Value<'_, '_>) -> Result<Millis, Refusal> {
    let limit = value.fit(Code::ManifestBadValue, Millis::parse)?;
    match (10..=600_000).contains(&limit.get()) {
        true => Ok(limit),
        false => Err(value.refuse(Code::ManifestBadValue, "it is 10ms to 10m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn config_patterns_hold_whole_segments_below_them() {
        let pattern = ConfigPattern::parse("lint.*").unwrap();
        assert!(pattern.matches("lint.max") && pattern.matches("lint.a.b"));
        assert!(
            !pattern.matches("lint") && !pattern.matches("lint.") && !pattern.matches("linter.max")
        );
        assert!(
            ConfigPattern::parse("lint.max")
                .unwrap()
                .matches("lint.max")
        );
    }

    #[test]
    fn texts_that_are_no_config_keys_are_refused() {
        for text in [
            "", "*", ".*", "a..b", ".a", "a.", "a.*.b", "a b", "ä", "a.**",
        ] {
            assert!(ConfigPattern::parse(text).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn only_the_seven_groups_exist() {
        for permission in HostPermission::ALL {
            assert_eq!(HostPermission::parse(permission.as_str()), Ok(permission));
        }
        for text in [
            "",
            "log",
            "log:read",
            "LOG:WRITE",
            "*",
            "nodes:*",
            "log:write ",
        ] {
            assert!(HostPermission::parse(text).is_err(), "accepted {text:?}");
        }
    }
}
