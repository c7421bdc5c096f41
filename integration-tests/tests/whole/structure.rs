//! Who may depend on whom, and what is linked into which binary. Architecture
//! that nothing checks is a wish.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use gm_integration_tests::peer::cargo;
use gm_integration_tests::process::run;
use gm_integration_tests::{binary, project};

/// Each crate and the project's crates that it may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("gm-manifest", &[]),
    ("mind-gpg", &["gm-manifest"]),
    ("gm-protocol", &[]),
    ("gm-policy", &["gm-manifest", "gm-protocol"]),
    ("gm-sandbox-runner", &["gm-protocol"]),
    ("gm-plugin", &[]),
    (
        "gm-broker",
        &["gm-manifest", "gm-policy", "gm-protocol", "mind-gpg"],
    ),
    (
        "gm-fuzz",
        &[
            "gm-broker",
            "gm-manifest",
            "gm-policy",
            "gm-protocol",
            "gm-sandbox-runner",
            "mind-gpg",
        ],
    ),
    (
        "gm-integration-tests",
        // gm-sandbox-runner for gm-probe-host alone, which puts the
        // walls up itself: behind a feature, in a binary that is never installed.
        &[
            "gm-broker",
            "gm-manifest",
            "gm-policy",
            "gm-protocol",
            "gm-sandbox-runner",
        ],
    ),
];

/// Heavy dependencies and the only crates of the project that may name them;
/// one that only tests may has none.
const HEAVY: &[(&str, &[&str])] = &[
    ("sequoia-openpgp", &["mind-gpg"]),
    ("seccompiler", &["gm-policy"]),
    ("libseccomp", &[]),
    ("bincode", &["gm-protocol"]),
    (
        "ipc-channel",
        &[
            "gm-broker",
            "gm-protocol",
            "gm-sandbox-runner",
            "gm-integration-tests",
        ],
    ),
    ("wasmer", &["gm-sandbox-runner"]),
    ("wasmer-compiler", &["gm-sandbox-runner"]),
    ("wasmer-types", &["gm-sandbox-runner"]),
    ("wasmer-vm", &["gm-sandbox-runner"]),
    ("mlua", &["gm-sandbox-runner"]),
    ("rquickjs", &["gm-sandbox-runner"]),
    ("landlock", &["gm-sandbox-runner"]),
    ("rustls", &["gm-sandbox-runner"]),
    ("webpki-roots", &["gm-sandbox-runner"]),
    ("httparse", &["gm-sandbox-runner"]),
    ("simple-dns", &["gm-sandbox-runner"]),
    ("url", &["gm-sandbox-runner"]),
    ("rcgen", &["gm-sandbox-runner"]),
    ("gix", &["gm-broker"]),
    ("rusqlite", &["gm-broker"]),
    ("clap", &["gm-broker", "gm-integration-tests"]),
];

/// The binaries that run in an empty mount tree, where no ELF interpreter is.
const STATIC: &[&str] = &[
    "gm-launcher",
    "gm-run-wasm",
    "gm-compile-wasm",
    "gm-run-lua",
    "gm-run-js",
    "gm-init",
    "gm-http",
];

/// What a binary may be linked with that has its libraries mounted into its tree.
const LIBRARIES: &[&str] = &["libgcc_s.so.1", "libc.so.6", "ld-linux-x86-64.so.2"];

/// What the linker leaves of the code generator in a binary that holds it.
const CODE_GENERATOR: &[u8] = b"cranelift_codegen";

/// What it leaves of the engine.
const ENGINE: &[u8] = b"wasmer_vm";

fn metadata() -> Metadata {
    let manifest = project().join("Cargo.toml");
    let options = ["--locked".to_owned()];
    MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .other_options(options)
        .exec()
        .unwrap()
}

/// Each crate of the workspace and what it names, for its product or all of it.
fn named(kinds: &[DependencyKind]) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata.workspace_packages().into_iter();
    let named = packages.map(|package| {
        let used = package
            .dependencies
            .iter()
            .filter(|used| kinds.contains(&used.kind));
        (
            package.name.to_string(),
            used.map(|used| used.name.clone()).collect(),
        )
    });
    named.collect()
}

