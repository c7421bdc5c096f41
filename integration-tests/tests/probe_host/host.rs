//! The probe host itself: what it refuses, what it leaves, and that no installed binary
//! has anything of it.

use std::path::Path;

use gm_integration_tests::process::{Ended, command, run};
use gm_integration_tests::{binary, project};

fn ask(words: &[&str]) -> Ended {
    run(command(crate::host(), Path::new("/")).args(words), b"")
}

#[test]
fn nothing_but_its_own_probes_is_ever_run() {
    let unknown = ask(&["--profile", "native", "--", "/bin/sh"]);
    assert_eq!(unknown.exit, 64, "{unknown:?}");
    for words in [
        &[
            "--profile",
            "native",
            "--exec",
            "/bin/sh",
            "--",
            "sc-io-uring",
        ][..],
        &["--profile", "native"],
        &[
            "--profile",
            "native",
            "--without",
            "everything",
            "--",
            "sc-io-uring",
        ],
    ] {
        assert_eq!(ask(words).exit, 2, "{words:?}");
    }
}

#[test]
fn layers_without_which_a_probe_could_not_be_held_are_not_left_out_together() {
    for (one, other) in [
        ("pid", "cgroup"),
        ("cgroup", "rlimits"),
        ("user", "caps"),
        ("user", "uid"),
        ("uid", "caps"),
        ("uid", "mount"),
    ] {
        let words = [
            "--profile",
            "native",
            "--without",
            one,
            "--without",
            other,
            "--",
            "rb-fork",
        ];
        let refused = ask(&words);
        assert_eq!(refused.exit, 2, "{one} {other}");
        assert!(
            refused.stderr.contains("can't both be left out"),
            "{refused:?}"
        );
    }
}

#[test]
fn what_is_left_out_is_said_first_and_the_ending_last() {
    let said = ask(&[
        "--profile",
        "js",
        "--without",
        "seccomp",
        "--",
        "sc-io-uring",
    ]);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&"ABLATED layer=seccomp"));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("probe=sc-io-uring "))
    );
    assert_eq!(lines.last(), Some(&"ending=exited:0"));
}

#[test]
fn a_probe_without_end_is_killed_and_leaves_no_process_group_or_file() {
    let words = [
        "--profile",
        "native",
        "--without",
        "seccomp",
        "--limit-s",
        "1",
        "--",
        "rb-sleep",
    ];
    let ended = ask(&words);
    assert_eq!(
        ended.stdout.lines().last(),
        Some("ending=timed_out"),
        "{ended:?}"
    );
    let own = |text: &str| text.contains("gm-probe-host-inside");
    let left = std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            // Others run probes, too, beside this test; those of this probe are ours.
            let line = String::from_utf8_lossy(&line);
            own(&line) && line.contains("rb-sleep")
        });
    assert_eq!(left.count(), 0);
}

#[test]
fn no_installed_binary_can_leave_a_wall_out() {
    let marks = [&b"ABLATED layer="[..], b"gm-probe-host"];
    for entry in std::fs::read_dir(binary("gm-broker").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        // The harness alone speaks of the probe host: it asks it.
        if path.ends_with("gm-harness") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for mark in marks {
            let has = bytes.windows(mark.len()).any(|part| part == mark);
            assert!(
                !has,
                "{} in {}",
                String::from_utf8_lossy(mark),
                path.display()
            );
        }
    }
    assert!(!project().join("target/gm/bin/gm-probe-host").exists());
}

#[test]
fn twins_succeed_behind_all_walls_of_every_profile() {
    for (profile, wanted) in [
        ("wasm", "twin=done:0 exited:0"),
        ("lua", "twin=done:0 exited:0"),
        ("js", "twin=done:0 exited:0"),
        ("native", "twin=done:0 exited:0"),
        ("compile", "twin=compiled exited:0"),
    ] {
        let said = ask(&["--profile", profile, "--twin"]);
        assert_eq!(said.stdout.trim(), wanted, "{said:?}");
    }
}
