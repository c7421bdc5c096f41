//! What `broker.toml` says, what it may not say, and what its absence means.

use std::os::unix::fs::PermissionsExt as _;

use gm_manifest::{Bytes, HostPermission, Network};

use super::*;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Every key with its default, as the documentation shows them.
const DEFAULTS: &str = r#"
schema        = "gm.broker/1"
run_as        = ""
allow_native  = []
[isolation]
min           = "L4"
uids          = [1900000000, 4096]
cgroup_parent = ""
[ceilings]
memory  = "512mb"
time    = "60s"
cpu     = "100%"
storage = "64mb"
[source]
trust = []
[grants]
filesystem = { read = ["$REPO", "$DATA", "$ASSETS"], write = ["$DATA"] }
network    = false
host_api   = ["log:write", "nodes:read", "nodes:write", "edges:read", "edges:write", "config:read", "events:emit"]
[limits]
plugins       = 64
reserve       = "256mb"
event         = "1mb"
reply         = "1mb"
log_lines     = 200
log_flood     = 20000
log_file      = "10mb"
cache         = "1gb"
compile_time  = "60s"
compile_memory = "512mb"
frames        = 20000
bytes         = "64mb"
derived       = 10000
[restart]
max     = 3
backoff = "100ms"
[http]
timeout = "10s"
body    = "1mb"
redirects = 3
allow_private = []
[blacklist]
source = ""
"#;

fn id(text: &str) -> PluginId {
    PluginId::parse(text).unwrap()
}

fn refused(text: &str) -> (Code, String) {
    let refusal = parse(text).unwrap_err();
    assert_eq!(refusal.exit(), 2);
    (refusal.code, refusal.detail)
}

#[test]
fn the_documented_defaults_are_those_of_an_absent_file() {
    let mut written = parse(DEFAULTS).unwrap();
    assert_eq!(written.ceilings.memory.line.unwrap(), 10);
    assert_eq!(written.grants.network.line.unwrap(), 18);
    let absent = Config::default();
    assert_eq!(written.ceilings.memory.value, absent.ceilings.memory.value);
    assert_eq!(written.ceilings.time.value, absent.ceilings.time.value);
    assert_eq!(written.ceilings.cpu.value, absent.ceilings.cpu.value);
    assert_eq!(
        written.ceilings.storage.value,
        absent.ceilings.storage.value
    );
    assert_eq!(
        written.grants.filesystem.value,
        absent.grants.filesystem.value
    );
    assert_eq!(written.grants.network.value, absent.grants.network.value);
    assert_eq!(written.grants.host_api.value, absent.grants.host_api.value);
    assert_eq!(
        written.limits.compile_memory.value,
        absent.limits.compile_memory.value
    );
    assert_eq!(
        written.limits.compile_time.value,
        absent.limits.compile_time.value
    );
    written.limits.compile_memory = absent.limits.compile_memory;
    written.limits.compile_time = absent.limits.compile_time;
    assert_eq!(written.http.timeout.value, absent.http.timeout.value);
    assert_eq!(written.http.body.value, absent.http.body.value);
    assert_eq!(written.http.redirects.value, absent.http.redirects.value);
    written.http = absent.http.clone();
    written.ceilings = absent.ceilings.clone();
    written.grants = absent.grants.clone();
    assert_eq!(written, absent);
    assert_eq!(parse("").unwrap(), absent);
}

#[test]
fn an_exception_replaces_only_what_it_names_and_shadows_config() {
    let config = parse(
        r#"
[plugins."com.example.bot"]
network = { hosts = ["api.example.com:443"] }
memory_limit = "64mb"
[plugins."com.example.bot".config]
"lint.max_subject" = 60
[config]
"lint.max_subject" = 72
"lint.words" = ["fix", "feat"]
strict = true
"#,
    )
    .unwrap();
    let bot = &config.plugins[&id("com.example.bot")];
    assert!(
        matches!(&bot.rules.network.as_ref().unwrap().value, Network::Hosts(hosts) if hosts.len() == 1)
    );
    assert_eq!(bot.rules.memory_limit.unwrap().value, Bytes::mb(64));
    assert_eq!(bot.rules.memory_limit.unwrap().line.unwrap(), 4);
    assert!(bot.rules.host_api.is_none() && bot.rules.filesystem.is_none());
    assert_eq!(
        config.values_of(&id("com.example.bot"))["lint.max_subject"],
        60
    );
    let other = config.values_of(&id("com.example.other"));
    assert_eq!(other["lint.max_subject"], 72);
    assert_eq!(other["lint.words"], serde_json::json!(["fix", "feat"]));
    assert_eq!(other["strict"], true);
}

#[test]
fn addresses_that_may_be_asked_are_written_with_their_port() {
    let text = "[http]\nallow_private = [\"127.0.0.1:8080\", \"[::1]:8080\"]\ntimeout = \"3s\"";
    let http = parse(text).unwrap().http;
    let shown: Vec<String> = http.allow_private.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["127.0.0.1:8080", "[::1]:8080"]);
    assert_eq!(
        (http.timeout.value.get(), http.timeout.line),
        (3000, Some(3))
    );
}

