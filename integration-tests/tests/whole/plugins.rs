//! The plugins of a home: what is loaded, tried, suspended, and ended while it
//! runs.

use std::time::{Duration, Instant};

use gm_integration_tests::home::text;
use gm_integration_tests::kernel::Process;
use gm_integration_tests::records::{events, number};
use gm_integration_tests::{Home, Live, Package, Repository, process};
use rustix::process::Signal;
use serde_json::Value;
use sha2::{Digest, Sha256};

const OBSERVER: &str = "com.test.observer";
const OTHER: &str = "com.test.other";
const EVENT: &str = r#"{"hook":"on_commit_analyzed","data":{}}"#;

/// What the operator's word may take to reach a plugin's process.
const SOON: Duration = Duration::from_secs(1);

/// Two plugins that wait for an event.
struct Scene {
    live: Live,
    home: Home,
    observer: Process,
    other: Process,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        home.load(&Package::of("observer"));
        home.load(&Package::of("observer").id(OTHER));
        let mut live = home.start_events(&[]);
        let [observer, other] = [OBSERVER, OTHER].map(|id| {
            let started = live.wait_for("a start", |record| {
                record["event"] == "started" && record["plugin"] == id
            });
            Process::find(u32::try_from(number(&started, "pid")).unwrap()).unwrap()
        });
        Self {
            live,
            home,
            observer,
            other,
        }
    }

    /// The word ends the observer within a second and leaves the other alone.
    fn expect_ended_by(mut self, words: &[&str], ending: &str, exit: i32) {
        let begun = Instant::now();
        let said = self.home.gm(words);
        let took = begun.elapsed();

        said.expect_exit(0);
        assert!(took < SOON, "{words:?} took {took:?}");
        assert!(!self.observer.lives(), "it outlived {words:?}");
        assert!(self.other.lives());
        self.live.write_line(EVENT);
        let run = self.live.finish();
        run.expect_exit(exit);
        run.expect_ending(OBSERVER, ending);
        run.expect_ending(OTHER, "finished");
        assert_eq!(run.replies(OTHER, "on_commit_analyzed").len(), 1);
    }
}

#[test]
fn revoked_id_ends_where_it_runs() {
    let scene = Scene::new();
    scene.expect_ended_by(&["plugin", "revoke", OBSERVER], "revoked", 16);
}

#[test]
fn disabled_plugin_ends_where_it_runs() {
    let scene = Scene::new();
    scene.expect_ended_by(&["plugin", "disable", OBSERVER], "killed_by_operator", 1);
}

#[test]
fn unloaded_plugin_ends_where_it_runs() {
    let scene = Scene::new();
    scene.expect_ended_by(&["plugin", "unload", OBSERVER], "killed_by_operator", 1);
}

#[test]
fn revocation_works_in_safe_mode_and_in_a_damaged_store() {
    let scene = Scene::new();
    let keys = scene.home.path().join("trust/keys.toml");
    std::fs::write(&keys, "damaged").unwrap();
    let state = scene
        .home
        .path()
        .join(format!("plugins/{OBSERVER}/state.toml"));
    std::fs::write(&state, "damaged").unwrap();
    let words = ["--safe-mode", "plugin", "revoke", OBSERVER];
    scene.expect_ended_by(&words, "revoked", 16);
}

#[test]
fn trust_is_taken_away_whatever_is_written_in_the_configuration() {
    let scene = Scene::new();
    std::fs::write(scene.home.path().join("broker.toml"), "bad =").unwrap();
    scene.expect_ended_by(&["plugin", "revoke", OBSERVER], "revoked", 16);
}

#[test]
fn revocation_of_a_run_that_does_not_answer_is_recorded_as_one() {
    let scene = Scene::new();
    scene.live.signal(Signal::STOP);
    let said = scene.home.gm(&["plugin", "revoke", OBSERVER]);
    let lives = scene.observer.lives();
    scene.live.signal(Signal::CONT);
    said.expect_exit(0);
    assert!(!lives);
    let run = scene.live.finish();
    run.expect_exit(16);
    run.expect_ending(OBSERVER, "revoked");
    run.expect_ending(OTHER, "finished");
}

