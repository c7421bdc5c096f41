//! A hostile stand-in for the broker: malformed packets, and files of others. Its orders,
//! greedy and foreign ones, are row `lc-hostile-broker` of the harness.

use std::os::fd::AsFd as _;

use gm_protocol::orders::{FaultKind, Task};
use gm_protocol::plan::Engine;

use crate::Check;
use crate::broker::{Broker, WASM, installed, instance};
use crate::leaks::groups;

pub(crate) const CHECKS: &[Check] = &[
    ("a malformed packet ends everything", malformed),
    (
        "a configuration that others can write starts nothing",
        unsafe_config,
    ),
    ("a missing engine is named", missing_engine),
    ("an engine that others can write is refused", unsafe_engine),
];

fn malformed() {
    let (broker, instance) = Broker::with("");
    let mut broker = broker.unwrap();
    let child = broker.child(WASM).unwrap();
    let bell = broker.bell.as_ref().unwrap();
    rustix::net::send(bell.as_fd(), b"short", rustix::net::SendFlags::NOSIGNAL).unwrap();
    broker.gone();
    crate::walls::dead(&child);
    assert_eq!(groups(&instance), [""; 0]);
}

fn unsafe_config() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut broker = Broker::start();
    nothing_runs(&mut broker);
    let dir = installed();
    let path = dir.path().join("broker.toml");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let fault = Broker::at(dir, &instance()).err().unwrap();
    assert_eq!(fault.kind, FaultKind::Config, "{fault}");
}

fn missing_engine() {
    let dir = installed();
    std::fs::remove_file(dir.path().join("gm-run-wasm")).unwrap();
    let mut broker = Broker::at(dir, &instance()).unwrap();
    let fault = broker.child(WASM).err().unwrap();
    assert_eq!(fault.kind, FaultKind::EngineMissing);
    assert!(fault.detail.contains("gm-run-wasm"), "{fault}");
    let mut there = broker.host.engines.iter();
    assert!(there.all(|(engine, _)| *engine != Engine::Wasm));
}

fn unsafe_engine() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = installed();
    let path = dir.path().join("gm-run-wasm");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut broker = Broker::at(dir, &instance()).unwrap();
    let fault = broker.child(WASM).err().unwrap();
    assert_eq!(fault.kind, FaultKind::EngineMissing);
    assert!(fault.detail.contains("writable"), "{fault}");
}

/// The launcher still serves, and has no child but its sweeper.
fn nothing_runs(broker: &mut Broker) {
    let pid = broker.process.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let names = children
        .split_whitespace()
        .map(|child| std::fs::read_to_string(format!("/proc/{child}/comm")).unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["gm-sweeper\n"]);
    let task = Task::Kill { child: 1 };
    assert_eq!(broker.order(task, &[]).0.unwrap_err().kind, FaultKind::Gone);
}
