//! How much of the policies the probes guard.

use gm_integration_tests::mutation::{Options, PROFILES, score};
use gm_integration_tests::probes;

/// What nobody notices yet, so that the thresholds are missed (`gm-mutation-score` says
/// so and exits 1). Calls of the C library that this machine's doesn't make (a clock in
/// the vDSO, streams of musl), and what has no probe. A new one fails the test.
const KNOWN: &[(&str, &str)] = &[
    ("native", "fstat not allowed"),
    ("native", "munmap not allowed"),
    ("native", "brk not allowed"),
    ("native", "clock_gettime not allowed"),
    ("native", "getrandom not allowed"),
    ("lua", "brk is made instead of refused with an errno"),
    ("lua", "clock_gettime not allowed"),
    ("js", "brk is made instead of refused with an errno"),
    ("js", "gettimeofday not allowed"),
    ("js", "clock_gettime not allowed"),
    ("compile", "munmap not allowed"),
    ("compile", "madvise not allowed"),
    ("compile", "exit not allowed"),
    ("compile", "clock_gettime not allowed"),
    ("program", "fstat not allowed"),
    ("program", "lseek not allowed"),
    ("program", "rt_sigreturn not allowed"),
    ("program", "readv not allowed"),
    ("program", "writev not allowed"),
    ("program", "getpid not allowed"),
    ("program", "clock_gettime not allowed"),
    ("program", "tgkill not allowed"),
    ("program", "newfstatat not allowed"),
    (
        "http",
        "calls of another architecture are taken for our own",
    ),
    ("http", "clock_gettime not allowed"),
    ("http", "getrandom not allowed"),
    ("native", "execute not handled"),
    ("native", "write_file not handled"),
    ("native", "read_dir not handled"),
    ("native", "remove_dir not handled"),
    ("native", "remove_file not handled"),
    ("native", "bind_tcp not handled"),
    ("native", "the root without nosuid"),
    ("native", "the root without nodev"),
    ("native", "the root without ro"),
    ("native", "Max core file size ten times"),
    ("native", "Max stack size ten times"),
    ("native", "Max msgqueue size ten times"),
    ("native", "Max pending signals ten times"),
    ("native", "Max realtime priority ten times"),
    ("native", "no namespace of queues"),
    ("native", "no namespace of the host's name"),
    ("lua", "the root without noexec"),
];

#[test]
fn nothing_more_of_a_policy_goes_unnoticed_than_is_known() {
    let score = score(&Options {
        host: crate::host(),
        profiles: PROFILES.map(str::to_owned).to_vec(),
        probes: probes::table(),
        walls: true,
    });
    let score = score.unwrap();
    println!("{}", score.text());
    assert!(score.wrong.is_empty(), "{:?}", score.wrong);
    let new: Vec<_> = score
        .survivors()
        .filter(|judged| !KNOWN.contains(&(judged.profile.as_str(), judged.what.as_str())))
        .collect();
    assert!(new.is_empty(), "{new:#?}");
}
