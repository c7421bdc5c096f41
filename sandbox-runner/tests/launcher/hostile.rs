//! A hostile stand-in for the broker: malformed and greedy orders, and deaths
//! at the worst moment.

use std::os::fd::{AsFd as _, OwnedFd};

use gm_protocol::link;
use gm_protocol::orders::{Fault, FaultKind, FdKind, Order, Task};
use gm_protocol::plan::{Engine, Limits};

use crate::Check;
use crate::broker::{Broker, COMPILE, WASM, installed, instance, launch, open_memfd, sealed};
use crate::leaks::groups;

pub(crate) const CHECKS: &[Check] = &[
    ("greedy limits start nothing", greedy),
    (
        "foreign, missing and unsealed descriptors start nothing",
        descriptors,
    ),
    (
        "orders about a child that isn't there change nothing",
        no_child,
    ),
    (
        "a packet with another number than its order ends everything",
        other_number,
    ),
    ("a malformed packet ends everything", malformed),
    ("garbage in the bootstrap pipe starts nothing", garbage),
    ("a configuration that names low ids starts nothing", low_ids),
    (
        "a configuration that others can write starts nothing",
        unsafe_config,
    ),
    ("a missing engine is named", missing_engine),
    ("an engine that others can write is refused", unsafe_engine),
];

fn refused(fault: &Fault) {
    assert_eq!(fault.kind, FaultKind::Refused, "{fault}");
}

fn greedy() {
    let mut broker = Broker::start();
    for limits in [
        Limits {
            memory_bytes: u64::MAX,
            ..WASM
        },
        Limits {
            memory_bytes: 60 << 30,
            ..WASM
        },
        Limits {
            pids: u32::MAX,
            ..WASM
        },
        Limits { pids: 0, ..WASM },
        Limits {
            cpu_percent: 10_000,
            ..WASM
        },
        Limits {
            file_bytes: 1 << 40,
            ..WASM
        },
        COMPILE,
    ] {
        refused(&broker.child(limits).err().unwrap());
    }
    nothing_runs(&mut broker);
}

fn descriptors() {
    let mut broker = Broker::start();
    let code = || (FdKind::Code, sealed(b"code"));
    let root = || OwnedFd::from(std::fs::File::open("/").unwrap());
    let shadow = || OwnedFd::from(std::fs::File::open("/etc/passwd").unwrap());
    for others in [
        vec![],
        vec![code(), code()],
        vec![(FdKind::Code, root())],
        vec![(FdKind::Code, shadow())],
        vec![(FdKind::Code, open_memfd())],
        vec![code(), (FdKind::Assets, root())],
        vec![code(), (FdKind::Assets, open_memfd())],
        vec![code(), (FdKind::Output, open_memfd())],
        vec![code(), (FdKind::Link, link::pair().unwrap().0)],
    ] {
        refused(&broker.child_with(Engine::Wasm, WASM, others).err().unwrap());
    }
    let module = || (FdKind::Module, sealed(b"m"));
    for output in [root(), shadow(), sealed(b""), sealed(b"full")] {
        let others = vec![module(), (FdKind::Output, output)];
        refused(
            &broker
                .child_with(Engine::CompileWasm, COMPILE, others)
                .err()
                .unwrap(),
        );
    }
    for (kinds, fds) in [
        (
            vec![FdKind::Link, FdKind::Code],
            vec![root(), sealed(b"code")],
        ),
        (vec![FdKind::Link, FdKind::Code], vec![sealed(b"code")]),
        (vec![], vec![]),
    ] {
        let raw: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
        let task = Task::Start {
            engine: Engine::Wasm,
            limits: WASM,
            fds: kinds,
            assets: vec![],
        };
        refused(&broker.order(task, &raw).0.unwrap_err());
    }
    nothing_runs(&mut broker);
}

fn no_child() {
    let mut broker = Broker::start();
    let child = 77;
    let stage = gm_protocol::orders::Stage::Walled;
    for fds in [
        vec![],
        vec![open_memfd(), open_memfd()],
        vec![link::pair().unwrap().0],
    ] {
        let raw: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
        refused(&broker.order(Task::TryGrant, &raw).0.unwrap_err());
    }
    for task in [
        Task::Look { child, stage },
        Task::Kill { child },
        Task::Collect { child },
    ] {
        assert_eq!(
            broker.order(task.clone(), &[]).0.unwrap_err().kind,
            FaultKind::Gone
        );
        let fd = open_memfd();
        refused(&broker.order(task, &[fd.as_fd()]).0.unwrap_err());
    }
    nothing_runs(&mut broker);
}

fn other_number() {
    let (broker, instance) = Broker::with("");
    let mut broker = broker.unwrap();
    let child = broker.child(WASM).unwrap();
    broker
        .orders
        .send(Order {
            no: 5,
            what: Task::Kill { child: 1 },
        })
        .unwrap();
    broker.bell.as_ref().unwrap().ring(6, &[]).unwrap();
    broker.gone();
    crate::walls::dead(&child);
    assert_eq!(groups(&instance), [""; 0]);
}

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

fn garbage() {
    let dir = installed();
    for bytes in [&b""[..], b"garbage", &[0xff; 4000]] {
        let (mut process, _bell) = launch(dir.path(), bytes);
        assert_eq!(process.wait().unwrap().code(), Some(70));
    }
}

fn low_ids() {
    for config in [
        "[isolation]\nuids = [0, 10]",
        "[isolation]\nuids = [1000, 1]",
        "[isolation]\nmin = \"L0\"",
    ] {
        let (broker, instance) = Broker::with(config);
        let fault = broker.err().unwrap();
        assert_eq!(fault.kind, FaultKind::Config, "{fault}");
        assert_eq!(groups(&instance), [""; 0]);
    }
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
