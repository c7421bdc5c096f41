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

use super::reader::{Item, Section};
use gm_policy::{Ceilings, Grants, PluginRules, Told};

pub(super) fn ceilings(section: &mut Section<'_>, to: &mut Ceilings) -> Result<(), Refusal> {
    section.read("memory", &mut to.memory, |item| item.fit_told(Bytes::parse))?;
    section.read("time", &mut to.time, time)?;
    section.read("cpu", &mut to.cpu, |item| item.fit_told(Percent::parse))?;
    section.read("storage", &mut to.storage, |item| {
        item.fit_told(Bytes::parse)
    })
}

pub(super) fn grants(section: &mut Section<'_>, to: &mut Grants) -> Result<(), Refusal> {
    section.read("filesystem", &mut to.filesystem, filesystem)?;
    section.read("network", &mut to.network, network)?;
    section.read("host_api", &mut to.host_api, host_api)
}

/// `[plugins."id"]`: what differs for one plugin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exception {
    /// What is granted in place of `[grants]`, and limits in place of the manifest's.
    pub rules: PluginRules,
    /// Shadows `[config]`.
    pub config: BTreeMap<String, Value>,
}

impl Exception {
    pub(super) fn read(section: &mut Section<'_>) -> Result<Self, Refusal> {
        let size =
            |item: Option<Item<'_>>| item.map(|item| item.fit_told(Bytes::parse)).transpose();
        let mut config = BTreeMap::new();
        section.within("config", |section| {
            super::values::read(section, &mut config)
        })?;
        let rules = PluginRules {
            filesystem: section.take("filesystem").map(filesystem).transpose()?,
            network: section.take("network").map(network).transpose()?,
            host_api: section.take("host_api").map(host_api).transpose()?,
            memory_limit: size(section.take("memory_limit"))?,
            time_limit: section.take("time_limit").map(time).transpose()?,
            cpu_limit: section
                .take("cpu_limit")
                .map(|item| item.fit_told(Percent::parse))
                .transpose()?,
            storage: size(section.take("storage"))?,
        };
        Ok(Self { rules, config })
    }
}

/// A call's wall clock: as in manifests, 10 ms to 10 min.
fn time(item: Item<'_>) -> Result<Told<Millis>, Refusal> {
    let time = item.fit_told(Millis::parse)?;
    if (10..=600_000).contains(&time.value.get()) {
        Ok(time)
    } else {
        Err(item.refuse("it must be 10ms to 10m"))
    }
}

fn filesystem(item: Item<'_>) -> Result<Told<Filesystem>, Refusal> {
    let line = Some(item.at().line);
    let value = if item.boolean() == Some(false) {
        Filesystem::default()
    } else if item.is_table() {
        let mut paths = Filesystem::default();
        let mut section = item.section()?;
        section.read("read", &mut paths.read, |item| {
            item.fit_each(GrantPath::parse)
        })?;
        section.read("write", &mut paths.write, |item| {
            item.fit_each(GrantPath::parse)
        })?;
        section.finish()?;
        paths
    } else {
        return Err(item.refuse("it must be false or { read = [..], write = [..] }"));
    };
    Ok(Told { value, line })
}

fn network(item: Item<'_>) -> Result<Told<Network>, Refusal> {
    let line = Some(item.at().line);
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
    Ok(Told { value, line })
}

fn host_api(item: Item<'_>) -> Result<Told<BTreeSet<HostPermission>>, Refusal> {
    let line = Some(item.at().line);
    let value = item.fit_each(HostPermission::parse)?.into_iter().collect();
    Ok(Told { value, line })
}
