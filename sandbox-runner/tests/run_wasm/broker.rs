//! Plays the host: compiles a module behind the compiler's walls, starts the
//! runner in an otherwise empty root, and talks to it over the link.
//!
//! What the launcher adds (namespaces, cgroup) is not here: these tests are
//! about what the binaries do to themselves.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gm_protocol::PROTOCOL;
use gm_protocol::link::{Budget, Link, LinkError, Wait, pair};
use gm_protocol::message::{FromRunner, Last, ModuleFault, Report, ToRunner, head};
use gm_protocol::plan::{
    Asset, CompileSetup, Filters, Hook, HostOp, HostOps, LandlockRule, Place, PluginSetup, Role,
    Setup,
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tempfile::TempDir;

use crate::filters;

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
        let landlock = match role {
            Role::Plugin(_) => vec![LandlockRule {
                path: Place::Code,
                rights: READ_FILE,
            }],
            Role::Compile(_) => vec![],
        };
        let setup = Setup {
            protocol: PROTOCOL,
            filters,
            landlock_abi: 7,
            landlock,
            role,
        };
        self.send(&ToRunner::Setup(setup));
        match self.recv() {
            FromRunner::Report(report) => report,
            other => panic!("{other:?} instead of a report"),
        }
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

/// A module through the shipped compiler, behind its shipped profile.
pub(crate) fn compile(module: &[u8], ops: HostOps, hooks: &[Hook]) -> Result<Vec<u8>, ModuleFault> {
    let output = memfd(b"", false);
    let mut result = File::from(output.try_clone().unwrap());
    let fds = [Some(memfd(module, true)), Some(output)];
    let mut peer = Peer::start("gm-compile-wasm", 512 << 20, &[], fds);
    let setup = CompileSetup {
        host_ops: ops,
        hooks: hooks.to_vec(),
        output_bytes: 64 << 20,
    };
    peer.wall_in(filters::of_profile("compile", None), Role::Compile(setup));
    peer.send(&ToRunner::Go);
    match peer.recv() {
        FromRunner::Compiled { len } => {
            assert_eq!(peer.ending(), (None, Some(0), None));
            let mut artifact = Vec::new();
            result.rewind().unwrap();
            result.read_to_end(&mut artifact).unwrap();
            assert_eq!(artifact.len() as u64, len);
            Ok(artifact)
        }
        FromRunner::Refused(fault) => Err(fault),
        other => panic!("{other:?} instead of a verdict; {:?}", peer.ending()),
    }
}

pub(crate) fn warm() -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "this test is the set-up")]
    fn make() -> Vec<u8> {
        let dir = TempDir::new().unwrap();
        let to = dir.path().join("warm");
        assert!(
            Command::new(binary("gm-make-warm"))
                .arg(&to)
                .status()
                .unwrap()
                .success()
        );
        std::fs::read(to).unwrap()
    }
    static WARM: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    WARM.get_or_init(make).clone()
}

/// A plugin from its text, walled and told to go, with all host calls granted.
pub(crate) struct Plugin {
    pub(crate) peer: Peer,
    next: u32,
}

/// What a call gave, and the host calls that it made.
#[derive(Debug, PartialEq)]
pub(crate) struct Called {
    pub(crate) status: i32,
    pub(crate) document: Option<Vec<u8>>,
    pub(crate) asked: Vec<(HostOp, u8, Vec<u8>)>,
}

pub(crate) fn task() -> PluginSetup {
    PluginSetup {
        memory_bytes: 8 << 20,
        host_ops: all_ops(),
        hooks: vec![Hook::OnCommitAnalyzed],
        body_bytes: 1 << 20,
        assets: vec![],
        grants: vec![],
    }
}

impl Plugin {
    /// Up to `Go`.
    pub(crate) fn start(text: &str) -> Self {
        Self::with(text, task(), filters::of_profile("wasm", None), b"")
    }

    pub(crate) fn with(text: &str, mut task: PluginSetup, filters: Filters, assets: &[u8]) -> Self {
        let module = wat::parse_str(text).unwrap();
        let artifact = compile(&module, all_ops(), &task.hooks).unwrap();
        let files: [(&str, &[u8]); 2] = [("code", &artifact), ("warm", &warm())];
        let memfd = (!assets.is_empty()).then(|| memfd(assets, true));
        if !assets.is_empty() {
            task.assets = vec![Asset {
                path: "words.txt".into(),
                offset: 1,
                len: 5,
            }];
        }
        let mut peer = Peer::start("gm-run-wasm", 64 << 20, &files, [None, memfd]);
        let report = peer.wall_in(filters, Role::Plugin(task));
        assert!(
            report.no_new_privs && report.root_refused && report.soft_refused && !report.dumpable
        );
        peer.send(&ToRunner::Go);
        Self { peer, next: 0 }
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

/// A module whose hook has `body`, after `before` at its top level.
pub(crate) fn hook(before: &str, body: &str) -> String {
    format!(
        r#"(module
          {before}
          (memory (export "memory") 1)
          (data (i32.const 16) "{{\"hello\":true}}")
          (data (i32.const 64) "words.txt")
          (func (export "gm_alloc") (param i32) (result i32) (i32.const 1024))
          (func (export "on_commit_analyzed") (param $ptr i32) (param $len i32) (result i32)
            {body}))"#
    )
}
