//! Builds what the probes run inside: C with the system's compiler, WebAssembly from
//! its text, scripts with their prelude. The harness carries all of it in itself, so
//! that it is one binary and finds its probes nowhere.

#![expect(
    clippy::panic,
    reason = "what goes wrong in a build script is the build's failure"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::Table;

/// All C but the ends of the executable and of the plugin, which differ.
const ENDS: &[&str] = &["start.c", "plugin.c"];

const STRICT: &[&str] = &[
    "-std=gnu11",
    "-O1",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-fcf-protection=none",
    "-Wall",
    "-Wextra",
    "-Werror",
];

fn main() {
    let out = PathBuf::from(variable("OUT_DIR"));
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let probes = here.join("probes");
    println!("cargo::rerun-if-changed={}", probes.display());
    let sdk = here.join("../sandbox-runner/plugin-sdk/types");
    println!("cargo::rerun-if-changed={}", sdk.display());
    let rows = rows(&probes.join("probes.toml"));
    let builder = C { out, probes, sdk };
    builder.build(&rows);
    let generated = sources(&builder.probes, &builder.out, &rows);
    write(&builder.out.join("sources.rs"), generated.as_bytes());
}

/// What a row says that the build needs.
struct Row {
    id: String,
    group: String,
    kinds: Vec<String>,
    constructor: bool,
    /// Whether it is set off by being loaded.
    loads: bool,
    variants: u32,
    /// Whether its bytes are made where they are used, from another's.
    made_by_rust: bool,
}

impl Row {
    fn has(&self, kind: &str) -> bool {
        self.kinds.iter().any(|own| own == kind)
    }
}

fn rows(file: &Path) -> Vec<Row> {
    let text = read(file);
    let table: Table = text.parse().unwrap_or_else(|e| panic!("{e}"));
    let list = table.get("probe").and_then(toml::Value::as_array);
    let rows = list.unwrap_or_else(|| panic!("no rows")).iter();
    let text = |row: &toml::Value, key: &str| {
        let value = row.get(key).and_then(toml::Value::as_str);
        value.unwrap_or_else(|| panic!("{key} in {row}")).to_owned()
    };
    let row = |row: &toml::Value| Row {
        id: text(row, "id"),
        group: text(row, "group"),
        kinds: row
            .get("kinds")
            .and_then(toml::Value::as_array)
            .map(|kinds| kinds.iter().filter_map(toml::Value::as_str))
            .map(|kinds| kinds.map(str::to_owned).collect())
            .unwrap_or_default(),
        constructor: row
            .get("constructor")
            .and_then(toml::Value::as_bool)
            .unwrap_or_default(),
        loads: row.get("hook").and_then(toml::Value::as_str) == Some("load"),
        variants: row
            .get("variants")
            .and_then(toml::Value::as_integer)
            .and_then(|count| count.try_into().ok())
            .unwrap_or(1),
        made_by_rust: row.get("id").and_then(toml::Value::as_str) == Some("en-malformed"),
    };
    rows.map(row).collect()
}

/// The compiler's part.
struct C {
    out: PathBuf,
    probes: PathBuf,
    sdk: PathBuf,
}

impl C {
    fn build(&self, rows: &[Row]) {
        self.table(rows);
        let mut objects = vec![self.free(&self.out.join("table.c"))];
        for file in files(&self.probes, "c") {
            let name = name(&file);
            let of_a_constructor = file.starts_with(self.probes.join("constructor"));
            if !ENDS.contains(&name.as_str()) && !of_a_constructor {
                objects.push(self.free(&file));
            }
        }
        let objects: Vec<&str> = objects.iter().map(|path| text(path)).collect();
        self.library(&objects);
        self.executable(&objects);
        self.plugin(&objects);
        self.constructors();
    }

