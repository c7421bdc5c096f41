//! Each wall of a child, from both sides.

use std::time::{Duration, Instant};

use gm_protocol::orders::{FaultKind, FdKind, Stage, WaitStatus};
use gm_protocol::plan::{Control, Engine, Level, Limits};

use crate::Check;
use crate::broker::{Broker, COMPILE, Held, WASM, open_memfd, sealed};

pub(crate) const CHECKS: &[Check] = &[
    ("this machine gives L4 to root", l4),
    ("a child sees nothing of the host", inside),
    ("a child is walled in as seen from outside", outside),
    (
        "a child that holds a descriptor of its own is killed when it is looked at",
        stray_descriptor,
    ),
    (
        "a child without its filters is killed when it is looked at",
        no_filters,
    ),
    ("the memory limit kills and is counted", memory),
    ("the process limit refuses and is counted", processes),
    (
        "the cpu limit slows an endless loop and cpu time is counted",
        cpu,
    ),
    (
        "a compile process may write its output and no more",
        compile,
    ),
    (
        "the process that makes requests shares the host's network and nothing else",
        requests,
    ),
    ("a child's exit status comes back", status),
    (
        "the group's kill file kills without the launcher",
        kill_file,
    ),
    ("two children have different uids", two_uids),
    (
        "a limit with no room for the code fails as a memory wall",
        no_room,
    ),
];

const ALL: [&str; 6] = ["user", "mnt", "pid", "net", "ipc", "uts"];

fn l4() {
    let broker = Broker::start();
    assert_eq!(broker.host.level, Level::L4, "{:?}", broker.host.gaps);
    assert_eq!(broker.host.engines.len(), 3, "{:?}", broker.host.missing);
    assert_eq!(broker.host.uids, (1_900_000_000, 4096));
    assert!(broker.host.landlock_abi > 0);
    assert!(broker.host.memory_bytes > 0);
}

fn inside() {
    let mut broker = Broker::start();
    let child = broker.child(WASM).unwrap();
    assert_eq!(child.ask("ids"), "1000 1000 1 0");
    assert_eq!(child.ask("host"), "plugin");
    assert_eq!(child.ask("argv"), format!("gm-run-wasm {}", 32 << 20));
    assert_eq!(child.ask("env"), "0");
    assert_eq!(child.ask("cwd"), "/");
    assert_eq!(child.ask("ls /"), ". .. code warm");
    assert_eq!(child.ask("cat /code"), "the code");
    assert_eq!(child.ask("cat /warm"), "warm");
    assert_eq!(child.ask("cat /proc/self/status"), "errno 2");
    // EROFS, although the plugin owns the file.
    assert_eq!(child.ask("write /code"), "errno 30");
    assert_eq!(child.ask("chmod /code"), "errno 30");
    assert_eq!(child.ask("write /new"), "errno 30");
    assert_eq!(child.ask("mount"), "errno 1");
    assert_eq!(child.ask("fds"), "0 1 2 3 ");
    broker.collect(&child);
}

fn outside() {
    let mut broker = Broker::start();
    let assets = sealed(b"assets");
    let others = vec![(FdKind::Assets, assets), (FdKind::Code, sealed(b"code"))];
    let child = broker.child_with(Engine::Wasm, WASM, others).unwrap();
    assert_eq!(child.ask("filters 3"), "installed");
    let seen = broker.look(&child, Stage::Walled).unwrap();
    assert_eq!(seen.uids, [child.started.uid; 4]);
    assert_eq!(seen.gids, [child.started.gid; 4]);
    assert!(child.started.uid >= 1_900_000_000);
    assert!(seen.groups.is_empty());
    assert_eq!((seen.caps, seen.no_new_privs), (0, true));
    assert_eq!((seen.seccomp_mode, seen.seccomp_filters), (2, 3));
    assert_eq!(seen.uid_map, [[1000, child.started.uid, 1]]);
    assert_eq!(
        (seen.memory_bytes, seen.pids, seen.cpu_percent),
        (32 << 20, 1, 50)
    );
    assert_eq!(seen.nofile, 64);
    let fds: Vec<u32> = seen.fds.iter().map(|fd| fd.fd).collect();
    assert_eq!(fds, [0, 1, 2, 3, 5]);
    assert_eq!(seen.fds[0].target, "/dev/null");
    let mounts: Vec<_> = seen
        .mounts
        .iter()
        .map(|m| (m.target.as_str(), m.fs.as_str()))
        .collect();
    assert_eq!(mounts, [("/", "tmpfs")]);
    assert!(
        seen.mounts[0].flags.starts_with("ro,nosuid,nodev"),
        "{}",
        seen.mounts[0].flags
    );
    assert_eq!(seen.cgroups, child.started.cgroups);
    own_namespaces(&child);
    limits(&child);
    assert!(
        broker.look(&child, Stage::Loaded).is_err(),
        "three layers are not four"
    );
    broker.collect(&child);
}

