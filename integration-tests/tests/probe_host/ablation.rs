//! What stops an attack, and what does if that is left out: a line for each layer.

use gm_integration_tests::mutation::{Host, Outcome, Way};

use crate::bait::Bait;

fn run(profile: &str, without: &[&str], probe: &str, words: &[String]) -> Outcome {
    let host = Host::new(crate::host()).unwrap();
    let options = without.iter().flat_map(|layer| ["--without", layer]);
    let way = Way {
        options: options.map(str::to_owned).collect(),
        words: words.to_vec(),
    };
    host.probe(profile, probe, &way).unwrap()
}

/// A probe with layers left out, one more in each line, and what then becomes of it.
fn steps(probe: &str, words: &[String], steps: &[(&[&str], &str)]) {
    for (without, wanted) in steps {
        let outcome = run("native", without, probe, words);
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
        let stopped = run(profile, &[], "sc-io-uring", &[]);
        // The veto layer kills without a word.
        assert_eq!(stopped.class(), "signal:31", "{profile}");
        let free = run(profile, &["seccomp"], "sc-io-uring", &[]);
        assert_eq!(free.class(), "EFAULT", "{profile}: {free:?}");
    }
}

#[test]
fn a_call_that_no_profile_has_is_stopped_in_every_profile() {
    let words = ["tcp=9".to_owned(), "udp=9".to_owned()];
    for profile in ["wasm", "lua", "js", "native"] {
        let stopped = run(profile, &[], "net-inet", &words);
        assert_eq!(stopped.class(), "forbidden:41", "{profile}: {stopped:?}");
    }
    for profile in ["program", "compile"] {
        let stopped = run(profile, &[], "net-inet", &words);
        assert_eq!(stopped.class(), "signal:31", "{profile}: {stopped:?}");
    }
}

#[test]
fn a_file_outside_is_not_in_the_tree_and_landlock_shuts_the_hosts() {
    let bait = Bait::set_out();
    let words = [bait.canary()];
    steps(
        "fs-read-outside",
        &words,
        &[
            (&[], "ENOENT"),
            (&["seccomp"], "ENOENT"),
            (&["seccomp", "landlock"], "ENOENT"),
            (&["seccomp", "mount"], "EACCES"),
            (&["seccomp", "mount", "landlock"], "ok"),
        ],
    );
    let read = run(
        "native",
        &["seccomp", "mount", "landlock"],
        "fs-read-outside",
        &words,
    );
    assert!(read.value > Some(0), "{read:?}");
}

#[test]
fn a_listener_is_out_of_reach_by_filters_network_namespace_and_landlock() {
    let bait = Bait::set_out();
    steps(
        "net-inet",
        &bait.ports(),
        &[
            (&[], "forbidden:41"),
            (&["seccomp"], "EACCES"),
            (&["seccomp", "landlock"], "ENETUNREACH"),
            (&["seccomp", "net"], "EACCES"),
            (&["seccomp", "net", "landlock"], "ok"),
        ],
    );
    assert!(bait.was_reached());
}

#[test]
fn another_process_is_hidden_by_the_pid_namespace_and_kept_by_its_uid() {
    let bait = Bait::set_out();
    steps(
        "pr-signal-broker",
        &[bait.victim()],
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
        &[],
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
        &[],
        &[(&["seccomp"], "EPERM"), (&["seccomp", "caps"], "ok")],
    );
}

#[test]
fn a_fork_bomb_is_stopped_by_the_filters_then_the_group_then_the_resource_limit() {
    let words = ["pids_max=40".to_owned()];
    let stopped = run("lua", &[], "rb-fork", &words);
    assert!(stopped.class().starts_with("forbidden:"), "{stopped:?}");
    let by_group = run("native", &["seccomp"], "rb-fork", &words);
    assert_eq!(
        (by_group.class().as_str(), by_group.value),
        ("EAGAIN", Some(15))
    );
    assert!(by_group.pids_refused > 0);
    let by_uid = run("native", &["seccomp", "cgroup"], "rb-fork", &words);
    assert_eq!(
        (by_uid.class().as_str(), by_uid.value),
        ("EAGAIN", Some(31))
    );
}

#[test]
fn descriptors_are_bounded_by_their_resource_limit() {
    let held = run("native", &["seccomp"], "rb-fds", &[]);
    let free = run("native", &["seccomp", "rlimits"], "rb-fds", &[]);
    assert!(held.value < Some(64), "{held:?}");
    assert!(free.value > Some(64), "{free:?}");
}

#[test]
fn a_directory_that_was_left_open_leads_out_only_past_landlock() {
    let bait = Bait::set_out();
    steps(
        "fd-dirfd",
        &[bait.canary()],
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
        let outcome = run("native", &["seccomp", layer], "ipc-sysv-mq", &[]);
        assert_eq!(outcome.class(), "ok", "{layer}");
    }
}
