//! What is left after children, launchers and brokers end: nothing.

use std::time::{Duration, Instant};

use gm_protocol::orders::Stage;

use crate::Check;
use crate::broker::{Broker, Held, WASM};
use crate::walls::dead;

pub(crate) const CHECKS: &[Check] = &[
    ("a thousand starts leave nothing behind", thousand),
    (
        "when the broker is gone, nothing of the run is left",
        broker_gone,
    ),
    (
        "when the launcher is killed, its children die",
        launcher_killed,
    ),
    ("the next start sweeps what a killed launcher left", swept),
];

/// Roots of the cgroup mounts that a launcher may use here.
const MOUNTS: [&str; 5] = ["memory", "pids", "cpu", "freezer", "unified"];

/// Every directory of this instance in any hierarchy.
pub(crate) fn groups(instance: &str) -> Vec<String> {
    let name = format!("gm-{instance}");
    let mut found = Vec::new();
    for mount in MOUNTS {
        walk(
            format!("/sys/fs/cgroup/{mount}").as_ref(),
            &name,
            &mut found,
        );
    }
    walk("/sys/fs/cgroup".as_ref(), &name, &mut found);
    found.sort();
    found.dedup();
    found
}

fn walk(dir: &std::path::Path, name: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            if entry.file_name() == name {
                found.push(path.display().to_string());
            }
            walk(&path, name, found);
        }
    }
}

fn launcher_fds(broker: &Broker) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", broker.process.id()))
        .unwrap()
        .count()
}

fn resident(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.process.id())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// One life, as the broker leads it.
fn life(broker: &mut Broker) -> Duration {
    let from = Instant::now();
    let child = broker.child(WASM).unwrap();
    let took = from.elapsed();
    child.ask("filters 3");
    broker.look(&child, Stage::Walled).unwrap();
    let end = broker.collect(&child);
    assert!(end.left.is_empty(), "{:?}", end.left);
    took
}

fn thousand() {
    let (broker, instance) = Broker::with("");
    let mut broker = broker.unwrap();
    life(&mut broker);
    let (fds, before) = (launcher_fds(&broker), groups(&instance));
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (kib, tree) = (resident(&broker), mounts());
    let mut times: Vec<Duration> = (0..1000).map(|_| life(&mut broker)).collect();
    times.sort();
    assert_eq!(launcher_fds(&broker), fds);
    assert_eq!(groups(&instance), before);
    assert_eq!(mounts(), tree);
    let grown = resident(&broker).saturating_sub(kib);
    assert!(grown < 1024, "{grown} KiB more");
    println!(
        "       start to exec: median {:?}, p90 {:?}; launcher {kib} KiB, {fds} descriptors",
        times[500], times[900]
    );
    broker.hang_up();
    assert_eq!(groups(&instance), [""; 0]);
}

fn running() -> (Broker, String, Vec<Held>) {
    let (broker, instance) = Broker::with("");
    let mut broker = broker.unwrap();
    let children: Vec<Held> = (0..3).map(|_| broker.child(WASM).unwrap()).collect();
    children[0].tell("spin");
    (broker, instance, children)
}

fn broker_gone() {
    let (mut broker, instance, children) = running();
    assert!(!groups(&instance).is_empty());
    broker.hang_up();
    children.iter().for_each(dead);
    assert_eq!(groups(&instance), [""; 0]);
    assert!(
        !std::path::Path::new("/run/gm/live")
            .join(&instance)
            .exists()
    );
}

fn launcher_killed() {
    let (mut broker, instance, children) = running();
    broker.process.kill().unwrap();
    broker.process.wait().unwrap();
    children.iter().for_each(dead);
    // Left for the next start, since nobody with the right to remove them lives.
    assert!(!groups(&instance).is_empty());
    drop(Broker::start());
    assert_eq!(groups(&instance), [""; 0]);
}

fn swept() {
    let (mut killed, instance, _children) = running();
    let (living, other) = Broker::with("");
    killed.process.kill().unwrap();
    killed.process.wait().unwrap();
    drop(Broker::start());
    assert_eq!(groups(&instance), [""; 0]);
    assert!(
        !groups(&other).is_empty(),
        "a living instance keeps its groups"
    );
    drop(living);
}