#[test]
fn revoked_file_or_key_ends_every_plugin_that_has_it() {
    let code = std::fs::read(Package::of("observer").file("plugin.wasm")).unwrap();
    let hex: String = Sha256::digest(&code)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for by_key in [false, true] {
        let scene = Scene::new();
        let target = match by_key {
            true => scene.home.fingerprint().to_owned(),
            false => format!("sha256:{hex}"),
        };
        let said = scene.home.gm(&["plugin", "revoke", &target]);
        said.expect_exit(0);
        assert_eq!(said.last()["ended"], 2, "{target}");
        assert!(!scene.observer.lives() && !scene.other.lives(), "{target}");
        let run = scene.live.finish();
        run.expect_exit(16);
        run.expect_ending(OBSERVER, "revoked");
        run.expect_ending(OTHER, "revoked");
        let again = scene.home.run(&Repository::of(1), &[OTHER]);
        again.expect_refused(16, "revoked/local");
        again.expect_nothing_started();
    }
}

#[test]
fn key_that_is_trusted_no_longer_ends_its_plugins() {
    let scene = Scene::new();
    let fingerprint = scene.home.fingerprint().to_owned();
    let said = scene.home.gm(&["gpg", "trust", "remove", &fingerprint]);
    said.expect_exit(0);
    assert!(!scene.observer.lives() && !scene.other.lives());
    scene.live.finish().expect_exit(16);
    let again = scene.home.run(&Repository::of(1), &[OTHER]);
    again.expect_refused(12, "key/unknown-signer");
}

#[test]
fn broker_that_does_not_answer_can_not_keep_a_revoked_plugin_alive() {
    let scene = Scene::new();
    scene.live.signal(rustix::process::Signal::STOP);
    let begun = Instant::now();
    scene
        .home
        .gm(&["plugin", "revoke", OBSERVER])
        .expect_exit(0);
    let took = begun.elapsed();
    let dead = !scene.observer.lives();
    scene.live.signal(rustix::process::Signal::CONT);
    assert!(dead, "it lives");
    assert!(took < SOON + Duration::from_millis(500), "{took:?}");
    let run = scene.live.finish();
    run.expect_ending(OTHER, "finished");
}

#[test]
fn repeated_words_change_nothing_and_unknown_ids_are_refused() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    for words in [
        ["plugin", "enable", OBSERVER],
        ["plugin", "disable", OBSERVER],
        ["plugin", "revoke", OBSERVER],
        ["plugin", "unload", OBSERVER],
    ] {
        home.gm(&words).expect_exit(0);
        let again = home.gm(&words);
        again.expect_exit(0);
        assert_eq!(again.last()["changed"], false, "{words:?}");
    }
    for verb in ["enable", "disable", "unload", "info", "logs"] {
        let refused = home.gm(&["plugin", verb, "com.test.nobody"]);
        refused.expect_refused(2, "usage/unknown-plugin");
    }
}

#[test]
fn what_was_revoked_is_never_called_enabled() {
    for target in ["id", "key"] {
        let home = Home::new();
        home.load(&Package::of("observer"));
        let target = match target {
            "id" => OBSERVER,
            _ => home.fingerprint(),
        };
        home.gm(&["plugin", "revoke", target]).expect_exit(0);
        let enabled = home.gm(&["plugin", "enable", OBSERVER]);
        let refused = enabled.expect_refused(16, "revoked/local");
        assert_eq!(refused["plugin"], OBSERVER);
        let listed = home.gm(&["plugin", "list"]);
        assert_eq!(listed.records[0]["state"], "revoked");
    }
}

