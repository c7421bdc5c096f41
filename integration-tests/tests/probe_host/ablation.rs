//! What stops an attack, and what does if that is left out: a line for each layer.

use gm_integration_tests::bait::{Bait, Whose};
use gm_integration_tests::mutation::{self, BOUNDS, Host, Outcome, Way};

/// Runs a probe with these layers left out: what became of it, and what happened outside
/// where anybody may do anything that no wall forbids.
pub(crate) fn run(profile: &str, without: &[&str], probe: &str) -> (Outcome, Vec<String>) {
    let bait = Bait::set_out(Whose::Root).unwrap();
    let way = Way {
        options: mutation::without(without),
        words: bait.words(BOUNDS),
    };
    let outcome = Host::new(crate::host())
        .unwrap()
        .probe(profile, probe, &way);
    let outcome = outcome.unwrap();
    let effects = bait.effects(outcome.line.as_deref().unwrap_or_default().as_bytes());
    (outcome, effects)
}

/// A probe with layers left out, one more in each line, and what then becomes of it.
fn steps(probe: &str, steps: &[(&[&str], &str)]) {
    for (without, wanted) in steps {
        let (outcome, _) = run("native", without, probe);
        assert_eq!(
            outcome.class(),
            *wanted,
            "{probe} without {without:?}: {outcome:?}"
        );
    }
}

#[test]
fn a_ring_is_stopped_by_the_filters_of_every_profile_and_by_nothing_else() {
    for profile in gm_integration_tests::mutation::PROFILES {
        let (stopped, _) = run(profile, &[], "sc-io-uring");
        // The veto layer kills without a word.
        assert_eq!(stopped.class(), "signal:31", "{profile}");
        let (free, _) = run(profile, &["seccomp"], "sc-io-uring");
        assert_eq!(free.class(), "EFAULT", "{profile}: {free:?}");
    }
}

#[test]
fn a_call_that_no_profile_has_is_stopped_in_every_profile() {
    for profile in ["wasm", "lua", "js", "native"] {
        let (stopped, _) = run(profile, &[], "net-inet");
        assert_eq!(stopped.class(), "forbidden:41", "{profile}: {stopped:?}");
    }
    for profile in ["program", "compile"] {
        let (stopped, _) = run(profile, &[], "net-inet");
        assert_eq!(stopped.class(), "signal:31", "{profile}: {stopped:?}");
    }
}

#[test]
fn a_file_outside_is_not_in_the_tree_and_landlock_shuts_the_hosts() {
    steps(
        "fs-read-outside",
        &[
            (&[], "ENOENT"),
            (&["seccomp"], "ENOENT"),
            (&["seccomp", "landlock"], "ENOENT"),
            (&["seccomp", "mount"], "EACCES"),
            (&["seccomp", "mount", "landlock"], "ok"),
        ],
    );
    let (read, _) = run(
        "native",
        &["seccomp", "mount", "landlock"],
        "fs-read-outside",
    );
    assert!(read.value > Some(0), "{read:?}");
}

#[test]
fn a_listener_is_out_of_reach_by_filters_network_namespace_and_landlock() {
    steps(
        "net-inet",
        &[
            (&[], "forbidden:41"),
            (&["seccomp"], "EACCES"),
            (&["seccomp", "landlock"], "ENETUNREACH"),
            (&["seccomp", "net"], "EACCES"),
            (&["seccomp", "net", "landlock"], "ok"),
        ],
    );
    let (_, effects) = run("native", &["seccomp", "net", "landlock"], "net-inet");
    assert!(
        effects
            .iter()
            .any(|effect| effect.starts_with("listener-tcp")),
        "{effects:?}"
    );
}

#[test]
fn another_process_is_hidden_by_the_pid_namespace_and_kept_by_its_uid() {
    steps(
        "pr-signal-broker",
        &[
            (&["seccomp"], "ESRCH"),
            (&["seccomp", "pid"], "EPERM"),
            (&["seccomp", "pid", "landlock"], "EPERM"),
            (&["seccomp", "pid", "uid"], "EPERM"),
            (&["seccomp", "pid", "uid", "landlock"], "ok"),
        ],
    );
}

#[test]
fn a_further_user_namespace_is_refused_by_its_count_where_no_filter_is() {
    steps(
        "ns-userns",
        &[
            (&[], "signal:31"),
            (&["seccomp"], "ENOSPC"),
            (&["seccomp", "user"], "ok"),
        ],
    );
}

#[test]
fn capabilities_are_gone_for_good() {
    steps(
        "ns-caps",
        &[(&["seccomp"], "EPERM"), (&["seccomp", "caps"], "ok")],
    );
}

#[test]
fn a_fork_bomb_is_stopped_by_the_filters_then_the_group_then_the_resource_limit() {
    let (stopped, _) = run("lua", &[], "rb-fork");
    assert!(stopped.class().starts_with("forbidden:"), "{stopped:?}");
    let (by_group, _) = run("native", &["seccomp"], "rb-fork");
    assert_eq!(
        (by_group.class().as_str(), by_group.value),
        ("EAGAIN", Some(15))
    );
    assert!(by_group.pids_refused > 0);
    let (by_uid, _) = run("native", &["seccomp", "cgroup"], "rb-fork");
    assert_eq!(
        (by_uid.class().as_str(), by_uid.value),
        ("EAGAIN", Some(31))
    );
}

#[test]
fn descriptors_are_bounded_by_their_resource_limit() {
    let (held, _) = run("native", &["seccomp"], "rb-fds");
    let (free, _) = run("native", &["seccomp", "rlimits"], "rb-fds");
    assert!(held.value < Some(64), "{held:?}");
    assert!(free.value > Some(64), "{free:?}");
}

#[test]
fn a_directory_that_was_left_open_leads_out_only_past_landlock() {
    steps(
        "fd-dirfd",
        &[
            (&[], "EBADF"),
            (&["descriptors"], "EACCES"),
            (&["descriptors", "seccomp"], "EACCES"),
            (&["descriptors", "seccomp", "landlock"], "ok"),
        ],
    );
}

#[test]
fn namespaces_that_hold_no_probe_back_are_left_out_as_told() {
    // The probe host compares each with /proc before it lets the probe run.
    for layer in ["ipc", "uts"] {
        let (outcome, _) = run("native", &["seccomp", layer], "ipc-sysv-mq");
        assert_eq!(outcome.class(), "ok", "{layer}");
    }
}
