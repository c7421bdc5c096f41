//! The plugins of a home: what was loaded, which package of each is current,
//! and whether it may be hosted.
//!
//! Only what was loaded by name is here: nothing is found by looking for it.
//! A package that is read again is compared with what was accepted at its load.

use gm_manifest::{Code, Digest, MANIFEST_FILE, PluginId, Refusal};
use mind_gpg::{Accepted, Artifact, SignedPlugin, TrustStore, VerifiedPlugin};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use crate::home::{Dir, Home, Lock};
use crate::package;

/// Names the directory of the current package.
const CURRENT: &str = "current";
/// Whether the plugin may be hosted.
const STATE: &str = "state.toml";
/// Prefix of a package that is still being copied.
const UNFINISHED: &str = ".new-";
/// The most bytes of either file.
const MAX_FILE: u64 = 64 * 1024;
/// Files of an installed package never change.
const READ_ONLY: Mode = Mode::RUSR;

/// All loaded plugins.
#[derive(Debug)]
pub struct Registry {
    plugins: Dir,
}

/// What `state.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// It may be hosted.
    pub enabled: bool,
    /// Why it is in quarantine; empty = it isn't.
    pub quarantined: String,
    /// When its current package was loaded, RFC 3339.
    pub loaded_at: String,
}

/// One loaded plugin.
#[derive(Debug)]
pub struct Entry {
    id: PluginId,
    dir: Dir,
    current: String,
    state: State,
}

impl Registry {
    /// Opens the plugins of `home`.
    ///
    /// # Errors
    /// class `store`.
    pub fn open(home: &Home) -> Result<Self, Refusal> {
        Ok(Self {
            plugins: home.plugins()?,
        })
    }

    /// Ids of all loaded plugins, in the order of their bytes.
    ///
    /// # Errors
    /// class `store`.
    pub fn ids(&self) -> Result<Vec<PluginId>, Refusal> {
        let mut ids = Vec::new();
        for name in self.plugins.names()? {
            let Some(id) = name.to_str().and_then(|name| PluginId::parse(name).ok()) else {
                continue;
            };
            if self.directory(&id)?.is_some() {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Ids of those that are to be hosted when none is named. One whose state
    /// can't be read is among them: the run must say so.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn enabled(&self) -> Result<Vec<PluginId>, Refusal> {
        let mut ids = self.ids()?;
        ids.retain(|id| {
            self.entry(id)
                .map_or(true, |entry| entry.suspended().is_none())
        });
        Ok(ids)
    }

    /// Those that a crash loop suspended, with the reason.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn quarantined(&self) -> Result<Vec<(PluginId, String)>, Refusal> {
        let reason = |id: PluginId| {
            let state = self.entry(&id).ok()?.state;
            (!state.quarantined.is_empty()).then_some((id, state.quarantined))
        };
        Ok(self.ids()?.into_iter().filter_map(reason).collect())
    }

    /// A loaded plugin.
    ///
    /// # Errors
    /// `usage/unknown-plugin`; class `store`.
    pub fn entry(&self, id: &PluginId) -> Result<Entry, Refusal> {
        let dir = self.directory(id)?.ok_or_else(|| unknown(id))?;
        Entry::open(id, dir)
    }

    /// The plugin's directory, if one of its packages was ever made current.
    fn directory(&self, id: &PluginId) -> Result<Option<Dir>, Refusal> {
        let Some(dir) = self.plugins.child(id.as_str())? else {
            return Ok(None);
        };
        let loaded = dir.names()?.iter().any(|name| name == CURRENT);
        Ok(loaded.then_some(dir))
    }

    /// The plugin's directory with its lock, as `open` gives it; none if it isn't there.
    ///
    /// Who unloads it removes the directory while others wait for the lock in it: what was
    /// locked must be what lies there now.
    fn locked(
        &self,
        id: &PluginId,
        open: impl Fn() -> Result<Option<Dir>, Refusal>,
    ) -> Result<Option<(Dir, Lock)>, Refusal> {
        loop {
            let Some(dir) = open()? else {
                return Ok(None);
            };
            let held = dir.lock();
            let now = self.plugins.child(id.as_str())?;
            if now.map_or(Ok(false), |now| now.is(&dir))? {
                return held.map(|held| Some((dir, held)));
            }
        }
    }

    /// Copies a verified package into the home and makes it current: false if
    /// it is that already, and then nothing is changed.
    ///
    /// # Errors
    /// `identity/*` if another load came in between; class `store`.
    pub fn install(
        &self,
        plugin: &VerifiedPlugin,
        trust: &TrustStore,
        enabled: bool,
    ) -> Result<bool, Refusal> {
        let identity = plugin.identity();
        let make = || self.plugins.make(identity.id.as_str()).map(Some);
        let (dir, held) = self
            .locked(&identity.id, make)?
            .ok_or_else(|| unknown(&identity.id))?;
        let name = directory_name(&identity.version, &identity.digest);
        no_other(&name, &identity.id, &identity.digest, trust)?;
        if self.is_current(&identity.id, &name, trust) {
            return Ok(false);
        }
        copy(&dir, &name, plugin)?;
        trust.record_load(plugin)?;
        let state = State {
            enabled,
            quarantined: String::new(),
            loaded_at: crate::records::now(),
        };
        // Before `current`: what is current always has a state.
        write_state(&dir, &state)?;
        dir.write(CURRENT, format!("{name}\n").as_bytes())?;
        drop(held);
        Ok(true)
    }

    /// Whether this package is current and nobody changed it.
    fn is_current(&self, id: &PluginId, name: &str, trust: &TrustStore) -> bool {
        self.entry(id)
            .is_ok_and(|entry| entry.current == name && entry.read(trust).is_ok())
    }

    /// Changes the state of a plugin; false if it was so already.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn change(&self, id: &PluginId, change: impl FnOnce(&mut State)) -> Result<bool, Refusal> {
        let (dir, held) = self
            .locked(id, || self.directory(id))?
            .ok_or_else(|| unknown(id))?;
        let before = read_state(&dir)?;
        let mut after = before.clone();
        change(&mut after);
        if after == before {
            return Ok(false);
        }
        write_state(&dir, &after)?;
        drop(held);
        Ok(true)
    }