#[test]
fn loading_the_same_package_again_changes_nothing() {
    let home = Home::new();
    let package = Package::of("observer");
    home.load(&package);
    let again = home.try_load(&package);
    again.expect_exit(0);
    assert_eq!(again.last()["changed"], false);
}

#[test]
fn package_loaded_as_disabled_is_not_run() {
    let home = Home::new();
    let package = Package::of("observer");
    home.sign(&package);
    home.gm(&["plugin", "load", package.text(), "--disabled"])
        .expect_exit(0);
    let run = home.run(&Repository::of(1), &[]);
    run.expect_exit(0);
    run.expect_nothing_started();
}

#[test]
fn more_permissions_are_loaded_only_with_their_digest() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let wider = Package::of("observer")
        .version("1.1.0")
        .permission("host_api", "[\"log:write\"]");
    home.sign(&wider);
    let load = home.try_load(&wider);
    let refused = load.expect_refused(17, "policy/permission-increase");
    let rule = refused["rule"].as_str().unwrap();
    let digest = rule.rsplit(' ').next().unwrap();
    let accepted = home.gm(&[
        "plugin",
        "load",
        wider.text(),
        "--accept-permissions",
        digest,
    ]);
    accepted.expect_exit(0);
    assert_eq!(accepted.last()["version"], "1.1.0");
}

#[test]
fn list_and_info_tell_state_grant_and_files() {
    let home = Home::new();
    let package = Package::of("observer")
        .asset("words.txt", b"a few words")
        .permission("host_api", "[\"log:write\"]")
        .permission("network", "{ hosts = [\"api.example.com:443\"] }");
    home.load(&package);

    let listed = home.gm(&["--safe-mode", "plugin", "list"]);
    let info = home.gm(&["plugin", "info", OBSERVER]);

    let of = |records: &[Value]| -> Value {
        let mut plugins = records
            .iter()
            .filter(|record| record["schema"] == "gm.plugin/1");
        plugins.next().unwrap().clone()
    };
    let plugin = of(&listed.records);
    assert_eq!(plugin["id"], OBSERVER);
    assert_eq!(plugin["state"], "enabled");
    assert_eq!(plugin["key"], home.fingerprint());
    assert_eq!(plugin["hooks"], serde_json::json!(["on_commit_analyzed"]));
    let plugin = of(&info.records);
    assert_eq!(
        plugin["granted"]["host_api"],
        serde_json::json!(["log:write"])
    );
    assert_eq!(plugin["refused"][0]["asked"], "network");
    let paths: Vec<_> = plugin["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| &file["path"])
        .collect();
    assert_eq!(paths, ["plugin.wasm", "words.txt"]);
    assert!(plugin["signed_at"].is_string());
}

#[test]
fn damaged_plugin_is_listed_as_damaged_and_hurts_no_other() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home.load(&Package::of("observer").id(OTHER));
    let current = home.path().join(format!("plugins/{OBSERVER}/current"));
    std::fs::write(&current, "../../../etc\n").unwrap();

    let listed = home.gm(&["plugin", "list"]);
    let run = home.run(&Repository::of(1), &[]);

    listed.expect_exit(0);
    let states: Vec<_> = listed
        .records
        .iter()
        .filter_map(|record| record["state"].as_str())
        .collect();
    assert_eq!(states, ["damaged", "enabled"]);
    run.expect_refused(18, "store/corrupt");
    run.expect_ending(OTHER, "finished");
}

