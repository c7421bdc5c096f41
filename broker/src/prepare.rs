//! From an id to a plugin that may be started: read, verified, planned,
//! compiled, admitted. Each step may refuse; none starts plugin code.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::SystemTime;

use gm_manifest::{Code, Kind, Manifest, PluginId, Refusal};
use gm_protocol::plan::{Asset, Engine, Hook};
use mind_gpg::{TrustStore, VerifiedPlugin};
use serde_json::{Value, json};

use crate::compile::cache::Cache;
use crate::compile::{self, Artifact, Module};
use crate::config::Config;
use crate::files::Surroundings;
use crate::home::Home;
use crate::plan::{self, Walls};
use crate::process::{memfd, seal};
use crate::records::Source;
use crate::registry::Registry;
use crate::spawn::Launcher;
use crate::storage::Storage;
use crate::stream::{Feed, hook_of};
use crate::supervise::Hosted;

/// Makes verified plugins ready for their walls.
pub struct Workshop<'a> {
    config: &'a Config,
    launcher: &'a Launcher,
    cache: Cache,
}

/// A verified plugin with its proved plan and its code.
#[derive(Debug)]
pub struct Built {
    /// The walls that the manifest and the operator ask for, proved.
    pub plan: gm_policy::Plan,
    /// The code that may run behind them.
    pub code: Artifact,
}

impl<'a> Workshop<'a> {
    /// Opens the cache of `home`.
    ///
    /// # Errors
    /// Class `store`, `internal/panic`.
    pub fn open(home: &Home, config: &'a Config, launcher: &'a Launcher) -> Result<Self, Refusal> {
        let cache = Cache::open(home, config.limits.cache.get())?;
        Ok(Self {
            config,
            launcher,
            cache,
        })
    }

    /// Plans; compiles what has to be, or finds the artifact in the cache.
    ///
    /// # Errors
    /// `wall/kind-unsupported`, class `policy`, class `artifact`, `internal/*`;
    /// each with the plugin's id and version.
    pub fn build(&self, plugin: &VerifiedPlugin) -> Result<Built, Refusal> {
        let manifest = plugin.manifest();
        self.build_unnamed(plugin, manifest)
            .map_err(|refusal| named(refusal, manifest))
    }

    fn build_unnamed(
        &self,
        plugin: &VerifiedPlugin,
        manifest: &Manifest,
    ) -> Result<Built, Refusal> {
        let plan = gm_policy::Plan::derive(manifest, &self.config.operator())?
            .on_kernel(plan::landlock_abi(self.launcher.host()));
        let entrypoint = plugin.artifact(manifest.entrypoint()).ok_or_else(|| {
            Refusal::new(
                Code::ArtifactMissing,
                "the entrypoint is not in the package",
            )
        })?;
        if !plan.engine().loads_artifact() {
            // Scripts and machine code are read by their engine alone, behind its walls.
            let fd = entrypoint.fd().try_clone_to_owned();
            let fd = fd.map_err(|error| Refusal::new(Code::InternalPanic, error.to_string()))?;
            let len = entrypoint.digest().len;
            return Ok(Built {
                plan,
                code: Artifact { fd, len },
            });
        }
        let module = Module {
            code: entrypoint.fd(),
            digest: entrypoint.digest().sha256.as_bytes(),
            abi: plan.abi(),
            host_ops: plan.imports(),
            hooks: hooks_of(manifest)?,
            commands: manifest
                .commands()
                .iter()
                .map(|command| command.name.as_str().to_owned())
                .collect(),
        };
        let walls = || plan::compile_walls(&module, self.config, self.launcher.host());
        let code = compile::artifact(self.launcher, &self.cache, &module, walls)?;
        Ok(Built { plan, code })
    }
}

/// That code of this plugin's kind may run here: of native code, that both of the
/// operator's words were said. [`native_allowed`] alone makes one.
#[derive(Debug)]
pub struct KindAllowed {
    id: PluginId,
    kind: Kind,
}

