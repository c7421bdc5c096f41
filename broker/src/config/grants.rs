//! What a manifest may ask for: `[grants]`, `[ceilings]` and the exceptions
//! for one plugin, `[plugins."id"]`.
//!
//! An empty list is deny-all. A key that an exception doesn't name keeps what
//! `[grants]` says.

use std::collections::{BTreeMap, BTreeSet};

use gm_manifest::{
    Bytes, Filesystem, GrantPath, HostPermission, HostPort, Millis, Network, Percent, Refusal,
};
use serde_json::Value;

use super::reader::{Item, Section, Set};

/// The most that any plugin can be given, whatever it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceilings {
    /// Memory of the whole process.
    pub memory: Set<Bytes>,
    /// Wall clock of one call.
    pub time: Set<Millis>,
    /// Share of one core.
    pub cpu: Set<Percent>,
    /// Private storage.
    pub storage: Set<Bytes>,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            memory: Set::default_of(Bytes::mb(512)),
            time: Set::default_of(Millis::new(60_000)),
            cpu: Set::default_of(Percent::FULL),
            storage: Set::default_of(Bytes::mb(64)),
        }
    }
}

impl Ceilings {
    pub(super) fn read(section: &mut Section<'_>, to: &mut Self) -> Result<(), Refusal> {
        section.read("memory", &mut to.memory, |item| item.fit_set(Bytes::parse))?;
        section.read("time", &mut to.time, time)?;
        section.read("cpu", &mut to.cpu, |item| item.fit_set(Percent::parse))?;
        section.read("storage", &mut to.storage, |item| item.fit_set(Bytes::parse))
    }
}

/// `[grants]`: what any manifest may ask for at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// Paths; what lies below them too.
    pub filesystem: Set<Filesystem>,
    /// Hosts.
    pub network: Set<Network>,
    /// Groups of host calls.
    pub host_api: Set<BTreeSet<HostPermission>>,
}

impl Default for Grants {
    fn default() -> Self {
        let paths = |names: &[&str]| names.iter().flat_map(|name| GrantPath::parse(name)).collect();
        let filesystem = Filesystem {
            read: paths(&["$REPO", "$DATA", "$ASSETS"]),
            write: paths(&["$DATA"]),
        };
        Self {
            filesystem: Set::default_of(filesystem),
            network: Set::default_of(Network::Denied),
            host_api: Set::default_of(HostPermission::ALL.into_iter().collect()),
        }
    }
}

impl Grants {
    pub(super) fn read(section: &mut Section<'_>, to: &mut Self) -> Result<(), Refusal> {
        section.read("filesystem", &mut to.filesystem, filesystem)?;
        section.read("network", &mut to.network, network)?;
        section.read("host_api", &mut to.host_api, host_api)
    }
}

/// `[plugins."id"]`: what differs for one plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exception {
    /// In place of `[grants] filesystem`.
    pub filesystem: Option<Set<Filesystem>>,
    /// In place of `[grants] network`.
    pub network: Option<Set<Network>>,
    /// In place of `[grants] host_api`.
    pub host_api: Option<Set<BTreeSet<HostPermission>>>,
    /// In place of the manifest's, within `[ceilings]`.
    pub memory_limit: Option<Set<Bytes>>,
    /// In place of the manifest's, within `[ceilings]`.
    pub time_limit: Option<Set<Millis>>,
    /// In place of the manifest's, within `[ceilings]`.
    pub cpu_limit: Option<Set<Percent>>,
    /// In place of the manifest's, within `[ceilings]`.
    pub storage: Option<Set<Bytes>>,
    /// Shadows `[config]`.
    pub config: BTreeMap<String, Value>,
}

impl Exception {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Self, Refusal> {
        let optional = |item: Option<Item<'_>>| item.map(|item| item.fit_set(Bytes::parse)).transpose();
        let mut config = BTreeMap::new();
        section.within("config", |section| super::values::read(section, &mut config))?;
        Ok(Self {
            filesystem: section.take("filesystem").map(filesystem).transpose()?,
            network: section.take("network").map(network).transpose()?,
            host_api: section.take("host_api").map(host_api).transpose()?,
            memory_limit: optional(section.take("memory_limit"))?,
            time_limit: section.take("time_limit").map(time).transpose()?,
            cpu_limit: section
                .take("cpu_limit")
                .map(|item| item.fit_set(Percent::parse))
                .transpose()?,
            storage: optional(section.take("storage"))?,
            config,
        })
    }
}

/// A call's wall clock: as in manifests, 10 ms to 10 min.
fn time(item: Item<'_>) -> Result<Set<Millis>, Refusal> {
    let time = item.fit_set(Millis::parse)?;
    if (10..=600_000).contains(&time.value.get()) {
        Ok(time)
    } else {
        Err(item.refuse("it must be 10ms to 10m"))
    }
}

fn filesystem(item: Item<'_>) -> Result<Set<Filesystem>, Refusal> {
    let at = Some(item.at());
    let value = if item.boolean() == Some(false) {
        Filesystem::default()
    } else if item.is_table() {
        let mut paths = Filesystem::default();
        let mut section = item.section()?;
        section.read("read", &mut paths.read, |item| item.fit_each(GrantPath::parse))?;
        section.read("write", &mut paths.write, |item| item.fit_each(GrantPath::parse))?;
        section.finish()?;
        paths
    } else {
        return Err(item.refuse("it must be false or { read = [..], write = [..] }"));
    };
    Ok(Set { value, at })
}

fn network(item: Item<'_>) -> Result<Set<Network>, Refusal> {
    let at = Some(item.at());
    let value = match item.boolean() {
        Some(false) => Network::Denied,
        Some(true) => Network::Public,
        None if item.is_table() => {
            let mut hosts = Vec::new();
            let mut section = item.section()?;
            section.read("hosts", &mut hosts, |item| item.fit_each(HostPort::parse))?;
            section.finish()?;
            Network::Hosts(hosts)
        }
        None => return Err(item.refuse("it must be false, true or { hosts = [\"name:port\"] }")),
    };
    Ok(Set { value, at })
}

fn host_api(item: Item<'_>) -> Result<Set<BTreeSet<HostPermission>>, Refusal> {
    let at = Some(item.at());
    let value = item.fit_each(HostPermission::parse)?.into_iter().collect();
    Ok(Set { value, at })
}
