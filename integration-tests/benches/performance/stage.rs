//! What the benchmark stands on: the installed binaries with itself beside them,
//! a home with loaded plugins, and the static floor. Gone when it is dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

use gm_integration_tests::process::{command, run};
use gm_integration_tests::{Ended, Home, Package, binary, project};
use tempfile::TempDir;

use crate::plugins;

/// Where all of it lies, so that one sweep finds what a killed run left.
const PLACE: &str = "target/gm/bench";
/// Our own name beside the product's binaries.
const SELF: &str = "gm-bench";

/// Everything that the rows share.
pub(crate) struct Stage {
    // Before the directory that it lies in.
    home: Home,
    dir: TempDir,
}

impl Stage {
    /// Builds it.
    pub(crate) fn new() -> Self {
        let dir = place();
        let stage = Self {
            home: Home::new(),
            dir,
        };
        stage.home.configure(plugins::CONFIG);
        stage.link_binaries();
        stage.build_echo();
        plugins::load_all(&stage.home);
        stage
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The static echo.
    pub(crate) fn echo(&self) -> PathBuf {
        self.dir.path().join("static-echo")
    }

    /// A file for what a row makes.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// This very program in another process, beside the launcher: the broker's
    /// library starts only what lies beside its own executable, and only one
    /// launcher in a process.
    pub(crate) fn part(&self, words: &[&str]) -> Command {
        let mut part = command(self.bin().join(SELF), self.dir.path());
        part.args(words);
        part
    }

    /// Runs a part that needs walls; gives what it printed.
    pub(crate) fn walled(&self, name: &str) -> Ended {
        let (home, echo) = (self.home.path(), self.echo());
        let mut part = self.part(&["walled", name]);
        let ended = run(part.arg(home).arg(echo), b"");
        ended.expect_exit(0);
        eprint!("{}", ended.stderr);
        ended
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// Hard links, so that the page cache is the one of the installed ones.
    fn link_binaries(&self) {
        std::fs::create_dir(self.bin()).unwrap();
        for name in [
            "gm-launcher",
            "gm-run-wasm",
            "gm-compile-wasm",
            "warm.artifact",
        ] {
            std::fs::hard_link(binary(name), self.bin().join(name)).unwrap();
        }
        let own = std::env::current_exe().unwrap();
        std::fs::copy(own, self.bin().join(SELF)).unwrap();
    }

    fn build_echo(&self) {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/performance/static-echo.rs");
        let rustc = Path::new(env!("CARGO")).with_file_name("rustc");
        let mut rustc = command(rustc, self.dir.path());
        rustc.args([
            "--edition",
            "2024",
            "-O",
            "-C",
            "target-feature=+crt-static",
            "-o",
        ]);
        run(rustc.arg(self.echo()).arg(source), b"").expect_exit(0);
    }
}

/// A fresh directory for this run; all temporary files of this process lie there.
fn place() -> TempDir {
    let above = project().join(PLACE);
    // What a run that was killed left there.
    let _ = std::fs::remove_dir_all(&above);
    std::fs::create_dir_all(&above).unwrap();
    let dir = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(above)
        .unwrap();
    tempfile::env::override_temp_dir(dir.path()).unwrap();
    dir
}

/// A package of the benchmark's.
pub(crate) fn package(name: &str, module: &str) -> Package {
    Package::with_code(&format!("com.test.{name}"), &Package::assemble(module))
}
