//! `gm plugin check`: what can be said about a package without running it.
//!
//! No home, no key and no process is needed. Code is not parsed here either: it is
//! only searched for names, since a module can't export or import a name that
//! its bytes don't hold.

use gm_manifest::{Abi, Finding, Kind, Manifest, Network, Refusal, Severity};
use gm_protocol::plan::{FILESYSTEM, Hook, HostOp, NETWORK, STORAGE};
use mind_gpg::{Artifact, SignedPlugin};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::args::gm::CheckArgs;
use crate::output::Output;
use crate::package;

/// How a WebAssembly binary module begins.
const WASM: &[u8] = b"\0asm";
/// How machine code begins.
const ELF: &[u8] = b"\x7fELF";

/// The module that WASI's functions are imported from.
const WASI: &str = "wasi_snapshot_preview1";

pub(super) fn run(args: &CheckArgs, output: &mut Output) -> Result<u8, Refusal> {
    let package = package::read(&args.path)?;
    let manifest = package.manifest();
    let mut findings = manifest.lint();
    findings.extend(code(&package)?);
    findings.sort_by_key(|finding| (finding.severity, finding.line));
    say(&package, &findings, output);
    let count = |severity| {
        findings
            .iter()
            .filter(|found| found.severity == severity)
            .count()
    };
    let errors = count(Severity::Error);
    let fields = [
        ("plugin", json!(manifest.id().as_str())),
        ("version", json!(manifest.version().to_string())),
        ("kind", json!(manifest.kind().as_str())),
        ("signed", json!(is_signed(manifest))),
        ("errors", json!(errors)),
        ("warnings", json!(count(Severity::Warning))),
        ("notes", json!(count(Severity::Note))),
    ];
    Ok(output.stopped("plugin check", u8::from(errors > 0), fields))
}

fn is_signed(manifest: &Manifest) -> bool {
    manifest.public_key().is_some() && manifest.signature().is_some()
}

/// What the code's bytes tell about the manifest.
fn code(package: &SignedPlugin) -> Result<Vec<Finding>, Refusal> {
    let manifest = package.manifest();
    let mut texts = Vec::new();
    for artifact in package.artifacts() {
        if artifact.digest().path == *manifest.entrypoint() || is_module(manifest, artifact) {
            let unreadable = |error: std::io::Error| {
                let detail = format!("could not read {}: {error}", artifact.digest().path);
                Refusal::new(gm_manifest::Code::InternalPanic, detail)
            };
            let bytes = artifact.bytes().map_err(unreadable)?;
            texts.push((artifact.digest().path.as_str(), bytes));
        }
    }
    let mut found: Vec<Finding> = texts
        .iter()
        .filter_map(|(path, bytes)| of_its_kind(manifest, path, bytes))
        .collect();
    // Other ABIs have other names for all of it.
    if found.is_empty() && manifest.abi() == Abi::Gm2 {
        let holds = |name: &str| texts.iter().any(|(_, bytes)| holds(bytes, name));
        found.extend(missing_exports(manifest, holds));
        found.extend(unused_permissions(manifest, holds));
    }
    Ok(found)
}

/// Whether a file of the package is code too: scripts may require each other.
fn is_module(manifest: &Manifest, artifact: &Artifact) -> bool {
    let path = artifact.digest().path.as_str();
    let endings = gm_policy::engine_of(manifest).module_endings().iter();
    endings.into_iter().any(|ending| path.ends_with(ending))
}

fn of_its_kind(manifest: &Manifest, path: &str, bytes: &[u8]) -> Option<Finding> {
    let (fits, rule) = match manifest.kind() {
        Kind::Wasm => (bytes.starts_with(WASM), "is no WebAssembly binary module"),
        Kind::Native => (bytes.starts_with(ELF), "is no ELF file"),
        Kind::Lua | Kind::Js => (std::str::from_utf8(bytes).is_ok(), "is no UTF-8 text"),
    };
    (!fits).then(|| {
        let detail = format!("{path} {rule}");
        let remedy = "build it again, and name what the build made as entrypoint";
        finding(
            manifest,
            ("check/not-this-kind", Severity::Error),
            "plugin.entrypoint",
            detail,
            remedy,
        )
    })
}