impl KindAllowed {
    /// Whether it was said of this plugin, which is native.
    #[must_use]
    pub fn is_native(&self, manifest: &Manifest) -> bool {
        self.kind == Kind::Native && self.kind == manifest.kind() && self.id == *manifest.id()
    }
}

/// Native plugins, of either form, need the operator's entry, and at a run the
/// caller's word too.
///
/// # Errors
/// `policy/native-disallowed`.
pub fn native_allowed(
    manifest: &Manifest,
    config: &Config,
    asked: bool,
) -> Result<KindAllowed, Refusal> {
    let allowed = KindAllowed {
        id: manifest.id().clone(),
        kind: manifest.kind(),
    };
    if manifest.kind() != Kind::Native {
        return Ok(allowed);
    }
    let missing = if !config.allow_native.contains(manifest.id()) {
        "allow_native of broker.toml does not name it"
    } else if !asked {
        "--allow-native was not given"
    } else {
        return Ok(allowed);
    };
    let refusal = Refusal::new(
        Code::PolicyNativeDisallowed,
        format!("native code: {missing}"),
    );
    let refusal = match manifest.span("plugin.kind") {
        Some(span) => refusal.line(span.line),
        None => refusal,
    };
    Err(named(refusal, manifest))
}

/// The refusal with the plugin's name, where it has none yet.
#[must_use]
pub fn named(refusal: Refusal, manifest: &Manifest) -> Refusal {
    if refusal.plugin.is_some() {
        return refusal;
    }
    refusal
        .plugin(manifest.id().as_str())
        .version(manifest.version().to_string())
}

/// Prepares the plugins of one run.
pub struct Preparer<'a> {
    home: &'a Home,
    config: &'a Config,
    allow_native: bool,
    workshop: Workshop<'a>,
    registry: Registry,
    launcher: &'a Launcher,
}

