//! `gm plugin check` and `gm plugin schema`: what is said about a package that
//! nobody runs.

use gm_integration_tests::home::text;
use gm_integration_tests::{Ended, Home, Package, process};
use serde_json::Value;

fn check(package: &Package) -> Ended {
    Home::without_key().gm(&["plugin", "check", package.text()])
}

/// Code, severity and line of each finding but the remarks on what is not signed
/// and not described.
fn found(checked: &Ended) -> Vec<(&str, &str, u64)> {
    let findings = checked.records.iter();
    let findings = findings.filter(|record| record["schema"] == "gm.check/1");
    let told = findings.filter(|found| found["severity"] != "note");
    told.map(|found| {
        let text = |key: &str| found[key].as_str().unwrap();
        (
            text("code"),
            text("severity"),
            found["line"].as_u64().unwrap(),
        )
    })
    .collect()
}

#[test]
fn broad_requests_are_named_with_their_lines_and_do_not_fail() {
    let package = Package::of("observer")
        .permission("network", "true")
        .permission("filesystem", "{ read = [\"$REPO\", \"/home/ann/notes\"] }")
        .permission("memory_limit", "\"4gb\"");
    let line = |key| u64::try_from(package.line_of(key)).unwrap();
    let files = line("filesystem");

    let checked = check(&package);

    checked.expect_exit(0);
    assert_eq!(
        found(&checked),
        [
            ("check/network-any", "warning", line("network")),
            ("check/unused-permission", "warning", line("network")),
            ("check/repo-whole", "warning", files),
            ("check/home-path", "warning", files),
            ("check/unused-permission", "warning", files),
            ("check/much-memory", "warning", line("memory_limit")),
        ]
    );
    let result = checked.last();
    assert_eq!(
        (&result["warnings"], &result["errors"]),
        (&Value::from(6), &Value::from(0))
    );
    assert_eq!(result["signed"], false);
}

#[test]
fn request_that_is_never_granted_fails_the_check() {
    let package = Package::of("observer").permission("filesystem", "{ write = [\"$REPO/out\"] }");
    let checked = check(&package);
    checked.expect_exit(1);
    let line = u64::try_from(package.line_of("filesystem")).unwrap();
    assert_eq!(found(&checked)[0], ("check/write-elsewhere", "error", line));
    assert_eq!(checked.last()["schema"], "gm.result/1");
}

#[test]
fn code_that_can_not_be_what_the_manifest_says_fails_the_check() {
    let text = Package::with_code("com.test.text", b"(module)");
    let hookless = Package::of("missing-export");
    let compiled = Package::script("compiled", "lua", "\0asm\u{1}\0\0\0");
    for (package, code) in [
        (text, "check/not-this-kind"),
        (compiled, "check/not-this-kind"),
        (hookless, "check/missing-export"),
    ] {
        let checked = check(&package);
        checked.expect_exit(1);
        assert_eq!(found(&checked)[0].0, code);
    }
}

/// A module of Extism's kits: a memory, and functions of these names and this type.
fn kit(exports: &[&str], ty: &str) -> Package {
    let functions: String = exports
        .iter()
        .map(|name| format!("(func (export {name:?}) {ty} unreachable)"))
        .collect();
    // The names alone prove nothing.
    let module = format!(
        "(module (memory (export \"memory\") 1) (data \"count_all other gm_command\") {functions})"
    );
    Package::with_code("com.test.extism", &Package::assemble(&module))
        .abi("extism-1")
        .hooks(&[])
        .command("count-all")
        .command("other")
}

