//! `gm plugin new`: a package of each kind that builds and passes its own cases.
//!
//! Files of the SDK are written as they are, so that what an author begins with is
//! what is tested here. Nothing that exists is changed.

mod templates;

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use gm_manifest::{Manifest, PluginId, Refusal};
use serde_json::json;

use crate::args::gm::NewArgs;
use crate::args::usage;
use crate::output::Output;
use crate::output::escape::one_line;
use templates::{Template, Text};

/// What an author may want to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum NewKind {
    /// WebAssembly, from Rust
    WasmRust,
    /// WebAssembly, from C
    WasmC,
    /// WebAssembly, from AssemblyScript
    #[value(name = "wasm-assemblyscript")]
    WasmAssemblyScript,
    /// A script in Luau
    Lua,
    /// A module in JavaScript
    Js,
    /// A shared object, from C
    NativeC,
    /// A shared object, from Rust
    NativeRust,
    /// A static executable, from Rust
    ProgramRust,
}

pub(super) fn run(args: &NewArgs, output: &mut Output) -> Result<u8, Refusal> {
    let plan = Plan::of(args)?;
    plan.manifest_is_good()?;
    let files = plan.files();
    let mut written = Written::begin(&args.name)?;
    for (path, text, mode) in &files {
        written.file(path, text, *mode)?;
    }
    written.keep();
    let next = plan.next(&args.name);
    let directory = one_line(&args.name.to_string_lossy());
    output.line(&format!("{directory}: {} files", files.len()));
    for command in &next {
        output.line(&format!("  {}", one_line(command)));
    }
    let paths: Vec<&str> = files.iter().map(|(path, _, _)| path.as_str()).collect();
    let fields = [
        ("plugin", json!(plan.id.as_str())),
        ("directory", json!(args.name.to_string_lossy())),
        ("files", json!(paths)),
        ("next", json!(next)),
    ];
    Ok(output.done("plugin new", fields))
}

/// What is written, with the author's names.
struct Plan {
    template: Template,
    id: PluginId,
    name: String,
    /// Where the SDK lies, if not in the new directory.
    sdk: Option<String>,
}

