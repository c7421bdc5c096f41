//! `gm plugin list` and `info`: what is loaded, in safe mode and in a damaged
//! home too.

use std::time::SystemTime;

use gm_manifest::{Code, Command, Manifest, PluginId, Refusal};
use gm_policy::Plan;
use mind_gpg::{Identity, SignedPlugin, TrustStore};
use serde_json::{Map, Value, json};

use crate::args::Invocation;
use crate::config::Config;
use crate::gpg_verbs::{files, moment};
use crate::output::Output;
use crate::plan;
use crate::registry::{Entry, Registry};

/// What is known of one loaded plugin; less the more is damaged.
struct Known {
    id: PluginId,
    entry: Result<Entry, Refusal>,
    manifest: Option<Manifest>,
    identity: Result<Identity, Refusal>,
}

impl Known {
    fn of(registry: &Registry, trust: &Result<TrustStore, Refusal>, id: PluginId) -> Self {
        let entry = registry.entry(&id);
        let read = || -> Result<(SignedPlugin, &TrustStore), Refusal> {
            let trust = trust.as_ref().map_err(Clone::clone)?;
            let entry = entry.as_ref().map_err(Clone::clone)?;
            Ok((entry.read(trust)?, trust))
        };
        let (manifest, identity) = match read() {
            Ok((signed, trust)) => {
                let manifest = signed.manifest().clone();
                let verified = trust.verify(signed, SystemTime::now());
                (
                    Some(manifest),
                    verified.map(|plugin| plugin.identity().clone()),
                )
            }
            Err(refusal) => (None, Err(refusal)),
        };
        Self {
            id,
            entry,
            manifest,
            identity,
        }
    }

    fn state(&self) -> &'static str {
        match (&self.identity, &self.entry) {
            (Err(refusal), _) if refusal.code.class() == "revoked" => "revoked",
            (Err(_), _) | (_, Err(_)) => "damaged",
            (Ok(_), Ok(entry)) if !entry.state().quarantined.is_empty() => "quarantined",
            (Ok(_), Ok(entry)) if !entry.state().enabled => "disabled",
            (Ok(_), Ok(_)) => "enabled",
        }
    }

    fn record(&self) -> Map<String, Value> {
        let manifest = self.manifest.as_ref();
        let identity = self.identity.as_ref().ok();
        let loaded_at = self
            .entry
            .as_ref()
            .ok()
            .map(|entry| entry.state().loaded_at.clone());
        let problem = self.identity.as_ref().err();
        let fields = json!({
            "schema": "gm.plugin/1",
            "id": self.id,
            "version": manifest.map(|manifest| manifest.version().to_string()),
            "kind": manifest.map(|manifest| manifest.kind().as_str()),
            "name": manifest.map(Manifest::name),
            "state": self.state(),
            "digest": identity.map(|identity| &identity.digest),
            "key": manifest.and_then(Manifest::public_key),
            "loaded_at": loaded_at,
            "hooks": manifest.map(|manifest| manifest.hooks().iter().map(|hook| hook.as_str()).collect::<Vec<_>>()),
            "problem": problem.map(|refusal| json!({"code": refusal.code, "detail": refusal.detail})),
        });
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    fn in_words(&self) -> String {
        let version = self
            .manifest
            .as_ref()
            .map_or("?".to_owned(), |manifest| manifest.version().to_string());
        let name = self.manifest.as_ref().map_or("", Manifest::name);
        let problem = match &self.identity {
            Ok(_) => String::new(),
            Err(refusal) => format!("  {} ({})", refusal.detail, refusal.code),
        };
        format!(
            "{:<36} {version:<10} {:<12} {name}{problem}",
            self.id,
            self.state()
        )
    }
}

pub(super) fn list(invocation: &Invocation, output: &mut Output) -> Result<u8, Refusal> {
    let (home, _) = invocation.open_home()?;
    let (registry, trust) = (Registry::open(&home)?, super::trust(&home));
    let ids = registry.ids()?;
    let count = ids.len();
    for id in ids {
        let known = Known::of(&registry, &trust, id);
        output.record(&known.record());
        output.line(&known.in_words());
    }
    if count == 0 {
        output.note("no plugin is loaded: gm plugin load PATH");
    }
    Ok(output.done("plugin list", [("plugins", json!(count))]))
}

