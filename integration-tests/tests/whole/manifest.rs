//! Manifests that are refused: by code, at their line, before a signature is
//! looked at.

use gm_integration_tests::records::text;
use gm_integration_tests::{Ended, Home, Package};

/// Loads the observer with its manifest changed.
fn load(home: &Home, change: impl FnOnce(String) -> Vec<u8>) -> (Package, Ended) {
    let package = Package::of("observer");
    let changed = change(package.manifest());
    std::fs::write(package.file("plugin.manifest.toml"), changed).unwrap();
    let load = home.try_load(&package);
    (package, load)
}

#[test]
fn a_manifest_is_refused_by_code_and_line() {
    let home = Home::without_key();
    let id = "plugin_id = \"com.test.observer\"";
    let cases = [
        (
            "version = \"1.0.0\"",
            "version = ",
            "manifest/syntax",
            "version =",
        ),
        (
            "kind = \"wasm\"",
            "kind = \"wasm\"\nkin = \"wasm\"",
            "manifest/unknown-key",
            "kin =",
        ),
        (
            "name = ",
            "api_version = \"2.0\"\nname = ",
            "manifest/duplicate",
            "api_version",
        ),
        (
            "entrypoint = \"plugin.wasm\"\n",
            "",
            "manifest/missing-key",
            "[plugin]",
        ),
        (
            "[permissions]",
            "[permissions]\ntime_limit = \"5ms\"",
            "manifest/bad-value",
            "time_limit",
        ),
        (
            id,
            "plugin_id = \"Com.test\"",
            "manifest/bad-id",
            "plugin_id",
        ),
        (
            "\"FINGERPRINT\"",
            "\"0123abcd\"",
            "manifest/bad-fingerprint",
            "public_key",
        ),
        (
            "\"plugin.wasm\"",
            "\"../plugin.wasm\"",
            "manifest/bad-path",
            "entrypoint",
        ),
        (
            "version = \"1.0.0\"",
            "version = \"1.0\"",
            "manifest/bad-version",
            "version",
        ),
        (
            "signature = \"BASE64_GPG_SIG\"",
            "signature = 'AAAA'",
            "manifest/signature-form",
            "signature",
        ),
        (
            "api_version = \"2.0\"",
            "api_version = \"2.1\"",
            "manifest/api-version",
            "api_version",
        ),
    ];
    for (from, to, code, line) in cases {
        let (package, load) = load(&home, |text| text.replacen(from, to, 1).into_bytes());
        let refused = load.expect_refused(10, code);
        // A doubled key is refused where it stands the second time.
        let second = usize::from(code == "manifest/duplicate") * 3;
        let line = package.line_of(line) + second;
        assert_eq!(refused["manifest_line"], line, "{refused:#}");
        assert!(!text(refused, "remedy").contains('\n'));
    }
}

#[test]
fn bytes_that_are_no_manifest_are_refused() {
    let home = Home::without_key();
    let long = load(&home, |text| (text + &"#\n".repeat(33 << 10)).into_bytes()).1;
    let odd = load(&home, |text| [text.as_bytes(), b"# \xff\n"].concat()).1;
    let dos = load(&home, |text| text.replace('\n', "\r\n").into_bytes()).1;
    let package = Package::of("observer");
    std::fs::remove_file(package.file("plugin.manifest.toml")).unwrap();
    let none = home.try_load(&package);

    long.expect_refused(10, "manifest/too-big");
    odd.expect_refused(10, "manifest/not-utf8");
    dos.expect_refused(10, "manifest/syntax");
    none.expect_refused(10, "manifest/no-manifest");
}