impl Plan {
    fn of(args: &NewArgs) -> Result<Self, Refusal> {
        let name = args.name.file_name().and_then(|name| name.to_str());
        let plain = |name: &&str| {
            let mut bytes = name.bytes();
            name.len() <= 64
                && bytes
                    .next()
                    .is_some_and(|first| first.is_ascii_alphanumeric())
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        let name = name.filter(plain).ok_or_else(|| {
            usage(format!("{} is no name for a plugin", args.name.display())).rule(
                "the directory's name has 1 to 64 of A-Z, a-z, 0-9, - and _, the first no sign",
            )
        })?;
        let id = match &args.id {
            Some(id) => id.clone(),
            None => {
                let own = name.to_ascii_lowercase().replace('_', "-");
                format!("com.example.{}", own.trim_end_matches('-'))
            }
        };
        let id = PluginId::parse(&id)
            .map_err(|unfit| usage(format!("{id} is no id of a plugin")).rule(unfit.rule()))?;
        let sdk = args.sdk.as_deref().map(sdk).transpose()?;
        if sdk.is_some() && args.kind != NewKind::WasmRust {
            return Err(usage("--sdk is for --kind wasm-rust"));
        }
        Ok(Self {
            template: Template::of(args.kind),
            id,
            name: name.to_owned(),
            sdk,
        })
    }

    /// Paths, texts and modes of all files.
    fn files(&self) -> Vec<(String, String, u32)> {
        let sdk: &[(&str, Text)] = match (&self.sdk, self.template.sdk) {
            (None, Some(sdk)) => sdk,
            _ => &[],
        };
        let files = self
            .template
            .files
            .iter()
            .chain(templates::COMMON)
            .chain(sdk);
        files
            .map(|(path, text)| {
                let mode = if path.ends_with(".sh") { 0o777 } else { 0o666 };
                let text = match text {
                    Text::Whole(text) => (*text).to_owned(),
                    Text::Named(text) => self.fill(text),
                };
                ((*path).to_owned(), text, mode)
            })
            .collect()
    }

    fn fill(&self, text: &str) -> String {
        let row = "| `gm-plugin/` | a copy of the SDK |\n";
        let (sdk, row) = match &self.sdk {
            Some(sdk) => (sdk.as_str(), ""),
            None => ("gm-plugin", row),
        };
        // First the parts that hold names themselves.
        let mut text = text.replace("@NEXT@\n", templates::NEXT);
        for (token, value) in [
            ("@SDK_ROW@", row),
            ("@SDK_VERSION@", env!("CARGO_PKG_VERSION")),
            ("@SDK@", sdk),
            (
                "@CRATE@",
                &format!("plugin-{}", self.name.to_ascii_lowercase()),
            ),
            ("@HEADER@", self.template.header),
            ("@KIND@", self.template.kind.as_str()),
            ("@ABI@", self.template.abi.as_str()),
            ("@ENTRYPOINT@", self.template.entrypoint),
            ("@NAME@", &self.name),
            ("@ID@", self.id.as_str()),
        ] {
            text = text.replace(token, value);
        }
        text
    }

    fn manifest_is_good(&self) -> Result<(), Refusal> {
        Manifest::parse(self.fill(templates::MANIFEST).as_bytes()).map(|_| ())
    }

    fn next(&self, directory: &Path) -> Vec<String> {
        let directory = typed(directory);
        let build = self
            .template
            .builds
            .then(|| format!("{directory}/build.sh"));
        let verbs = ["check", "test"].map(|verb| format!("gm plugin {verb} {directory}"));
        build.into_iter().chain(verbs).collect()
    }
}

/// The SDK's directory as Cargo.toml names it.
fn sdk(path: &Path) -> Result<String, Refusal> {
    let missing = |error: std::io::Error| usage(format!("--sdk {}: {error}", path.display()));
    let path = path.canonicalize().map_err(missing)?;
    if !path.join("Cargo.toml").is_file() {
        return Err(usage(format!("--sdk {} holds no crate", path.display())));
    }
    let plain = |text: &&str| {
        !text
            .chars()
            .any(|c| matches!(c, '"' | '\\') || c.is_control())
    };
    path.to_str()
        .filter(plain)
        .map(str::to_owned)
        .ok_or_else(|| {
            usage(format!(
                "--sdk {} can't stand in Cargo.toml",
                path.display()
            ))
        })
}

/// A path as a shell takes it.
fn typed(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+,@%".contains(c);
    // Else it would be an option.
    let here = if text.starts_with('-') { "./" } else { "" };
    match text.chars().all(plain) {
        true => format!("{here}{text}"),
        false => format!("'{here}{}'", text.replace('\'', r"'\''")),
    }
}

/// What was made so far: it is removed again if the rest can't be, so that a full disk
/// leaves no half of a plugin in the way of the next attempt.
struct Written<'a> {
    directory: &'a Path,
    /// In their order.
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

impl<'a> Written<'a> {
    /// In a new directory, or one that is empty.
    fn begin(directory: &'a Path) -> Result<Self, Refusal> {
        let failed = |error: std::io::Error| {
            let what = format!("could not make {}: {error}", directory.display());
            usage(what)
        };
        let mut begun = Self {
            directory,
            files: Vec::new(),
            directories: Vec::new(),
        };
        match std::fs::create_dir(directory) {
            Ok(()) => begun.directories.push(directory.to_owned()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let mut entries = std::fs::read_dir(directory).map_err(failed)?;
        match entries.next() {
            None => Ok(begun),
            Some(_) => Err(usage(format!("{} is not empty", directory.display()))),
        }
    }

    /// A file that wasn't there, with the directories above it.
    fn file(&mut self, path: &str, text: &str, mode: u32) -> Result<(), Refusal> {
        let target = self.directory.join(path);
        let mut write = || -> std::io::Result<()> {
            let above = Path::new(path).ancestors().skip(1).collect::<Vec<_>>();
            for above in above.into_iter().rev() {
                let above = self.directory.join(above);
                match std::fs::create_dir(&above) {
                    Ok(()) => self.directories.push(above),
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(error),
                }
            }
            let mut options = OpenOptions::new();
            let mut file: File = options
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&target)?;
            self.files.push(target.clone());
            file.write_all(text.as_bytes())
        };
        write().map_err(|error| {
            let what = format!("could not write {}: {error}", target.display());
            usage(what)
        })
    }

    /// All of it is there.
    fn keep(mut self) {
        self.files.clear();
        self.directories.clear();
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        // What can't be removed stays: the refusal names the directory.
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
        for directory in self.directories.iter().rev() {
            let _ = std::fs::remove_dir(directory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use clap::ValueEnum as _;
    use gm_manifest::Code;

    fn args(directory: &Path, kind: NewKind) -> NewArgs {
        NewArgs {
            name: directory.to_owned(),
            kind,
            id: None,
            sdk: None,
        }
    }

    fn made(directory: &Path, kind: NewKind) -> Result<u8, Refusal> {
        let (mut output, _) = Output::captured(Format::Json);
        run(&args(directory, kind), &mut output)
    }

    #[test]
    fn no_file_of_any_kind_keeps_a_token_or_is_doubled() {
        for kind in NewKind::value_variants() {
            let plan = Plan::of(&args(Path::new("My_Plugin"), *kind)).unwrap();
            plan.manifest_is_good().unwrap();
            let files = plan.files();
            for (path, text, _) in &files {
                let token = text.split('@').skip(1).find(|word| {
                    !word.is_empty() && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
                });
                assert_eq!(token, None, "{kind:?} {path}");
            }
            let mut paths: Vec<_> = files.iter().map(|(path, _, _)| path).collect();
            paths.sort();
            paths.dedup();
            assert_eq!(paths.len(), files.len(), "{kind:?}");
            assert_eq!(plan.id.as_str(), "com.example.my-plugin");
        }
    }

    #[test]
    fn copied_sdk_asks_for_what_the_workspace_asks_for() {
        let workspace: toml::Table =
            toml::from_str(include_str!("../../../../Cargo.toml")).unwrap();
        let own: toml::Table = toml::from_str(include_str!(
            "../../../../sandbox-runner/plugin-sdk/Cargo.toml"
        ))
        .unwrap();
        let plan = Plan::of(&args(Path::new("x"), NewKind::WasmRust)).unwrap();
        let copy: toml::Table = toml::from_str(&plan.fill(templates::SDK_MANIFEST)).unwrap();
        let copied = copy["dependencies"].as_table().unwrap();
        for (name, asked) in own["dependencies"].as_table().unwrap() {
            let asked = match asked.get("workspace") {
                Some(_) => &workspace["workspace"]["dependencies"][name],
                None => asked,
            };
            assert_eq!(&copied[name], asked, "{name}");
        }
        assert_eq!(copied.len(), own["dependencies"].as_table().unwrap().len());
        assert_eq!(
            copy["package"]["version"],
            workspace["workspace"]["package"]["version"]
        );
        assert_eq!(
            copy["package"]["edition"],
            workspace["workspace"]["package"]["edition"]
        );
    }

    #[test]
    fn copied_sdk_is_whole() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox-runner/plugin-sdk/src");
        let mut there: Vec<String> = std::fs::read_dir(source)
            .unwrap()
            .map(|entry| {
                format!(
                    "gm-plugin/src/{}",
                    entry.unwrap().file_name().to_string_lossy()
                )
            })
            .collect();
        there.sort();
        let mut copied: Vec<&str> = templates::SDK.iter().map(|(path, _)| *path).collect();
        copied.retain(|path| path.starts_with("gm-plugin/src/"));
        copied.sort_unstable();
        assert_eq!(copied, there);
    }

    #[test]
    fn types_of_every_language_know_every_call_of_the_host() {
        for (file, text) in [
            (
                "gm.h",
                include_str!("../../../../sandbox-runner/plugin-sdk/types/gm.h"),
            ),
            (
                "gm_native.h",
                include_str!("../../../../sandbox-runner/plugin-sdk/types/gm_native.h"),
            ),
            (
                "gm.ts",
                include_str!("../../../../sandbox-runner/plugin-sdk/types/gm.ts"),
            ),
            (
                "gm.d.ts",
                include_str!("../../../../sandbox-runner/plugin-sdk/types/gm.d.ts"),
            ),
            (
                "gm.d.luau",
                include_str!("../../../../sandbox-runner/plugin-sdk/types/gm.d.luau"),
            ),
        ] {
            for op in gm_protocol::plan::HostOp::ALL {
                assert!(text.contains(op.as_str()), "{file} lacks {op:?}");
            }
        }
    }

    #[test]
    fn directory_that_holds_something_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let full = dir.path().join("full");
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("mine"), "mine").unwrap();
        let refusal = made(&full, NewKind::Lua).unwrap_err();
        assert_eq!(refusal.code, Code::UsageArguments);
        assert_eq!(std::fs::read_dir(&full).unwrap().count(), 1);
        let empty = dir.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        assert_eq!(made(&empty, NewKind::Lua), Ok(0));
        assert_eq!(
            made(&empty, NewKind::Lua).unwrap_err().code,
            Code::UsageArguments
        );
    }

    #[test]
    fn what_could_not_be_written_whole_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new");
        let mut written = Written::begin(&new).unwrap();
        written.file("a/b/one", "1", 0o666).unwrap();
        written.file("a/two", "2", 0o666).unwrap();
        let refusal = written.file("a/two/three", "3", 0o666).unwrap_err();
        assert_eq!(refusal.code, Code::UsageArguments);
        assert!(new.join("a/b/one").exists());
        drop(written);
        assert!(!new.exists());
        // Of a directory that was there before, what was made in it alone.
        std::fs::create_dir(&new).unwrap();
        let mut written = Written::begin(&new).unwrap();
        written.file("a/one", "1", 0o666).unwrap();
        std::fs::write(new.join("a/mine"), "mine").unwrap();
        drop(written);
        assert!(new.join("a/mine").exists() && !new.join("a/one").exists());
    }

