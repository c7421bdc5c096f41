//! What a failed compile means for the one who loads the plugin.

use std::time::Duration;

use gm_manifest::{Code, Refusal};
use gm_protocol::message::{ModuleFault, ModuleFaultKind};
use gm_protocol::plan::HostOp;

use crate::ending::{Ending, EndingKind};
use crate::logs::harmless;

/// The refusal for a module that the compiler turned down. Its words come from
/// the module: they are shown escaped and cut, and decide nothing.
pub(super) fn of_module(fault: &ModuleFault) -> Refusal {
    let name = harmless(fault.name.as_bytes());
    let detail = harmless(fault.detail.as_bytes());
    let said = match (name.is_empty(), detail.is_empty()) {
        (true, _) => detail,
        (false, true) => name.clone(),
        (false, false) => format!("{name}: {detail}"),
    };
    match fault.kind {
        ModuleFaultKind::NotWasm => Refusal::new(Code::ArtifactNotWasm, said)
            .rule("the first bytes of a core module are \\0asm and version 1"),
        ModuleFaultKind::Malformed => Refusal::new(Code::ArtifactMalformedCode, said)
            .rule("WebAssembly 2.0 without threads, one memory"),
        ModuleFaultKind::TooComplex => Refusal::new(Code::ArtifactTooComplex, said),
        ModuleFaultKind::MissingExport => Refusal::new(Code::ArtifactMissingExport, said),
        ModuleFaultKind::ImportUnknown => Refusal::new(Code::ArtifactImportUnknown, said).rule(
            "imports are of module gm or wasi_snapshot_preview1, with abi = \"extism-1\" also of extism:host/env",
        ),
        ModuleFaultKind::ImportType => Refusal::new(Code::ArtifactImportType, said),
        ModuleFaultKind::ImportNotGranted => not_granted(&name, &fault.detail),
    }
}

/// `name` is the import as the module has it, `call` the host call that would
/// give it.
fn not_granted(name: &str, call: &str) -> Refusal {
    let op = HostOp::from_name(call);
    let permission = op.map_or("unknown", HostOp::permission);
    let (line, rule) = match op {
        Some(HostOp::FileWrite) => (
            "filesystem = { write = [\"$DATA\"] }".to_owned(),
            Some("filesystem"),
        ),
        Some(op) if op.is_file() => (
            "filesystem = { read = [\"$REPO/PATH\"] }".to_owned(),
            Some("filesystem"),
        ),
        // Of the operator's rules only a ceiling is about it.
        Some(op) if op.is_storage() => ("storage = \"1mb\"".to_owned(), None),
        Some(HostOp::HttpRequest) => (
            "network = { hosts = [\"HOST:443\"] }".to_owned(),
            Some("network"),
        ),
        _ => (format!("host_api = [.., {permission:?}]"), Some("host_api")),
    };
    let allowed = rule
        .map(|key| format!(", and the operator's [grants] {key} must allow it"))
        .unwrap_or_default();
    let detail = format!(
        "the module imports {name}, which needs {permission:?}; in the manifest: [permissions] {line}{allowed}"
    );
    Refusal::new(Code::PolicyImportNotGranted, detail)
        .rule(permission)
        .layer("engine")
}

/// The refusal for a compile process that ended otherwise than with a result.
pub(super) fn of_ending(ending: &Ending, time: Duration) -> Refusal {
    let layer = ending.layer.as_deref().unwrap_or("engine");
    let detail = ending.detail.as_deref().unwrap_or_default();
    match ending.kind {
        EndingKind::TimedOut => Refusal::new(
            Code::ArtifactTooComplex,
            format!(
                "compiling takes longer than compile_time, {} s",
                time.as_secs()
            ),
        ),
        EndingKind::OutOfMemory => Refusal::new(
            Code::ArtifactTooComplex,
            "compiling takes more memory than compile_memory",
        ),
        EndingKind::WallMissing => {
            let code = Code::from_text(&format!("wall/{layer}")).unwrap_or(Code::InternalLauncher);
            Refusal::new(code, format!("compile process: {detail}")).layer(layer)
        }
        kind if detail == "launcher" => Refusal::new(Code::InternalLauncher, kind.as_str()),
        kind => Refusal::new(
            Code::ArtifactMalformedCode,
            format!(
                "the walled compiler ended {} ({layer}) {detail}",
                kind.as_str()
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_that_is_not_granted_names_import_permission_and_manifest_line() {
        let fault = ModuleFault {
            kind: ModuleFaultKind::ImportNotGranted,
            name: "gm.node_put".into(),
            detail: "node_put".into(),
        };
        let refusal = of_module(&fault);
        assert_eq!(refusal.code, Code::PolicyImportNotGranted);
        assert!(refusal.detail.contains("gm.node_put"), "{}", refusal.detail);
        assert!(refusal.detail.contains("nodes:write"), "{}", refusal.detail);
        assert!(refusal.detail.contains("host_api"), "{}", refusal.detail);
    }

    #[test]
    fn a_call_of_storage_without_storage_names_the_line_to_add() {
        let fault = ModuleFault {
            kind: ModuleFaultKind::ImportNotGranted,
            name: "gm.storage_set".into(),
            detail: "storage_set".into(),
        };
        let detail = of_module(&fault).detail;
        let line = "needs \"storage\"; in the manifest: [permissions] storage = \"1mb\"";
        assert!(detail.ends_with(line), "{detail}");
    }

    #[test]
    fn an_import_of_another_host_is_named_as_the_module_has_it() {
        let fault = ModuleFault {
            kind: ModuleFaultKind::ImportNotGranted,
            name: "env.extism_http_request".into(),
            detail: "http_request".into(),
        };
        let detail = of_module(&fault).detail;
        assert!(
            detail.contains("imports env.extism_http_request,"),
            "{detail}"
        );
        assert!(detail.contains("network = { hosts"), "{detail}");
    }

    #[test]
    fn a_module_cannot_write_to_the_terminal_through_its_names() {
        let fault = ModuleFault {
            kind: ModuleFaultKind::ImportUnknown,
            name: "env\u{1b}[2J\n".into(),
            detail: String::new(),
        };
        assert!(!of_module(&fault).detail.chars().any(char::is_control));
    }
}