#[test]
fn an_empty_list_is_deny_all() {
    let config =
        parse("[grants]\nhost_api = []\nnetwork = { hosts = [] }\nfilesystem = { read = [] }\n")
            .unwrap();
    assert!(config.grants.host_api.value.is_empty());
    assert_eq!(config.grants.network.value, Network::Hosts(vec![]));
    let filesystem = &config.grants.filesystem.value;
    assert!(filesystem.read.is_empty() && filesystem.write.is_empty());
    let absent = Config::default().grants;
    assert_eq!(absent.host_api.value.len(), HostPermission::ALL.len());
}

#[test]
fn unknown_keys_are_refused_with_their_line_wherever_they_stand() {
    for (text, line, key) in [
        ("shema = \"x\"", 1, "shema"),
        ("\n[isolation]\nmax = \"L4\"", 3, "isolation.max"),
        ("[http]\nproxy = \"x\"", 2, "http.proxy"),
        (
            "[grants]\nfilesystem = { exec = [] }",
            2,
            "grants.filesystem.exec",
        ),
        ("[plugins.\"com.a.b\"]\nmemory = \"1mb\"", 2, "memory"),
        ("[limits]\nplugin = 1", 2, "limits.plugin"),
    ] {
        let (code, detail) = refused(text);
        assert_eq!(code, Code::ConfigUnknownKey, "{text}");
        assert!(
            detail.contains(&format!("line {line}:")) && detail.contains(key),
            "{detail}"
        );
    }
}

#[test]
fn doubled_keys_and_broken_syntax_are_refused_with_their_line() {
    for (text, line) in [
        ("run_as = \"\"\nrun_as = \"\"", 2),
        ("[isolation]\n[isolation]", 2),
        ("\n\nx = ", 3),
    ] {
        let (code, detail) = refused(text);
        assert_eq!(code, Code::ConfigSyntax, "{text}");
        assert!(detail.contains(&format!("line {line}:")), "{detail}");
    }
}

#[test]
fn values_out_of_type_or_range_are_refused() {
    for text in [
        "schema = \"gm.broker/2\"",
        "run_as = \"no-such-user-here\"",
        "run_as = \"0\"",
        "run_as = \"root\"",
        "run_as = 1000",
        "allow_native = [\"com\"]",
        "allow_native = [\"com.a.b\", \"com.a.b\"]",
        "isolation = 4",
        "[isolation]\nmin = \"L1\"",
        "[isolation]\nmin = \"l4\"",
        "[isolation]\nuids = [99999, 10]",
        "[isolation]\nuids = [4294967295, 1]",
        "[isolation]\nuids = [4294967290, 6]",
        "[isolation]\nuids = [1900000000, 0]",
        "[isolation]\nuids = [1900000000]",
        "[isolation]\ncgroup_parent = \"gm\"",
        "[isolation]\ncgroup_parent = \"/a/../b\"",
        "[ceilings]\nmemory = \"512MB\"",
        "[ceilings]\ntime = \"11m\"",
        "[ceilings]\ncpu = \"101%\"",
        "[source]\ntrust = [\"relative\"]",
        "[grants]\nnetwork = \"all\"",
        "[grants]\nfilesystem = true",
        "[grants]\nfilesystem = { read = [\"$HOME\"] }",
        "[grants]\nhost_api = [\"nodes:all\"]",
        "[plugins.bot]\nnetwork = false",
        "[config]\nlint.max = 1",
        "[config]\n\"lint.*\" = 1",
        "[config]\nx = 1.5",
        "[config]\nx = [1]",
        "[config]\nx = 9007199254740992",
        "[limits]\nplugins = 0",
        "[limits]\nplugins = \"64\"",
        "[limits]\nevent = \"17mb\"",
        "[limits]\nlog_file = \"1023kb\"",
        "[restart]\nmax = -1",
        "[http]\ntimeout = \"1ms\"",
        "[http]\nbody = \"17mb\"",
        "[http]\nredirects = 21",
        "[http]\nallow_private = [\"127.0.0.1\"]",
        "[http]\nallow_private = [\"127.0.0.1:0\"]",
        "[http]\nallow_private = [\"localhost:80\"]",
        "[http]\nallow_private = [\"127.1:80\"]",
        "[http]\nallow_private = \"127.0.0.1:80\"",
    ] {
        let (code, detail) = refused(text);
        assert_eq!(code, Code::ConfigBadValue, "{text}: {detail}");
        assert!(detail.starts_with("broker.toml line "), "{detail}");
    }
}

#[test]
fn a_file_that_others_may_write_is_no_configuration() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join(CONFIG_FILE);
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let refusal = crate::home::open(temp.path()).map(|_| ()).unwrap_err();
    assert_eq!((refusal.code, refusal.exit()), (Code::ConfigBadValue, 2));
}

proptest! {
    #[test]
    fn a_spoiled_configuration_is_read_or_refused_with_a_code_of_its_class(
        at in any::<Index>(),
        gone in 0usize..12,
        word in prop_oneof![
            select(vec!["\"", "'", "[", "]", "{", "}", "=", ".", "#", "\n", "-1", "0", "99999999999999999999", "[grants]\n", "true"])
                .prop_map(str::to_owned),
            "\\PC{0,12}",
        ],
    ) {
        let mut text = DEFAULTS.to_owned();
        let start = at.index(text.len());
        text.replace_range(start..(start + gone).min(text.len()), &word);
        if let Err(refusal) = parse(&text) {
            prop_assert_eq!(refusal.code.class(), "config");
            prop_assert!(!refusal.detail.is_empty());
        }
    }
}
