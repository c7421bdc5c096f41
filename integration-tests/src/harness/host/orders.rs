//! What a subverted broker orders of the launcher, which takes no word of it for a wall:
//! an order can't name a path, a uid, a namespace or a capability, and what it can name
//! has bounds of the launcher's own.

use std::os::fd::{AsFd, OwnedFd};

use gm_protocol::orders::{Fault, FaultKind, FdKind, Stage, Task};
use gm_protocol::plan::{Engine, Limits};

use super::super::judge::Shown;
use super::{Attack, all, for_root, held, plain};
use crate::kernel::{Process, within};
use crate::launcher::{ANSWER, Held, Launcher, file, greet, memfd, socket};
use crate::scene::SOON;

const HONEST: Limits = Limits {
    memory_bytes: 32 << 20,
    pids: 1,
    cpu_percent: 50,
    file_bytes: 0,
    cpu_seconds: 0,
};

pub(super) fn attacks(id: &str) -> Vec<Attack> {
    match id {
        "lc-hostile-broker" => plain(&[
            greedy_limits,
            foreign_descriptors,
            about_nobody,
            another_number,
            garbage,
            || for_root("only root's launcher gives ids of a range", low_ids),
            etc_as_a_grant,
        ]),
        _ => Vec::new(),
    }
}

/// A launcher that carries out an honest order: what it refuses, it refuses for what it is.
fn with_launcher(attack: impl FnOnce(&mut Launcher) -> Shown) -> Shown {
    let mut launcher = match Launcher::start() {
        Ok(launcher) => launcher,
        Err(fault) => return Shown::Unproved(format!("the launcher starts nothing: {fault}")),
    };
    let honest = match honest(&mut launcher) {
        Ok(honest) => honest,
        Err(fault) => return Shown::Unproved(format!("an honest order is refused: {fault}")),
    };
    let child = honest.started.child;
    let collected = launcher.order(Task::Collect { child }, &[]);
    if let Err(fault) = collected {
        return Shown::Unproved(format!("its child could not be collected: {fault}"));
    }
    attack(&mut launcher)
}

fn code() -> (FdKind, OwnedFd) {
    (FdKind::Code, memfd(b"code", true))
}

fn honest(launcher: &mut Launcher) -> Result<Held, Fault> {
    launcher.child(Engine::Wasm, HONEST, &[code()])
}

/// Each was refused for what it is, and nothing runs.
fn refusals<T>(
    launcher: &Launcher,
    tried: impl IntoIterator<Item = (String, Result<T, Fault>)>,
) -> Shown {
    let mut harm = Vec::new();
    for (what, result) in tried {
        match result {
            Ok(_) => harm.push(format!("carried out: {what}")),
            Err(fault) if matches!(fault.kind, FaultKind::Refused | FaultKind::Gone) => {}
            Err(fault) => return Shown::Unproved(format!("{what}: {fault}")),
        }
    }
    let running = launcher.children();
    if running != ["gm-sweeper"] {
        harm.push(format!("its children are {running:?}"));
    }
    held("broker", "the launcher refused every order", &harm)
}

/// Limits of a compile process, which are too much for a plugin.
const COMPILE: Limits = Limits {
    memory_bytes: 64 << 20,
    pids: 8,
    cpu_percent: 100,
    file_bytes: 4096,
    cpu_seconds: 5,
};

fn greedy_limits() -> Shown {
    let greedy = [
        COMPILE,
        Limits {
            memory_bytes: 60 << 30,
            ..HONEST
        },
        Limits {
            memory_bytes: u64::MAX,
            ..HONEST
        },
        Limits {
            pids: u32::MAX,
            ..HONEST
        },
        Limits { pids: 0, ..HONEST },
        Limits {
            cpu_percent: 10_000,
            ..HONEST
        },
        Limits {
            file_bytes: 1 << 40,
            ..HONEST
        },
    ];
    with_launcher(|launcher| {
        let tried: Vec<_> = greedy
            .into_iter()
            .map(|limits| {
                let what = format!("{limits:?}");
                (what, launcher.child(Engine::Wasm, limits, &[code()]))
            })
            .collect();
        refusals(launcher, tried)
    })
}

/// What is no sealed memfd, comes twice, or is of a kind that this engine has no use for.
fn foreign_descriptors() -> Shown {
    let open = || memfd(b"", false);
    let sets: [(&str, Vec<(FdKind, OwnedFd)>); 10] = [
        ("no code", vec![]),
        ("code twice", vec![code(), code()]),
        ("the host's root as code", vec![(FdKind::Code, file("/"))]),
        (
            "a file of the host's as code",
            vec![(FdKind::Code, file("/etc/passwd"))],
        ),
        ("code that can still change", vec![(FdKind::Code, open())]),
        (
            "the host's root as assets",
            vec![code(), (FdKind::Assets, file("/"))],
        ),
        ("an output", vec![code(), (FdKind::Output, open())]),
        (
            "assets that can still change",
            vec![code(), (FdKind::Assets, open())],
        ),
        ("two links", vec![code(), (FdKind::Link, socket())]),
        (
            "the broker's own binary",
            vec![(FdKind::Module, file("/proc/self/exe"))],
        ),
    ];
    let module = || (FdKind::Module, memfd(b"module", true));
    let outputs = [
        file("/"),
        file("/etc/passwd"),
        memfd(b"", true),
        memfd(b"full", true),
    ];
    with_launcher(|launcher| {
        let mut tried: Vec<_> = sets
            .into_iter()
            .map(|(what, set)| {
                let child = launcher.child(Engine::Wasm, HONEST, &set);
                (what.to_owned(), child)
            })
            .collect();
        tried.extend(outputs.into_iter().map(|output| {
            let what = format!("an artifact into {output:?}");
            let set = [module(), (FdKind::Output, output)];
            (what, launcher.child(Engine::CompileWasm, COMPILE, &set))
        }));
        refusals(launcher, tried)
    })
}

