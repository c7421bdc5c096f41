//! The hostile peer: built as the engines are, and put in an engine's place in a
//! copy of the product's directory.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::process::builder;
use crate::{binary, project};

/// A directory with the product's binaries, where `gm-run-wasm` is the hostile
/// peer. Made once a process.
///
/// # Panics
/// If it can't be made.
#[must_use]
pub fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| with_peer_as("gm-run-wasm", "bin"))
}

/// The same, where `gm-compile-wasm` is the hostile peer.
///
/// # Panics
/// If it can't be made.
#[must_use]
pub fn as_compiler() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| with_peer_as("gm-compile-wasm", "compiler"))
}

/// The same, where `gm-http` is the hostile peer.
///
/// # Panics
/// If it can't be made.
#[must_use]
pub fn as_requester() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| with_peer_as("gm-http", "http"))
}

fn with_peer_as(engine: &str, directory: &str) -> PathBuf {
    let directory = project().join("target/hostile-peer").join(directory);
    std::fs::create_dir_all(&directory).unwrap();
    fill(&directory, engine, &binary("gm-hostile-peer"));
    directory
}

/// The same with the peer that is installed beside the product, in a directory that is
/// gone with its value: for the harness, which has no source tree.
///
/// # Panics
/// If it can't be made.
#[must_use]
pub fn installed_as(engine: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::Builder::new()
        .prefix("gm-test-peer-")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    fill(directory.path(), engine, &binary("gm-hostile-peer"));
    directory
}

fn fill(directory: &Path, engine: &str, peer: &Path) {
    let product = [
        "gm",
        "gm-broker",
        "gm-launcher",
        "gm-run-wasm",
        "gm-compile-wasm",
        "gm-http",
        "warm.artifact",
    ];
    for name in product.into_iter().filter(|name| *name != engine) {
        put(&binary(name), &directory.join(name));
    }
    put(peer, &directory.join(engine));
}

/// By rename: one that runs is replaced, not written to.
fn put(from: &Path, to: &Path) {
    let new = to.with_extension("new");
    std::fs::copy(from, &new).unwrap();
    std::fs::rename(new, to).unwrap();
}

/// Cargo, with what it needs of the environment.
#[must_use]
pub fn cargo() -> std::process::Command {
    builder(env!("CARGO"), &project())
}