    /// Suspends a plugin whatever its state file says, for a revocation must
    /// work in a damaged store too; false if it isn't loaded.
    ///
    /// # Errors
    /// Class `store`.
    pub fn suspend(&self, id: &PluginId) -> Result<bool, Refusal> {
        let Some((dir, held)) = self.locked(id, || self.directory(id))? else {
            return Ok(false);
        };
        let known = read_state(&dir).ok();
        let loaded_at = known
            .as_ref()
            .map(|state| state.loaded_at.clone())
            .unwrap_or_default();
        let quarantined = known.map(|state| state.quarantined).unwrap_or_default();
        write_state(
            &dir,
            &State {
                enabled: false,
                quarantined,
                loaded_at,
            },
        )?;
        drop(held);
        Ok(true)
    }

    /// Takes a plugin out of the home; false if it wasn't there.
    ///
    /// # Errors
    /// Class `store`.
    pub fn remove(&self, id: &PluginId) -> Result<bool, Refusal> {
        let child = || self.plugins.child(id.as_str());
        let Some((dir, held)) = self.locked(id, child)? else {
            return Ok(false);
        };
        // First: a removal that is cut off leaves no plugin.
        let was_loaded = dir.remove(CURRENT)?;
        self.plugins.remove_tree(id.as_str())?;
        drop(held);
        Ok(was_loaded)
    }
}

impl Entry {
    fn open(id: &PluginId, dir: Dir) -> Result<Self, Refusal> {
        let about = |refusal: Refusal| refusal.plugin(id.as_str());
        let current = dir
            .read(CURRENT, MAX_FILE)
            .map_err(about)?
            .unwrap_or_default();
        let current = std::str::from_utf8(&current)
            .ok()
            .and_then(|text| text.strip_suffix('\n'));
        let current = current
            .filter(|name| is_package_name(name))
            .map(str::to_owned);
        let current = current.ok_or_else(|| about(corrupt(&dir, CURRENT, "names no package")))?;
        let state = read_state(&dir).map_err(about)?;
        Ok(Self {
            id: id.clone(),
            dir,
            current,
            state,
        })
    }

    /// Whether it may be hosted, and since when it is here.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Why it may not be hosted, if so.
    #[must_use]
    pub fn suspended(&self) -> Option<Refusal> {
        let refusal = if !self.state.quarantined.is_empty() {
            Refusal::new(
                Code::PolicyQuarantined,
                format!("it is in quarantine: {}", self.state.quarantined),
            )
        } else if !self.state.enabled {
            Refusal::new(Code::PolicyDisabled, "it is disabled")
        } else {
            return None;
        };
        Some(refusal.plugin(self.id.as_str()))
    }

    /// Reads its current package, which must be what was accepted.
    ///
    /// # Errors
    /// `artifact/digest-mismatch`, and all that reading a package may refuse;
    /// class `store`.
    pub fn read(&self, trust: &TrustStore) -> Result<SignedPlugin, Refusal> {
        let accepted = self.accepted(trust)?;
        let path = self
            .package()
            .map_err(|refusal| refusal.plugin(self.id.as_str()))?;
        let about = |refusal: Refusal| {
            refusal
                .plugin(self.id.as_str())
                .version(accepted.version().to_string())
        };
        package::read_installed(&path, &accepted).map_err(about)
    }

    /// The package's directory, checked on the way.
    fn package(&self) -> Result<std::path::PathBuf, Refusal> {
        match self.dir.child(&self.current)? {
            Some(package) => Ok(package.path().to_owned()),
            None => Err(corrupt(&self.dir, &self.current, "is missing")),
        }
    }

    fn accepted(&self, trust: &TrustStore) -> Result<Accepted, Refusal> {
        let pin = trust.pin(&self.id)?;
        let accepted = pin.iter().flat_map(|pin| &pin.accepted);
        let mut same =
            accepted.filter(|one| directory_name(one.version(), one.statement()) == self.current);
        same.next().cloned().ok_or_else(|| {
            corrupt(
                &self.dir,
                CURRENT,
                "names a package that was never accepted",
            )
            .plugin(self.id.as_str())
        })
    }
}

