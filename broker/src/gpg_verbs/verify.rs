//! `gm gpg verify`: the strict verifier's answer, and how it came to it. Runs and
//! changes nothing.

use std::path::Path;
use std::time::SystemTime;

use base64::Engine;
use gm_manifest::{Code, Refusal};
use mind_gpg::{SignedPlugin, Step, TrustStore, VerifiedPlugin};
use serde_json::{Value, json};

use super::{files, moment};
use crate::args::Invocation;
use crate::args::gm::VerifyArgs;
use crate::output::Output;
use crate::package;
use crate::plain_file;

pub(super) fn run(
    args: &VerifyArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let (home, _) = invocation.open_home()?;
    let trust = TrustStore::open(home.trust()?.path())?;
    let plugin = package::read(&args.path)?;
    if let Some(directory) = &args.export {
        export(&plugin, directory)?;
    }
    let now = args.at.map_or_else(SystemTime::now, SystemTime::from);
    let (verification, verdict) = trust.verify_explained(plugin, now);
    let steps = args.explain.then_some(verification.steps);
    steps
        .iter()
        .flatten()
        .for_each(|step| output.line(&in_words(step)));
    match verdict {
        Ok(plugin) => Ok(good(&plugin, steps, output)),
        Err(refusal) => {
            Ok(output.refused_with(&refusal, steps.map(|steps| ("steps", json!(steps)))))
        }
    }
}

/// `ok    5  the mathematics`
pub(crate) fn in_words(step: &Step) -> String {
    let word = if step.ok { "ok" } else { "fail" };
    let number = step
        .step
        .map_or_else(|| "-".to_owned(), |number| number.to_string());
    let code = step
        .code
        .map_or_else(String::new, |code| format!("  {code}"));
    format!("{word:<4} {number:>2}  {}{code}", step.name)
}

fn good(plugin: &VerifiedPlugin, steps: Option<Vec<Step>>, output: &mut Output) -> u8 {
    let identity = plugin.identity();
    let kind = plugin.manifest().kind();
    let signed_at = moment(identity.signed_at);
    let mut text = format!(
        "OK {} {} {kind}  signer {} (subkey {})  chain explicit key  signed {signed_at}",
        identity.id,
        identity.version,
        identity.fingerprint.short(),
        identity.subkey.short(),
    );
    for artifact in &identity.artifacts {
        text.push_str(&format!("  artifact sha256:{}", artifact.sha256));
    }
    output.line(&(text + "  no blacklist"));
    let chain = json!([
        { "kind": "key", "fingerprint": identity.fingerprint, "origin": "explicit" },
        { "kind": "subkey", "fingerprint": identity.subkey },
    ]);
    let fields = [
        ("plugin", json!(identity.id)),
        ("version", json!(identity.version)),
        ("kind", json!(kind)),
        ("fingerprint", json!(identity.fingerprint)),
        ("subkey", json!(identity.subkey)),
        ("chain", chain),
        ("signed_at", json!(signed_at)),
        ("digest", json!(identity.digest)),
        ("artifacts", files(&identity.artifacts)),
        ("blacklist", Value::Null),
    ];
    let steps = steps.map(|steps| ("steps", json!(steps)));
    output.done("gpg verify", fields.into_iter().chain(steps))
}

/// Statement and signature as two files, so that anybody can check them with an
/// OpenPGP program of their own: `gpg --verify statement.sig statement.pae`.
fn export(plugin: &SignedPlugin, directory: &Path) -> Result<(), Refusal> {
    let manifest = plugin.manifest();
    let parts = plugin.statement().zip(manifest.signature());
    let (statement, text) = parts.ok_or_else(|| {
        Refusal::new(Code::PolicyUnsigned, "the package is not signed")
            .plugin(manifest.id().as_str())
    })?;
    let signature = base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|error| {
            Refusal::new(
                Code::SignatureBase64,
                format!("identity.signature: {error}"),
            )
            .plugin(manifest.id().as_str())
            .step(0)
        })?;
    std::fs::create_dir_all(directory)
        .and_then(|()| plain_file::write(&directory.join("statement.pae"), &statement.pae()))
        .and_then(|()| plain_file::write(&directory.join("statement.sig"), &signature))
        .map_err(|error| {
            let what = format!("could not write to {}: {error}", directory.display());
            Refusal::new(Code::UsageArguments, what)
        })
}