impl<'a> Preparer<'a> {
    /// Opens what preparing needs.
    ///
    /// # Errors
    /// Class `store`, `internal/panic`.
    pub fn open(
        home: &'a Home,
        config: &'a Config,
        launcher: &'a Launcher,
        allow_native: bool,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            home,
            config,
            allow_native,
            workshop: Workshop::open(home, config, launcher)?,
            registry: Registry::open(home)?,
            launcher,
        })
    }

    /// Reads and verifies a loaded plugin, as at its first load: a revocation
    /// in between counts.
    ///
    /// # Errors
    /// `usage/unknown-plugin`, `policy/disabled`, `policy/quarantined`, and all
    /// that a verification may refuse.
    pub fn verified(&self, id: &PluginId) -> Result<VerifiedPlugin, Refusal> {
        let trust = TrustStore::open(self.home.trust()?.path())?;
        let entry = self.registry.entry(id)?;
        let plugin = entry
            .read(&trust)
            .and_then(|signed| trust.verify(signed, SystemTime::now()));
        if let Some(suspended) = entry.suspended() {
            return Err(match plugin {
                // What was revoked was disabled by it: that is the graver word.
                Err(refusal) if refusal.code.class() == "revoked" => refusal,
                Err(_) | Ok(_) => suspended,
            });
        }
        let plugin = plugin?;
        native_allowed(plugin.manifest(), self.config, self.allow_native)?;
        Ok(plugin)
    }

    /// Suspends a plugin, with the reason that people are told.
    ///
    /// # Errors
    /// As [`Registry::change`].
    pub fn quarantine(&self, id: &PluginId, reason: &str) -> Result<(), Refusal> {
        let reason = reason.to_owned();
        self.registry
            .change(id, |state| state.quarantined = reason)
            .map(|_| ())
    }

    /// Whether what was prepared may still run: asked again at each start, as it
    /// may have been revoked, disabled or replaced meanwhile.
    ///
    /// # Errors
    /// As [`Preparer::verified`]; `artifact/digest-mismatch` if another package
    /// was loaded.
    pub fn still_allows(&self, plugin: &Hosted) -> Result<(), Refusal> {
        let now = self.verified(&plugin.identity.id)?;
        if now.identity().digest == plugin.identity.digest {
            return Ok(());
        }
        let detail = "another package was loaded meanwhile";
        Err(Refusal::new(Code::ArtifactDigestMismatch, detail).plugin(&plugin.source.id))
    }

    /// All steps up to the start. `init` tells of the source; `others` run beside
    /// it; granted paths are opened in what is `around` the run.
    ///
    /// # Errors
    /// As [`Preparer::verified`] and [`Workshop::build`]; `wall/engine-missing`,
    /// `policy/admission`, `store/corrupt`.
    pub fn prepare(
        &self,
        id: &PluginId,
        others: &[Hosted],
        feed: &Feed,
        around: &Surroundings,
    ) -> Result<Hosted, Refusal> {
        self.make_ready(&self.verified(id)?, others, feed, around)
    }

    /// The steps behind [`Preparer::verified`].
    ///
    /// # Errors
    /// As [`Preparer::prepare`].
    pub fn make_ready(
        &self,
        plugin: &VerifiedPlugin,
        others: &[Hosted],
        feed: &Feed,
        around: &Surroundings,
    ) -> Result<Hosted, Refusal> {
        let Built { plan, code } = self.workshop.build(plugin)?;
        let (plan, opened) = around.open(plan)?;
        let (assets, fd) = assets(plugin)?;
        let manifest = plugin.manifest();
        let hooks = hooks_of(manifest)?;
        let walls = Walls::new(
            &plan,
            code.len,
            assets,
            hooks.clone(),
            self.config,
            self.launcher.host(),
        )
        .map_err(|refusal| named(refusal, manifest))?;
        self.engine_there(walls.engine)
            .and_then(|()| match &walls.http {
                Some(_) => self.engine_there(Engine::Http),
                None => Ok(()),
            })
            .and_then(|()| self.admit(&walls, others))
            .map_err(|refusal| named(refusal, manifest))?;
        let storage = self
            .storage(manifest.id(), &walls)
            .map_err(|refusal| named(refusal, manifest))?;
        let identity = plugin.identity();
        let init = self.init(plugin, &walls, &feed.facts(), feed.total());
        Ok(Hosted {
            index: others.len(),
            source: Source {
                id: identity.id.as_str().to_owned(),
                version: identity.version.to_string(),
                kind: manifest.kind().as_str(),
            },
            hooks,
            walls,
            code: code.fd,
            assets: fd,
            opened,
            storage,
            identity: identity.clone(),
            init,
        })
    }

    /// Opens what the plugin keeps for itself, if that is granted.
    fn storage(&self, id: &PluginId, walls: &Walls) -> Result<Option<Storage>, Refusal> {
        if walls.storage_bytes == 0 {
            return Ok(None);
        }
        let dir = self.home.storage()?;
        Storage::open(dir.path(), id, walls.storage_bytes).map(Some)
    }

    /// What is known before a process exists is a refusal.
    fn engine_there(&self, wanted: Engine) -> Result<(), Refusal> {
        let missing = &self.launcher.host().missing;
        match missing.iter().find(|(engine, _)| *engine == wanted) {
            None => Ok(()),
            Some((_, why)) => Err(Refusal::new(Code::WallEngineMissing, why.clone())),
        }
    }

    /// The memory of all that run, this one included, must be there.
    fn admit(&self, walls: &Walls, others: &[Hosted]) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let most = usize::try_from(limits.plugins).unwrap_or(usize::MAX);
        if others.len() >= most {
            let detail = format!("{most} plugins run already");
            return Err(Refusal::new(Code::PolicyAdmission, detail).rule("limits.plugins"));
        }
        let room = self
            .launcher
            .host()
            .memory_bytes
            .saturating_sub(limits.reserve.get());
        let taken: u64 = others.iter().map(|other| other.walls.memory_bytes()).sum();
        let wanted = walls.memory_bytes();
        if taken.saturating_add(wanted) <= room {
            return Ok(());
        }
        let detail = format!(
            "{wanted} bytes of memory are asked for, {taken} are given already, and {room} is all there is"
        );
        Err(Refusal::new(Code::PolicyAdmission, detail).rule("limits.reserve"))
    }

    /// The document `gm.init/1`.
    fn init(
        &self,
        plugin: &VerifiedPlugin,
        walls: &Walls,
        facts: &Value,
        total: Option<u64>,
    ) -> Vec<u8> {
        let identity = plugin.identity();
        let assets: Vec<Value> = files(plugin)
            .map(|file| json!({"path": file.digest().path.as_str(), "bytes": file.digest().len}))
            .collect();
        let time_ms = u64::try_from(walls.time_limit.as_millis()).unwrap_or(u64::MAX);
        let document = json!({
            "schema": "gm.init/1",
            "api": gm_manifest::API_VERSION,
            "plugin": {"id": identity.id.as_str(), "version": identity.version.to_string()},
            "repo": facts,
            "total": total,
            "granted": walls.granted,
            "limits": {
                "memory_bytes": walls.limits.memory_bytes,
                "time_ms": time_ms,
                "reply_bytes": self.config.limits.reply.get(),
                "storage_bytes": walls.storage_bytes,
            },
            "assets": assets,
        });
        document.to_string().into_bytes()
    }
}

