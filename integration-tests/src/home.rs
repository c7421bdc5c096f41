//! A throw-away home with a key that it trusts, and the product's verbs on it.

use std::fmt::Write as _;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Ended, Live, command, run};
use crate::{Package, Repository, Stranger, binary, records};

/// What the tests' plugins may be called.
pub const NAMESPACE: &str = "com.test.*";

/// A home, 0700, with the machine's level in its `broker.toml`. Gone when dropped.
pub struct Home {
    // First, so that its processes are gone before its files are.
    user: Option<Stranger>,
    dir: Tree,
    binaries: PathBuf,
    fingerprint: String,
}

/// A directory with all below it, gone when it is dropped: also what its owner made
/// read-only, as installed plugins are.
struct Tree(TempDir);

impl Drop for Tree {
    fn drop(&mut self) {
        open_all(self.0.path());
    }
}

fn open_all(directory: &Path) {
    let _ = std::fs::set_permissions(directory, PermissionsExt::from_mode(0o700));
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            open_all(&entry.path());
        }
    }
}

impl Home {
    /// A home that trusts a key of its own for [`NAMESPACE`] and the examples' ids.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn new() -> Self {
        Self::without_key().with_key()
    }

    /// The same for an ordinary user, one that the machine doesn't know, with a
    /// copy of the binaries that they can reach and L3 as the least level. Needs
    /// root.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn of_stranger() -> Self {
        let mut home = Self::bare();
        home.binaries = home.beside("bin");
        copy_binaries(&home.binaries);
        home.user = Some(Stranger::new());
        for path in [home.dir.0.path(), &home.path()] {
            home.give(path);
        }
        home.write_config("[isolation]\nmin = \"L3\"\n");
        home.with_key()
    }

    /// The ordinary user whose home it is, if it isn't the caller's.
    ///
    /// # Panics
    /// If it is the caller's.
    #[must_use]
    pub fn stranger(&self) -> &Stranger {
        self.user.as_ref().unwrap()
    }

    fn with_key(mut self) -> Self {
        self.fingerprint = self.make_key("key");
        self.trust("key", &self.fingerprint, &[NAMESPACE, "com.example.*"]);
        self
    }

    /// A home that trusts nobody.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn without_key() -> Self {
        let home = Self::bare();
        home.configure("");
        home
    }

    /// One that isn't configured.
    fn bare() -> Self {
        let home = Self {
            dir: Tree(private_directory()),
            binaries: binaries(),
            fingerprint: String::new(),
            user: None,
        };
        private(&home.path());
        home
    }

    /// The same home, used with the binaries of another directory.
    #[must_use]
    pub fn with_binaries(mut self, directory: &Path) -> Self {
        directory.clone_into(&mut self.binaries);
        self
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.0.path().join("home")
    }

    /// A path beside the home, for what a test makes and nobody else keeps.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.0.path().join(name)
    }

    /// The fingerprint of its key.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Writes `broker.toml`: the machine's level, then `more`.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn configure(&self, more: &str) {
        self.write_config(&format!("[isolation]\nmin = \"{}\"\n{more}", level()));
    }

    /// Writes `broker.toml` with these tables.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn write_config(&self, tables: &str) {
        let mut text = String::from("schema = \"gm.broker/1\"\n");
        let _ = write!(text, "{tables}");
        let file = self.path().join("broker.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        self.give(&file);
    }

    /// Makes a file or directory the home's user's, with all below it.
    ///
    /// # Panics
    /// If it can't be.
    pub fn give(&self, path: &Path) {
        if let Some(user) = &self.user {
            user.own(path);
        }
    }

    /// Makes a key beside the home; returns its fingerprint.
    ///
    /// # Panics
    /// If `gm gpg keygen` fails.
    #[must_use]
    pub fn make_key(&self, name: &str) -> String {
        let dir = self.beside(name);
        let uid = format!("Test {name} <{name}@test.example>");
        let made = self.gm(&["gpg", "keygen", "--uid", &uid, "--out", text(&dir)]);
        made.expect_exit(0);
        let fingerprint = made.last()["fingerprint"].as_str().unwrap();
        fingerprint.to_owned()
    }

    /// The secret key file of a key that was made here.
    #[must_use]
    pub fn secret(&self, name: &str) -> PathBuf {
        self.beside(name).join("secret.pgp")
    }

    /// Trusts the key `name` for these namespaces.
    ///
    /// # Panics
    /// If `gm gpg trust add` fails.
    pub fn trust(&self, name: &str, fingerprint: &str, namespaces: &[&str]) {
        let file = self.beside(name).join("public.pgp");
        let mut words = vec![
            "gpg",
            "trust",
            "add",
            text(&file),
            "--fingerprint",
            fingerprint,
        ];
        for namespace in namespaces {
            words.extend(["--namespace", namespace]);
        }
        self.gm(&words).expect_exit(0);
    }

    /// Names ids in `allow_native`, whatever else is configured, and trusts the home's
    /// key for native code.
    ///
    /// # Panics
    /// If either fails.
    pub fn allow_native(&self, ids: &[&str]) {
        self.trust_native();
        self.name_native(ids);
    }

    /// Names ids in `allow_native` of `broker.toml`.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn name_native(&self, ids: &[&str]) {
        let file = self.path().join("broker.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (schema, rest) = text.split_once('\n').unwrap();
        std::fs::write(&file, format!("{schema}\nallow_native = {ids:?}\n{rest}")).unwrap();
    }

    /// Trusts the home's key for native code as well.
    ///
    /// # Panics
    /// If `gm gpg trust add` fails.
    pub fn trust_native(&self) {
        let file = self.beside("key").join("public.pgp");
        let words = ["gpg", "trust", "add", text(&file), "--kind", "native"];
        let key = ["--namespace", NAMESPACE, "--fingerprint", &self.fingerprint];
        self.gm(&[&words[..], &key].concat()).expect_exit(0);
    }

    /// Signs a package with the home's key.
    ///
    /// # Panics
    /// If `gm gpg sign` fails.
    pub fn sign(&self, package: &Package) {
        self.give(package.path());
        let key = self.secret("key");
        self.gm(&["gpg", "sign", package.text(), "--key", text(&key)])
            .expect_exit(0);
    }

    /// Signs and loads a package.
    ///
    /// # Panics
    /// If it is refused.
    pub fn load(&self, package: &Package) {
        self.sign(package);
        self.try_load(package).expect_exit(0);
    }

    /// Loads a package as it is; whatever comes of it.
    #[must_use]
    pub fn try_load(&self, package: &Package) -> Ended {
        self.gm(&["plugin", "load", package.text()])
    }

    /// `gm` with JSON on stdout.
    #[must_use]
    pub fn gm(&self, words: &[&str]) -> Ended {
        run(self.json("gm").args(words), b"")
    }

    /// `gm-broker` with JSON on stdout.
    #[must_use]
    pub fn broker(&self, words: &[&str]) -> Ended {
        run(self.json("gm-broker").args(words), b"")
    }

    /// `gm-broker run` of all plugins on a repository.
    #[must_use]
    pub fn run(&self, repository: &Repository, words: &[&str]) -> Ended {
        self.broker(&[&["run", "--repo", repository.text()], words].concat())
    }

    /// `gm-broker run` on events from its stdin: each goes on as it is.
    #[must_use]
    pub fn run_events(&self, events: &str, words: &[&str]) -> Ended {
        let mut command = self.json("gm-broker");
        run(
            command.args(["run", "--events", "-"]).args(words),
            events.as_bytes(),
        )
    }

    /// The same, started and left running: its stdin stays open.
    #[must_use]
    pub fn start_events(&self, words: &[&str]) -> Live {
        Live::start(
            self.json("gm-broker")
                .args(["run", "--events", "-"])
                .args(words),
        )
    }

    /// `gm-broker` with JSON on stdout, started and left running.
    #[must_use]
    pub fn start(&self, words: &[&str]) -> Live {
        Live::start(self.json("gm-broker").args(words))
    }

    /// What `gm-broker policy` prints.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn policy(&self, verb: &str, input: &str) -> Vec<Value> {
        let shown = self.broker(&["policy", verb, input]);
        shown.expect_exit(0);
        shown.records
    }

    /// A binary of the product on this home, JSON on stdout.
    #[must_use]
    pub fn json(&self, name: &str) -> Command {
        let mut command = self.plain(name);
        command.args(["--format", "json"]);
        command
    }

    /// A binary of the product on this home, for people.
    #[must_use]
    pub fn plain(&self, name: &str) -> Command {
        self.through(&[], name)
    }

    /// The same, started by a program that gets its path and arguments behind
    /// `words`.
    #[must_use]
    pub fn through(&self, words: &[&str], name: &str) -> Command {
        let binary = self.binaries.join(name);
        let as_user = self.user.iter().flat_map(Stranger::becoming);
        let mut line = as_user.chain(words.iter().map(|word| (*word).to_owned()));
        let mut command = match line.next() {
            Some(program) => {
                let mut command = command(program, self.dir.0.path());
                command.args(line).arg(binary);
                command
            }
            None => command(binary, self.dir.0.path()),
        };
        command.arg("--home").arg(self.path());
        command
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// The highest level that this machine gives, asked of the product with nothing
/// loaded; once a process.
///
/// # Errors
/// What the product says where there is none at which a plugin may run.
pub fn try_level() -> Result<&'static str, String> {
    static LEVEL: OnceLock<Result<String, String>> = OnceLock::new();
    let ask = || {
        let home = Home::bare();
        home.write_config("[isolation]\nmin = \"L2\"\n");
        let run = home.run_events("", &[]);
        let begun = records::events(&run.records, "run_started");
        let level = begun.first().and_then(|record| record["level"].as_str());
        let said = |key: &str| run.records.last()?[key].as_str();
        let why = || match (said("detail"), said("remedy")) {
            (Some(detail), Some(remedy)) => {
                format!("nothing can be started here: {detail}; {remedy}")
            }
            _ => format!("this machine gives no level: {run:#?}"),
        };
        level.map(str::to_owned).ok_or_else(why)
    };
    let level = LEVEL.get_or_init(ask).as_ref();
    level.map(String::as_str).map_err(Clone::clone)
}

/// The same, where there must be one.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn level() -> &'static str {
    try_level().unwrap_or_else(|why| panic!("{why}"))
}

/// Copies the binaries to where anybody can reach them.
///
/// # Panics
/// If they can't be copied.
pub fn copy_binaries(to: &Path) {
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, PermissionsExt::from_mode(0o755)).unwrap();
    for entry in std::fs::read_dir(binaries()).unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
    }
}

/// Where scripts/set-up leaves the binaries.
fn binaries() -> PathBuf {
    binary("gm-broker").with_file_name("")
}

/// A path of a test, which is text.
///
/// # Panics
/// If it isn't.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A directory that nobody else may look into.
fn private_directory() -> TempDir {
    let dir = tempfile::Builder::new()
        .prefix("gm-test-")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
    dir
}

fn private(path: &Path) {
    std::fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}
