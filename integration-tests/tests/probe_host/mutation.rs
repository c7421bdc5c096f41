//! How much of the policies the probes guard.

use gm_integration_tests::mutation::{Host, Judged, Options, PROFILES, score};
use gm_integration_tests::probes;

/// What nobody notices, and why. A new one fails the test.
const KNOWN: &[(&str, &str, &str)] = &[
    (
        "native",
        "execute not handled",
        "who executes a file opens it for reading, which is denied, too",
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
        "ten bytes hold no queue either",
    ),
    (
        "native",
        "Max pending signals ten times",
        "no probe queues signals to itself",
    ),
    (
        "native",
        "Max realtime priority ten times",
        "a lower limit of the machine's own stays, and is none",
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