/// The crates that a binary is linked from.
fn tree(words: &[&str]) -> BTreeSet<String> {
    let mut cargo = cargo();
    cargo.args(["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
    let listed = run(
        cargo
            .args(["--target", "x86_64-unknown-linux-gnu"])
            .args(words),
        b"",
    );
    listed.expect_exit(0);
    listed
        .stdout
        .lines()
        .filter_map(|line| Some(line.split(' ').next()?.to_owned()))
        .collect()
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn a_crate_uses_only_the_crates_below_it() {
    let named = named(&[DependencyKind::Normal, DependencyKind::Build]);
    let own: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        named.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        own
    );
    for (name, may) in ARROWS {
        let used = named[*name]
            .iter()
            .filter(|used| own.contains(used.as_str()));
        let beyond: Vec<_> = used.filter(|used| !may.contains(&used.as_str())).collect();
        assert!(beyond.is_empty(), "{name} must not use {beyond:?}");
    }
}

#[test]
fn walls_can_be_left_out_by_the_probe_host_alone() {
    let whole = tree(&["-p", "gm-integration-tests"]);
    assert!(!whole.contains("gm-sandbox-runner"), "{whole:?}");
    for script in ["build", "set-up"] {
        let text = std::fs::read_to_string(project().join("scripts").join(script)).unwrap();
        for feature in ["apart", "probe-host"] {
            assert!(!text.contains(feature), "scripts/{script} has {feature}");
        }
    }
}

#[test]
fn a_heavy_dependency_stays_where_it_belongs() {
    for (name, used) in named(&[DependencyKind::Normal, DependencyKind::Build]) {
        for (heavy, may) in HEAVY {
            let allowed = may.contains(&name.as_str()) || !used.contains(*heavy);
            assert!(allowed, "{name} must not name {heavy}");
        }
    }
}

#[test]
fn wasm_runner_is_linked_without_a_compiler() {
    let runner = [
        "-p",
        "gm-sandbox-runner",
        "--no-default-features",
        "--features",
        "wasm",
    ];
    let linked = tree(&runner);
    assert!(linked.contains("wasmer"), "{linked:?}");
    let compilers: Vec<_> = linked
        .iter()
        .filter(|name| name.contains("cranelift"))
        .collect();
    assert!(compilers.is_empty(), "{compilers:?}");
    // What decides about trust or writes filters is not in there either.
    for other in [
        "sequoia-openpgp",
        "seccompiler",
        "toml",
        "ipc-channel",
        "gix",
        "rusqlite",
    ] {
        assert!(!linked.contains(other), "gm-run-wasm links {other}");
    }
}

#[test]
fn a_runner_of_scripts_links_its_own_engine_and_no_other() {
    for (feature, own, others) in [
        ("lua", "mlua", ["rquickjs", "wasmer"]),
        ("js", "rquickjs", ["mlua", "wasmer"]),
    ] {
        let words = ["-p", "gm-sandbox-runner", "--no-default-features"];
        let linked = tree(&[&words[..], &["--features", feature]].concat());
        assert!(linked.contains(own), "{linked:?}");
        let deciders = [
            "sequoia-openpgp",
            "seccompiler",
            "toml",
            "ipc-channel",
            "gix",
        ];
        for other in others.into_iter().chain(deciders) {
            assert!(
                !linked.contains(other),
                "the runner of {feature} links {other}"
            );
        }
    }
}

#[test]
fn process_that_makes_requests_links_no_engine_and_nothing_else_links_tls() {
    let of = |feature: &str| {
        let words = [
            "-p",
            "gm-sandbox-runner",
            "--no-default-features",
            "--features",
            feature,
        ];
        tree(&words)
    };
    let http = of("http");
    assert!(http.contains("rustls") && http.contains("ring"), "{http:?}");
    for other in [
        "wasmer",
        "rcgen",
        "toml",
        "seccompiler",
        "ipc-channel",
        "sequoia-openpgp",
    ] {
        assert!(!http.contains(other), "gm-http links {other}");
    }
    for (name, linked) in [
        ("gm-launcher", of("launcher")),
        ("gm-run-wasm", of("wasm")),
        ("gm-compile-wasm", of("compile-wasm")),
        ("gm-broker", tree(&["-p", "gm-broker"])),
    ] {
        assert!(!linked.contains("rustls"), "{name} links rustls");
        assert!(!linked.contains("simple-dns"), "{name} links a resolver");
    }
}

#[test]
fn runners_of_machine_code_link_no_engine_and_nothing_that_decides() {
    for feature in ["native", "program"] {
        let words = ["-p", "gm-sandbox-runner", "--no-default-features"];
        let linked = tree(&[&words[..], &["--features", feature]].concat());
        assert!(linked.contains("landlock"), "{linked:?}");
        for other in [
            "wasmer",
            "mlua",
            "rquickjs",
            "rustls",
            "sequoia-openpgp",
            "seccompiler",
            "toml",
            "ipc-channel",
            "gix",
        ] {
            assert!(
                !linked.contains(other),
                "the runner of {feature} links {other}"
            );
        }
    }
}

#[test]
fn runner_of_shared_objects_needs_no_library_but_those_that_are_mounted() {
    let mut readelf = gm_integration_tests::process::command("readelf", Path::new("/"));
    let said = run(readelf.arg("-d").arg(binary("gm-run-native")), b"");
    said.expect_exit(0);
    let of = |tag: &str| -> Vec<&str> {
        let lines = said.stdout.lines().filter(|line| line.contains(tag));
        let names = lines.filter_map(|line| line.split_once('[')?.1.split_once(']'));
        names.map(|(name, _)| name).collect()
    };
    assert_eq!(of("(NEEDED)"), LIBRARIES);
    assert_eq!(of("(RUNPATH)"), ["/lib64"]);
}

#[test]
fn broker_is_linked_without_an_engine() {
    let linked = tree(&["-p", "gm-broker"]);
    assert!(linked.contains("sequoia-openpgp"), "{linked:?}");
    let engines: Vec<_> = linked
        .iter()
        .filter(|name| {
            let engine = ["wasmer", "mlua", "rquickjs"];
            engine.iter().any(|engine| name.starts_with(engine)) || name.contains("cranelift")
        })
        .collect();
    assert!(engines.is_empty(), "{engines:?}");
}

/// The installed binaries that hold this text.
fn holders(text: &[u8]) -> Vec<&'static str> {
    let dynamic = ["gm-run-native", "gm-broker", "gm"];
    let all = STATIC.iter().copied().chain(dynamic);
    all.filter(|name| holds(&std::fs::read(binary(name)).unwrap(), text))
        .collect()
}

#[test]
fn code_generator_is_in_the_compiler_alone() {
    assert_eq!(holders(CODE_GENERATOR), ["gm-compile-wasm"]);
}

#[test]
fn engine_is_in_the_engine_binaries_alone() {
    assert_eq!(holders(ENGINE), ["gm-run-wasm", "gm-compile-wasm"]);
}

/// The parts of an ELF header that matter here (elf(5), 64 bits, little endian).
struct Elf {
    kind: u16,
    machine: u16,
    segments: Vec<u32>,
}

impl Elf {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[..6], b"\x7fELF\x02\x01", "{}", path.display());
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let table = usize::from_le_bytes(bytes[32..40].try_into().unwrap());
        let (size, count) = (usize::from(half(54)), usize::from(half(56)));
        let segments = (0..count)
            .map(|number| word(table + number * size))
            .collect();
        Self {
            kind: half(16),
            machine: half(18),
            segments,
        }
    }
}

