//! `gm plugin new`: what it writes builds, passes its check and its own cases.

use std::path::Path;

use gm_integration_tests::home::text;
use gm_integration_tests::process::{builder, is_there, run};
use gm_integration_tests::{Home, project, skip};

/// Writes a template beside a home, as its author would have it.
fn begun(home: &Home, kind: &str) -> std::path::PathBuf {
    let directory = home.beside(kind);
    let made = home.gm(&["plugin", "new", "--kind", kind, text(&directory)]);
    made.expect_exit(0);
    assert_eq!(made.last()["plugin"], format!("com.example.{kind}"));
    directory
}

/// Builds it with its own script.
fn build(directory: &Path, target: &str) {
    let mut build = builder("./build.sh", directory);
    let target = project().join("target/examples/templates").join(target);
    run(build.env("CARGO_TARGET_DIR", target), b"").expect_exit(0);
}

/// It is checked without error or warning, and passes its cases.
fn expect_good(home: &Home, directory: &Path, words: &[&str]) {
    let checked = home.gm(&["plugin", "check", text(directory)]);
    checked.expect_exit(0);
    let remarks = (&checked.last()["errors"], &checked.last()["warnings"]);
    assert_eq!(remarks, (&0.into(), &0.into()), "{checked:#?}");
    let tested = home.gm(&[&["plugin", "test", text(directory)], words].concat());
    tested.expect_exit(0);
    assert_eq!(tested.last()["cases"], 1, "{tested:#?}");
    let readme = std::fs::read_to_string(directory.join("README.md")).unwrap();
    assert!(readme.contains("gm plugin test ."), "{readme}");
}

#[test]
fn plugin_in_rust_is_begun_built_and_tested() {
    let home = Home::new();
    let directory = begun(&home, "wasm-rust");
    build(&directory, "wasm-rust");
    expect_good(&home, &directory, &[]);
}

#[test]
fn plugin_in_rust_may_use_the_sdk_where_it_lies() {
    let home = Home::new();
    let directory = home.beside("own-sdk");
    let sdk = project().join("sandbox-runner/plugin-sdk");
    let words = [
        "plugin",
        "new",
        "--kind",
        "wasm-rust",
        "--sdk",
        text(&sdk),
        "--id",
        "com.test.own-sdk",
    ];
    home.gm(&[&words[..], &[text(&directory)]].concat())
        .expect_exit(0);
    assert!(!directory.join("gm-plugin").exists());
    build(&directory, "own-sdk");
    expect_good(&home, &directory, &[]);
}

#[test]
fn plugin_in_c_is_begun_built_and_tested() {
    if skip::lacks("clang", is_there("clang") && is_there("wasm-ld")) {
        return;
    }
    let home = Home::new();
    let directory = begun(&home, "wasm-c");
    build(&directory, "wasm-c");
    expect_good(&home, &directory, &[]);
}

#[test]
fn plugin_in_assemblyscript_is_begun_built_and_tested() {
    if skip::lacks("npm", is_there("npm")) {
        return;
    }
    let home = Home::new();
    let directory = begun(&home, "wasm-assemblyscript");
    build(&directory, "wasm-assemblyscript");
    expect_good(&home, &directory, &[]);
}

#[test]
fn plugin_in_lua_is_begun_and_tested() {
    let home = Home::new();
    let directory = begun(&home, "lua");
    expect_good(&home, &directory, &[]);
}

#[test]
fn plugin_in_javascript_is_begun_and_tested() {
    let home = Home::new();
    let directory = begun(&home, "js");
    expect_good(&home, &directory, &[]);
}

#[test]
fn native_plugins_are_begun_built_and_tested_with_both_opt_ins() {
    for kind in ["native-c", "native-rust", "program-rust"] {
        let home = Home::new();
        let directory = begun(&home, kind);
        build(&directory, kind);
        let refused = home.gm(&["plugin", "test", text(&directory), "--allow-native"]);
        refused.expect_refused(17, "policy/native-disallowed");
        home.name_native(&[&format!("com.example.{kind}")]);
        let refused = home.gm(&["plugin", "test", text(&directory)]);
        refused.expect_refused(17, "policy/native-disallowed");
        expect_good(&home, &directory, &["--allow-native"]);
    }
}

#[test]
fn nothing_that_exists_is_overwritten() {
    let home = Home::new();
    let directory = begun(&home, "lua");
    let again = home.gm(&["plugin", "new", "--kind", "js", text(&directory)]);
    again.expect_refused(2, "usage/arguments");
    assert!(!directory.join("package/plugin.js").exists());
}
