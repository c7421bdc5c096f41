//! Plays the host for a shipped runner: starts it in an otherwise empty root
//! and talks to it over the link.

pub(crate) mod peer;

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;

use gm_protocol::message::{FromRunner, Last, ToRunner, head};
use gm_protocol::plan::{Filters, Hook, HostOp, HostOps, Role};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

pub(crate) use peer::{Peer, soon};

pub(crate) fn memfd(bytes: &[u8], sealed: bool) -> OwnedFd {
    let fd = memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = File::from(fd);
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    if sealed {
        let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&file, all).unwrap();
    }
    OwnedFd::from(file)
}

/// Every host call.
pub(crate) fn all_ops() -> HostOps {
    HostOp::ALL
        .iter()
        .fold(HostOps::NONE, |set, op| set.with(*op))
}

/// What the host says to a call of it: status and result.
type Answer = fn(HostOp, &[u8]) -> (i64, Vec<u8>);

/// With what it was asked, and its length.
fn echo(_: HostOp, asked: &[u8]) -> (i64, Vec<u8>) {
    (i64::try_from(asked.len()).unwrap(), asked.to_vec())
}

impl Peer {
    /// Setup to Go: it has what every walled process must have.
    pub(crate) fn go(&mut self, filters: Filters, role: Role) {
        let report = self.wall_in(filters, role);
        assert!(report.no_new_privs && report.root_refused);
        assert!(report.soft_refused && !report.dumpable);
        self.send(&ToRunner::Go);
    }
}

/// A plugin that was told to go.
pub(crate) struct Plugin {
    pub(crate) peer: Peer,
    next: u32,
    pub(crate) answer: Answer,
}

/// What a call gave, and the host calls that it made.
#[derive(Debug, PartialEq)]
pub(crate) struct Called {
    pub(crate) status: i32,
    pub(crate) document: Option<Vec<u8>>,
    pub(crate) asked: Vec<(HostOp, u8, Vec<u8>)>,
}

impl Plugin {
    pub(crate) fn of(peer: Peer) -> Self {
        Self {
            peer,
            next: 0,
            answer: echo,
        }
    }

    pub(crate) fn loaded(mut self) -> Self {
        match self.peer.link.recv(soon()) {
            Ok(FromRunner::Loaded { .. }) => self,
            other => panic!("{other:?} instead of Loaded; {:?}", self.peer.ending()),
        }
    }

    pub(crate) fn call(&mut self, document: &[u8]) -> Called {
        self.call_hook(Hook::OnCommitAnalyzed, document)
    }

    pub(crate) fn begin(&mut self, hook: Hook, document: &[u8]) {
        self.next += 1;
        let (bytes, more) = head(document);
        let call = ToRunner::Call {
            call: self.next,
            hook,
            more,
            bytes,
        };
        self.peer
            .link
            .send_document(&call, document, soon())
            .unwrap();
    }

    pub(crate) fn call_hook(&mut self, hook: Hook, document: &[u8]) -> Called {
        self.begin(hook, document);
        self.until_done()
    }

    /// Answers what the plugin asks until its call is done.
    pub(crate) fn until_done(&mut self) -> Called {
        let mut asked = Vec::new();
        loop {
            match self.peer.recv() {
                FromRunner::Host {
                    id,
                    op,
                    level,
                    more,
                    bytes,
                    ..
                } => {
                    let bytes = self
                        .peer
                        .link
                        .recv_parts(bytes, more, 1 << 20, soon())
                        .unwrap();
                    let (status, result) = (self.answer)(op, &bytes);
                    let (head, more) = head(&result);
                    let done = ToRunner::HostDone {
                        id,
                        status,
                        more,
                        bytes: head,
                    };
                    self.peer
                        .link
                        .send_document(&done, &result, soon())
                        .unwrap();
                    asked.push((op, level, bytes));
                }
                FromRunner::Done {
                    call,
                    status,
                    has,
                    more,
                    bytes,
                } => {
                    assert_eq!(call, self.next);
                    let bytes = self
                        .peer
                        .link
                        .recv_parts(bytes, more, 1 << 20, soon())
                        .unwrap();
                    return Called {
                        status,
                        document: has.then_some(bytes),
                        asked,
                    };
                }
                other => panic!("{other:?} during a call"),
            }
        }
    }

    /// Calls and expects the end.
    pub(crate) fn dies(mut self, document: &[u8]) -> (Option<Last>, Option<i32>, Option<i32>) {
        self.begin(Hook::OnCommitAnalyzed, document);
        self.peer.ending()
    }

    pub(crate) fn stop(mut self) -> (Option<Last>, Option<i32>, Option<i32>) {
        self.peer.send(&ToRunner::Stop);
        self.peer.ending()
    }
}
