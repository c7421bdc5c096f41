//! Plays the host for a shipped runner: starts it in an otherwise empty root
//! and talks to it over the link.
//!
//! What the launcher adds (namespaces, cgroup) is not here: these tests are
//! about what the binaries do to themselves.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gm_protocol::PROTOCOL;
use gm_protocol::link::{Budget, Link, LinkError, Wait, pair};
use gm_protocol::message::{FromRunner, Last, Report, ToRunner, head};
use gm_protocol::plan::{Filters, Hook, HostOp, HostOps, LandlockRule, Place, Role, Setup};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tempfile::TempDir;

/// `LANDLOCK_ACCESS_FS_READ_FILE` of linux/landlock.h.
const READ_FILE: u64 = 1 << 2;

/// One of the shipped binaries.
pub(crate) fn binary(name: &str) -> PathBuf {
    let kind = name
        .trim_start_matches("gm-")
        .replace("make-warm", "compile-wasm");
    let place = format!("../target/engines/{kind}/x86_64-unknown-linux-gnu/release/{name}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    assert!(
        path.exists(),
        "no {}: run scripts/build first",
        path.display()
    );
    path
}

/// A started process and the host's end of its link.
pub(crate) struct Peer {
    pub(crate) link: Link,
    pub(crate) child: Child,
    has_code: bool,
    _root: TempDir,
}

pub(crate) fn soon() -> Wait<'static> {
    Wait {
        deadline: Instant::now() + Duration::from_secs(20),
        wake: None,
    }
}

impl Peer {
    /// Starts `name` in a root that holds only itself and `files`, as an
    /// ordinary user without privileges. Descriptor 4 and 5 may be given.
    #[expect(clippy::disallowed_methods, reason = "this test is the host")]
    pub(crate) fn start(
        name: &str,
        memory: u64,
        files: &[(&str, &[u8])],
        fds: [Option<OwnedFd>; 2],
    ) -> Self {
        // A child that another thread forks meanwhile would hold the copy open for
        // writing, and what is can't be executed.
        static COPIES: Mutex<()> = Mutex::new(());
        let _alone = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
        let root = TempDir::new_in("/tmp").unwrap();
        std::fs::copy(binary(name), root.path().join("bin")).unwrap();
        for (file, bytes) in files {
            std::fs::write(root.path().join(file), bytes).unwrap();
        }
        let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(root.path(), all).unwrap();
        let (ours, theirs) = pair().unwrap();
        let [fourth, fifth] = fds.map(|fd| fd.map_or_else(Stdio::null, Stdio::from));
        let (close4, close5) = ("4>&1", "5>&2");
        let script = format!(
            "exec setpriv --no-new-privs chroot --userspec=1000:1000 {} /bin {memory} \
             3<&0 {close4} {close5} </dev/null >/dev/null 2>/dev/null",
            root.path().display()
        );
        let child = Command::new("sh")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(Stdio::from(theirs))
            .stdout(fourth)
            .stderr(fifth)
            .spawn()
            .unwrap();
        let budget = Budget {
            frames: 20_000,
            bytes: 64 << 20,
        };
        Self {
            link: Link::new(ours, budget),
            child,
            has_code: files.iter().any(|(name, _)| *name == "code"),
            _root: root,
        }
    }

    pub(crate) fn send(&mut self, message: &ToRunner) {
        self.link.send(message, soon()).unwrap();
    }

    pub(crate) fn recv(&mut self) -> FromRunner {
        self.link.recv(soon()).unwrap()
    }

    /// Setup to Report.
    pub(crate) fn wall_in(&mut self, filters: Filters, role: Role) -> Report {
        self.set_up(filters, role);
        match self.recv() {
            FromRunner::Report(report) => report,
            other => panic!("{other:?} instead of a report"),
        }
    }

    /// Setup alone.
    pub(crate) fn set_up(&mut self, filters: Filters, role: Role) {
        let code = LandlockRule {
            path: Place::Code,
            rights: READ_FILE,
        };
        let landlock = Vec::from_iter(self.has_code.then_some(code));
        let setup = Setup {
            protocol: PROTOCOL,
            filters,
            landlock_abi: 7,
            landlock,
            role,
        };
        self.send(&ToRunner::Setup(Box::new(setup)));
    }

    /// How it ended: what it said last, exit status, signal.
    pub(crate) fn ending(mut self) -> (Option<Last>, Option<i32>, Option<i32>) {
        let last = loop {
            match self.link.recv(soon()) {
                Ok(FromRunner::Last(last)) => break Some(last),
                Ok(_) => {}
                Err(LinkError::Closed) => break None,
                Err(error) => panic!("{error}"),
            }
        };
        let status = self.child.wait().unwrap();
        (last, status.code(), status.signal())
    }
}

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

/// A plugin that was told to go.
pub(crate) struct Plugin {
    pub(crate) peer: Peer,
    pub(crate) next: u32,
}

/// What a call gave, and the host calls that it made.
#[derive(Debug, PartialEq)]
pub(crate) struct Called {
    pub(crate) status: i32,
    pub(crate) document: Option<Vec<u8>>,
    pub(crate) asked: Vec<(HostOp, u8, Vec<u8>)>,
}

impl Plugin {
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
                    // The host answers with what it was asked.
                    let (head, more) = head(&bytes);
                    let status = i64::try_from(bytes.len()).unwrap();
                    let done = ToRunner::HostDone {
                        id,
                        status,
                        more,
                        bytes: head,
                    };
                    self.peer.link.send_document(&done, &bytes, soon()).unwrap();
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
