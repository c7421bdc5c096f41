//! P1: a hook call into a walled plugin, over a bare SEQPACKET echo.

use std::path::Path;
use std::time::Instant;

use gm_broker::args::Environment;
use gm_broker::graph::Graph;
use gm_broker::host_api::{HostApi, Parts};
use gm_broker::hub::Hub;
use gm_broker::logs::{LogFile, Rate};
use gm_broker::output::{Format, Output};
use gm_broker::records::{Recorder, Share, Wanted};
use gm_broker::supervise::Hosted;
use gm_manifest::PluginId;
use serde_json::Value;

use crate::floor::{Echo, pin, place};
use crate::plugins::{ASKS, ECHO};
use crate::samples::{Row, Samples, Target, in_turns, micros};
use crate::walled::{Host, call, event, prepared, stop};

const ROUNDS: usize = 7;
const CALLS: u32 = 300;

/// Both rows in this process, which is then on one CPU, or on all, to its end.
pub(crate) fn rows(home: &Path, echo: &Path, pinned: bool) -> Vec<Value> {
    if pinned {
        // Before the launcher, which hands it on to the plugin.
        pin();
    }
    let host = Host::begin(home);
    let rows = vec![plain(&host, echo, pinned), asking(&host, echo, pinned)];
    host.end();
    rows
}

fn plain(host: &Host, echo: &Path, pinned: bool) -> Value {
    let preparer = host.preparer();
    let hosted = prepared(host, &preparer, ECHO);
    let mut process = host.start(&hosted, None);
    let event = event();
    let mut number = 0;
    let mut echo = Echo::start(echo);
    let measured = in_turns(
        ROUNDS,
        |samples| floor(&mut echo, &event.document, samples),
        |samples| {
            for _ in 0..CALLS {
                number += 1;
                let begun = Instant::now();
                let answered = call(&mut process, number, &event, None);
                samples.add(micros(begun));
                assert_eq!(answered, event.document.len());
            }
        },
    );
    stop(process);
    row("64 B hook call", pinned, Target::Ratio(1.5)).of(&measured)
}

fn asking(host: &Host, echo: &Path, pinned: bool) -> Value {
    let preparer = host.preparer();
    let hosted = prepared(host, &preparer, ASKS);
    let mut desk = Desk::new(host, &hosted);
    let recorder = Recorder::new(&mut desk.output, desk.journal, Wanted::default());
    let mut api = HostApi::new(Parts {
        source: &hosted.source,
        index: hosted.index,
        walls: &hosted.walls,
        graph: &desk.graph,
        storage: None,
        hub: &desk.hub,
        recorder: &recorder,
        values: host.config().values_of(&PluginId::parse(ASKS).unwrap()),
        log: desk.log,
        rate: Rate::new(1, 1),
        share: Share::new(1 << 30, 1),
        result_bytes: 1 << 20,
    });
    let mut process = host.start(&hosted, None);
    let event = event();
    let mut number = 0;
    let mut echo = Echo::start(echo);
    let measured = in_turns(
        ROUNDS,
        |samples| floor(&mut echo, &event.document, samples),
        |samples| {
            for _ in 0..CALLS {
                number += 1;
                let begun = Instant::now();
                let answered = call(&mut process, number, &event, Some(&mut api));
                samples.add(micros(begun));
                assert_eq!(answered, event.document.len());
            }
        },
    );
    stop(process);
    row("the same, one host call inside", pinned, Target::Ratio(3.0)).of(&measured)
}

fn floor(echo: &mut Echo, bytes: &[u8], samples: &mut Samples) {
    for _ in 0..CALLS {
        let begun = Instant::now();
        echo.call(bytes);
        samples.add(micros(begun));
    }
}

fn row(what: &str, pinned: bool, target: Target) -> Row {
    Row {
        id: "P1",
        what: format!("{what}, {}", place(pinned)),
        unit: "µs",
        floor: "bare SEQPACKET echo",
        target: if pinned { target } else { Target::None },
    }
}

/// What the host's side of a plugin works with.
struct Desk {
    output: Output,
    journal: LogFile,
    log: LogFile,
    graph: Graph,
    hub: Hub,
}

impl Desk {
    fn new(host: &Host, hosted: &Hosted) -> Self {
        let log = |name| LogFile::open(host.home().logs().unwrap(), name, 1 << 20).unwrap();
        Self {
            output: Output::stdio(Format::Human, true, &Environment::read()),
            journal: log("bench.jsonl"),
            log: log("bench-plugin.jsonl"),
            graph: Graph::in_memory().unwrap(),
            hub: Hub::new(vec![hosted.hooks.clone()], 1).unwrap(),
        }
    }
}
