//! A named pipe in a file's place: no verb waits for its other end.

use std::path::{Path, PathBuf};

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::records::text;
use gm_integration_tests::{Home, Package, process};
use rustix::fs::{CWD, FileType, Mode, mknodat};

fn pipe(path: PathBuf) -> PathBuf {
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    path
}

/// Runs a verb with this in a file's place; what it says about it.
#[track_caller]
fn refused(home: &Home, binary: &str, words: &[&str], exit: i32, code: &str, named: &Path) {
    let ended = process::run(home.json(binary).args(words), b"");
    let refused = ended.expect_refused(exit, code);
    let name = named.file_name().and_then(|name| name.to_str()).unwrap();
    assert!(text(refused, "detail").contains(name), "{refused:#}");
    assert!(!text(refused, "remedy").is_empty());
    ended.expect_nothing_started();
}

#[test]
fn a_pipe_in_a_files_place_is_refused_and_never_waited_for() {
    let home = Home::new();
    let package = Package::of("observer");
    home.sign(&package);
    let pipe = pipe(home.beside("pipe"));
    let at = path_text(&pipe);
    let manifest = package.file("plugin.manifest.toml");
    let fingerprint = home.fingerprint();
    let usage = "usage/arguments";
    let missing = "manifest/no-manifest";
    refused(
        &home,
        "gm-broker",
        &["policy", "show", at],
        10,
        missing,
        &pipe,
    );
    refused(
        &home,
        "gm-broker",
        &["policy", "dump", at],
        10,
        missing,
        &pipe,
    );
    let host = ["policy", "show", path_text(&manifest), "--host", at];
    refused(&home, "gm-broker", &host, 2, usage, &pipe);
    let sign = ["gpg", "sign", package.text(), "--key", at];
    refused(&home, "gm", &sign, 2, usage, &pipe);
    let key = home.secret("key");
    let locked = [
        "gpg",
        "sign",
        package.text(),
        "--key",
        path_text(&key),
        "--passphrase-file",
        at,
    ];
    refused(&home, "gm", &locked, 2, usage, &pipe);
    let add = [
        "gpg",
        "trust",
        "add",
        at,
        "--fingerprint",
        fingerprint,
        "--namespace",
        "com.pipe.*",
    ];
    refused(&home, "gm", &add, 2, usage, &pipe);
    for verb in [["gpg", "verify"], ["plugin", "load"], ["plugin", "try"]] {
        refused(
            &home,
            "gm",
            &[&verb[..], &[at]].concat(),
            10,
            missing,
            &pipe,
        );
    }
    let events = ["run", "--events", "-", "--graph", at];
    refused(&home, "gm-broker", &events, 2, "source/graph", &pipe);
    let dump = ["graph", "dump", "--graph", at];
    refused(&home, "gm-broker", &dump, 2, "source/graph", &pipe);
}

#[test]
fn nothing_is_written_into_a_pipe_in_a_files_place() {
    let home = Home::new();
    let package = Package::of("observer");
    home.sign(&package);
    let manifest = package.file("plugin.manifest.toml");
    let usage = "usage/arguments";
    let layer = pipe(home.beside("layers.0.bpf"));
    let raw = home.beside("layers");
    let dump = [
        "policy",
        "dump",
        path_text(&manifest),
        "--raw",
        path_text(&raw),
    ];
    refused(&home, "gm-broker", &dump, 2, usage, &layer);
    let export = home.beside("proof");
    std::fs::create_dir(&export).unwrap();
    let _ = pipe(export.join("statement.pae"));
    let verify = [
        "gpg",
        "verify",
        package.text(),
        "--export",
        path_text(&export),
    ];
    refused(&home, "gm", &verify, 2, usage, &export);
}

#[test]
fn a_pipe_in_a_file_of_the_homes_place_is_refused() {
    for name in ["trust/keys.toml", "broker.toml"] {
        let home = Home::new();
        let file = home.path().join(name);
        std::fs::remove_file(&file).unwrap();
        let file = pipe(file);
        let (exit, code) = match name {
            "broker.toml" => (2, "config/bad-value"),
            _ => (18, "store/unsafe-permissions"),
        };
        refused(&home, "gm", &["gpg", "trust-list"], exit, code, &file);
    }
}

#[test]
fn events_that_are_not_there_are_named_with_what_to_do() {
    let home = Home::new();
    let none = home.beside("none.jsonl");
    let run = home.broker(&["run", "--events", path_text(&none)]);
    let refused = run.expect_refused(2, "source/bad-event");
    assert!(
        text(refused, "detail").contains("none.jsonl"),
        "{refused:#}"
    );
    assert!(
        text(refused, "remedy").contains("events file"),
        "{refused:#}"
    );
}
