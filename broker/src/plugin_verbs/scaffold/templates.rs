//! The files that `gm plugin new` writes: those of `plugin-sdk/templates`, and the
//! SDK's own.

use gm_manifest::{Abi, Kind};

use super::NewKind;

/// A file of the SDK.
macro_rules! sdk {
    ($path:literal) => {
        include_str!(concat!("../../../../sandbox-runner/plugin-sdk/", $path))
    };
}

/// A file's text.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text {
    /// As it is.
    Whole(&'static str),
    /// With tokens such as `@ID@`, which are filled in.
    Named(&'static str),
}

use Text::{Named, Whole};

type Files = &'static [(&'static str, Text)];

/// What the kinds differ in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template {
    pub(super) kind: Kind,
    pub(super) abi: Abi,
    pub(super) entrypoint: &'static str,
    /// What a source in C includes.
    pub(super) header: &'static str,
    /// It has a build.sh.
    pub(super) builds: bool,
    pub(super) files: Files,
    /// A copy of the SDK, where one is needed.
    pub(super) sdk: Option<Files>,
}

/// The manifest of every kind.
pub(super) const MANIFEST: &str = sdk!("templates/manifest.toml");
/// How every README goes on.
pub(super) const NEXT: &str = sdk!("templates/next.md");
/// The copied SDK's Cargo.toml.
pub(super) const SDK_MANIFEST: &str = sdk!("templates/wasm-rust/gm-plugin.toml");

/// What every kind has.
pub(super) const COMMON: Files = &[
    ("package/plugin.manifest.toml", Named(MANIFEST)),
    ("tests/first.toml", Whole(sdk!("templates/first.toml"))),
];

/// The crate `gm-plugin`, which is not published.
pub(super) const SDK: Files = &[
    ("gm-plugin/Cargo.toml", Named(SDK_MANIFEST)),
    ("gm-plugin/src/error.rs", Whole(sdk!("src/error.rs"))),
    ("gm-plugin/src/exports.rs", Whole(sdk!("src/exports.rs"))),
    ("gm-plugin/src/graph.rs", Whole(sdk!("src/graph.rs"))),
    ("gm-plugin/src/host.rs", Whole(sdk!("src/host.rs"))),
    ("gm-plugin/src/http.rs", Whole(sdk!("src/http.rs"))),
    ("gm-plugin/src/imports.rs", Whole(sdk!("src/imports.rs"))),
    ("gm-plugin/src/lib.rs", Whole(sdk!("src/lib.rs"))),
    ("gm-plugin/src/payload.rs", Whole(sdk!("src/payload.rs"))),
    ("gm-plugin/src/reply.rs", Whole(sdk!("src/reply.rs"))),
];

const WASM_RUST: Files = &[
    (".gitignore", Whole(sdk!("templates/wasm-rust/gitignore"))),
    ("Cargo.toml", Named(sdk!("templates/wasm-rust/Cargo.toml"))),
    ("README.md", Named(sdk!("templates/wasm-rust/README.md"))),
    ("build.sh", Whole(sdk!("templates/wasm-rust/build.sh"))),
    ("src/lib.rs", Whole(sdk!("templates/wasm-rust/lib.rs"))),
];

const WASM_C: Files = &[
    (".gitignore", Whole(sdk!("templates/wasm-c/gitignore"))),
    ("README.md", Named(sdk!("templates/wasm-c/README.md"))),
    ("build.sh", Whole(sdk!("templates/wasm-c/build.sh"))),
    ("gm.h", Whole(sdk!("types/gm.h"))),
    ("gm_json.h", Whole(sdk!("types/gm_json.h"))),
    ("plugin.c", Named(sdk!("templates/c/plugin.c"))),
];

const WASM_ASSEMBLYSCRIPT: Files = &[
    (
        ".gitignore",
        Whole(sdk!("templates/wasm-assemblyscript/gitignore")),
    ),
    (
        "README.md",
        Named(sdk!("templates/wasm-assemblyscript/README.md")),
    ),
    (
        "build.sh",
        Whole(sdk!("templates/wasm-assemblyscript/build.sh")),
    ),
    ("gm.ts", Whole(sdk!("types/gm.ts"))),
    (
        "index.ts",
        Whole(sdk!("templates/wasm-assemblyscript/index.ts")),
    ),
    (
        "package-lock.json",
        Whole(sdk!("templates/wasm-assemblyscript/package-lock.json")),
    ),
    (
        "package.json",
        Whole(sdk!("templates/wasm-assemblyscript/package.json")),
    ),
];