    /// The list of all probes, from the rows: one without a function doesn't link.
    fn table(&self, rows: &[Row]) {
        let mut code = String::from(
            "#include \"probe.h\"\nstruct gm_entry { const char *id; int (*run)(const struct gm_args *, struct gm_report *); };\n",
        );
        let mut list = String::new();
        let own = rows
            .iter()
            .filter(|row| row.has("native") && !row.constructor);
        for row in own {
            let symbol = row.id.replace('-', "_");
            let _ = writeln!(
                code,
                "int gm_probe_{symbol}(const struct gm_args *, struct gm_report *);"
            );
            let _ = writeln!(list, "    {{\"{}\", gm_probe_{symbol}}},", row.id);
        }
        // No attack, so it has no row: what must succeed.
        code.push_str("int gm_probe_t_permitted(const struct gm_args *, struct gm_report *);\n");
        list.push_str("    {\"t-permitted\", gm_probe_t_permitted},\n");
        let _ = write!(
            code,
            "extern const struct gm_entry gm_table[];\nconst struct gm_entry gm_table[] = {{\n{list}    {{0, 0}},\n}};\n"
        );
        write(&self.out.join("table.c"), code.as_bytes());
    }

    /// An object that needs no libc.
    fn free(&self, source: &Path) -> PathBuf {
        let object = self.out.join(format!("{}.o", name(source)));
        let words = ["-ffreestanding", "-c", "-o", text(&object), text(source)];
        self.compile(&words);
        object
    }

    fn compile(&self, words: &[&str]) {
        let include = [
            format!("-I{}", self.probes.display()),
            format!("-I{}", self.sdk.display()),
        ];
        let include = include.iter().map(String::as_str);
        let words: Vec<&str> = STRICT
            .iter()
            .copied()
            .chain(include)
            .chain(words.iter().copied())
            .collect();
        run("cc", &words);
    }

    /// What gm-probe-host links.
    fn library(&self, objects: &[&str]) {
        let library = self.out.join("libgm_probes.a");
        // ar adds to what is there.
        let _ = std::fs::remove_file(&library);
        run("ar", &[&["rcs", text(&library)], objects].concat());
        println!("cargo::rustc-link-search=native={}", self.out.display());
    }

    fn executable(&self, objects: &[&str]) {
        let start = self.free(&self.probes.join("start.c"));
        let executable = self.out.join("gm-probe");
        let words = [
            "-static",
            "-nostdlib",
            "-nostartfiles",
            "-Wl,-z,noexecstack",
            "-Wl,--build-id=none",
            "-s",
        ];
        let ends = ["-o", text(&executable), text(&start)];
        self.compile(&[&words[..], &ends[..], objects].concat());
    }

    fn plugin(&self, objects: &[&str]) {
        let source = self.probes.join("plugin.c");
        let plugin = self.out.join("gm-probe.so");
        let words = [
            "-shared",
            "-Wl,-z,now",
            "-Wl,-z,noexecstack",
            "-Wl,-z,text",
            "-Wl,--build-id=none",
            "-Wno-unused-function",
            "-s",
        ];
        let ends = ["-o", text(&plugin), text(&source)];
        self.compile(&[&words[..], &ends[..], objects].concat());
    }

    /// Plugins whose constructor is the probe: one for each `variant` that the
    /// source's first line promises.
    fn constructors(&self) {
        let shared = [
            "-shared",
            "-Wl,-z,now",
            "-Wl,-z,noexecstack",
            "-Wl,-z,text",
            "-Wl,--build-id=none",
            "-Wno-unused-function",
            "-s",
        ];
        for (source, variant) in constructors(&self.probes) {
            let plugin = self.out.join(constructor_file(&source, variant));
            let define = format!("-DVARIANT={variant}");
            let id = format!("-DPROBE_ID=\"{}\"", name(&source).trim_end_matches(".c"));
            let library = self.probes.join("probe.c");
            let table = self.out.join("table-of-none.c");
            write(&table, b"#include \"probe.h\"\nstruct gm_entry { const char *id; void *run; };\nextern const struct gm_entry gm_table[];\nconst struct gm_entry gm_table[] = {{0, 0}};\n");
            let ends = [
                define.as_str(),
                id.as_str(),
                "-o",
                text(&plugin),
                text(&source),
                text(&library),
                text(&table),
            ];
            self.compile(&[&shared[..], &ends[..]].concat());
        }
    }
}

