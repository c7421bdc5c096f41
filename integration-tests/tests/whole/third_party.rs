//! Plugins and libraries that others published, unchanged, behind the walls: they
//! give known answers, or fail closed and say what they lack.
//!
//! `integration-tests/third-party/fetch` brings them here. A library of
//! WebAssembly is joined with a small driver of ours by a linker, since it has
//! no hook; its own code stays as it is.

mod kits;
mod libraries;
mod scripts;

use std::path::{Path, PathBuf};

use gm_integration_tests::records::text;
use gm_integration_tests::{Ended, Home, Package, process, project, skip};

const ID: &str = "com.test.third-party";
const EVENT: &str = "{\"hook\":\"on_commit_analyzed\",\"data\":{}}\n";

/// Whether the packages could not be fetched here, and may be missing.
fn registries_lacking() -> bool {
    skip::lacks("registries", fetched("complete").is_file())
}

fn fetched(name: &str) -> PathBuf {
    project().join("target/third-party").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    let path = fetched(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A library and the driver that asks it.
struct Library<'a> {
    wasm: &'a str,
    driver: &'a str,
    /// The module from which the library imports what its driver answers.
    calls_back: &'a str,
    /// Texts of the driver, by the names that stand in it.
    texts: &'a [(&'a str, &'a str)],
}

impl Library<'_> {
    /// One module of both.
    fn joined(&self) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let [driver, whole] = ["driver.wasm", "whole.wasm"].map(|name| dir.path().join(name));
        std::fs::write(&driver, Package::assemble(&self.source())).unwrap();
        let mut linker = process::command("node", dir.path());
        linker
            .arg(fetched("wasm-merge.cjs"))
            .args([driver.as_path(), Path::new(self.calls_back)])
            .args([fetched(self.wasm).as_path(), Path::new("lib")])
            // What the engine takes, or the linker would use what is later.
            .args(
                [
                    "sign-ext",
                    "mutable-globals",
                    "nontrapping-float-to-int",
                    "bulk-memory",
                ]
                .map(enable),
            )
            .args(["multivalue", "reference-types", "simd"].map(enable))
            .args(["--skip-export-conflicts", "-o"])
            .arg(&whole);
        let linked = linker.output().unwrap();
        assert!(linked.status.success(), "{linked:?}");
        std::fs::read(whole).unwrap()
    }

    fn source(&self) -> String {
        let drivers = project().join("integration-tests/third-party/drivers");
        let read = |name: &str| std::fs::read_to_string(drivers.join(name)).unwrap();
        let mut source = read(self.driver).replace("@prelude@", &read("prelude.wat"));
        for (name, content) in self.texts {
            let escaped: String = content
                .bytes()
                .map(|byte| format!("\\{byte:02x}"))
                .collect();
            source = source
                .replace(&format!("@{name}@"), &escaped)
                .replace(&format!("@{name}.len@"), &content.len().to_string());
        }
        source
    }

    fn package(&self) -> Package {
        Package::with_code(ID, &self.joined())
            .permission("memory_limit", "\"128mb\"")
            .permission("time_limit", "\"20s\"")
            .permission("host_api", "[\"log:write\"]")
    }

    fn run(&self) -> Ended {
        let home = Home::new();
        home.load(&self.package());
        home.run_events(&EVENT.repeat(2), &["--logs"])
    }

    /// The text that it gives, at each event the same.
    fn answer(&self) -> String {
        let run = self.run();
        run.expect_exit(0);
        let replies = run.replies(ID, "on_commit_analyzed");
        assert_eq!(replies.len(), 2, "{run:#?}");
        assert_eq!(replies[0]["reply"], replies[1]["reply"]);
        text(&replies[0]["reply"], "text").to_owned()
    }
}

fn enable(feature: &str) -> String {
    format!("--enable-{feature}")
}

const PLAIN: Library<'_> = Library {
    wasm: "",
    driver: "",
    calls_back: "driver",
    texts: &[],
};

/// The refusal of a module that is loaded as it was published.
fn refused(name: &str, package: impl FnOnce(Package) -> Package, exit: i32, code: &str) -> String {
    let home = Home::new();
    let package = package(Package::with_code(ID, &bytes(name)));
    home.sign(&package);
    let load = home.try_load(&package);
    text(load.expect_refused(exit, code), "detail").to_owned()
}