    #[test]
    fn a_directory_is_shown_on_one_line_and_as_a_shell_takes_it() {
        for (path, shown) in [
            ("my/fixes", "my/fixes"),
            ("-x/fixes", "./-x/fixes"),
            ("my own/fixes", "'my own/fixes'"),
            ("it's/$(x)", r"'it'\''s/$(x)'"),
        ] {
            assert_eq!(typed(Path::new(path)), shown);
        }
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a\n\u{1b}[2J");
        std::fs::create_dir(&odd).unwrap();
        let (mut output, seen) = Output::captured(Format::Human);
        run(&args(&odd.join("x"), NewKind::Js), &mut output).unwrap();
        assert_eq!(seen.out.text().lines().count(), 3);
    }

    #[test]
    fn names_and_options_that_make_no_plugin_are_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["-x", "a b", "ä", "..", "a.b", "_"] {
            let refusal = made(&dir.path().join(name), NewKind::Js).unwrap_err();
            assert_eq!(refusal.code, Code::UsageArguments, "{name}");
        }
        let odd = NewArgs {
            id: Some("com".to_owned()),
            ..args(&dir.path().join("x"), NewKind::Js)
        };
        let sdk = NewArgs {
            sdk: Some(dir.path().to_owned()),
            ..args(&dir.path().join("x"), NewKind::WasmRust)
        };
        for args in [odd, sdk] {
            let (mut output, _) = Output::captured(Format::Json);
            let refusal = run(&args, &mut output).unwrap_err();
            assert_eq!(refusal.code, Code::UsageArguments);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