/// Asked here, not of the launcher.
fn own_namespaces(child: &Held) {
    for name in ALL {
        let theirs = std::fs::read_link(child.proc("ns").join(name)).unwrap();
        let ours = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(theirs, ours, "{name}");
    }
    let score = std::fs::read_to_string(child.proc("oom_score_adj")).unwrap();
    assert_eq!(score.trim(), "1000");
}

fn limits(child: &Held) {
    let text = std::fs::read_to_string(child.proc("limits")).unwrap();
    for (name, value) in [
        ("Max open files", "64"),
        ("Max core file size", "1"),
        ("Max file size", "0"),
        // One more than its group allows, which is the limit that counts.
        ("Max processes", "2"),
        ("Max locked memory", "0"),
        ("Max address space", "unlimited"),
    ] {
        let row = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        let mut words = row.split_whitespace();
        assert_eq!(
            (words.next(), words.next()),
            (Some(value), Some(value)),
            "{name}"
        );
    }
}

fn stray_descriptor() {
    let mut broker = Broker::start();
    let child = broker.child(WASM).unwrap();
    child.ask("filters 3");
    assert_eq!(child.ask("open"), "30");
    let fault = broker.look(&child, Stage::Walled).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Wall(Control::Descriptors), "{fault}");
    let end = broker.collect(&child);
    assert_eq!(
        (end.status, end.killed_by_us),
        (WaitStatus::Signaled(9), true)
    );
}

fn no_filters() {
    let mut broker = Broker::start();
    let child = broker.child(WASM).unwrap();
    let fault = broker.look(&child, Stage::Walled).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Wall(Control::Seccomp), "{fault}");
    // What was killed may take a moment to be gone; until then something is missing.
    let until = Instant::now() + Duration::from_secs(20);
    while broker.look(&child, Stage::Walled).unwrap_err().kind != FaultKind::Gone {
        assert!(Instant::now() < until);
    }
    broker.collect(&child);
}

fn memory() {
    let mut broker = Broker::start();
    let child = broker
        .child(Limits {
            memory_bytes: 16 << 20,
            ..WASM
        })
        .unwrap();
    child.tell(&format!("eat {}", 40 << 20));
    dead(&child);
    let end = broker.collect(&child);
    assert_eq!(
        (end.status, end.killed_by_us),
        (WaitStatus::Signaled(9), false)
    );
    // v2 counts the one that it chose a second time, when it kills the whole group.
    assert!((1..=2).contains(&end.oom_kills), "{end:?}");
    assert_eq!(end.memory_peak, 16 << 20);
    let modest = broker.child(WASM).unwrap();
    assert_eq!(
        modest.ask(&format!("eat {}", 8 << 20)),
        (8 << 20).to_string()
    );
    assert_eq!(broker.collect(&modest).oom_kills, 0);
}

fn processes() {
    let mut broker = Broker::start();
    let child = broker.child(WASM).unwrap();
    assert_eq!(child.ask("thread"), "errno 11");
    let dead = broker.collect(&child);
    assert!(dead.pids_refused > 0, "{dead:?}");
    let others = vec![
        (FdKind::Module, sealed(b"m")),
        (FdKind::Output, open_memfd()),
    ];
    let compiler = broker
        .child_with(Engine::CompileWasm, COMPILE, others)
        .unwrap();
    assert_eq!(compiler.ask("thread"), "a thread");
    broker.collect(&compiler);
}

fn cpu() {
    let mut broker = Broker::start();
    let child = broker
        .child(Limits {
            cpu_percent: 10,
            ..WASM
        })
        .unwrap();
    child.tell("spin");
    std::thread::sleep(Duration::from_millis(500));
    let end = broker.collect(&child);
    assert!(end.killed_by_us);
    assert!(
        (20_000..200_000).contains(&end.cpu_us),
        "{} µs of 500,000",
        end.cpu_us
    );
}