/// The manifest's hooks, as the link names them; commands are one hook together.
fn hooks_of(manifest: &Manifest) -> Result<Vec<Hook>, Refusal> {
    let hooks = manifest.hooks().iter().map(|hook| hook_of(*hook));
    let command = (!manifest.commands().is_empty()).then_some(Ok(Hook::Command));
    hooks.chain(command).collect()
}

/// The files of a package beside its code.
fn files(plugin: &VerifiedPlugin) -> impl Iterator<Item = &mind_gpg::Artifact> {
    let entrypoint = plugin.manifest().entrypoint();
    plugin
        .artifacts()
        .iter()
        .filter(move |file| file.digest().path != *entrypoint)
}

/// All assets, one after the other, in one sealed file; none if there are none.
fn assets(plugin: &VerifiedPlugin) -> Result<(Vec<Asset>, Option<OwnedFd>), Refusal> {
    let failed = |error: &dyn std::fmt::Display| {
        Refusal::new(
            Code::InternalPanic,
            format!("could not keep the assets: {error}"),
        )
    };
    let mut list = Vec::new();
    let mut offset = 0;
    let mut memory = None;
    for file in files(plugin) {
        let bytes = file.bytes().map_err(|error| failed(&error))?;
        let memory = match &mut memory {
            Some(memory) => memory,
            none => none.insert(std::fs::File::from(
                memfd("gm-assets").map_err(|error| failed(&error))?,
            )),
        };
        memory.write_all(&bytes).map_err(|error| failed(&error))?;
        let len = file.digest().len;
        list.push(Asset {
            path: file.digest().path.as_str().to_owned(),
            offset,
            len,
        });
        offset = offset.saturating_add(len);
    }
    let fd = memory.map(OwnedFd::from);
    if let Some(fd) = &fd {
        seal(fd).map_err(|error| failed(&error))?;
    }
    Ok((list, fd))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(id: &str, kind: &str) -> Manifest {
        let text = format!(
            "[identity]\nplugin_id = \"{id}\"\npublic_key = \"\"\n[plugin]\nname = \"A\"\n\
             version = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"{kind}\"\nentrypoint = \"a\"\n"
        );
        Manifest::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn native_code_needs_both_words_and_they_are_of_one_plugin_alone() {
        let native = manifest("com.x.y", "native");
        let config = Config::default();
        assert!(native_allowed(&native, &config, true).is_err());
        let named = Config {
            allow_native: [native.id().clone()].into(),
            ..config
        };
        assert!(native_allowed(&native, &named, false).is_err());
        let allowed = native_allowed(&native, &named, true).unwrap();
        assert!(allowed.is_native(&native));
        assert!(!allowed.is_native(&manifest("com.x.z", "native")));
        let script = manifest("com.x.y", "lua");
        assert!(!allowed.is_native(&script));
        let allowed = native_allowed(&script, &named, false).unwrap();
        assert!(!allowed.is_native(&script) && !allowed.is_native(&native));
    }
}
