//! Compiles a module behind the compiler's walls and starts the runner with it.

use std::fs::File;
use std::io::{Read, Seek};
use std::process::Command;

use gm_protocol::message::{FromRunner, ModuleFault, ToRunner};
use gm_protocol::plan::{Abi, Asset, CompileSetup, Filters, Hook, HostOps, PluginSetup, Role};
use tempfile::TempDir;

use crate::filters;
pub(crate) use crate::played::peer::binary;
pub(crate) use crate::played::{Peer, Plugin, all_ops, memfd, soon};

/// A module through the shipped compiler, behind its shipped profile.
pub(crate) fn compile(module: &[u8], ops: HostOps, hooks: &[Hook]) -> Result<Vec<u8>, ModuleFault> {
    compile_for(Abi::Gm2, module, ops, hooks)
}

/// The same under any ABI.
pub(crate) fn compile_for(
    abi: Abi,
    module: &[u8],
    ops: HostOps,
    hooks: &[Hook],
) -> Result<Vec<u8>, ModuleFault> {
    let output = memfd(b"", false);
    let mut result = File::from(output.try_clone().unwrap());
    let fds = [Some(memfd(module, true)), Some(output)];
    let mut peer = Peer::start("gm-compile-wasm", 512 << 20, &[], fds);
    let setup = CompileSetup {
        abi,
        host_ops: ops,
        hooks: hooks.to_vec(),
        commands: vec![],
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

pub(crate) fn task() -> PluginSetup {
    PluginSetup {
        entrypoint: "plugin.wasm".into(),
        memory_bytes: 8 << 20,
        abi: Abi::Gm2,
        host_ops: all_ops(),
        hooks: vec![Hook::OnCommitAnalyzed],
        body_bytes: 1 << 20,
        assets: vec![],
        grants: vec![],
        time_ms: 2_000,
    }
}

impl Plugin {
    /// Up to `Go`.
    pub(crate) fn start(text: &str) -> Self {
        Self::with(text, task(), filters::of_profile("wasm", None), b"")
    }

    pub(crate) fn with(text: &str, mut task: PluginSetup, filters: Filters, assets: &[u8]) -> Self {
        let module = wat::parse_str(text).unwrap();
        let artifact = compile_for(task.abi, &module, all_ops(), &task.hooks).unwrap();
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
        peer.go(filters, Role::Plugin(task));
        Self::of(peer)
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