const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_INTERP: u32 = 3;

#[test]
fn engines_and_launcher_need_no_interpreter_and_lie_anywhere() {
    for name in STATIC {
        let elf = Elf::read(&binary(name));
        assert_eq!(elf.machine, EM_X86_64, "{name}");
        assert_eq!(elf.kind, ET_DYN, "{name} is not position-independent");
        assert!(
            !elf.segments.contains(&PT_INTERP),
            "{name} names an interpreter"
        );
    }
    // The same reading of a binary that has one.
    assert!(
        Elf::read(&binary("gm-broker"))
            .segments
            .contains(&PT_INTERP)
    );
}

/// Every file of the project, but what is built and what git keeps for itself.
fn files(of: &Path, to: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(of).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let passed_over = matches!(entry.file_name().to_str(), Some("target" | ".git"));
        if kind.is_dir() && !passed_over {
            files(&path, to);
        } else if kind.is_file() {
            to.push(path);
        }
    }
}

/// Places of the list in docs/architecture.md, as ends of paths.
fn places_of_unsafe() -> Vec<String> {
    let text = std::fs::read_to_string(project().join("docs/architecture.md")).unwrap();
    let (_, section) = text.split_once("\n## Where `unsafe` may stand\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names
        .filter(|name| name.ends_with(".rs"))
        .flat_map(|name| {
            let name = name.trim_start_matches('…');
            match name.split_once('{').zip(name.split_once('}')) {
                Some(((before, _), (inner, after))) => {
                    let (_, inner) = inner.split_once('{').unwrap();
                    let each = inner.split(',');
                    each.map(|part| format!("{before}{part}{after}")).collect()
                }
                None => vec![name.to_owned()],
            }
        })
        .collect()
}

#[test]
fn unsafe_code_stands_where_the_list_says_and_nowhere_else() {
    let places = places_of_unsafe();
    let mut all = Vec::new();
    files(&project(), &mut all);
    all.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let signs = [
        "unsafe {",
        "unsafe fn",
        "unsafe impl",
        "unsafe extern",
        " unsafe(",
        "#[unsafe(",
    ];
    // But for what only names it: comments, and this very test.
    let has_unsafe = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let mut code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        code.any(|line| signs.iter().any(|sign| line.contains(sign)))
    };
    all.retain(|path| !path.ends_with("tests/whole/structure.rs") && has_unsafe(path));
    let listed = |path: &PathBuf| {
        let path = path.to_str().unwrap();
        places.iter().any(|place| path.ends_with(place))
    };
    let unlisted: Vec<_> = all.iter().filter(|path| !listed(path)).collect();
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    let in_vain = places.iter().filter(|place| {
        !all.iter()
            .any(|path| path.to_str().unwrap().ends_with(*place))
    });
    assert_eq!(in_vain.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn no_file_of_the_project_is_a_private_key() {
    let mut all = Vec::new();
    files(&project(), &mut all);
    assert!(
        all.iter()
            .any(|path| path.ends_with("integration-tests/tests/whole/structure.rs"))
    );
    let words = concat!("PRIVATE", " KEY");
    for path in all {
        let ending = path
            .extension()
            .and_then(std::ffi::OsStr::to_str)
            .unwrap_or_default();
        let key = ["pgp", "gpg", "key", "asc", "pem"].contains(&ending);
        assert!(!key, "{} looks like a key", path.display());
        let bytes = std::fs::read(&path).unwrap();
        assert!(
            !holds(&bytes, words.as_bytes()),
            "{} holds a key",
            path.display()
        );
    }
}