fn about_nobody() -> Shown {
    let child = 77;
    with_launcher(|launcher| {
        let looks = [Stage::Walled, Stage::Loaded].map(|stage| Task::Look { child, stage });
        let tasks = looks.into_iter().chain([
            Task::Kill { child },
            Task::Collect { child },
            Task::TryGrant,
        ]);
        let tried: Vec<_> = tasks
            .map(|task| (format!("{task:?}"), launcher.order(task, &[])))
            .collect();
        let grant = launcher.order(Task::TryGrant, &[socket().as_fd()]);
        let more = [("a socket as a grant".to_owned(), grant)];
        refusals(launcher, tried.into_iter().chain(more))
    })
}

/// Who loses count of its orders is no broker: the launcher ends, and its child with it.
fn another_number() -> Shown {
    with_launcher(|launcher| {
        let child = match honest(launcher) {
            Ok(child) => child,
            Err(fault) => return Shown::Unproved(format!("no child: {fault}")),
        };
        let Some(process) = Process::find(child.started.pid) else {
            return Shown::Unproved("its child is gone already".to_owned());
        };
        launcher.ring_for_another();
        let ended = launcher.ends();
        let dead = within(SOON, || !process.lives());
        let harm = [(ended, "the launcher goes on"), (dead, "its child lives")];
        let harm = harm.into_iter().filter(|(is, _)| !is);
        let harm: Vec<String> = harm.map(|(_, what)| what.to_owned()).collect();
        held("broker", "it ended, and its child with it", &harm)
    })
}

fn garbage() -> Shown {
    let tried = [&b""[..], b"garbage", &[0xff; 4000]].map(|bytes| {
        let (mut launcher, _bell) = greet(bytes);
        match launcher.exit_within(ANSWER) {
            Some(70) => held("broker", "it ended with 70", &[]),
            other => Shown::Unproved(format!("{} bytes: exit {other:?}", bytes.len())),
        }
    });
    all(tried)
}

/// A configuration whose range of ids has some of the host's own in it, and one that asks
/// for no level. The broker has read it otherwise, or not at all.
fn low_ids() -> Shown {
    let lines = ["uids = [0, 10]", "uids = [1000, 1]", "min = \"L0\""];
    let tried = lines.map(|line| {
        let key = line.split(' ').next().unwrap_or_default();
        match Launcher::with(&format!("[isolation]\n{line}\n")) {
            Ok(_) => Shown::Escaped(format!("it starts plugins with {line}")),
            Err(fault) if fault.step == format!("isolation.{key}") => {
                held("broker", "the launcher read the configuration itself", &[])
            }
            Err(fault) => Shown::Unproved(format!("{line}: {fault}")),
        }
    });
    // Without such a line it starts them.
    with_launcher(|_| all(tried))
}

/// The host's `/etc` as a granted directory: refused, or a child as walled as ever, which
/// has it read-only and without programs, as somebody whom the host doesn't know.
fn etc_as_a_grant() -> Shown {
    with_launcher(|launcher| {
        let others = [code(), (FdKind::Read, file("/etc"))];
        let child = match launcher.child(Engine::Wasm, HONEST, &others) {
            Ok(child) => child,
            Err(fault) if fault.kind == FaultKind::Refused => {
                return held("broker", "the launcher refused it", &[]);
            }
            Err(fault) => return Shown::Unproved(fault.to_string()),
        };
        let Some(process) = Process::find(child.started.pid) else {
            return Shown::Unproved("its child is gone already".to_owned());
        };
        let flags = ["ro", "nosuid", "nodev", "noexec"];
        let mounts = process.mounts();
        let granted = mounts.iter().filter(|it| it.target.starts_with("/grant"));
        let granted: Vec<_> = granted.collect();
        if granted.is_empty() {
            return Shown::Unproved("nothing was granted to it".to_owned());
        }
        let open = granted
            .iter()
            .filter(|mount| !flags.iter().all(|flag| mount.has(flag)));
        let mut harm: Vec<String> = open.map(|mount| format!("a mount: {mount:?}")).collect();
        if process.status("NoNewPrivs") != "1" {
            harm.push("it may gain privileges".to_owned());
        }
        let uids = process.status("Uid");
        if rustix::process::geteuid().is_root() && uids.split_whitespace().any(|uid| uid == "0") {
            harm.push(format!("its uids are {uids}"));
        }
        let own = Process::find(std::process::id());
        for name in ["user", "mnt", "pid", "net", "ipc", "uts"] {
            if own.is_none_or(|own| own.namespace(name) == process.namespace(name)) {
                harm.push(format!("its namespace {name} is the host's"));
            }
        }
        held("broker", "its child is as walled as ever", &harm)
    })
}