const LUA: Files = &[
    ("README.md", Named(sdk!("templates/lua/README.md"))),
    ("gm.d.luau", Whole(sdk!("types/gm.d.luau"))),
    (
        "package/plugin.lua",
        Whole(sdk!("templates/lua/plugin.lua")),
    ),
];

const JS: Files = &[
    ("README.md", Named(sdk!("templates/js/README.md"))),
    ("gm.d.ts", Whole(sdk!("types/gm.d.ts"))),
    ("package/plugin.js", Whole(sdk!("templates/js/plugin.js"))),
];

const NATIVE_C: Files = &[
    (".gitignore", Whole(sdk!("templates/native-c/gitignore"))),
    ("README.md", Named(sdk!("templates/native-c/README.md"))),
    ("build.sh", Whole(sdk!("templates/native-c/build.sh"))),
    ("gm_json.h", Whole(sdk!("types/gm_json.h"))),
    ("gm_native.h", Whole(sdk!("types/gm_native.h"))),
    ("plugin.c", Named(sdk!("templates/c/plugin.c"))),
];

const NATIVE_RUST: Files = &[
    (".gitignore", Whole(sdk!("templates/native-rust/gitignore"))),
    (
        "Cargo.toml",
        Named(sdk!("templates/native-rust/Cargo.toml")),
    ),
    ("README.md", Named(sdk!("templates/native-rust/README.md"))),
    ("build.sh", Whole(sdk!("templates/native-rust/build.sh"))),
    ("src/gm.rs", Whole(sdk!("templates/native-rust/gm.rs"))),
    ("src/lib.rs", Named(sdk!("templates/native-rust/lib.rs"))),
];

const PROGRAM_RUST: Files = &[
    (
        ".gitignore",
        Whole(sdk!("templates/program-rust/gitignore")),
    ),
    (
        "Cargo.toml",
        Named(sdk!("templates/program-rust/Cargo.toml")),
    ),
    ("README.md", Named(sdk!("templates/program-rust/README.md"))),
    ("build.sh", Whole(sdk!("templates/program-rust/build.sh"))),
    ("src/gm.rs", Whole(sdk!("templates/program-rust/gm.rs"))),
    ("src/main.rs", Whole(sdk!("templates/program-rust/main.rs"))),
];

impl Template {
    pub(super) const fn of(kind: NewKind) -> Self {
        match kind {
            NewKind::WasmRust => Self::built(Kind::Wasm, "plugin.wasm", WASM_RUST, Some(SDK)),
            NewKind::WasmC => Self {
                header: "gm.h",
                ..Self::built(Kind::Wasm, "plugin.wasm", WASM_C, None)
            },
            NewKind::WasmAssemblyScript => {
                Self::built(Kind::Wasm, "plugin.wasm", WASM_ASSEMBLYSCRIPT, None)
            }
            NewKind::Lua => Self::script(Kind::Lua, "plugin.lua", LUA),
            NewKind::Js => Self::script(Kind::Js, "plugin.js", JS),
            NewKind::NativeC => Self {
                header: "gm_native.h",
                ..Self::built(Kind::Native, "plugin.so", NATIVE_C, None)
            },
            NewKind::NativeRust => Self::built(Kind::Native, "plugin.so", NATIVE_RUST, None),
            NewKind::ProgramRust => Self {
                abi: Abi::Program1,
                ..Self::built(Kind::Native, "plugin", PROGRAM_RUST, None)
            },
        }
    }

    const fn built(kind: Kind, entrypoint: &'static str, files: Files, sdk: Option<Files>) -> Self {
        Self {
            kind,
            abi: Abi::Gm2,
            entrypoint,
            header: "",
            builds: true,
            files,
            sdk,
        }
    }

    const fn script(kind: Kind, entrypoint: &'static str, files: Files) -> Self {
        Self {
            builds: false,
            ..Self::built(kind, entrypoint, files, None)
        }
    }
}
