//! `gm-broker harness run --ablate`: the installed product's harness beside the probe
//! host.

use std::path::Path;

use gm_integration_tests::Ended;
use gm_integration_tests::harness::ablate::LAYERS;
use gm_integration_tests::process::{command, run};
use gm_sandbox_runner::apart::Layer;
use serde_json::Value;

fn ablate(words: &[&str]) -> Ended {
    let broker = crate::host().with_file_name("gm-broker");
    let mut broker = command(&broker, Path::new("/"));
    broker.args(["harness", "run", "--format", "json", "--max-vacuous", "99"]);
    run(broker.args(words), b"")
}

/// What became of each variant of the only row.
fn ablated(ended: &Ended) -> Vec<(&str, &str)> {
    let mut rows = ended.records.iter().filter(|row| row["kind"] == "probe");
    let (Some(row), None) = (rows.next(), rows.next()) else {
        panic!("not one row: {ended:#?}");
    };
    let verdict = row["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("CONTAINED"), "{row:#}");
    let all = row["ablated"].as_array().unwrap().iter();
    all.map(|it| {
        (
            it["without"].as_str().unwrap(),
            it["verdict"].as_str().unwrap(),
        )
    })
    .collect()
}

#[test]
fn the_harness_knows_the_layers_of_the_probe_host() {
    let all = Layer::ALL.iter().map(|layer| layer.as_str());
    assert!(all.eq(LAYERS));
}

#[test]
fn an_attack_that_one_layer_stops_gets_through_without_it_and_that_is_no_failure() {
    let ended = ablate(&["--only", "sc-io-uring", "--profile", "native", "--ablate"]);
    ended.expect_exit(0);
    // The fourth asks for a ring to be made, and has no memory for it.
    assert_eq!(ablated(&ended)[..3], [("seccomp", "ESCAPED"); 3]);
    let summary = ended.last();
    assert!(
        summary["ablated_through"].as_u64() >= Some(3),
        "{summary:#}"
    );
    assert_eq!(summary["escaped"], 0);
    assert_eq!(summary["mutation_score"], Value::Null);
}

#[test]
fn an_attack_with_a_backup_gets_through_when_that_is_gone_too() {
    for (layers, verdict) in [
        ("seccomp", "CONTAINED"),
        ("net", "CONTAINED"),
        ("seccomp,landlock", "CONTAINED"),
        ("seccomp,net,landlock", "ESCAPED"),
    ] {
        let option = format!("--ablate={layers}");
        let ended = ablate(&["--only", "net-inet", "--profile", "native", &option]);
        ended.expect_exit(0);
        // The others ask for sockets that an ordinary user may not have.
        for seen in ablated(&ended).into_iter().take(4) {
            assert_eq!(seen, (layers, verdict), "{ended:#?}");
        }
    }
}

#[test]
fn what_can_not_be_left_out_is_told_apart_from_what_holds() {
    // Both together: the probe host refuses, and nothing was proved.
    let ended = ablate(&["--only", "rb-fork", "--ablate=pid,cgroup"]);
    ended.expect_exit(70);
    let summary = ended.last();
    assert!(summary["error"].as_u64() > Some(0), "{summary:#}");
    // No layer of the kernel's is expected to stop it.
    let ended = ablate(&["--only", "rb-sleep", "--profile", "native", "--ablate"]);
    ended.expect_exit(0);
    assert_eq!(ablated(&ended), []);
}