#[test]
fn crash_loop_ends_in_quarantine_until_somebody_enables_the_plugin() {
    let home = Home::new();
    home.configure("[restart]\nbackoff = \"10ms\"\n");
    home.load(&Package::of("init-trap"));
    let repository = Repository::of(1);

    let first = home.run(&repository, &[]);
    let passed_over = home.run(&repository, &[]);
    let named = home.run(&repository, &["com.test.init-trap"]);
    home.gm(&["plugin", "enable", "com.test.init-trap"])
        .expect_exit(0);
    let enabled = home.run(&repository, &[]);

    first.expect_exit(1);
    assert_eq!(events(&first.records, "ended").len(), 4, "{first:#?}");
    assert_eq!(events(&first.records, "quarantined").len(), 1);
    passed_over.expect_exit(0);
    passed_over.expect_nothing_started();
    named.expect_refused(17, "policy/quarantined");
    assert_eq!(events(&enabled.records, "ended").len(), 4);
}

#[test]
fn author_tries_an_unsigned_package_and_nothing_of_it_stays() {
    let home = Home::without_key();
    let package = Package::of("log-spoof").permission("host_api", "[\"log:write\"]");
    let repository = Repository::of(2);
    let words = ["plugin", "try", package.text(), "--repo", repository.text()];

    let first = home.gm(&words);
    let second = home.gm(&words);

    for run in [&first, &second] {
        run.expect_exit(0);
        run.expect_ending("com.test.log-spoof", "finished");
    }
    assert!(
        package.manifest().contains("BASE64_GPG_SIG"),
        "the original was signed"
    );
    let trusted = home.gm(&["gpg", "trust-list"]);
    assert_eq!(trusted.last()["keys"], 0);
    let listed = home.gm(&["plugin", "list"]);
    assert_eq!(listed.last()["plugins"], 0);
    let logs = home.gm(&["plugin", "logs", "com.test.log-spoof", "--last", "1"]);
    logs.expect_exit(0);
    assert_eq!(events(&logs.records, "log").len(), 1);
}

#[test]
fn neither_safe_mode_nor_native_code_is_tried() {
    let home = Home::new();
    let package = Package::of("observer");
    let safe = home.gm(&["--safe-mode", "plugin", "try", package.text()]);
    safe.expect_refused(17, "policy/safe-mode");
    let native = Package::with_code("com.test.native", b"\x7fELF\x02\x01\x01").kind("native");
    let tried = home.gm(&["plugin", "try", native.text()]);
    tried.expect_refused(17, "policy/native-disallowed");
    home.gm(&["plugin", "revoke", OBSERVER]).expect_exit(0);
    let revoked = home.gm(&["plugin", "try", package.text()]);
    revoked.expect_refused(16, "revoked/local");
}

#[test]
fn policy_is_shown_of_a_manifest_that_nobody_signed() {
    let home = Home::new();
    let package = Package::of("observer").permission("memory_limit", "\"48mb\"");
    let manifest = package.file("plugin.manifest.toml");

    let lines = home.policy("show", text(&manifest));
    let human = process::run(
        home.plain("gm-broker")
            .args(["policy", "show", text(&manifest)]),
        b"",
    );

    let memory = lines.iter().find(|line| line["name"] == "memory").unwrap();
    assert_eq!(memory["value"], 48 << 20);
    assert_eq!(
        memory["because"][0]["line"],
        package.line_of("memory_limit")
    );
    assert_eq!(lines.last().unwrap()["kind"], "summary");
    assert_eq!(lines.last().unwrap()["exit"], 0);
    human.expect_exit(0);
    assert!(
        human.stdout.contains("plugin.manifest.toml:"),
        "{}",
        human.stdout
    );
}

#[test]
fn dumped_programs_are_the_digests_that_are_shown() {
    let home = Home::new();
    home.load(&Package::of("observer"));
    let raw = home.beside("layers");
    home.broker(&["policy", "dump", OBSERVER, "--raw", text(&raw)])
        .expect_exit(0);
    let proofs = home.policy("show", OBSERVER);
    for proof in proofs.iter().filter(|line| line["kind"] == "proof") {
        let file = home.beside(&format!("layers.{}.bpf", proof["index"]));
        let digest = Sha256::digest(std::fs::read(file).unwrap());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(proof["digest"], format!("sha256:{hex}"));
    }
}