#[test]
fn a_command_without_its_export_fails_the_check_as_it_fails_the_load() {
    let home = Home::new();
    for (exports, key) in [
        (&["count_all"][..], "name = \"other\""),
        (&["other"], "name = \"count-all\""),
    ] {
        let package = kit(exports, "(result i32)");
        let checked = check(&package);
        checked.expect_exit(1);
        // The line of the table.
        let line = u64::try_from(package.line_of(key) - 1).unwrap();
        let expected = [("check/missing-export", "error", line)];
        assert_eq!(found(&checked), expected);
        home.sign(&package);
        let refused = home.try_load(&package);
        refused.expect_refused(14, "artifact/missing-export");
    }
    for exports in [&["count_all", "other"][..], &["gm_command"]] {
        let package = kit(exports, "(result i32)");
        check(&package).expect_exit(0);
        home.sign(&package);
        home.try_load(&package).expect_exit(0);
        home.gm(&["plugin", "unload", "com.test.extism"])
            .expect_exit(0);
    }
}

#[test]
fn an_export_of_another_type_is_told_by_the_load_alone() {
    let home = Home::new();
    let package = kit(&["count_all", "other"], "(param i32) (result i32)");
    check(&package).expect_exit(0);
    home.sign(&package);
    let load = home.try_load(&package);
    let refused = load.expect_refused(14, "artifact/missing-export");
    let detail = refused["detail"].as_str().unwrap();
    assert_eq!(detail, "count_all: must be (func (result i32))");
}

#[test]
fn permission_that_the_code_never_uses_is_named() {
    let package =
        Package::of("log-spoof").permission("host_api", "[\"log:write\", \"nodes:write\"]");
    let checked = check(&package);
    checked.expect_exit(0);
    let line = u64::try_from(package.line_of("host_api")).unwrap();
    assert_eq!(
        found(&checked),
        [("check/unused-permission", "warning", line)]
    );
}

#[test]
fn package_that_can_not_be_read_is_refused_with_its_code() {
    let missing = Package::of("observer").asset("words.txt", b"");
    std::fs::remove_file(missing.file("words.txt")).unwrap();
    check(&missing).expect_refused(14, "artifact/missing");
    let extra = Package::of("observer");
    std::fs::write(extra.file("more.txt"), b"").unwrap();
    check(&extra).expect_refused(14, "artifact/extra-file");
    let odd = Package::of("observer").permission("gpu", "true");
    let checked = check(&odd);
    let refused = checked.expect_refused(10, "manifest/unknown-key");
    assert_eq!(refused["manifest_line"], odd.line_of("gpu"));
}

#[test]
fn author_s_directory_stands_for_the_package_in_it() {
    let home = Home::new();
    let package = Package::of("observer");
    let project = home.beside("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("README.md"), b"not of the package").unwrap();
    std::fs::create_dir(project.join("package")).unwrap();
    for file in ["plugin.manifest.toml", "plugin.wasm"] {
        std::fs::copy(package.file(file), project.join("package").join(file)).unwrap();
    }
    let key = home.secret("key");
    home.gm(&["plugin", "check", text(&project)]).expect_exit(0);
    home.gm(&["gpg", "sign", text(&project), "--key", text(&key)])
        .expect_exit(0);
    home.gm(&["plugin", "load", text(&project)]).expect_exit(0);
}

#[test]
fn examples_pass_without_a_remark() {
    for id in ["co-change", "commit-lint", "commit-stats"] {
        let checked = check(&Package::example(&format!("com.example.{id}")));
        checked.expect_exit(0);
        assert_eq!(found(&checked), [], "{id}");
    }
}

#[test]
fn people_are_told_what_to_do() {
    let home = Home::without_key();
    let package = Package::of("observer").permission("network", "true");
    let checked = process::run(
        home.plain("gm").args(["plugin", "check", package.text()]),
        b"",
    );
    checked.expect_exit(0);
    let line = package.line_of("network");
    let told = format!(
        "warning line {line}: network = true asks for every public host (check/network-any)\n  name the hosts"
    );
    assert!(checked.stdout.contains(&told), "{}", checked.stdout);
}

#[test]
fn schema_is_printed_as_one_document() {
    let home = Home::without_key();
    let shown = process::run(home.plain("gm").args(["plugin", "schema"]), b"");
    shown.expect_exit(0);
    let schema: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let listed = home.gm(&["plugin", "schema"]);
    assert_eq!(listed.records[0], schema);
    assert_eq!(listed.last()["exit"], 0);
}
