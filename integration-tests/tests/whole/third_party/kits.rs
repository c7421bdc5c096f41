//! Plugins of Extism's kits: one that others published, and one that is built with
//! the published kit for Rust.

use gm_integration_tests::records::text;
use gm_integration_tests::server::Server;
use gm_integration_tests::{Home, Package};
use serde_json::{Value, json};

use super::{EVENT, ID, Library, PLAIN, bytes, refused, registries_lacking};

/// What the operator allows in these tests.
const GRANTS: &str = "[grants]\nnetwork = true\nhost_api = [\"log:write\", \"config:read\"]\n";

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
        "{GRANTS}[config]\n\"kit.greeting\" = \"hello\"\n[http]\nallow_private = [{:?}]\n",
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
    home.configure(GRANTS);
    home.load(&kit().permission("network", "{ hosts = [\"a.example:443\"] }"));
    let ended = home.gm(&["plugin", "run", ID, "shout", "--", "hello there"]);
    ended.expect_exit(0);
    assert_eq!(text(ended.last(), "text"), "HELLO THERE");
}

/// What the published plugin needs besides its code.
fn granted(package: Package) -> Package {
    package
        .abi("extism-1")
        .permission("time_limit", "\"10s\"")
        .permission("host_api", "[\"log:write\", \"config:read\"]")
        .permission("config", "[\"a.b\"]")
        .permission("network", "{ hosts = [\"a.example:443\"] }")
}

#[test]
fn a_published_plugin_of_extism_takes_a_script_as_its_command() {
    if registries_lacking() {
        return;
    }
    let home = Home::new();
    home.configure(GRANTS);
    let package = Package::with_code(ID, &bytes("func-gen.wasm"))
        .hooks(&[])
        .command("register-function");
    home.load(&granted(package));
    let script = "module.exports = (text) => text";
    let ended = home.gm(&["plugin", "run", ID, "register-function", "--", script]);
    ended.expect_exit(0);
    assert_eq!(ended.last()["status"], 0);
}

#[test]
fn a_published_plugin_of_extism_runs_a_script_and_gives_its_answer() {
    if registries_lacking() {
        return;
    }
    let home = Home::new();
    home.configure(GRANTS);
    let script = "module.exports = (text) => JSON.stringify({
        text: text.split('').reverse().join(''), sum: [1, 2, 3].reduce((a, b) => a + b) })";
    let joined = Library {
        wasm: "func-gen.wasm",
        driver: "func-gen.wat",
        texts: &[("script", script), ("input", "desserts")],
        ..PLAIN
    }
    .joined();
    home.load(&granted(Package::with_code(ID, &joined)));
    let run = home.run_events(EVENT, &["--logs"]);
    run.expect_exit(0);
    let reply = run.replies(ID, "on_commit_analyzed")[0];
    assert_eq!(reply["reply"], json!({"text": "stressed", "sum": 6}));
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
