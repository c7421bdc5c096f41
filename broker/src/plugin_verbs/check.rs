//! `gm plugin check`: what can be said about a package without running it.
//!
//! No home, no key and no process is needed. Code is not parsed here either: it is
//! only searched for bytes, since a module can't export or import a name that its
//! bytes don't hold. So what is missing here is refused by `load` too; what has the
//! name and another type only the walled compiler tells.

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

/// What an export is: a byte behind its name.
const FUNCTION: u8 = 0;
const MEMORY: u8 = 2;

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
    if found.is_empty() {
        let holds = |name: &str| texts.iter().any(|(_, bytes)| holds(bytes, name));
        match manifest.kind() {
            Kind::Wasm => found.extend(missing_exports(manifest, &texts)),
            Kind::Lua | Kind::Js => found.extend(missing_names(manifest, holds)),
            // It exports one function for all, or none.
            Kind::Native => {}
        }
        // Other ABIs have other names for calls.
        if manifest.abi() == Abi::Gm2 {
            found.extend(unused_permissions(manifest, holds));
        }
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
    let rule = match manifest.kind() {
        Kind::Wasm if bytes.starts_with(WASM) => None,
        Kind::Wasm => Some("is no WebAssembly binary module"),
        Kind::Native => not_elf(bytes, manifest.abi()),
        // What is compiled may be UTF-8 by chance.
        Kind::Lua | Kind::Js => match std::str::from_utf8(bytes) {
            Ok(text) if !text.contains('\0') => None,
            Err(_) => Some("is no UTF-8 text"),
            Ok(_) => Some("holds a NUL byte, so it is no text"),
        },
    };
    rule.map(|rule| {
        let detail = format!("{path} {rule}");
        let (key, remedy) = match path == manifest.entrypoint().as_str() {
            true => (
                "plugin.entrypoint",
                "build it again, and name what the build made as entrypoint",
            ),
            false => ("plugin.files", "what is no code has another ending"),
        };
        let about = ("check/not-this-kind", Severity::Error);
        finding(manifest, about, key, detail, remedy)
    })
}

/// What the first bytes say against it (elf(5)); the runner reads the whole file.
fn not_elf(bytes: &[u8], abi: Abi) -> Option<&'static str> {
    const HEADER: usize = 64;
    const X86_64: &[u8] = &62_u16.to_le_bytes();
    const SHARED: &[u8] = &3_u16.to_le_bytes();
    const EXECUTABLE: &[u8] = &2_u16.to_le_bytes();
    let head = |from: usize| bytes.get(from..from + 2).unwrap_or_default();
    match () {
        () if !bytes.starts_with(ELF) => Some("is no ELF file"),
        () if bytes.len() < HEADER => Some("is cut off: it has less than an ELF header"),
        // 64 bits, little endian.
        () if head(4) != [2, 1] || head(18) != X86_64 => Some("is no ELF file for x86-64"),
        () if head(16) == SHARED => None,
        () if abi != Abi::Program1 => Some("is no shared object"),
        () if head(16) != EXECUTABLE => Some("is no executable"),
        () => None,
    }
}

/// What a manifest's hooks are called, each with its key.
fn hooks(manifest: &Manifest) -> impl Iterator<Item = (String, String)> {
    let hooks = manifest.hooks().iter().enumerate();
    hooks.map(|(at, hook)| (hook.as_str().to_owned(), format!("plugin.hooks[{at}]")))
}

/// The one export that carries out all commands.
fn command() -> (String, String) {
    (
        Hook::Command.as_str().to_owned(),
        "plugin.command".to_owned(),
    )
}

/// Exports that `load` asks for and the module has not.
fn missing_exports(manifest: &Manifest, texts: &[(&str, Vec<u8>)]) -> Vec<Finding> {
    let has = |name: &str, kind| texts.iter().any(|(_, bytes)| exports(bytes, name, kind));
    let commands = manifest.commands();
    let mut functions: Vec<_> = hooks(manifest).collect();
    match manifest.abi() {
        // One that takes all commands, or one for each.
        Abi::Extism1 if !has(Hook::Command.as_str(), FUNCTION) => {
            functions.extend(commands.iter().enumerate().map(|(at, command)| {
                let name = command.name.as_str().replace('-', "_");
                (name, format!("plugin.command[{at}]"))
            }));
        }
        Abi::Extism1 => {}
        Abi::Gm2 | Abi::Program1 => {
            functions.extend((!commands.is_empty()).then(command));
            let own = [Hook::Init, Hook::Shutdown];
            if !functions.is_empty() || own.iter().any(|hook| has(hook.as_str(), FUNCTION)) {
                functions.push(("gm_alloc".to_owned(), "plugin.entrypoint".to_owned()));
            }
        }
    }
    let mut found = Vec::new();
    let mut missing = |(what, name, key): (&str, &str, &str)| {
        let detail = format!("the module exports no {what} {name}");
        found.push(missing_export(manifest, Severity::Error, key, detail));
    };
    for (name, key) in &functions {
        if !has(name, FUNCTION) {
            missing(("function", name, key));
        }
    }
    if !has("memory", MEMORY) {
        missing(("memory named", "memory", "plugin.entrypoint"));
    }
    found
}