fn compile() {
    let mut broker = Broker::start();
    let output = open_memfd();
    let others = vec![
        (FdKind::Output, output.try_clone().unwrap()),
        (FdKind::Module, sealed(b"module")),
    ];
    let child = broker
        .child_with(Engine::CompileWasm, COMPILE, others)
        .unwrap();
    assert_eq!(child.ask("argv"), format!("gm-compile-wasm {}", 64 << 20));
    assert_eq!(child.ask("ls /"), ". ..");
    assert_eq!(child.ask("fds"), "0 1 2 3 4 5 ");
    assert_eq!(child.ask("output 4096"), "done");
    assert_eq!(child.ask("output 1"), "errno 27");
    child.ask("filters 3");
    let seen = broker.look(&child, Stage::Walled).unwrap();
    assert!(
        seen.mounts[0].flags.contains("noexec"),
        "{}",
        seen.mounts[0].flags
    );
    assert_eq!(seen.pids, 8);
    broker.collect(&child);
    assert_eq!(rustix::fs::fstat(&output).unwrap().st_size, 4096);
}

fn requests() {
    let mut broker = Broker::start();
    let child = broker.child_with(Engine::Http, WASM, vec![]).unwrap();
    assert_eq!(child.ask("ids"), "1000 1000 1 0");
    assert_eq!(child.ask("argv"), format!("gm-http {}", 32 << 20));
    assert_eq!(child.ask("ls /"), ". ..");
    assert_eq!(child.ask("write /new"), "errno 30");
    assert_eq!(child.ask("fds"), "0 1 2 3 ");
    child.ask("filters 3");
    let seen = broker.look(&child, Stage::Walled).unwrap();
    assert!(seen.mounts[0].flags.contains("noexec"), "{:?}", seen.mounts);
    assert_eq!((seen.caps, seen.no_new_privs), (0, true));
    for name in ALL {
        let theirs = std::fs::read_link(child.proc("ns").join(name)).unwrap();
        let ours = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_eq!(theirs == ours, name == "net", "{name}");
    }
    broker.collect(&child);
}

fn status() {
    let mut broker = Broker::start();
    let child = broker.child(WASM).unwrap();
    child.tell("exit 101");
    dead(&child);
    let end = broker.collect(&child);
    assert_eq!(
        (end.status, end.killed_by_us),
        (WaitStatus::Exited(101), false)
    );
    assert!(end.left.is_empty(), "{:?}", end.left);
}

fn kill_file() {
    let mut broker = Broker::start();
    let child = broker.child(WASM).unwrap();
    rustix::io::write(child.kill.as_ref().unwrap(), b"1").unwrap();
    dead(&child);
    let end = broker.collect(&child);
    assert_eq!(
        (end.status, end.killed_by_us),
        (WaitStatus::Signaled(9), false)
    );
}

fn two_uids() {
    let (mut one, mut other) = (Broker::start(), Broker::start());
    let children = [
        one.child(WASM).unwrap(),
        one.child(WASM).unwrap(),
        other.child(WASM).unwrap(),
    ];
    let uids: std::collections::HashSet<u32> = children.iter().map(|c| c.started.uid).collect();
    assert_eq!(uids.len(), 3);
}

fn no_room() {
    let mut broker = Broker::start();
    let code = sealed(&vec![1; 6 << 20]);
    let limits = Limits {
        memory_bytes: 4 << 20,
        ..WASM
    };
    let result = broker.child_with(Engine::Wasm, limits, vec![(FdKind::Code, code)]);
    let fault = result.err().unwrap();
    assert_eq!(
        fault.kind,
        FaultKind::Wall(Control::CgroupMemory),
        "{fault}"
    );
}

/// Waits half a second for a child's death.
pub(crate) fn dead(child: &Held) {
    let deadline = Instant::now() + Duration::from_millis(500);
    let left = rustix::event::Timespec::try_from(deadline - Instant::now()).unwrap();
    let mut fds = [rustix::event::PollFd::new(
        &child.pidfd,
        rustix::event::PollFlags::IN,
    )];
    assert_eq!(
        rustix::event::poll(&mut fds, Some(&left)).unwrap(),
        1,
        "still alive"
    );
}
