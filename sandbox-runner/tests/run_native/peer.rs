//! Compiles a plugin, starts its runner with what the launcher would put into its
//! tree, and speaks with it in texts.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use gm_protocol::message::Last;
use gm_protocol::plan::{
    Asset, Filters, Hook, HostOp, LIBRARIES, LandlockRule, Place, PluginSetup, Role,
};
use tempfile::TempDir;

use crate::filters::of_profile;
use crate::played::{self, Plugin, all_ops, memfd};

/// `LANDLOCK_ACCESS_FS_*` of linux/landlock.h.
const EXECUTE: u64 = 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
/// The memory limit that the launcher would pass.
const LIMIT: u64 = 64 << 20;
/// The one asset of every test.
pub(crate) const WORDS: &[u8] = b"{\"words\":1}";

/// Exit status, signal and last words.
pub(crate) type Ending = (Option<Last>, Option<i32>, Option<i32>);

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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
    pub(crate) plugin: Plugin,
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

/// The machine's own file of this name.
fn library(name: &str) -> Vec<u8> {
    let places = ["/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib"];
    let found = places
        .iter()
        .map(|place| Path::new(place).join(name))
        .find(|path| path.exists());
    std::fs::read(found.unwrap_or_else(|| panic!("no {name}"))).unwrap()
}

/// An executable file that has no name any more.
fn nameless(code: &[u8]) -> OwnedFd {
    let directory = TempDir::new_in("/tmp").unwrap();
    let path = directory.path().join("code");
    std::fs::write(&path, code).unwrap();
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    std::fs::set_permissions(&path, all).unwrap();
    OwnedFd::from(File::open(path).unwrap())
}

/// Files are denied, what has a result gets one, the rest is done.
fn answer(op: HostOp, _: &[u8]) -> (i64, Vec<u8>) {
    match op {
        HostOp::NodeGet => (13, b"{\"id\":\"here\"}".to_vec()),
        HostOp::FileRead => (-1, Vec::new()),
        _ => (0, Vec::new()),
    }
}

impl Peer {
    /// Starts the runner with what the launcher would put into its tree.
    pub(crate) fn start(form: Form, code: &[u8]) -> Self {
        let libraries: Vec<_> = LIBRARIES
            .iter()
            .map(|name| (format!("lib64/{name}"), library(name)))
            .collect();
        let mut files: Vec<(&str, &[u8])> = vec![
            ("assets/lists/words.txt", WORDS),
            ("etc/passwd", b"root"),
            ("assets/program", b"#!/bin/sh\n"),
        ];
        let (name, rule, fourth) = match form {
            Form::Native => {
                files.extend(libraries.iter().map(|(name, file)| (&**name, &**file)));
                files.push(("code", code));
                ("gm-run-native", (Place::Code, READ_FILE), None)
            }
            Form::Program => {
                let rule = (Place::Executable, READ_FILE | EXECUTE);
                ("gm-init", rule, Some(nameless(code)))
            }
        };
        let fds = [fourth, Some(memfd(WORDS, true))];
        let mut peer = played::Peer::start(name, LIMIT, &files, fds);
        peer.landlock = [rule, (Place::Assets, READ_FILE | READ_DIR)]
            .map(|(path, rights)| LandlockRule { path, rights })
            .into();
        let mut plugin = Plugin::of(peer);
        plugin.answer = answer;
        Self { plugin }
    }

    /// Setup to Go, with these filters.
    pub(crate) fn go(mut self, filters: Filters) -> Self {
        let task = PluginSetup {
            memory_bytes: 8 << 20,
            time_ms: 2000,
            entrypoint: "plugin".into(),
            abi: gm_protocol::plan::Abi::Gm2,
            host_ops: all_ops(),
            hooks: vec![Hook::OnCommitAnalyzed],
            body_bytes: 1 << 20,
            assets: vec![Asset {
                path: "lists/words.txt".into(),
                offset: 0,
                len: WORDS.len() as u64,
            }],
            grants: vec![],
        };
        self.plugin.peer.go(filters, Role::Plugin(task));
        self
    }

    /// A plugin or program that is loaded, and whose `init` was called.
    pub(crate) fn of(form: Form, code: &[u8]) -> Self {
        let mut peer = Self::start(form, code).go(form.filters()).loaded();
        let init = peer.call_hook(Hook::Init, "{\"schema\":\"gm.init/1\"}");
        assert_eq!(init.status, 0, "{init:?}");
        peer
    }

    pub(crate) fn loaded(self) -> Self {
        Self {
            plugin: self.plugin.loaded(),
        }
    }

    /// What the plugin says to `{"do":what}`.
    pub(crate) fn call(&mut self, what: &str) -> Called {
        texts(self.plugin.call(to_do(what).as_bytes()))
    }

    pub(crate) fn call_hook(&mut self, hook: Hook, document: &str) -> Called {
        texts(self.plugin.call_hook(hook, document.as_bytes()))
    }

    /// How it ended, whatever it still says before.
    pub(crate) fn ending(self) -> Ending {
        self.plugin.peer.ending()
    }

    /// Calls and expects the end.
    pub(crate) fn dies(self, what: &str) -> Ending {
        self.plugin.dies(to_do(what).as_bytes())
    }
}

impl Form {
    /// The shipped profile's.
    pub(crate) fn filters(self) -> Filters {
        let profile = match self {
            Self::Native => "native",
            Self::Program => "program",
        };
        of_profile(profile, None)
    }
}

fn texts(called: played::Called) -> Called {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let asked = called.asked.into_iter();
    Called {
        status: called.status,
        text: called.document.map(text),
        asked: asked
            .map(|(op, level, said)| (op, level, text(said)))
            .collect(),
    }
}

fn to_do(what: &str) -> String {
    format!("{{\"do\":\"{what}\"}}")
}
