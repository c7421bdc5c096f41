//! Plugins and programs of machine code, compiled from C by the test that needs them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::{Package, project};

/// The one source of each form; what it does is said by the events, or by words to
/// the compiler.
const SOURCES: &str = "sandbox-runner/tests/run_native/plugins";

/// `com.test.<name>`: the shared object of `plugin.c`, with more words to the
/// compiler.
#[must_use]
pub fn plugin(name: &str, words: &[&str]) -> Package {
    let object = ["-shared", "-fPIC", "-Wl,-z,now"];
    let code = compiled("plugin.c", &[&object[..], words].concat());
    Package::with_code(&format!("com.test.{name}"), &code).kind("native")
}

/// `com.test.<name>`: the static executable of `program.c`.
#[must_use]
pub fn program(name: &str, words: &[&str]) -> Package {
    let code = compiled("program.c", &[&["-static"], words].concat());
    let package = Package::with_code(&format!("com.test.{name}"), &code);
    package.kind("native").abi("program-1")
}

/// # Panics
/// If it can't be compiled.
#[expect(clippy::disallowed_methods, reason = "this test is the author")]
fn compiled(source: &str, words: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let made = Command::new("cc")
        .args(["-O1", "-Wall", "-Wno-infinite-recursion", "-o"])
        .arg(&out)
        .arg(project().join(SOURCES).join(source))
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{said}");
    std::fs::read(out).unwrap()
}

/// Writes the program of `c/behind.c` there: it starts others behind a filter.
///
/// # Panics
/// As [`plugin`].
pub fn behind(path: &Path) {
    let source = project().join("integration-tests/c/behind.c");
    let code = compiled(source.to_str().unwrap(), &[]);
    std::fs::write(path, code).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}
