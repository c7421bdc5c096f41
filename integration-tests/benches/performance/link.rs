//! P2: the link itself, codec and checks included, over a bare SEQPACKET echo.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use gm_protocol::link::{Budget, Link, Wait};
use gm_protocol::message::{FromRunner, ToRunner, head};
use gm_protocol::plan::Hook;
use gm_protocol::runner_end::RunnerEnd;
use serde_json::Value;

use crate::floor::{Echo, Peer, on, place};
use crate::plugins::noise;
use crate::samples::{Row, Target, in_turns, micros};
use crate::stage::Stage;

const ROUNDS: usize = 7;
const CALLS: usize = 300;
/// Most bytes of a document here.
const CAP: usize = 1 << 20;
/// What is measured is never out of budget.
pub(crate) const BUDGET: Budget = Budget {
    frames: u32::MAX,
    bytes: u64::MAX,
};

pub(crate) fn rows(stage: &Stage) -> Vec<Value> {
    let sizes = [
        (64, "64 B", Target::Ratio(1.3)),
        (4096, "4 KiB", Target::Ratio(1.4)),
        (65536, "64 KiB", Target::Ratio(1.5)),
    ];
    let mut rows = Vec::new();
    for (size, name, target) in sizes {
        rows.push(on(true, || row(stage, size, name, true, target)));
        rows.push(on(false, || row(stage, size, name, false, Target::None)));
    }
    rows
}

fn row(stage: &Stage, size: usize, name: &str, pinned: bool, target: Target) -> Value {
    let document = noise(size);
    let mut echo = Echo::start(&stage.echo());
    let mut link = Caller::start(stage);
    let measured = in_turns(
        ROUNDS,
        |samples| {
            for _ in 0..CALLS {
                let begun = Instant::now();
                echo.call(&document);
                samples.add(micros(begun));
            }
        },
        |samples| {
            for _ in 0..CALLS {
                let begun = Instant::now();
                link.call(&document);
                samples.add(micros(begun));
            }
        },
    );
    let row = Row {
        id: "P2",
        what: format!("link round trip {name}, {}", place(pinned)),
        unit: "µs",
        floor: "bare SEQPACKET echo",
        target,
    };
    row.of(&measured)
}

/// The broker's end, with [`answer`] in another process at the other.
struct Caller {
    link: Link,
    _peer: Peer,
}

impl Caller {
    fn start(stage: &Stage) -> Self {
        let (peer, socket) = Peer::start(stage.part(&["link"]));
        Self {
            link: Link::new(socket, BUDGET),
            _peer: peer,
        }
    }

    fn call(&mut self, document: &[u8]) {
        let wait = soon();
        let (bytes, more) = head(document);
        let call = ToRunner::Call {
            call: 1,
            hook: Hook::OnCommitAnalyzed,
            more,
            bytes,
        };
        self.link.send_document(&call, document, wait).unwrap();
        let FromRunner::Done { more, bytes, .. } = self.link.recv(wait).unwrap() else {
            panic!("not an answer")
        };
        let back = self.link.recv_parts(bytes, more, CAP, wait).unwrap();
        assert_eq!(back.len(), document.len(), "the answer is another one");
    }
}

/// Far away, and absolute as the broker's own deadlines are.
pub(crate) fn soon() -> Wait<'static> {
    Wait {
        deadline: Instant::now() + Duration::from_secs(20),
        wake: None,
    }
}

/// The other process: a runner's end that gives each document back.
pub(crate) fn answer() {
    let socket = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let mut end = RunnerEnd::new(File::from(socket));
    while let Ok(ToRunner::Call {
        call, more, bytes, ..
    }) = end.recv()
    {
        let document = end.recv_parts(bytes, more, CAP).unwrap();
        let (bytes, more) = head(&document);
        let done = FromRunner::Done {
            call,
            status: 0,
            has: true,
            more,
            bytes,
        };
        end.send_document(&done, &document).unwrap();
    }
}
