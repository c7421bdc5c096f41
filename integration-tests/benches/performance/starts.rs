//! P4, P5 and P7: what it takes to start a walled plugin, and what it holds when
//! it has nothing to do.

use std::path::Path;
use std::time::{Duration, Instant};

use gm_broker::prepare::Preparer;
use gm_broker::process::Process;
use gm_broker::supervise::Hosted;
use gm_integration_tests::kernel::{group_directory, group_file};
use gm_integration_tests::process::command;
use serde_json::Value;

use crate::floor::{Echo, Starter, start_to_answer};
use crate::plugins::{ECHO, LARGE};
use crate::samples::{Row, Samples, Target, in_turns, micros};
use crate::walled::{Host, call, event, prepared, stop};

const ROUNDS: usize = 25;
const MEMORY_ROUNDS: usize = 5;
/// After so long without a call a plugin counts as idle.
const IDLE: Duration = Duration::from_millis(50);
const PEER: &str = "bubblewrap --unshare-all, static echo";

pub(crate) fn rows(home: &Path, echo: &Path) -> Vec<Value> {
    let starter = Starter::new(echo);
    let host = Host::begin(home);
    let preparer = host.preparer();
    let small = prepared(&host, &preparer, ECHO);
    let large = prepared(&host, &preparer, LARGE);
    let mut rows = vec![over_exec(&host, &small, echo)];
    match starter {
        Some(starter) => rows.push(over_bubblewrap(&host, &small, starter)),
        None => eprintln!("bubblewrap isn't installed: P4 has only its other floor"),
    }
    rows.push(with_last_look(&host, &small, &preparer));
    rows.push(large_module(&host, &small, &large));
    rows.push(from_the_cache(&host, &small, &preparer));
    rows.push(memory(&host, &small, echo));
    drop(preparer);
    host.end();
    rows
}

/// Microseconds from the order until it can be called; it is ended again.
fn ready(host: &Host, hosted: &Hosted, checked: Option<&Preparer<'_>>) -> f64 {
    let begun = Instant::now();
    let process = host.start(hosted, checked);
    let took = micros(begun);
    stop(process);
    took
}

/// The same until it has answered its first call.
fn first_reply(host: &Host, hosted: &Hosted, begun: Instant) -> f64 {
    let mut process = host.start(hosted, None);
    let _ = call(&mut process, 1, &event(), None);
    let took = micros(begun);
    stop(process);
    took
}

fn over_exec(host: &Host, small: &Hosted, echo: &Path) -> Value {
    let measured = in_turns(
        ROUNDS,
        |samples| samples.add(start_to_answer(command(echo, Path::new("/")))),
        |samples| samples.add(ready(host, small, None)),
    );
    let row = Row {
        id: "P4",
        what: "order to ready, all walls of L4".into(),
        unit: "µs",
        floor: "bare fork and exec, static echo",
        target: Target::None,
    };
    row.of(&measured)
}

fn over_bubblewrap(host: &Host, small: &Hosted, mut starter: Starter) -> Value {
    let measured = in_turns(
        ROUNDS,
        |samples| samples.add(starter.start_to_answer()),
        |samples| samples.add(ready(host, small, None)),
    );
    let row = Row {
        id: "P4",
        what: "the same, over a peer".into(),
        unit: "µs",
        floor: PEER,
        target: Target::Ratio(1.5),
    };
    row.of(&measured)
}

fn with_last_look(host: &Host, small: &Hosted, preparer: &Preparer<'_>) -> Value {
    let measured = in_turns(
        ROUNDS,
        |samples| samples.add(ready(host, small, None)),
        |samples| samples.add(ready(host, small, Some(preparer))),
    );
    let row = Row {
        id: "P4",
        what: "the same, with the last look at trust".into(),
        unit: "µs",
        floor: "P4",
        target: Target::None,
    };
    row.of(&measured)
}

fn large_module(host: &Host, small: &Hosted, large: &Hosted) -> Value {
    let measured = in_turns(
        ROUNDS,
        |samples| samples.add(ready(host, small, None)),
        |samples| samples.add(first_reply(host, large, Instant::now())),
    );
    let row = Row {
        id: "P5",
        what: "order to first reply, 600 KB module".into(),
        unit: "µs",
        floor: "P4",
        target: Target::Ratio(2.5),
    };
    row.of(&measured)
}

fn from_the_cache(host: &Host, small: &Hosted, preparer: &Preparer<'_>) -> Value {
    let measured = in_turns(
        ROUNDS,
        |samples| samples.add(ready(host, small, None)),
        |samples| {
            let begun = Instant::now();
            let large = prepared(host, preparer, LARGE);
            samples.add(first_reply(host, &large, begun));
        },
    );
    let row = Row {
        id: "P5",
        what: "the same, with trust, proof and cache before it".into(),
        unit: "µs",
        floor: "P4",
        target: Target::None,
    };
    row.of(&measured)
}

fn memory(host: &Host, small: &Hosted, echo: &Path) -> Value {
    let measured = in_turns(
        MEMORY_ROUNDS,
        |samples| samples.add(bare_memory(echo)),
        |samples: &mut Samples| {
            let mut process = host.start(small, None);
            let _ = call(&mut process, 1, &event(), None);
            std::thread::sleep(IDLE);
            samples.add(charged(&process));
            stop(process);
        },
    );
    let row = Row {
        id: "P7",
        what: "memory charged to an idle plugin's group".into(),
        unit: "KiB",
        floor: "static echo in a group of its own",
        target: Target::Most(3.0 * 1024.0),
    };
    row.of(&measured)
}

/// Kibibytes charged to the plugin's group, the kernel's own included.
fn charged(process: &Process<'_>) -> f64 {
    let path = &process.child.started.cgroups.memory;
    usage(&group_directory("memory", path))
}

fn usage(group: &Path) -> f64 {
    let bytes = group_file(group, &["memory.current", "memory.usage_in_bytes"]);
    bytes.parse::<f64>().unwrap() / 1024.0
}

/// The same of the static echo. A shell moves itself into the group and becomes
/// the echo there, so that all of it is charged.
fn bare_memory(echo: &Path) -> f64 {
    let group = Group::new();
    let mut shell = command("sh", Path::new("/"));
    shell.args(["-c", "echo $$ > \"$1/cgroup.procs\" && exec \"$2\"", "sh"]);
    shell.arg(&group.0).arg(echo);
    let mut echo = Echo::of(shell);
    echo.call(&event().document);
    std::thread::sleep(IDLE);
    usage(&group.0)
}

/// A memory group beside the broker's own, removed when dropped; whatever ran in
/// it is dead by then.
struct Group(std::path::PathBuf);

impl Group {
    fn new() -> Self {
        let own = gm_integration_tests::kernel::Process::find(std::process::id()).unwrap();
        let above = group_directory("memory", &own.group("memory"));
        let group = above.join(format!("gm-bench-{}", std::process::id()));
        std::fs::create_dir(&group).unwrap();
        Self(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A dead process leaves its group a little later than it is reaped.
        let _ = gm_integration_tests::kernel::within(Duration::from_secs(2), || {
            std::fs::remove_dir(&self.0).is_ok()
        });
    }
}
