//! Plays the host: compiles a plugin, starts its runner in a root of its own, and
//! talks to it over the link.
//!
//! What the launcher adds (namespaces, cgroup) is not here: these tests are about
//! what the binaries do to themselves.

use std::fs::{File, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gm_protocol::PROTOCOL;
use gm_protocol::link::{Budget, Link, LinkError, Wait, pair};
use gm_protocol::message::{FromRunner, Last, Report, ToRunner, head};
use gm_protocol::plan::{
    Asset, Filters, Hook, HostOp, HostOps, LIBRARIES, LandlockRule, Place, PluginSetup, Role, Setup,
};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use tempfile::TempDir;

use crate::filters::of_profile;

/// `LANDLOCK_ACCESS_FS_*` of linux/landlock.h.
const EXECUTE: u64 = 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// The one asset of every test.
pub(crate) const WORDS: &[u8] = b"{\"words\":1}";

/// Exit status, signal and last words.
pub(crate) type Ending = (Option<Last>, Option<i32>, Option<i32>);

pub(crate) fn soon() -> Wait<'static> {
    Wait {
        deadline: Instant::now() + Duration::from_secs(20),
        wake: None,
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn shipped(directory: &str, name: &str) -> PathBuf {
    let place = format!("target/engines/{directory}/x86_64-unknown-linux-gnu/release/{name}");
    let path = project().join(place);
    assert!(
        path.exists(),
        "no {}: run scripts/build first",
        path.display()
    );
    path
}

/// A source of `plugins/`, compiled with these words more.
#[expect(clippy::disallowed_methods, reason = "this test is the author")]
pub(crate) fn compiled(source: &str, words: &[&str]) -> Vec<u8> {
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("out");
    let source = project()
        .join("sandbox-runner/tests/run_native/plugins")
        .join(source);
    let made = Command::new("cc")
        .args(["-O1", "-Wall", "-Wno-infinite-recursion", "-o"])
        .arg(&out)
        .arg(source)
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    std::fs::read(out).unwrap()
}

/// The plugin of `plugin.c` as a shared object.
pub(crate) fn shared(words: &[&str]) -> Vec<u8> {
    compiled(
        "plugin.c",
        &[&["-shared", "-fPIC", "-Wl,-z,now"], words].concat(),
    )
}

/// The program of `program.c`, static.
pub(crate) fn executable(words: &[&str]) -> Vec<u8> {
    compiled("program.c", &[&["-static"], words].concat())
}

/// The same file with its first segment of code writable.
pub(crate) fn writable(mut code: Vec<u8>) -> Vec<u8> {
    let long = |at: usize| u64::from_le_bytes(code[at..at + 8].try_into().unwrap());
    let (table, count) = (usize::try_from(long(32)).unwrap(), usize::from(code[56]));
    let header = (0..count).map(|n| table + n * 56);
    // PT_LOAD, readable and executable.
    let found = header
        .into_iter()
        .find(|at| code[*at] == 1 && code[at + 4] == 5);
    code[found.unwrap() + 4] = 7;
    code
}

/// Which of the two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Native,
    Program,
}

/// A runner and the host's end of its link.
pub(crate) struct Peer {
    pub(crate) link: Link,
    pub(crate) child: Child,
    form: Form,
    next: u32,
    _root: TempDir,
}

/// What a call gave, and the host calls that it made.
#[derive(Debug, PartialEq)]
pub(crate) struct Called {
    pub(crate) status: i32,
    pub(crate) text: Option<String>,
    pub(crate) asked: Vec<(HostOp, u8, String)>,
}

impl Called {
    /// The errno of an attempt that was answered.
    pub(crate) fn errno(&self) -> i32 {
        let text = self.text.as_deref().unwrap_or_default();
        let number = text
            .strip_prefix("{\"errno\":")
            .and_then(|t| t.strip_suffix('}'));
        number
            .and_then(|n| n.parse().ok())
            .unwrap_or_else(|| panic!("{self:?}"))
    }
}

fn memfd(bytes: &[u8]) -> OwnedFd {
    let fd = memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::io::write(&fd, bytes).unwrap();
    let all = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    fcntl_add_seals(&fd, all).unwrap();
    fd
}

fn put(path: &Path, bytes: &[u8], mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The machine's own file of this name.
fn library(name: &str) -> Vec<u8> {
    let places = ["/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib"];
    let found = places
        .iter()
        .map(|place| Path::new(place).join(name))
        .find(|path| path.exists());
    std::fs::read(found.unwrap_or_else(|| panic!("no {name}"))).unwrap()
}

fn setup(form: Form, filters: Filters, task: PluginSetup) -> Setup {
    let code = match form {
        Form::Native => (Place::Code, READ_FILE),
        Form::Program => (Place::Executable, READ_FILE | EXECUTE),
    };
    let rules = [code, (Place::Assets, READ_FILE | READ_DIR)];
    Setup {
        protocol: PROTOCOL,
        filters,
        landlock_abi: 7,
        landlock: rules
            .map(|(path, rights)| LandlockRule { path, rights })
            .into(),
        role: Role::Plugin(task),
    }
}

impl Peer {
    /// Starts the runner in a root that holds what the launcher would put there, as
    /// an ordinary user without privileges.
    #[expect(clippy::disallowed_methods, reason = "this test is the host")]
    pub(crate) fn start(form: Form, code: &[u8]) -> Self {
        // A child that another thread forks meanwhile would hold a copy open for
        // writing, and what is can't be executed.
        static COPIES: Mutex<()> = Mutex::new(());
        let _alone = COPIES.lock().unwrap_or_else(PoisonError::into_inner);
        let root = TempDir::new_in("/tmp").unwrap();
        let place = |name: &str| root.path().join(name);
        std::fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        put(&place("assets/lists/words.txt"), WORDS, 0o444);
        put(&place("etc/passwd"), b"root", 0o444);
        put(&place("assets/program"), b"#!/bin/sh\n", 0o555);
        let (name, fourth) = match form {
            Form::Native => {
                for name in LIBRARIES {
                    put(&place(&format!("lib64/{name}")), &library(name), 0o755);
                }
                put(&place("code"), code, 0o444);
                (shipped("run-native", "gm-run-native"), Stdio::null())
            }
            Form::Program => {
                put(&place("code"), code, 0o555);
                let file = File::open(place("code")).unwrap();
                std::fs::remove_file(place("code")).unwrap();
                (shipped("init", "gm-init"), Stdio::from(file))
            }
        };
        std::fs::copy(name, place("bin")).unwrap();
        let (ours, theirs) = pair().unwrap();
        let script = format!(
            "exec setpriv --no-new-privs chroot --userspec=1000:1000 {} /bin 67108864 \
             3<&0 4>&1 5>&2 </dev/null >/dev/null 2>/dev/null",
            root.path().display()
        );
        let child = Command::new("sh")
            .args(["-c", &script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(Stdio::from(theirs))
            .stdout(fourth)
            .stderr(Stdio::from(memfd(WORDS)))
            .spawn()
            .unwrap();
        let budget = Budget {
            frames: 20_000,
            bytes: 64 << 20,
        };
        Self {
            link: Link::new(ours, budget),
            child,
            form,
            next: 0,
            _root: root,
        }
    }

    /// Setup to Go, with these filters.
    pub(crate) fn go(mut self, filters: Filters) -> Self {
        let ops = HostOp::ALL
            .iter()
            .fold(HostOps::NONE, |set, op| set.with(*op));
        let task = PluginSetup {
            memory_bytes: 8 << 20,
            time_ms: 2000,
            entrypoint: "plugin".into(),
            abi: gm_protocol::plan::Abi::Gm2,
            host_ops: ops,
            hooks: vec![Hook::OnCommitAnalyzed],
            body_bytes: 1 << 20,
            assets: vec![Asset {
                path: "lists/words.txt".into(),
                offset: 0,
                len: WORDS.len() as u64,
            }],
            grants: vec![],
        };
        self.send(&ToRunner::Setup(Box::new(setup(self.form, filters, task))));
        let report = match self.link.recv(soon()) {
            Ok(FromRunner::Report(report)) => report,
            other => panic!("{other:?} instead of a report; {:?}", self.ending()),
        };
        let Report {
            no_new_privs,
            root_refused,
            soft_refused,
            dumpable,
            ..
        } = report;
        assert!(no_new_privs && root_refused && soft_refused && !dumpable);
        self.send(&ToRunner::Go);
        self
    }

    /// A plugin or program that is loaded, and whose `init` was called.
    pub(crate) fn of(form: Form, code: &[u8]) -> Self {
        let profile = match form {
            Form::Native => "native",
            Form::Program => "program",
        };
        let mut peer = Self::start(form, code)
            .go(of_profile(profile, None))
            .loaded();
        let init = peer.call_hook(Hook::Init, "{\"schema\":\"gm.init/1\"}");
        assert_eq!(init.status, 0, "{init:?}");
        peer
    }

    pub(crate) fn loaded(mut self) -> Self {
        match self.link.recv(soon()) {
            Ok(FromRunner::Loaded { .. }) => self,
            other => panic!("{other:?} instead of Loaded; {:?}", self.ending()),
        }
    }

    /// Why it was not loaded.
    pub(crate) fn refused(mut self) -> String {
        let text = match self.link.recv(soon()) {
            Ok(FromRunner::NotLoaded { text }) => text,
            other => panic!("{other:?} instead of a refusal; {:?}", self.ending()),
        };
        assert_eq!(self.ending(), (None, Some(104), None));
        text
    }

    fn send(&mut self, message: &ToRunner) {
        self.link.send(message, soon()).unwrap();
    }

    pub(crate) fn begin(&mut self, hook: Hook, document: &str) {
        self.next += 1;
        let document = document.as_bytes();
        let (bytes, more) = head(document);
        let call = ToRunner::Call {
            call: self.next,
            hook,
            more,
            bytes,
        };
        self.link.send_document(&call, document, soon()).unwrap();
    }

    /// What the plugin says to `{"do":what}`.
    pub(crate) fn call(&mut self, what: &str) -> Called {
        self.call_hook(Hook::OnCommitAnalyzed, &format!("{{\"do\":\"{what}\"}}"))
    }

    pub(crate) fn call_hook(&mut self, hook: Hook, document: &str) -> Called {
        self.begin(hook, document);
        let mut asked = Vec::new();
        loop {
            match self.link.recv(soon()) {
                Ok(FromRunner::Host {
                    id,
                    op,
                    level,
                    more,
                    bytes,
                    ..
                }) => {
                    let bytes = self.link.recv_parts(bytes, more, 1 << 20, soon()).unwrap();
                    asked.push((op, level, String::from_utf8(bytes).unwrap()));
                    self.answer(id, op);
                }
                Ok(FromRunner::Done {
                    call,
                    status,
                    has,
                    more,
                    bytes,
                }) => {
                    assert_eq!(call, self.next);
                    let bytes = self.link.recv_parts(bytes, more, 1 << 20, soon()).unwrap();
                    let text = String::from_utf8(bytes).unwrap();
                    return Called {
                        status,
                        text: has.then_some(text),
                        asked,
                    };
                }
                other => panic!("{other:?} during a call; {:?}", self.child.wait()),
            }
        }
    }

    /// Files are denied, what has a result gets one, the rest is done.
    fn answer(&mut self, id: u32, op: HostOp) {
        let (status, bytes) = match op {
            HostOp::NodeGet => (13, b"{\"id\":\"here\"}".to_vec()),
            HostOp::FileRead => (-1, Vec::new()),
            _ => (0, Vec::new()),
        };
        let done = ToRunner::HostDone {
            id,
            status,
            more: false,
            bytes,
        };
        self.send(&done);
    }

    /// How it ended, whatever it still says before.
    pub(crate) fn ending(mut self) -> Ending {
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

    /// Calls and expects the end.
    pub(crate) fn dies(mut self, what: &str) -> Ending {
        self.begin(Hook::OnCommitAnalyzed, &format!("{{\"do\":\"{what}\"}}"));
        self.ending()
    }

    pub(crate) fn stop(mut self) -> Ending {
        self.send(&ToRunner::Stop);
        self.ending()
    }
}
