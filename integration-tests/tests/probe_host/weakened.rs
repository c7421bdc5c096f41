//! Profiles that are weak on purpose: a probe must turn red under each, or the probes
//! would not notice a wall that is missing.

use crate::ablation::run;

/// Whether a probe fares otherwise under the weak profile, where `hidden` is left out in
/// both.
fn is_red(hidden: &[&str], weak: &[&str], probe: &str) -> bool {
    let (before, _) = run("native", hidden, probe);
    let (after, _) = run("native", &[hidden, weak].concat(), probe);
    before.class() != after.class() || before.value != after.value
}

#[test]
fn no_seccomp_turns_a_probe_red() {
    assert!(is_red(&[], &["seccomp"], "sc-io-uring"));
}

#[test]
fn no_landlock_turns_a_probe_red() {
    let hidden = ["seccomp", "mount"];
    assert!(is_red(&hidden, &["landlock"], "fs-read-outside"));
}

#[test]
fn no_network_namespace_turns_a_probe_red() {
    let hidden = ["seccomp", "landlock"];
    assert!(is_red(&hidden, &["net"], "net-inet"));
}

#[test]
fn no_group_turns_a_probe_red() {
    assert!(is_red(&["seccomp"], &["cgroup"], "rb-fork"));
}

#[test]
fn uid_0_of_the_host_turns_a_probe_red() {
    let hidden = ["seccomp", "pid", "landlock"];
    assert!(is_red(&hidden, &["uid"], "pr-signal-broker"));
}

#[test]
fn a_leaked_descriptor_turns_a_probe_red() {
    assert!(is_red(&[], &["descriptors"], "fd-leak"));
}

#[test]
fn an_unchanged_profile_turns_no_probe_red() {
    assert!(!is_red(&[], &[], "fs-read-outside"));
    assert!(!is_red(&[], &[], "sc-io-uring"));
}
