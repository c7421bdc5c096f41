//! What is refused before anything starts: by its code, with a cause and a
//! remedy, and with nothing left behind.

use std::path::{Path, PathBuf};

use gm_integration_tests::home::text;
use gm_integration_tests::{Ended, Home, Package, Repository};

/// Refused at load: nothing is in the home afterwards, and a run starts nothing.
#[track_caller]
fn expect_refused_at_load(home: &Home, package: &Package, exit: i32, code: &str) -> Ended {
    let load = home.try_load(package);
    let refused = load.expect_refused(exit, code);
    let named = refused["plugin"].is_null() || refused["plugin"] == package.plugin();
    assert!(named, "{refused:#}");
    let installed = home
        .path()
        .join("plugins")
        .join(package.plugin())
        .join("current");
    assert!(!installed.exists(), "{} is there", installed.display());
    expect_nothing_runs(home);
    load
}

#[track_caller]
fn expect_nothing_runs(home: &Home) {
    let run = home.run(&Repository::of(1), &[]);
    run.expect_exit(0);
    run.expect_nothing_started();
}

/// Flips the lowest bit of the byte at `at`.
fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// The directory of the home in which a loaded package lies.
fn installed(home: &Home, package: &Package) -> PathBuf {
    let plugin = home.path().join("plugins").join(package.plugin());
    let current = std::fs::read_to_string(plugin.join("current")).unwrap();
    plugin.join(current.trim_end())
}

/// Makes a read-only file or directory writable, as its owner may.
fn make_writable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn an_untouched_package_of_a_trusted_key_loads_and_runs() {
    let home = Home::new();
    home.load(&Package::of("observer"));

    let run = home.run(&Repository::of(2), &[]);

    run.expect_exit(0);
    run.expect_ending("com.test.observer", "finished");
}

#[test]
fn an_unsigned_package_is_refused() {
    let home = Home::new();
    expect_refused_at_load(&home, &Package::of("observer"), 17, "policy/unsigned");
}

#[test]
fn no_option_or_variable_makes_an_unsigned_package_load() {
    let home = Home::new();
    let package = Package::of("observer");
    for option in ["--verify=false", "--no-verify", "--dev", "--insecure"] {
        let tried = home.gm(&["plugin", "load", package.text(), option]);
        tried.expect_refused(2, "usage/arguments");
    }
    let mut command = home.json("gm");
    command.args(["plugin", "load", package.text()]);
    command.envs([("GM_VERIFY", "0"), ("GM_DEV", "1"), ("GM_INSECURE", "1")]);
    let tried = gm_integration_tests::process::run(&mut command, b"");
    tried.expect_refused(17, "policy/unsigned");
}

#[test]
fn a_key_that_nobody_trusts_is_refused_and_named() {
    let home = Home::new();
    let stranger = home.make_key("stranger");
    let package = Package::of("observer");
    let secret = home.secret("stranger");
    home.gm(&["gpg", "sign", package.text(), "--key", text(&secret)])
        .expect_exit(0);

    let load = expect_refused_at_load(&home, &package, 12, "key/unknown-signer");

    let said = load.refused()["detail"].as_str().unwrap();
    assert!(
        said.contains(&stranger),
        "the full fingerprint is not in {said:?}"
    );
}

#[test]
fn a_key_may_not_sign_for_an_id_outside_its_namespaces() {
    let home = Home::without_key();
    let fingerprint = home.make_key("key");
    home.trust("key", &fingerprint, &["com.other.*"]);
    let package = Package::of("observer");
    home.sign(&package);
    expect_refused_at_load(&home, &package, 13, "identity/namespace-denied");
}

#[test]
fn an_id_stays_with_the_key_that_it_came_with() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let second = home.make_key("second");
    // A longer pattern than the first key's, so that it is the one that counts.
    home.trust("second", &second, &["com.test.observer"]);
    let package = Package::of("observer").version("1.1.0");
    let secret = home.secret("second");
    home.gm(&["gpg", "sign", package.text(), "--key", text(&secret)])
        .expect_exit(0);

    let load = home.try_load(&package);

    load.expect_refused(13, "identity/pin-changed");
}

#[test]
fn an_older_version_than_one_seen_before_is_refused() {
    let home = Home::new();
    home.load(&Package::of("observer").version("1.2.0"));
    let package = Package::of("observer").version("1.1.9");
    home.sign(&package);
    home.try_load(&package)
        .expect_refused(13, "identity/version-rollback");
}

