//! The checks alone; behind the walls they are tested with the shipped binary.

use super::*;
use gm_protocol::plan::{HostOp, HostOps};

fn task(hooks: &[Hook]) -> CompileSetup {
    CompileSetup {
        abi: Abi::Gm2,
        host_ops: HostOps::NONE.with(HostOp::Log),
        hooks: hooks.to_vec(),
        commands: vec![],
        output_bytes: 1 << 20,
    }
}

fn checked(text: &str, hooks: &[Hook]) -> Result<Counts, (Kind, String)> {
    let module = wat::parse_str(text).unwrap();
    check(&module, &task(hooks)).map_err(|fault| (fault.kind, fault.name))
}

#[test]
fn a_module_needs_no_allocator_as_long_as_nothing_is_called() {
    let bare = "(module (memory (export \"memory\") 1))";
    assert_eq!(
        checked(bare, &[]),
        Ok(Counts {
            memories: 1,
            tables: 0
        })
    );
    assert_eq!(
        checked(bare, &[Hook::OnEdgeCreated]),
        Err((Kind::MissingExport, "on_edge_created".into()))
    );
}

#[test]
fn an_optional_export_must_have_its_type() {
    let text = "(module (memory (export \"memory\") 1) (func (export \"gm_free\") (param i32)))";
    assert_eq!(
        checked(text, &[]),
        Err((Kind::MissingExport, "gm_free".into()))
    );
    let text = "(module (memory (export \"memory\") 1) (global (export \"_initialize\") i32 (i32.const 0)))";
    assert_eq!(
        checked(text, &[]),
        Err((Kind::MissingExport, "_initialize".into()))
    );
}

