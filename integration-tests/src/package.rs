//! Plugin packages of the tests: a module of `plugins/` and a manifest made here.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::project;

/// A package directory, unsigned until [`Home::sign`](crate::Home::sign). Gone
/// when dropped.
pub struct Package {
    dir: TempDir,
    id: String,
    version: String,
    kind: String,
    abi: String,
    entrypoint: String,
    hooks: Vec<String>,
    api: String,
    files: Vec<String>,
    commands: Vec<String>,
    permissions: Vec<(String, String)>,
}

impl Package {
    /// `com.test.<name>` with the module `plugins/<name>.wat`.
    ///
    /// # Panics
    /// If there is no such module, or it isn't WebAssembly text.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self::with_code(
            &format!("com.test.{name}"),
            &Self::assemble(&Self::source(name)),
        )
    }

    /// The text of the module `plugins/<name>.wat`.
    ///
    /// # Panics
    /// If there is no such module.
    #[must_use]
    pub fn source(name: &str) -> String {
        let found = MODULES.iter().find(|(own, _)| *own == name);
        let (_, text) = found.unwrap_or_else(|| panic!("no module {name}.wat is built in"));
        (*text).to_owned()
    }

    /// A package with this id and these bytes as `plugin.wasm`.
    ///
    /// # Panics
    /// If it can't be written.
    #[must_use]
    pub fn with_code(id: &str, code: &[u8]) -> Self {
        let package = Self {
            dir: tempfile::Builder::new()
                .prefix("gm-test-package-")
                .tempdir()
                .unwrap(),
            id: id.to_owned(),
            version: "1.0.0".to_owned(),
            kind: "wasm".to_owned(),
            abi: "gm-2".to_owned(),
            entrypoint: "plugin.wasm".to_owned(),
            hooks: vec!["on_commit_analyzed".to_owned()],
            api: "2.0".to_owned(),
            files: Vec::new(),
            commands: Vec::new(),
            permissions: Vec::new(),
        };
        std::fs::write(package.file("plugin.wasm"), code).unwrap();
        package.write()
    }

    /// A package of a script: `com.test.<name>` with this text as `main.<kind>`.
    ///
    /// # Panics
    /// If it can't be written.
    #[must_use]
    pub fn script(name: &str, kind: &str, text: &str) -> Self {
        let mut package = Self::with_code(&format!("com.test.{name}"), b"");
        std::fs::remove_file(package.file("plugin.wasm")).unwrap();
        package.entrypoint = format!("main.{kind}");
        std::fs::write(package.file(&package.entrypoint), text).unwrap();
        package.kind(kind)
    }

    /// Other hooks than `on_commit_analyzed`.
    #[must_use]
    pub fn hooks(mut self, hooks: &[&str]) -> Self {
        self.hooks = hooks.iter().map(|&hook| hook.to_owned()).collect();
        self.write()
    }

    /// A module from WebAssembly text.
    ///
    /// # Panics
    /// If it isn't.
    #[must_use]
    pub fn assemble(source: &str) -> Vec<u8> {
        wat::parse_str(source).unwrap_or_else(|error| panic!("{error}"))
    }

    /// A copy of an example's package, as scripts/set-up leaves it, unsigned
    /// again.
    ///
    /// # Panics
    /// If it isn't there.
    #[must_use]
    pub fn example(id: &str) -> Self {
        let from = project().join("target/gm/packages").join(id);
        assert!(
            from.is_dir(),
            "no {}: run scripts/set-up first",
            from.display()
        );
        let package = Self::with_code(id, b"");
        std::fs::copy(from.join("plugin.wasm"), package.file("plugin.wasm")).unwrap();
        let manifest = std::fs::read_to_string(from.join("plugin.manifest.toml")).unwrap();
        let unsigned = manifest.lines().map(|line| match line.split_once('=') {
            Some((key, _)) if key.trim() == "public_key" => "public_key = \"FINGERPRINT\"\n".into(),
            Some((key, _)) if key.trim() == "signature" => {
                "signature = \"BASE64_GPG_SIG\"\n".into()
            }
            _ => format!("{line}\n"),
        });
        let unsigned: String = unsigned.collect();
        std::fs::write(package.file("plugin.manifest.toml"), unsigned).unwrap();
        package
    }

    /// Another id.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self.write()
    }

    /// Another version than 1.0.0.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self.write()
    }

    /// Another API version than 2.0.
    #[must_use]
    pub fn api(mut self, api: &str) -> Self {
        api.clone_into(&mut self.api);
        self.write()
    }

    /// Another kind than `wasm`.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self.write()
    }

    /// Another ABI than `gm-2`.
    #[must_use]
    pub fn abi(mut self, abi: &str) -> Self {
        abi.clone_into(&mut self.abi);
        self.write()
    }

    /// One more file of the package.
    ///
    /// # Panics
    /// If it can't be written.
    #[must_use]
    pub fn asset(mut self, name: &str, bytes: &[u8]) -> Self {
        let file = self.file(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
        self.files.push(name.to_owned());
        self.write()
    }

    /// One more command.
    #[must_use]
    pub fn command(mut self, name: &str) -> Self {
        self.commands.push(name.to_owned());
        self.write()
    }

    /// A line of `[permissions]`: `key = value`, the value as TOML.
    #[must_use]
    pub fn permission(mut self, key: &str, value: &str) -> Self {
        self.permissions.push((key.to_owned(), value.to_owned()));
        self.write()
    }

    /// The plugin's id.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.id
    }

    /// The package directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The package directory as an argument.
    ///
    /// # Panics
    /// If it isn't UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    /// A file of the package.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The manifest as it is now.
    ///
    /// # Panics
    /// If it can't be read.
    #[must_use]
    pub fn manifest(&self) -> String {
        std::fs::read_to_string(self.file("plugin.manifest.toml")).unwrap()
    }

    /// The line of the manifest, from 1, that begins with `key`.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn line_of(&self, key: &str) -> usize {
        let manifest = self.manifest();
        let line = manifest.lines().position(|line| line.starts_with(key));
        1 + line.unwrap_or_else(|| panic!("no {key} in\n{manifest}"))
    }

    fn write(self) -> Self {
        let Self {
            id,
            version,
            kind,
            abi,
            entrypoint,
            hooks,
            api,
            ..
        } = &self;
        let mut text = format!(
            "[identity]\n\
             plugin_id = \"{id}\"\n\
             public_key = \"FINGERPRINT\"\n\
             signature = \"BASE64_GPG_SIG\"\n\
             \n\
             [plugin]\n\
             name = \"A test's plugin\"\n\
             version = \"{version}\"\n\
             api_version = \"{api}\"\n\
             kind = \"{kind}\"\n\
             abi = \"{abi}\"\n\
             entrypoint = \"{entrypoint}\"\n\
             files = {:?}\n\
             hooks = {hooks:?}\n\
             \n\
             [permissions]\n",
            self.files
        );
        for (key, value) in &self.permissions {
            let _ = writeln!(text, "{key} = {value}");
        }
        for name in &self.commands {
            let _ = writeln!(text, "[[plugin.command]]\nname = {name:?}");
        }
        std::fs::write(self.file("plugin.manifest.toml"), text).unwrap();
        self
    }
}

/// The modules of `plugins/`, built in: an installed harness has no source tree.
macro_rules! modules {
    ($($name:literal)*) => {
        const MODULES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../plugins/", $name, ".wat")))),*];
    };
}

modules! {
    "bad-alloc"
    "bad-pointer"
    "bad-reply"
    "chatty"
    "commander"
    "endless-loop"
    "extism-import"
    "fetcher"
    "hook-error"
    "import-type"
    "init-fails"
    "init-trap"
    "keeper"
    "listener"
    "log-flood"
    "log-spoof"
    "memory-hog"
    "missing-export"
    "modest-grower"
    "nosy"
    "observer"
    "out-of-bounds"
    "pinger"
    "stack-overflow"
    "start-loop"
    "teller"
    "trap"
    "ungranted-import"
    "unknown-import"
    "writer"
}
