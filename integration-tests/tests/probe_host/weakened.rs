//! Profiles that are weak on purpose: a probe must turn red under each, or the probes
//! would not notice a wall that is missing.

use gm_integration_tests::mutation::{Host, Way};

use crate::bait::Bait;

/// Whether a probe fares otherwise under the weak profile, where `hidden` is left out in
/// both.
fn is_red(hidden: &[&str], weak: &[&str], probe: &str, words: &[String]) -> bool {
    let host = Host::new(crate::host()).unwrap();
    let without = |layers: &[&str]| -> Vec<String> {
        let all = layers.iter().flat_map(|layer| ["--without", layer]);
        all.map(str::to_owned).collect()
    };
    let run = |options: Vec<String>| {
        let words = words.to_vec();
        host.probe("native", probe, &Way { options, words })
            .unwrap()
    };
    let before = run(without(hidden));
    let after = run(without(&[hidden, weak].concat()));
    before.class() != after.class() || before.value != after.value
}

#[test]
fn no_seccomp_turns_a_probe_red() {
    assert!(is_red(&[], &["seccomp"], "sc-io-uring", &[]));
}

#[test]
fn no_landlock_turns_a_probe_red() {
    let bait = Bait::set_out();
    let hidden = ["seccomp", "mount"];
    assert!(is_red(
        &hidden,
        &["landlock"],
        "fs-read-outside",
        &[bait.canary()]
    ));
}

#[test]
fn no_network_namespace_turns_a_probe_red() {
    let bait = Bait::set_out();
    let hidden = ["seccomp", "landlock"];
    assert!(is_red(&hidden, &["net"], "net-inet", &bait.ports()));
}

#[test]
fn no_group_turns_a_probe_red() {
    let words = ["pids_max=40".to_owned()];
    assert!(is_red(&["seccomp"], &["cgroup"], "rb-fork", &words));
}

#[test]
fn uid_0_of_the_host_turns_a_probe_red() {
    let bait = Bait::set_out();
    let hidden = ["seccomp", "pid", "landlock"];
    assert!(is_red(
        &hidden,
        &["uid"],
        "pr-signal-broker",
        &[bait.victim()]
    ));
}

#[test]
fn a_leaked_descriptor_turns_a_probe_red() {
    assert!(is_red(&[], &["descriptors"], "fd-leak", &[]));
}

#[test]
fn an_unchanged_profile_turns_no_probe_red() {
    let bait = Bait::set_out();
    assert!(!is_red(&[], &[], "fs-read-outside", &[bait.canary()]));
    assert!(!is_red(&[], &[], "sc-io-uring", &[]));
}
