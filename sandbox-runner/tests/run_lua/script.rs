//! Starts the runner with a script.

use gm_protocol::plan::{Asset, Hook, PluginSetup, Role};

use crate::filters::of_profile;
use crate::played::{Peer, Plugin, all_ops, memfd};

/// The memory limit that the launcher would pass.
const LIMIT: u64 = 32 << 20;

fn task(assets: Vec<Asset>) -> PluginSetup {
    PluginSetup {
        memory_bytes: LIMIT - (2 << 20),
        entrypoint: "main.lua".into(),
        abi: gm_protocol::plan::Abi::Gm2,
        host_ops: all_ops(),
        hooks: vec![Hook::OnCommitAnalyzed],
        body_bytes: 1 << 20,
        assets,
        grants: vec![],
        time_ms: 2_000,
    }
}

/// A script with the files of its package, up to `Go`.
pub(crate) fn start(text: &str, files: &[(&str, &str)]) -> Plugin {
    let (mut peer, task) = begin(text, files);
    peer.go(of_profile("lua", None), Role::Plugin(task));
    Plugin::of(peer)
}

/// A bare process and its task.
pub(crate) fn begin(text: &str, files: &[(&str, &str)]) -> (Peer, PluginSetup) {
    let (mut assets, mut bytes) = (Vec::new(), Vec::new());
    for (path, text) in files {
        assets.push(Asset {
            path: (*path).to_owned(),
            offset: bytes.len() as u64,
            len: text.len() as u64,
        });
        bytes.extend_from_slice(text.as_bytes());
    }
    let fds = [
        Some(memfd(text.as_bytes(), true)),
        (!files.is_empty()).then(|| memfd(&bytes, true)),
    ];
    (Peer::start("gm-run-lua", LIMIT, &[], fds), task(assets))
}

/// A loaded script.
pub(crate) fn script(text: &str) -> Plugin {
    start(text, &[]).loaded()
}

/// A hook with this body, which gets `event`.
pub(crate) fn hook(body: &str) -> Plugin {
    script(&format!("function on_commit_analyzed(event)\n{body}\nend"))
}

/// What the hook of this body replies to an empty document.
pub(crate) fn reply(body: &str) -> String {
    let mut plugin = hook(body);
    let called = plugin.call(b"{}");
    let document = String::from_utf8(called.document.unwrap_or_default()).unwrap();
    assert_eq!(called.status, 0, "{document}");
    document
}

/// The text of the error that the hook of this body ends with.
pub(crate) fn error(body: &str) -> String {
    let called = hook(body).call(b"{}");
    assert_eq!(called.status, 1);
    String::from_utf8(called.document.unwrap()).unwrap()
}

/// Why a script isn't loaded.
pub(crate) fn refused(text: &str, files: &[(&str, &str)]) -> String {
    crate::refused::refused(start(text, files))
}