pub(super) fn info(
    id: &PluginId,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let (home, config) = invocation.open_home()?;
    let (registry, trust) = (Registry::open(&home)?, super::trust(&home));
    match registry.entry(id) {
        Err(refusal) if refusal.code == Code::UsageUnknownPlugin => return Err(refusal),
        // Damaged: what is known is shown.
        Err(_) | Ok(_) => {}
    }
    let known = Known::of(&registry, &trust, id.clone());
    let mut record = known.record();
    output.line(&known.in_words());
    if let Some(manifest) = &known.manifest {
        details(manifest, &config, &mut record, output);
    }
    let identity = known.identity.as_ref().ok();
    record.insert(
        "files".into(),
        identity.map_or(Value::Null, |identity| files(&identity.artifacts)),
    );
    record.insert(
        "signed_at".into(),
        json!(identity.map(|identity| moment(identity.signed_at))),
    );
    if let Some(identity) = identity {
        output.line(&format!(
            "signed   {} by {}",
            moment(identity.signed_at),
            identity.fingerprint
        ));
        for file in &identity.artifacts {
            output.line(&format!(
                "file     {}  sha256:{}  {} bytes",
                file.path, file.sha256, file.len
            ));
        }
    }
    output.record(&record);
    Ok(output.done("plugin info", [("plugin", json!(id))]))
}

/// What it asks for, what of it it gets, and what not.
fn details(
    manifest: &Manifest,
    config: &Config,
    record: &mut Map<String, Value>,
    output: &mut Output,
) {
    let requested = manifest.permissions().to_text();
    for key in ["description", "license", "homepage"] {
        if let Some(text) = manifest.text(key) {
            output.line(&format!("{key:<12}{}", gm_manifest::escape(text)));
        }
        record.insert(key.into(), json!(manifest.text(key)));
    }
    let mut commands = Vec::new();
    for Command { name, description } in manifest.commands() {
        let shown = gm_manifest::escape(description);
        output.line(&format!("command  {name}  {shown}"));
        commands.push(json!({"name": name, "description": description}));
    }
    record.insert("commands".into(), commands.into());
    output.line(&format!(
        "requests\n  {}",
        requested.trim_end().replace('\n', "\n  ")
    ));
    record.insert("requested".into(), json!(requested));
    // A plugin that can't even be planned gets nothing.
    let plan = Plan::derive(manifest, &config.operator()).ok();
    let granted: Option<Value> = plan.as_ref().map(|plan| {
        let effective = plan.effective();
        json!({
            "host_api": effective.host_api.keys().map(|permission| permission.as_str()).collect::<Vec<_>>(),
            "filesystem": plan.files().iter().map(plan::file_line).collect::<Vec<_>>(),
            "network": effective.network.iter().flat_map(|grant| grant.scope()).collect::<Vec<_>>(),
            "config": effective.config.iter().map(|(pattern, _)| pattern.as_str()).collect::<Vec<_>>(),
            "memory_bytes": effective.memory.value.get(),
            "time_ms": effective.time.value.get(),
            "cpu_percent": effective.cpu.value.get(),
            "storage_bytes": plan.storage_bytes(),
        })
    });
    for storage in plan.iter().flat_map(|plan| &plan.effective().storage) {
        output.line(&format!("granted  storage {}", storage.value));
    }
    for file in plan.iter().flat_map(Plan::files) {
        output.line(&format!("granted  {}", plan::file_line(file)));
    }
    for line in plan.iter().flat_map(plan::host_lines) {
        output.line(&format!("granted  {line}"));
    }
    record.insert("granted".into(), granted.unwrap_or(Value::Null));
    let refused = plan.as_ref().map(plan::refused).unwrap_or_default();
    record.insert("refused".into(), json!(refused));
    for refused in plan.iter().flat_map(|plan| &plan.effective().refused) {
        output.line(&format!(
            "refused  {} {}: {}",
            refused.asked, refused.value, refused.why
        ));
    }
}
