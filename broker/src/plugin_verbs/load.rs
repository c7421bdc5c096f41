//! `gm plugin load`: verified, compiled behind walls, copied, made current.

use gm_manifest::{Digest, Refusal};
use mind_gpg::VerifiedPlugin;
use serde_json::json;

use crate::args::Invocation;
use crate::args::gm::LoadArgs;
use crate::args::usage;
use crate::config::Config;
use crate::gpg_verbs::step_in_words;
use crate::home::Home;
use crate::output::Output;
use crate::package;
use crate::plan;
use crate::prepare::{Workshop, native_allowed};
use crate::registry::Registry;
use crate::session::Session;

pub(super) fn run(
    args: &LoadArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let accept = args
        .accept_permissions
        .as_deref()
        .map(typed_digest)
        .transpose()?;
    let (home, config) = invocation.open_home()?;
    let trust = super::trust(&home)?;
    let signed = package::read(&args.path)?;
    // Of native code nothing else is said before the operator's own word.
    native_allowed(signed.manifest(), &config, true)?;
    let (steps, verdict) = super::verified(&trust, signed);
    if args.verify {
        steps
            .iter()
            .for_each(|step| output.line(&step_in_words(step)));
    }
    let plugin = match verdict {
        Ok(plugin) => plugin,
        Err(refusal) if args.verify => {
            return Ok(output.refused_with(&refusal, [("steps", json!(steps))]));
        }
        Err(refusal) => return Err(refusal),
    };
    trust.check_permissions(&plugin, accept.as_ref())?;
    let refused = compile(&plugin, &home, &config)?;
    let changed = Registry::open(&home)?.install(&plugin, &trust, !args.disabled)?;
    say(&plugin, changed, args.disabled, &refused, output);
    let identity = plugin.identity();
    let fields = [
        ("plugin", json!(identity.id)),
        ("version", json!(identity.version)),
        ("digest", json!(identity.digest)),
        ("fingerprint", json!(identity.fingerprint)),
        ("changed", json!(changed)),
        ("refused", json!(refused)),
    ];
    let steps = args.verify.then(|| ("steps", json!(steps)));
    Ok(output.done("plugin load", fields.into_iter().chain(steps)))
}

/// `sha256:` may stand before the digits.
fn typed_digest(text: &str) -> Result<Digest, Refusal> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    Digest::parse(digits)
        .map_err(|unfit| usage(format!("--accept-permissions is {text:?}")).rule(unfit.rule()))
}

/// Compiles the code, which checks its imports and exports, and makes sure that
/// it can run within its limit. Gives the requests that were dropped.
fn compile(
    plugin: &VerifiedPlugin,
    home: &Home,
    config: &Config,
) -> Result<Vec<serde_json::Value>, Refusal> {
    // Before the launcher is asked for: a kind without an engine needs none.
    gm_policy::Plan::derive(plugin.manifest(), &config.operator())?;
    let session = Session::begin(home, config)?;
    let built = session
        .level(config, None)
        .and_then(|_| Workshop::open(home, config, session.launcher()))
        .and_then(|workshop| workshop.build(plugin));
    session.end();
    let built = built?;
    let manifest = plugin.manifest();
    let enough = built.plan.module_memory(built.code.len);
    enough.map_err(|refusal| crate::prepare::named(refusal, manifest))?;
    Ok(plan::refused(&built.plan))
}

fn say(
    plugin: &VerifiedPlugin,
    changed: bool,
    disabled: bool,
    refused: &[serde_json::Value],
    output: &mut Output,
) {
    let identity = plugin.identity();
    let word = match (changed, disabled) {
        (false, _) => "loaded already",
        (true, false) => "loaded",
        (true, true) => "loaded, disabled",
    };
    output.line(&format!(
        "{word}: {} {} ({}) by {}  sha256:{}",
        identity.id,
        identity.version,
        plugin.manifest().kind(),
        identity.fingerprint.short(),
        identity.digest,
    ));
    for request in refused {
        let field = |name: &str| {
            request
                .get(name)
                .and_then(serde_json::Value::as_str)
                .unwrap_or_default()
        };
        output.note(&format!(
            "not granted: {} {}: {}",
            field("asked"),
            field("value"),
            field("why")
        ));
    }
}