/// Constructor probes and their variants: `VARIANTS n` in the first line.
fn constructors(probes: &Path) -> Vec<(PathBuf, usize)> {
    let each = |file: PathBuf| {
        let text = read(&file);
        let first = text.lines().next().unwrap_or_default();
        let count = first
            .split("VARIANTS ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse().ok());
        let count: usize = count.unwrap_or_else(|| panic!("no VARIANTS in {}", file.display()));
        (0..count).map(move |variant| (file.clone(), variant))
    };
    files(&probes.join("constructor"), "c")
        .into_iter()
        .flat_map(each)
        .collect()
}

fn constructor_file(source: &Path, variant: usize) -> String {
    format!("{}.{variant}.so", name(source).trim_end_matches(".c"))
}

/// `sources.rs`: the other kinds' code and the constructors, by id.
fn sources(probes: &Path, out: &Path, rows: &[Row]) -> String {
    let mut code = String::new();
    let mut list = |title: &str, of: &str, entries: &[(String, PathBuf)], include: &str| {
        let _ = writeln!(code, "static {title}: &[(&str, {of})] = &[");
        for (id, path) in entries {
            let _ = writeln!(
                code,
                "    ({id:?}, {include}!({:?})),",
                path.display().to_string()
            );
        }
        let _ = writeln!(code, "];");
    };
    list(
        "MODULES",
        "&[u8]",
        &of_kind(probes, out, rows, "wasm"),
        "include_bytes",
    );
    list(
        "LUA",
        "&str",
        &of_kind(probes, out, rows, "lua"),
        "include_str",
    );
    list(
        "JS",
        "&str",
        &of_kind(probes, out, rows, "js"),
        "include_str",
    );
    let constructors = constructors(probes).into_iter().map(|(source, variant)| {
        let file = constructor_file(&source, variant);
        (file.trim_end_matches(".so").to_owned(), out.join(&file))
    });
    list(
        "CONSTRUCTORS",
        "&[u8]",
        &constructors.collect::<Vec<_>>(),
        "include_bytes",
    );
    code
}

/// Ids of a kind and where their code was made. What is set off by being loaded has a
/// source for each variant, `ID.N`.
fn of_kind(probes: &Path, out: &Path, rows: &[Row], kind: &str) -> Vec<(String, PathBuf)> {
    let mut made = Vec::new();
    for row in rows.iter().filter(|row| row.has(kind) && !row.made_by_rust) {
        let variants = if row.loads { row.variants } else { 0 };
        let numbered = (0..variants).map(|number| format!("{}.{number}", row.id));
        let single = (!row.loads).then(|| row.id.clone());
        for name in numbered.chain(single) {
            let to = out.join(format!("{name}.{kind}"));
            write(
                &to,
                &code(&probes.join(&row.group).join(&name), probes, kind),
            );
            made.push((name, to));
        }
    }
    made
}

/// The code of a source. The prelude of its kind comes before a script, and takes the
/// place of `(;prelude;)` in a module.
fn code(source: &Path, probes: &Path, kind: &str) -> Vec<u8> {
    let extension = if kind == "wasm" { "wat" } else { kind };
    let with_extension = format!("{}.{extension}", source.display());
    let text = repeated(&read(Path::new(&with_extension)));
    let prelude = read(&probes.join(format!("prelude.{extension}")));
    if kind != "wasm" {
        return format!("{prelude}\n{text}").into_bytes();
    }
    let module = wat::parse_str(text.replace("(;prelude;)", &prelude));
    module.unwrap_or_else(|error| panic!("{with_extension}: {error}"))
}

/// `@repeat N TEXT@` is that text N times: what is large is large by that alone.
fn repeated(text: &str) -> String {
    let Some((before, rest)) = text.split_once("@repeat ") else {
        return text.to_owned();
    };
    let parts = rest.split_once('@').and_then(|(inside, after)| {
        let (count, piece) = inside.split_once(' ')?;
        Some((piece.repeat(count.parse().ok()?), after))
    });
    let (piece, after) = parts.unwrap_or_else(|| panic!("@repeat without an end"));
    format!("{before}{piece}{}", repeated(after))
}

/// The files below a directory with this extension, sorted.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let listed = std::fs::read_dir(directory);
    for entry in listed.unwrap_or_else(|e| panic!("{}: {e}", directory.display())) {
        let path = entry.unwrap_or_else(|e| panic!("{e}")).path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[expect(clippy::disallowed_methods, reason = "the compiler, at build time")]
fn run(program: &str, words: &[&str]) {
    let done = Command::new(program).args(words).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {words:?}\n{said}");
}

fn name(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str());
    name.unwrap_or_else(|| panic!("{}", path.display()))
        .to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str()
        .unwrap_or_else(|| panic!("{}", path.display()))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("no {name}"))
}
