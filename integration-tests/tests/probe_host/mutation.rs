//! How much of the policies the probes guard.

use gm_integration_tests::mutation::{Options, PROFILES, score};
use gm_integration_tests::probes;

#[test]
fn probes_and_twins_notice_what_is_changed_in_a_policy() {
    let score = score(&Options {
        host: crate::host(),
        profiles: PROFILES.map(str::to_owned).to_vec(),
        probes: probes::table(),
        walls: true,
    });
    let score = score.unwrap();
    println!("{}", score.text());
    assert!(score.is_enough(), "{}", score.text());
}