/// `<version>-<digest16>`
fn directory_name(version: &semver::Version, digest: &Digest) -> String {
    let digest = digest.to_string();
    format!("{version}-{}", digest.get(..16).unwrap_or(&digest))
}

/// A name as [`directory_name`] gives them: no path, nothing hidden.
fn is_package_name(name: &str) -> bool {
    let Some((version, digest)) = name.rsplit_once('-') else {
        return false;
    };
    semver::Version::parse(version).is_ok()
        && digest.len() == 16
        && digest
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Sixteen digits name a package only while no two share them.
fn no_other(name: &str, id: &PluginId, digest: &Digest, trust: &TrustStore) -> Result<(), Refusal> {
    let pin = trust.pin(id)?;
    let other = pin.iter().flat_map(|pin| &pin.accepted).any(|accepted| {
        directory_name(accepted.version(), accepted.statement()) == name
            && accepted.statement() != digest
    });
    match other {
        false => Ok(()),
        true => Err(Refusal::new(
            Code::StoreCorrupt,
            format!("{name} is the directory of another package"),
        )),
    }
}

/// Copies the bytes that were verified, never the files that they came from.
fn copy(dir: &Dir, name: &str, plugin: &VerifiedPlugin) -> Result<(), Refusal> {
    let unfinished = format!("{UNFINISHED}{name}");
    // Left by a load that was cut off, or damaged since.
    dir.remove_tree(&unfinished)?;
    dir.remove_tree(name)?;
    let package = dir.make(&unfinished)?;
    package.create(MANIFEST_FILE, READ_ONLY, plugin.manifest().raw())?;
    write_files(plugin.artifacts(), &package, READ_ONLY)?;
    dir.rename(&unfinished, name)?;
    protect(
        &dir.child(name)?
            .ok_or_else(|| corrupt(dir, name, "is missing"))?,
    )
}

/// Takes the write bits from a package and all its directories.
fn protect(dir: &Dir) -> Result<(), Refusal> {
    for name in dir.names()? {
        let is_dir =
            std::fs::symlink_metadata(dir.path().join(&name)).is_ok_and(|meta| meta.is_dir());
        if is_dir && let Some(below) = dir.child(&name)? {
            protect(&below)?;
        }
    }
    dir.make_read_only()
}

fn read_state(dir: &Dir) -> Result<State, Refusal> {
    let bytes = dir
        .read(STATE, MAX_FILE)?
        .ok_or_else(|| corrupt(dir, STATE, "is missing"))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| corrupt(dir, STATE, "is not UTF-8"))?;
    toml::from_str(text)
        .map_err(|error| corrupt(dir, STATE, &format!("can't be read: {}", error.message())))
}

fn write_state(dir: &Dir, state: &State) -> Result<(), Refusal> {
    let text = toml::to_string(state)
        .map_err(|error| Refusal::new(Code::InternalPanic, error.to_string()))?;
    dir.write(STATE, text.as_bytes())
}

fn unknown(id: &PluginId) -> Refusal {
    Refusal::new(
        Code::UsageUnknownPlugin,
        format!("{id} is not loaded in this home"),
    )
    .plugin(id.as_str())
}

fn corrupt(dir: &Dir, name: &str, what: &str) -> Refusal {
    Refusal::new(
        Code::StoreCorrupt,
        format!("{} {what}", dir.path().join(name).display()),
    )
}

/// Writes the sealed bytes of a package's files, the manifest apart, into `to`.
///
/// # Errors
/// Class `store`.
pub fn write_files(artifacts: &[Artifact], to: &Dir, mode: Mode) -> Result<(), Refusal> {
    for artifact in artifacts {
        let path = artifact.digest().path.as_str();
        let bytes = artifact.bytes().map_err(|error| {
            Refusal::new(
                Code::InternalPanic,
                format!("could not read {path} from sealed memory: {error}"),
            )
        })?;
        to.create_below(path, mode, &bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_version_and_sixteen_digits_name_a_package() {
        assert!(is_package_name("1.2.3-0123456789abcdef"));
        assert!(is_package_name("1.2.3-rc.1+x-0123456789abcdef"));
        for name in [
            "",
            "1.2.3",
            "../1.2.3-0123456789abcdef",
            "1.2.3-0123456789ABCDEF",
            "1.2.3-0123",
            "1.2-0123456789abcdef",
            ".new-1.2.3-0123456789abcdef",
        ] {
            assert!(!is_package_name(name), "{name}");
        }
    }

    #[test]
    fn state_that_is_not_understood_is_never_taken_for_enabled() {
        for text in [
            "",
            "enabled = true\n",
            "enabled = 1\nquarantined = \"\"\nloaded_at = \"\"\n",
            "enabled = true\nquarantined = \"\"\nloaded_at = \"\"\nmore = 1\n",
        ] {
            assert!(toml::from_str::<State>(text).is_err(), "{text}");
        }
    }
}