#[test]
fn an_imported_function_may_be_exported_again() {
    let text = "(module (import \"gm\" \"log\" (func $log (param i32 i32 i32) (result i32)))
        (memory (export \"memory\") 1) (export \"other\" (func $log)))";
    assert!(checked(text, &[]).is_ok());
}

#[test]
fn the_memory_must_be_the_modules_own() {
    let text = "(module (import \"gm\" \"memory\" (memory 1)) (export \"memory\" (memory 0)))";
    assert_eq!(
        checked(text, &[]),
        Err((Kind::ImportUnknown, "gm.memory".into()))
    );
    let two = "(module (memory (export \"memory\") 1) (memory 1))";
    assert_eq!(checked(two, &[]), Err((Kind::Malformed, String::new())));
}

#[test]
fn a_count_is_refused_before_its_items_are_read() {
    // A type section that claims 2^32 - 1 types and holds none.
    let mut module = HEADER.to_vec();
    module.extend([1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let fault = check(&module, &task(&[])).unwrap_err();
    assert_eq!(
        (fault.kind, fault.name.as_str()),
        (Kind::TooComplex, "types")
    );
}

#[test]
fn long_names_are_cut_between_characters() {
    let name = "ä".repeat(5_000);
    let text = format!("(module (import \"gm\" \"{name}\" (func)) (memory (export \"memory\") 1))");
    let (kind, name) = checked(&text, &[]).unwrap_err();
    assert_eq!(kind, Kind::ImportUnknown);
    assert!(name.len() <= 200 && name.starts_with("gm.ä"));
}

fn checked_extism(text: &str, hooks: &[Hook]) -> Result<Counts, (Kind, String, String)> {
    let module = wat::parse_str(text).unwrap();
    let task = CompileSetup {
        abi: Abi::Extism1,
        ..task(hooks)
    };
    check(&module, &task).map_err(|fault| (fault.kind, fault.name, fault.detail))
}

#[test]
fn hooks_of_extism_take_nothing_and_need_no_allocator() {
    let module = |hook: &str| {
        format!(
            "(module (memory (export \"memory\") 1) (func (export \"on_edge_created\") {hook}))"
        )
    };
    let hooks = [Hook::OnEdgeCreated];
    assert!(checked_extism(&module("(result i32) (i32.const 0)"), &hooks).is_ok());
    for other in ["", "(param i32 i32) (result i32) (i32.const 0)"] {
        let (kind, name, _) = checked_extism(&module(other), &hooks).unwrap_err();
        assert_eq!(
            (kind, name.as_str()),
            (Kind::MissingExport, "on_edge_created")
        );
    }
    let ctors = "(module (memory (export \"memory\") 1)
        (func (export \"__wasm_call_ctors\") (result i32) (i32.const 0)))";
    assert_eq!(
        checked_extism(ctors, &[]).unwrap_err().1,
        "__wasm_call_ctors"
    );
    assert!(checked(ctors, &[]).is_ok());
}

#[test]
fn a_wrong_type_is_told_as_the_text_format_writes_it() {
    let task = CompileSetup {
        abi: Abi::Extism1,
        commands: vec!["count-all".to_owned()],
        ..task(&[Hook::Command])
    };
    let module = "(module (memory (export \"memory\") 1)
        (func (export \"count_all\") (param i32 i32) (result i32) (i32.const 0)))";
    let fault = check(&wat::parse_str(module).unwrap(), &task).unwrap_err();
    assert_eq!(
        (fault.kind, fault.name.as_str(), fault.detail.as_str()),
        (
            Kind::MissingExport,
            "count_all",
            "must be (func (result i32))"
        )
    );
    let import = "(module (import \"extism:host/env\" \"log_info\" (func (param i32))))";
    let fault = check(&wat::parse_str(import).unwrap(), &task).unwrap_err();
    assert_eq!(fault.detail, "must be (func (param i64))");
}

#[test]
fn imports_of_extism_are_refused_by_the_name_of_what_they_need() {
    let import = |name: &str, ty: &str| {
        format!(
            "(module (import \"extism:host/env\" \"{name}\" (func {ty})) (memory (export \"memory\") 1))"
        )
    };
    assert!(checked_extism(&import("log_info", "(param i64)"), &[]).is_ok());
    for (name, ty, needs) in [
        ("config_get", "(param i64) (result i64)", "config_get"),
        (
            "http_request",
            "(param i64 i64) (result i64)",
            "http_request",
        ),
    ] {
        let (kind, full, detail) = checked_extism(&import(name, ty), &[]).unwrap_err();
        assert_eq!(kind, Kind::ImportNotGranted);
        assert_eq!(full, format!("extism:host/env.{name}"));
        assert_eq!(detail, needs);
    }
    let typed = checked_extism(&import("log_info", "(param i32)"), &[]).unwrap_err();
    assert_eq!(typed.0, Kind::ImportType);
    let (kind, name) = checked(&import("log_info", "(param i64)"), &[]).unwrap_err();
    assert_eq!(
        (kind, name.as_str()),
        (Kind::ImportUnknown, "extism:host/env.log_info")
    );
}

#[test]
fn commands_of_extism_are_exports_of_their_names_unless_one_takes_them_all() {
    let task = |commands: &[&str]| CompileSetup {
        abi: Abi::Extism1,
        commands: commands.iter().map(|name| (*name).to_owned()).collect(),
        ..task(&[Hook::Command])
    };
    let module = |export: &str| {
        let text = format!(
            "(module (memory (export \"memory\") 1) (func (export \"{export}\") (result i32) (i32.const 0)))"
        );
        wat::parse_str(text).unwrap()
    };
    assert!(check(&module("count_all"), &task(&["count-all"])).is_ok());
    assert!(check(&module("gm_command"), &task(&["count-all", "other"])).is_ok());
    let fault = check(&module("count_all"), &task(&["count-all", "other"])).unwrap_err();
    assert_eq!(
        (fault.kind, fault.name.as_str()),
        (Kind::MissingExport, "other")
    );
    let gm = CompileSetup {
        abi: Abi::Gm2,
        ..task(&["count-all"])
    };
    assert_eq!(
        check(&module("count_all"), &gm).unwrap_err().name,
        "gm_command"
    );
}
