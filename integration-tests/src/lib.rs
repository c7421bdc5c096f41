//! What the tests of the whole share: a throw-away home, key, package and
//! repository, the installed binaries, and a look at the kernel from outside.
//!
//! It knows the product as its users do, by command line, records and files,
//! and links none of it, but for the reader of filters. `gm-harness` is made of them, too
//! (`harness`), so what it needs is built in. A failure is a panic that says what was expected and
//! what came. Whatever a test made or started is gone when its value is dropped.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "helpers of tests: what goes wrong here is the test's failure; `harness` catches it"
)]

pub mod acts;
pub mod bait;
pub mod harness;
pub mod home;
pub mod interrupted;
pub mod kernel;
pub mod launcher;
pub mod machine_code;
pub mod mutation;
pub mod package;
pub mod peer;
#[cfg(feature = "probe-host")]
pub mod probe_host;
pub mod probes;
pub mod process;
pub mod records;
pub mod repository;
pub mod scene;
pub mod server;
pub mod skip;
pub mod stranger;
pub mod taken_over;

pub use home::Home;
pub use package::Package;
pub use process::{Ended, Live};
pub use repository::Repository;
pub use stranger::Stranger;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The root of the project.
///
/// # Panics
/// If this crate has no parent directory.
#[must_use]
pub fn project() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_path_buf()
}

/// Where the binaries are that are tried, if not where scripts/build leaves them.
static INSTALLED: OnceLock<PathBuf> = OnceLock::new();

/// Says, once for the process, that the binaries lie elsewhere: beside an installed
/// `gm-harness`.
pub fn use_binaries_of(directory: &Path) {
    // Whoever said it first has started some of them already.
    let _ = INSTALLED.set(directory.to_path_buf());
}

/// An installed binary: where [`use_binaries_of`] said, or as scripts/set-up leaves it.
///
/// # Panics
/// If it isn't there.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let directory = INSTALLED.get_or_init(|| project().join("target/gm/bin"));
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "no {}: run scripts/set-up first",
        path.display()
    );
    path
}
