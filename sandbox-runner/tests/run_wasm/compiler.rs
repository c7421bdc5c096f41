//! What the compiler accepts and refuses, behind its walls.

use gm_protocol::message::ModuleFaultKind as Kind;
use gm_protocol::plan::{Hook, HostOp, HostOps};

use crate::broker::hook;
use crate::broker::{all_ops, compile};

fn refused(text: &str, ops: HostOps) -> (Kind, String) {
    let module = wat::parse_str(text).unwrap();
    let fault = compile(&module, ops, &[Hook::OnCommitAnalyzed]).unwrap_err();
    (fault.kind, fault.name)
}

#[test]
fn what_is_no_core_module_is_refused_by_its_first_bytes() {
    for bytes in [
        &b""[..],
        b"(module)",
        b"\x7fELF\x02\x01\x01\0",
        b"\0asm\x0d\0\x01\0",
        b"#!/bin/sh\n",
    ] {
        assert_eq!(
            compile(bytes, all_ops(), &[]).unwrap_err().kind,
            Kind::NotWasm
        );
    }
}

#[test]
fn a_damaged_module_is_malformed() {
    let whole = wat::parse_str(hook("", "(i32.const 0)")).unwrap();
    for cut in [9, whole.len() / 2, whole.len() - 1] {
        assert_eq!(
            compile(&whole[..cut], all_ops(), &[]).unwrap_err().kind,
            Kind::Malformed
        );
    }
}

#[test]
fn features_beyond_2_0_are_malformed() {
    for body in [
        "(return_call $again (local.get $ptr) (local.get $len))",
        "(i32.atomic.load (i32.const 0))",
        "(try_table (result i32) (i32.const 0))",
    ] {
        let before = "(func $again (param i32 i32) (result i32) (i32.const 0))";
        assert_eq!(refused(&hook(before, body), all_ops()).0, Kind::Malformed);
    }
    let shared = hook("", "(i32.const 0)").replace(
        "(memory (export \"memory\") 1)",
        "(memory (export \"memory\") 1 2 shared)",
    );
    assert_eq!(refused(&shared, all_ops()).0, Kind::Malformed);
    let wide = hook("", "(i32.const 0)").replace(
        "(memory (export \"memory\") 1)",
        "(memory (export \"memory\") i64 1)",
    );
    assert_ne!(
        refused(&wide.replace("(data (i32", "(data (i64"), all_ops()).0,
        Kind::MissingExport
    );
}

#[test]
fn an_unknown_import_is_named() {
    for (module, name) in [
        ("gm", "socket"),
        ("wasi_snapshot_preview1", "fd_write_all"),
        ("wasi_unstable", "fd_write"),
        ("extism:host/env", "log_info"),
        ("env", "log"),
    ] {
        let import =
            format!("(import \"{module}\" \"{name}\" (func (param i32 i32 i32) (result i32)))");
        assert_eq!(
            refused(&hook(&import, "(i32.const 0)"), all_ops()),
            (Kind::ImportUnknown, format!("{module}.{name}"))
        );
    }
}

#[test]
fn an_import_of_another_type_is_named() {
    for import in [
        "(import \"gm\" \"log\" (func (param i32 i32) (result i32)))",
        "(import \"gm\" \"log\" (global i32))",
    ] {
        assert_eq!(
            refused(&hook(import, "(i32.const 0)"), all_ops()),
            (Kind::ImportType, "gm.log".into())
        );
    }
}

#[test]
fn an_import_without_its_grant_is_named() {
    let import = "(import \"gm\" \"node_put\" (func (param i32 i32) (result i32)))";
    let granted = HostOps::NONE.with(HostOp::Log);
    assert_eq!(
        refused(&hook(import, "(i32.const 0)"), granted),
        (Kind::ImportNotGranted, "gm.node_put".into())
    );
}

#[test]
fn a_missing_export_is_named() {
    for name in ["memory", "gm_alloc", "on_commit_analyzed"] {
        let text = hook("", "(i32.const 0)").replace(&format!("\"{name}\""), "\"other\"");
        assert_eq!(
            refused(&text, all_ops()),
            (Kind::MissingExport, name.into())
        );
    }
    let init = "(func (export \"init\") (param i32) (result i32) (i32.const 0))";
    assert_eq!(
        refused(&hook(init, "(i32.const 0)"), all_ops()),
        (Kind::MissingExport, "init".into())
    );
}

#[test]
fn a_module_with_too_many_items_is_too_complex() {
    let globals = "(global i32 (i32.const 0))".repeat(20_001);
    assert_eq!(
        refused(&hook(&globals, "(i32.const 0)"), all_ops()),
        (Kind::TooComplex, "globals".into())
    );
    let locals = format!("{}(i32.const 0)", "(local i32)".repeat(50_001));
    assert_eq!(
        refused(&hook("", &locals), all_ops()),
        (Kind::TooComplex, "locals".into())
    );
}

/// Some 3,000 functions with 180 additions and multiplications each.
pub(crate) fn large() -> String {
    let body = "(local.get 0) (i32.const 3) i32.mul (i32.const 7) i32.add (local.set 0)".repeat(60);
    let function = format!("(func (param i32) (result i32) {body} (local.get 0))");
    hook(&function.repeat(3_000), "(i32.const 0)")
}

#[test]
fn a_large_module_is_compiled_behind_the_walls() {
    let module = wat::parse_str(large()).unwrap();
    let artifact = compile(&module, all_ops(), &[Hook::OnCommitAnalyzed]).unwrap();
    assert!(artifact.len() > 1 << 20, "{} bytes", artifact.len());
}

#[test]
fn two_compilations_of_one_module_are_equal() {
    let module = wat::parse_str(hook("", "(i32.const 0)")).unwrap();
    let once = || compile(&module, all_ops(), &[Hook::OnCommitAnalyzed]).unwrap();
    assert!(once() == once());
}