#[test]
fn a_bit_flipped_in_the_code_after_signing_is_refused() {
    let home = Home::new();
    let package = Package::of("observer");
    home.sign(&package);
    let code = package.file("plugin.wasm");
    flip(&code, std::fs::read(&code).unwrap().len() / 2);
    expect_refused_at_load(&home, &package, 11, "signature/bad-signature");
}

#[test]
fn a_word_changed_in_the_manifest_after_signing_is_refused() {
    let home = Home::new();
    let package = Package::of("observer");
    home.sign(&package);
    // Still a valid manifest, so that nothing but the signature can object.
    let changed = package
        .manifest()
        .replace("A test's plugin", "A fest's plugin");
    std::fs::write(package.file("plugin.manifest.toml"), changed).unwrap();
    expect_refused_at_load(&home, &package, 11, "signature/bad-signature");
}

#[test]
fn a_file_added_to_a_signed_package_is_refused() {
    let home = Home::new();
    let package = Package::of("observer");
    home.sign(&package);
    std::fs::write(package.file("more.txt"), "more").unwrap();
    expect_refused_at_load(&home, &package, 14, "artifact/extra-file");
}

#[test]
fn a_link_in_a_package_is_not_followed() {
    let home = Home::new();
    let package = Package::of("observer");
    home.sign(&package);
    let code = package.file("plugin.wasm");
    let elsewhere = home.beside("elsewhere.wasm");
    std::fs::rename(&code, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &code).unwrap();
    let load = home.try_load(&package);
    load.expect_exit(14);
    let code = load.refused()["code"].as_str().unwrap();
    assert!(
        ["artifact/unsafe-path", "artifact/not-regular"].contains(&code),
        "{code}"
    );
}

#[test]
fn an_installed_file_that_was_changed_is_refused_at_the_next_run() {
    let home = Home::new();
    let package = Package::of("observer");
    home.load(&package);
    home.load(&Package::of("hook-error"));
    let directory = installed(&home, &package);
    let code = directory.join("plugin.wasm");
    make_writable(&directory);
    make_writable(&code);
    flip(&code, 40);

    let run = home.run(&Repository::of(1), &[]);

    let refused = run.expect_refused(14, "artifact/digest-mismatch");
    assert_eq!(refused["plugin"], package.plugin());
    assert!(run.of(package.plugin(), "started").is_empty(), "{run:#?}");
    // The other one is not hurt by it.
    run.expect_ending("com.test.hook-error", "finished");
}

#[test]
fn another_api_version_is_refused_with_both_versions() {
    let home = Home::new();
    let package = Package::of("observer").api("3.0");
    let load = home.try_load(&package);
    let refused = load.expect_refused(10, "manifest/api-version");
    let said = refused["detail"].as_str().unwrap().to_owned() + &refused["rule"].to_string();
    assert!(said.contains("3.0") && said.contains("2.0"), "{said}");
    assert_eq!(refused["manifest_line"], package.line_of("api_version"));
}

#[test]
fn native_code_is_refused_without_the_operators_word() {
    let home = Home::new();
    let package = Package::with_code("com.test.native", b"\x7fELF\x02\x01\x01").kind("native");
    home.sign(&package);
    expect_refused_at_load(&home, &package, 17, "policy/native-disallowed");
}

