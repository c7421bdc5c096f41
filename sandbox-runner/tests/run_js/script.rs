//! Starts the runner with a script.

use gm_protocol::plan::{Asset, Filters, Hook, PluginSetup, Role};

use crate::filters::of_profile;
use crate::played::{Peer, Plugin, all_ops, memfd};

/// The memory limit that the launcher would pass.
const LIMIT: u64 = 32 << 20;

pub(crate) fn task() -> PluginSetup {
    PluginSetup {
        memory_bytes: LIMIT - (2 << 20),
        entrypoint: "main.js".into(),
        abi: gm_protocol::plan::Abi::Gm2,
        host_ops: all_ops(),
        hooks: vec![Hook::OnCommitAnalyzed],
        body_bytes: 1 << 20,
        assets: vec![],
        grants: vec![],
        time_ms: 30_000,
    }
}

/// A script with the files of its package, behind these filters, up to `Go`.
pub(crate) fn behind(
    mut task: PluginSetup,
    text: &[u8],
    files: &[(&str, &[u8])],
    filters: Filters,
) -> Plugin {
    let mut bytes = Vec::new();
    for (path, text) in files {
        task.assets.push(Asset {
            path: (*path).to_owned(),
            offset: bytes.len() as u64,
            len: text.len() as u64,
        });
        bytes.extend_from_slice(text);
    }
    let fds = [
        Some(memfd(text, true)),
        (!files.is_empty()).then(|| memfd(&bytes, true)),
    ];
    let mut peer = Peer::start("gm-run-js", LIMIT, &[], fds);
    peer.go(filters, Role::Plugin(task));
    Plugin::of(peer)
}

/// The same behind the shipped profile.
pub(crate) fn start(text: &str, files: &[(&str, &str)]) -> Plugin {
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, text.as_bytes()))
        .collect();
    behind(task(), text.as_bytes(), &files, of_profile("js", None))
}

/// A loaded script.
pub(crate) fn script(text: &str) -> Plugin {
    start(text, &[]).loaded()
}

/// A hook with this body, which gets `event`.
pub(crate) fn hook(body: &str) -> Plugin {
    script(&format!(
        "export function on_commit_analyzed(event) {{\n{body}\n}}"
    ))
}

/// What the hook of a script replies to an empty document.
pub(crate) fn reply_of(plugin: &mut Plugin) -> String {
    let called = plugin.call(b"{}");
    let document = String::from_utf8(called.document.unwrap_or_default()).unwrap();
    assert_eq!(called.status, 0, "{document}");
    document
}

/// What the hook of this body replies to an empty document.
pub(crate) fn reply(body: &str) -> String {
    reply_of(&mut hook(body))
}

/// The text of the error that the hook of this body ends with.
pub(crate) fn error(body: &str) -> String {
    let called = hook(body).call(b"{}");
    let document = String::from_utf8(called.document.unwrap()).unwrap();
    assert_eq!(called.status, 1, "{document}");
    document
}

/// Why a script isn't loaded.
pub(crate) fn refused(text: &str, files: &[(&str, &str)]) -> String {
    crate::refused::refused(start(text, files))
}
