//! `broker.toml`: what the operator allows, as meant.
//!
//! Read strictly: an unknown or doubled key, a value out of range, or a file
//! that others could have written is an error with its line, never a default.
//! Everything in it is a ceiling over what manifests ask for.

mod grants;
mod http;
mod limits;
mod reader;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use gm_manifest::{Code, PluginId, Refusal};
use gm_policy::Operator;
use serde_json::Value;

use crate::home::{CONFIG_FILE, Dir};
pub use gm_policy::{Ceilings, Grants, HttpRules};
pub use gm_protocol::plan::Level;
pub use grants::Exception;
pub use limits::{Isolation, Limits, Restart};
use reader::{Item, Section};

/// The most that `broker.toml` may hold.
pub(crate) const MAX_CONFIG: u64 = 1 << 20;
const SCHEMA: &str = "gm.broker/1";

/// The whole configuration. [`Config::default`] is that of an absent file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// Who the broker becomes once root's work is done.
    pub run_as: Option<User>,
    /// Native plugins that may be loaded.
    pub allow_native: BTreeSet<PluginId>,
    /// `[isolation]`.
    pub isolation: Isolation,
    /// `[ceilings]`.
    pub ceilings: Ceilings,
    /// Repositories that may belong to another user than the caller.
    pub trusted_sources: Vec<PathBuf>,
    /// `[grants]`.
    pub grants: Grants,
    /// `[plugins."id"]`.
    pub plugins: BTreeMap<PluginId, Exception>,
    /// `[config]`.
    pub values: BTreeMap<String, Value>,
    /// `[limits]`.
    pub limits: Limits,
    /// `[restart]`.
    pub restart: Restart,
    /// `[http]`.
    pub http: HttpRules,
    /// Where a blacklist comes from: file, directory or URL.
    pub blacklist_source: Option<String>,
}

/// A user to run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Never 0.
    pub uid: u32,
    /// The user's own group; the same number if there is no such account.
    pub gid: u32,
}

impl Config {
    /// Reads the text of a `broker.toml`.
    ///
    /// # Errors
    /// Class `config`, with the line.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        parse(text)
    }

    /// Everything of it that bears on a plan.
    pub fn operator(&self) -> Operator {
        let rules =
            |(id, exception): (&PluginId, &Exception)| (id.clone(), exception.rules.clone());
        Operator {
            ceilings: self.ceilings.clone(),
            grants: self.grants.clone(),
            plugins: self.plugins.iter().map(rules).collect(),
            compile_memory: self.limits.compile_memory,
            compile_time: self.limits.compile_time,
            reply: self.limits.reply,
            http: self.http.clone(),
        }
    }

    /// What `config_get` may show a plugin, before its own grant is asked.
    pub fn values_of(&self, id: &PluginId) -> BTreeMap<String, Value> {
        let mut values = self.values.clone();
        if let Some(exception) = self.plugins.get(id) {
            values.extend(exception.config.clone());
        }
        values
    }
}

/// Reads the home's `broker.toml`; all defaults if there is none.
pub(crate) fn read(home: &Dir) -> Result<Config, Refusal> {
    let bytes = home.read(CONFIG_FILE, MAX_CONFIG).map_err(|refusal| {
        match refusal.code {
            // Of this one file the contract says: a wrong configuration.
            Code::StoreCorrupt => Refusal::new(Code::ConfigBadValue, refusal.detail),
            Code::StoreUnsafePermissions => {
                Refusal::new(Code::ConfigBadValue, refusal.detail)
                    .fix("make it a plain file, no link, of the home's owner, who alone may write it (chmod 600)")
            }
            _ => refusal,
        }
    })?;
    let Some(bytes) = bytes else {
        return Ok(Config::default());
    };
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Refusal::new(Code::ConfigSyntax, "broker.toml is not UTF-8"))?;
    parse(text)
}

fn parse(text: &str) -> Result<Config, Refusal> {
    let mut config = Config::default();
    let mut document = Section::document(text)?;
    if let Some(schema) = document.take("schema")
        && schema.text()? != SCHEMA
    {
        return Err(schema.refuse("this version reads \"gm.broker/1\""));
    }
    document.read("run_as", &mut config.run_as, user)?;
    document.read("allow_native", &mut config.allow_native, |item| {
        Ok(item.fit_each(PluginId::parse)?.into_iter().collect())
    })?;
    let to = &mut config;
    document.within("isolation", |section| {
        Isolation::read(section, &mut to.isolation)
    })?;
    document.within("ceilings", |section| {
        grants::ceilings(section, &mut to.ceilings)
    })?;
    document.within("source", |section| {
        section.read("trust", &mut to.trusted_sources, sources)
    })?;
    document.within("grants", |section| grants::grants(section, &mut to.grants))?;
    document.within("plugins", |section| exceptions(section, &mut to.plugins))?;
    document.within("config", |section| values::read(section, &mut to.values))?;
    document.within("limits", |section| Limits::read(section, &mut to.limits))?;
    document.within("restart", |section| Restart::read(section, &mut to.restart))?;
    document.within("http", |section| http::read(section, &mut to.http))?;
    document.within("blacklist", |section| {
        section.read("source", &mut to.blacklist_source, |item| {
            Ok(Some(item.text()?.to_owned()).filter(|source| !source.is_empty()))
        })
    })?;
    document.finish()?;
    Ok(config)
}

fn exceptions(
    section: &mut Section<'_>,
    to: &mut BTreeMap<PluginId, Exception>,
) -> Result<(), Refusal> {
    for (key, item) in section.drain() {
        let id = PluginId::parse(&key).map_err(|unfit| item.refuse(unfit.rule()))?;
        let mut section = item.section()?;
        to.insert(id, Exception::read(&mut section)?);
        section.finish()?;
    }
    Ok(())
}

fn sources(item: Item<'_>) -> Result<Vec<PathBuf>, Refusal> {
    let mut paths = Vec::new();
    for item in item.items()? {
        let path = Path::new(item.text()?);
        if !path.is_absolute() {
            return Err(item.refuse("it must be an absolute path"));
        }
        paths.push(path.to_owned());
    }
    Ok(paths)
}

/// An account's name, or a number. Never root: `""` says that.
fn user(item: Item<'_>) -> Result<Option<User>, Refusal> {
    let text = item.text()?;
    if text.is_empty() {
        return Ok(None);
    }
    let account = match text.parse::<u32>() {
        Ok(uid) => nix::unistd::User::from_uid(uid.into()),
        Err(_) => nix::unistd::User::from_name(text),
    };
    let account =
        account.map_err(|error| item.refuse(&format!("it can't be looked up: {error}")))?;
    let user = match (account, text.parse::<u32>()) {
        (Some(account), _) => User {
            uid: account.uid.as_raw(),
            gid: account.gid.as_raw(),
        },
        (None, Ok(uid)) => User { uid, gid: uid },
        (None, Err(_)) => return Err(item.refuse("there is no user of that name")),
    };
    if user.uid == 0 || user.uid == u32::MAX {
        return Err(item.refuse("it must be a user other than root; \"\" keeps uid 0"));
    }
    Ok(Some(user))
}