#[test]
fn bytes_that_are_no_wasm_are_refused() {
    let home = Home::new();
    let cases: [(&str, &[u8]); 5] = [
        ("text", b"(module)"),
        ("elf", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"),
        ("empty", b""),
        ("compiled", b"wasmer-universal\0\0\0\0"),
        ("component", b"\0asm\x0d\0\x01\0"),
    ];
    for (name, code) in cases {
        let package = Package::with_code(&format!("com.test.{name}"), code);
        home.sign(&package);
        expect_refused_at_load(&home, &package, 14, "artifact/not-wasm");
    }
}

#[test]
fn malformed_wasm_is_refused() {
    let home = Home::new();
    let whole = std::fs::read(Package::of("observer").file("plugin.wasm")).unwrap();
    let cut = &whole[..whole.len() - 7];
    let section: &[u8] = b"\0asm\x01\0\0\0\x0a\xff\xff\xff\xff\x0f";
    for (name, code) in [("cut", cut), ("section", section)] {
        let package = Package::with_code(&format!("com.test.{name}"), code);
        home.sign(&package);
        expect_refused_at_load(&home, &package, 14, "artifact/malformed-code");
    }
}

#[test]
fn an_import_that_the_manifest_does_not_ask_for_is_refused_with_the_line_to_add() {
    let home = Home::new();
    let package = Package::of("ungranted-import");
    home.sign(&package);
    let load = expect_refused_at_load(&home, &package, 17, "policy/import-not-granted");
    let said = load.refused()["detail"].as_str().unwrap();
    assert!(
        said.contains("node_put") && said.contains("nodes:write"),
        "{said}"
    );
}

#[test]
fn the_same_import_loads_with_its_permission() {
    let home = Home::new();
    home.load(&Package::of("ungranted-import").permission("host_api", "[\"nodes:write\"]"));
}

#[test]
fn imports_and_exports_are_checked_by_name_and_type() {
    let home = Home::new();
    for (name, code) in [
        ("unknown-import", "artifact/import-unknown"),
        ("extism-import", "artifact/import-unknown"),
        ("import-type", "artifact/import-type"),
        ("missing-export", "artifact/missing-export"),
    ] {
        let package = Package::of(name);
        home.sign(&package);
        expect_refused_at_load(&home, &package, 14, code);
    }
}

#[test]
fn a_memory_limit_below_what_the_code_needs_is_refused_with_the_number() {
    let home = Home::new();
    // 8 MiB of data: the compiled code is more than the engine's reserve leaves.
    let data = "x".repeat(8 << 20);
    let module = wat_of_data(&data);
    let package =
        Package::with_code("com.test.large", &module).permission("memory_limit", "\"16mb\"");
    home.sign(&package);
    let load = expect_refused_at_load(&home, &package, 17, "policy/limit-too-small");
    let said = load.refused()["detail"].as_str().unwrap();
    assert!(said.contains(|c: char| c.is_ascii_digit()), "{said}");
}

fn wat_of_data(data: &str) -> Vec<u8> {
    let source = format!(
        r#"(module
          (memory (export "memory") 160)
          (data (i32.const 4096) "{data}")
          (func (export "gm_alloc") (param i32) (result i32) (i32.const 16))
          (func (export "on_commit_analyzed") (param i32 i32) (result i32) (i32.const 0)))"#
    );
    Package::assemble(&source)
}

#[test]
fn a_plugin_that_is_not_loaded_can_not_be_run() {
    let home = Home::new();
    let run = home.run(&Repository::of(1), &["com.test.nobody"]);
    run.expect_refused(2, "usage/unknown-plugin");
    run.expect_nothing_started();
}

#[test]
fn a_disabled_plugin_is_not_run_and_says_so_when_it_is_named() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home.gm(&["plugin", "disable", "com.test.observer"])
        .expect_exit(0);
    expect_nothing_runs(&home);
    let run = home.run(&Repository::of(1), &["com.test.observer"]);
    run.expect_refused(17, "policy/disabled");
    run.expect_nothing_started();
}

#[test]
fn a_revoked_id_never_runs_again() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home.gm(&["plugin", "revoke", "com.test.observer"])
        .expect_exit(0);
    let run = home.run(&Repository::of(1), &["com.test.observer"]);
    run.expect_refused(16, "revoked/local");
    run.expect_nothing_started();
    let newer = Package::of("observer").version("1.0.1");
    home.sign(&newer);
    home.try_load(&newer).expect_refused(16, "revoked/local");
}

#[test]
fn a_home_that_others_can_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.load(&Package::of("observer"));
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let run = home.run(&Repository::of(1), &[]);
    run.expect_refused(18, "store/unsafe-permissions");
    run.expect_nothing_started();
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o700)).unwrap();
    home.run(&Repository::of(1), &[]).expect_exit(0);
}

#[test]
fn a_wrong_key_in_the_configuration_is_refused_before_anything_starts() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    for (more, code) in [
        ("[grants]\nfilesystems = false\n", "config/unknown-key"),
        ("[isolation]\nmin = \"L1\"\n", "config/bad-value"),
        ("[limits\n", "config/syntax"),
    ] {
        home.write_config(more);
        let run = home.run(&Repository::of(1), &[]);
        run.expect_refused(2, code);
        run.expect_nothing_started();
    }
}