/// Names that the code can't export, since it doesn't hold them. A native plugin
/// exports one function for all.
fn missing_exports(manifest: &Manifest, holds: impl Fn(&str) -> bool) -> Vec<Finding> {
    let kind = manifest.kind();
    let severity = match kind {
        // A script may put a name together, a module can't.
        Kind::Wasm => Severity::Error,
        Kind::Lua | Kind::Js => Severity::Warning,
        Kind::Native => return Vec::new(),
    };
    let hooks = manifest.hooks().iter().enumerate();
    let hooks = hooks.map(|(at, hook)| (hook.as_str(), format!("plugin.hooks[{at}]")));
    let commands = (!manifest.commands().is_empty())
        .then(|| (Hook::Command.as_str(), "plugin.command".to_owned()));
    let hooks = hooks.chain(commands);
    let needed = ["memory", "gm_alloc"]
        .into_iter()
        .filter(|_| kind == Kind::Wasm);
    let needed = needed.map(|name| (name, "plugin.entrypoint".to_owned()));
    let missing = hooks.chain(needed).filter(|(name, _)| !holds(name));
    missing
        .map(|(name, key)| {
            let detail = format!("{name} does not occur in the code");
            let remedy = "export it, or take it out of the manifest";
            finding(
                manifest,
                ("check/missing-export", severity),
                &key,
                detail,
                remedy,
            )
        })
        .collect()
}

/// Permissions none of whose calls the code can make.
fn unused_permissions(manifest: &Manifest, holds: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut used: BTreeMap<&str, bool> = BTreeMap::new();
    // Through WASI's functions a module writes to its log and reads files too.
    let has_wasi = manifest.kind() == Kind::Wasm && holds(WASI);
    for op in HostOp::ALL {
        let by_wasi = has_wasi && (*op == HostOp::Log || op.is_file());
        *used.entry(op.permission()).or_default() |= by_wasi || holds(op.as_str());
    }
    let is_unused = |permission: &str| used.get(permission) == Some(&false);
    let asked = manifest.permissions();
    let mut keys = Vec::new();
    for permission in &asked.host_api {
        if is_unused(permission.as_str()) {
            keys.push((permission.as_str(), "permissions.host_api"));
        }
    }
    let files = &asked.filesystem;
    if !(files.read.is_empty() && files.write.is_empty()) && is_unused(FILESYSTEM) {
        keys.push((FILESYSTEM, "permissions.filesystem"));
    }
    if asked.storage.is_some() && is_unused(STORAGE) {
        keys.push((STORAGE, "permissions.storage"));
    }
    if asked.network != Network::Denied && is_unused(NETWORK) {
        keys.push((NETWORK, "permissions.network"));
    }
    keys.into_iter()
        .map(|(permission, key)| {
            let detail = format!("{permission} is asked for, but no call of it occurs in the code");
            let remedy = "drop it: what isn't granted can't be misused";
            finding(
                manifest,
                ("check/unused-permission", Severity::Warning),
                key,
                detail,
                remedy,
            )
        })
        .collect()
}

fn holds(bytes: &[u8], name: &str) -> bool {
    bytes
        .windows(name.len())
        .any(|window| window == name.as_bytes())
}

fn finding(
    manifest: &Manifest,
    (code, severity): (&'static str, Severity),
    key: &str,
    detail: String,
    remedy: &str,
) -> Finding {
    Finding {
        code,
        severity,
        line: manifest.span(key).map(|span| span.line),
        detail,
        remedy: remedy.to_owned(),
    }
}

fn say(package: &SignedPlugin, findings: &[Finding], output: &mut Output) {
    let manifest = package.manifest();
    let bytes: u64 = package
        .artifacts()
        .iter()
        .map(|file| file.digest().len)
        .sum();
    output.line(&format!(
        "{} {} ({}): {}, {bytes} bytes, {}",
        manifest.id(),
        manifest.version(),
        manifest.kind(),
        super::counted(package.artifacts().len(), "file"),
        if is_signed(manifest) {
            "signed (not verified here)"
        } else {
            "unsigned"
        },
    ));
    for found in findings {
        let line = found
            .line
            .map(|line| format!(" line {line}"))
            .unwrap_or_default();
        output.line(&format!(
            "{}{line}: {} ({})\n  {}",
            found.severity.as_str(),
            found.detail,
            found.code,
            found.remedy
        ));
        output.record(&record(manifest, found));
    }
}

/// One finding as `gm.check/1`.
fn record(manifest: &Manifest, found: &Finding) -> Value {
    json!({
        "schema": "gm.check/1",
        "plugin": manifest.id().as_str(),
        "code": found.code,
        "line": found.line,
        "severity": found.severity,
        "detail": found.detail,
        "remedy": found.remedy,
    })
}
