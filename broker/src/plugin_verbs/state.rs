//! `gm plugin enable`, `disable`, `unload`, `revoke`: written first, then every
//! run that lives is told.

use std::time::SystemTime;

use gm_manifest::{Code, PluginId, Refusal};
use mind_gpg::{RevocationTarget, TrustStore};
use serde_json::json;

use crate::args::{Invocation, usage};
use crate::control::{self, Stop};
use crate::home::Home;
use crate::output::Output;
use crate::registry::Registry;
use crate::storage::Storage;

pub(super) fn enable(
    id: &PluginId,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let (home, _) = invocation.open_home()?;
    let registry = Registry::open(&home)?;
    not_revoked(&home, &registry, id)?;
    let changed = registry.change(id, |state| {
        state.enabled = true;
        state.quarantined.clear();
    })?;
    output.line(&format!(
        "{}: {id}",
        if changed {
            "enabled"
        } else {
            "enabled already"
        }
    ));
    Ok(output.done(
        "plugin enable",
        [("plugin", json!(id)), ("changed", json!(changed))],
    ))
}

/// What was revoked stays so: to say "enabled" of it would be a lie. Whatever else
/// is wrong with a plugin is said by the run that hosts it.
fn not_revoked(home: &Home, registry: &Registry, id: &PluginId) -> Result<(), Refusal> {
    let trust = super::trust(home)?;
    let entry = registry.entry(id)?;
    let named = RevocationTarget::Plugin(id.clone());
    if trust.revocations()?.contains(&named) {
        let detail = format!("{id} was revoked here");
        return Err(Refusal::new(Code::RevokedLocal, detail).plugin(id.as_str()));
    }
    let verdict = entry
        .read(&trust)
        .and_then(|signed| trust.verify(signed, SystemTime::now()));
    match verdict {
        Err(refusal) if refusal.code.class() == "revoked" => Err(refusal),
        Err(_) | Ok(_) => Ok(()),
    }
}

pub(super) fn disable(
    id: &PluginId,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let home = invocation.open_home_to_stop()?;
    let changed = Registry::open(&home)?.change(id, |state| state.enabled = false)?;
    let ended = control::end_everywhere(&home, &Stop::by_operator(id))?;
    output.line(&format!(
        "{}: {id}",
        if changed {
            "disabled"
        } else {
            "disabled already"
        }
    ));
    say_ended(ended, output);
    let fields = [
        ("plugin", json!(id)),
        ("changed", json!(changed)),
        ("ended", json!(ended)),
    ];
    Ok(output.done("plugin disable", fields))
}

/// Pin, newest version and storage stay, so that coming back is no way round them.
pub(super) fn unload(
    id: &PluginId,
    purge: bool,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let home = invocation.open_home_to_stop()?;
    let removed = Registry::open(&home).and_then(|registry| registry.remove(id));
    // First: a damaged store must not keep the processes from ending.
    let ended = control::end_everywhere(&home, &Stop::by_operator(id));
    let (was_loaded, ended) = (removed?, ended?);
    if !was_loaded && super::trust(&home)?.pin(id)?.is_none() {
        let detail = format!("{id} was never loaded in this home");
        return Err(Refusal::new(Code::UsageUnknownPlugin, detail).plugin(id.as_str()));
    }
    if purge {
        Storage::forget(&home.storage()?, id)?;
    }
    output.line(&format!(
        "{}: {id}",
        if was_loaded {
            "unloaded"
        } else {
            "unloaded already"
        }
    ));
    say_ended(ended, output);
    let fields = [
        ("plugin", json!(id)),
        ("changed", json!(was_loaded)),
        ("ended", json!(ended)),
    ];
    Ok(output.done("plugin unload", fields))
}

pub(super) fn revoke(
    typed: &str,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let target = RevocationTarget::parse(typed).map_err(|_| {
        usage(format!("{typed:?} can't be revoked"))
            .rule("the id of a plugin, a full fingerprint, or sha256: and 64 hex digits")
    })?;
    let home = invocation.open_home_to_stop()?;
    let is_new = TrustStore::open_to_revoke(home.trust()?.path())?.revoke(&target)?;
    let ended = control::end_everywhere(&home, &Stop::revoked(&target));
    // Last: a damaged plugin must not keep the processes from ending.
    let disabled = suspend(&home, &target)?;
    let ended = ended?;
    output.line(&format!(
        "{}: {target}",
        if is_new { "revoked" } else { "revoked already" }
    ));
    disabled
        .iter()
        .for_each(|id| output.line(&format!("disabled: {id}")));
    say_ended(ended, output);
    let plugin = match &target {
        RevocationTarget::Plugin(id) => Some(id.as_str()),
        RevocationTarget::Key(_) | RevocationTarget::Artifact(_) => None,
    };
    let fields = [
        ("plugin", json!(plugin)),
        ("target", json!(target.to_string())),
        ("changed", json!(is_new)),
        ("disabled", json!(disabled)),
        ("ended", json!(ended)),
    ];
    Ok(output.done("plugin revoke", fields))
}

/// Disables every loaded plugin that the revocation covers.
fn suspend(home: &Home, target: &RevocationTarget) -> Result<Vec<PluginId>, Refusal> {
    let registry = Registry::open(home)?;
    let mut disabled = Vec::new();
    for id in registry.ids()? {
        if covers(home, &registry, &id, target) && registry.suspend(&id)? {
            disabled.push(id);
        }
    }
    Ok(disabled)
}

/// A plugin that can't be read is not covered by a key or digest, and does not
/// run either.
fn covers(home: &Home, registry: &Registry, id: &PluginId, target: &RevocationTarget) -> bool {
    if let RevocationTarget::Plugin(revoked) = target {
        return revoked == id;
    }
    let read = || registry.entry(id)?.read(&super::trust(home)?);
    read().is_ok_and(|signed| {
        let manifest = signed.manifest();
        let files = signed
            .artifacts()
            .iter()
            .map(|artifact| artifact.digest().sha256);
        let statement = signed.statement().map(gm_manifest::Statement::digest);
        match target {
            RevocationTarget::Plugin(_) => false,
            RevocationTarget::Key(key) => manifest.public_key() == Some(key),
            RevocationTarget::Artifact(digest) => files.chain(statement).any(|own| own == *digest),
        }
    })
}

fn say_ended(ended: usize, output: &mut Output) {
    if ended > 0 {
        output.line(&format!("ended: {ended} running"));
    }
}
