//! How much of the policies the probes guard.

use gm_integration_tests::mutation::{Host, Judged, Options, PROFILES, score};
use gm_integration_tests::probes;

/// What nobody notices, and why. A new one fails the test.
const KNOWN: &[(&str, &str, &str)] = &[
    ("native", "execute not handled", NO_SUCH_FILE),
    ("native", "write_file not handled", NO_SUCH_FILE),
    ("native", "read_dir not handled", NO_SUCH_FILE),
    ("native", "remove_dir not handled", NO_SUCH_FILE),
    ("native", "remove_file not handled", NO_SUCH_FILE),
    (
        "native",
        "make_sym not handled",
        "the one probe that makes a link is a race, and no two runs of it are the same",
    ),
    (
        "native",
        "refer not handled",
        "the kernel refuses it unless a rule allows it, handled or not",
    ),
    (
        "native",
        "ioctl_dev not handled",
        "no probe has a device open: it may open none",
    ),
    (
        "native",
        "bind_tcp not handled",
        "no probe binds a port: it hurts nobody in a network of its own",
    ),
    (
        "native",
        "the root without nosuid",
        "nothing in the tree has the bit, and no_new_privs makes it void",
    ),
    (
        "native",
        "the root without nodev",
        "nothing in the tree is a device, and a user namespace makes none",
    ),
    (
        "native",
        "the root without ro",
        "its directories belong to another uid",
    ),
    (
        "native",
        "Max core file size ten times",
        "ten bytes hold no core either",
    ),
    (
        "native",
        "Max stack size ten times",
        "no probe grows its stack alone",
    ),
    (
        "native",
        "Max msgqueue size ten times",
        "ten times none is none",
    ),
    (
        "native",
        "Max pending signals ten times",
        "no probe queues signals to itself",
    ),
    (
        "native",
        "Max realtime priority ten times",
        "ten times none is none",
    ),
    (
        "native",
        "no namespace of queues",
        "queues of others have other owners",
    ),
    (
        "native",
        "no namespace of the host's name",
        "no path in the tree tells the name",
    ),
    (
        "lua",
        "the root without noexec",
        "the only file in the tree is the engine",
    ),
];

const NO_SUCH_FILE: &str = "behind the mount tree; no probe does it to a file of the host";

#[test]
fn nothing_more_of_a_policy_goes_unnoticed_than_is_known() {
    let score = score(&Options {
        host: Host::new(crate::host()).unwrap(),
        profiles: PROFILES.map(str::to_owned).to_vec(),
        probes: probes::table(),
        walls: true,
    });
    let score = score.unwrap();
    println!("{}", score.text());
    assert!(score.wrong.is_empty(), "{:?}", score.wrong);
    let known = |judged: &&Judged| {
        let own = (judged.profile.as_str(), judged.what.as_str());
        KNOWN
            .iter()
            .any(|(profile, what, _)| own == (*profile, *what))
    };
    let new: Vec<_> = score.survivors().filter(|judged| !known(judged)).collect();
    assert!(new.is_empty(), "{new:#?}");
    assert!(score.is_enough(), "{}", score.text());
}