/// Hooks whose names the scripts don't hold; they may still put one together.
fn missing_names(manifest: &Manifest, holds: impl Fn(&str) -> bool) -> Vec<Finding> {
    let commands = (!manifest.commands().is_empty()).then(command);
    let missing = hooks(manifest).chain(commands);
    let missing = missing.filter(|(name, _)| !holds(name));
    missing
        .map(|(name, key)| {
            let detail = format!("{name} does not occur in the code");
            missing_export(manifest, Severity::Warning, &key, detail)
        })
        .collect()
}

fn missing_export(manifest: &Manifest, severity: Severity, key: &str, detail: String) -> Finding {
    let remedy = "export it, or take it out of the manifest";
    let code = ("check/missing-export", severity);
    finding(manifest, code, key, detail, remedy)
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

/// Whether a module may export this: an export is its name's length, the name, and
/// what it is, one behind the other. Chance may put these bytes elsewhere too, but
/// there is no export without them.
fn exports(bytes: &[u8], name: &str, kind: u8) -> bool {
    let wanted = [name.as_bytes(), &[kind]].concat();
    let found = bytes.windows(wanted.len()).enumerate();
    let mut places = found.filter_map(|(at, window)| (window == wanted).then_some(at));
    places.any(|at| {
        let before = bytes.get(..at).unwrap_or_default();
        ends_in_length(before, name.len())
    })
}

/// Whether these bytes end in this number, below 128, as LEB128. It may be written
/// longer than it needs to be, up to five bytes.
fn ends_in_length(bytes: &[u8], length: usize) -> bool {
    let Ok(length) = u8::try_from(length) else {
        return false;
    };
    (0..5).any(|more| {
        let mut written = vec![length];
        if more > 0 {
            written = vec![length | 0x80];
            written.resize(more, 0x80);
            written.push(0);
        }
        bytes.ends_with(&written)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_elf_header_says_which_machine_and_form_it_is_of() {
        let header = |class: u8, form: u8, machine: u8| {
            let mut bytes = [ELF, &[class, 1]].concat();
            bytes.resize(64, 0);
            bytes[16] = form;
            bytes[18] = machine;
            bytes
        };
        let (shared, executable) = (header(2, 3, 62), header(2, 2, 62));
        assert_eq!(not_elf(&shared, Abi::Gm2), None);
        assert_eq!(not_elf(&shared, Abi::Program1), None);
        assert_eq!(not_elf(&executable, Abi::Program1), None);
        for (bytes, abi, part) in [
            (&executable[..], Abi::Gm2, "shared object"),
            (&shared[..63], Abi::Gm2, "cut off"),
            (b"#!/bin/sh\n", Abi::Program1, "no ELF"),
            (&header(2, 1, 62), Abi::Program1, "no executable"),
            (&header(1, 3, 62), Abi::Gm2, "x86-64"),
            (&header(2, 3, 183), Abi::Gm2, "x86-64"),
        ] {
            assert!(not_elf(bytes, abi).unwrap().contains(part), "{part}");
        }
    }

    #[test]
    fn an_export_is_told_from_the_same_letters_elsewhere() {
        let module = b"\0asm\x01\0\0\0..\x05count\0\x07\x06memory\x02\0";
        assert!(exports(module, "count", FUNCTION));
        assert!(exports(module, "memory", MEMORY));
        assert!(!exports(module, "memory", FUNCTION));
        for other in ["coun", "ount", "counts", "asm"] {
            assert!(!exports(module, other, FUNCTION), "{other}");
        }
        assert!(!exports(b"count\0", "count", FUNCTION));
        assert!(!exports(b"\x06count\0", "count", FUNCTION));
        assert!(!exports(b"\x05count", "count", FUNCTION));
    }

    #[test]
    fn a_length_may_be_written_longer_than_it_needs_to_be() {
        for length in [
            &b"\x05"[..],
            b"\x85\0",
            b"\x85\x80\0",
            b"\x85\x80\x80\x80\0",
        ] {
            let module = [b"\x04", length, b"count\0"].concat();
            assert!(exports(&module, "count", FUNCTION), "{length:?}");
        }
        for length in [
            &b"\0"[..],
            b"\x80\0",
            b"\x84\0",
            b"\x85",
            b"\x85\x80\x80\x80\x80\0",
        ] {
            let module = [b"\x04", length, b"count\0"].concat();
            assert!(!exports(&module, "count", FUNCTION), "{length:?}");
        }
    }
}
