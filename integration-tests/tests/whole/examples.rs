//! One example in every language: the same history leaves the same graph, byte by
//! byte, and the same report.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use gm_integration_tests::home::text;
use gm_integration_tests::process::{builder, command, is_there, run};
use gm_integration_tests::records::events;
use gm_integration_tests::{Home, Repository, project, skip};
use serde_json::json;

/// What its makefile needs of the machine, and the example.
const EXAMPLES: [(&str, &str); 6] = [
    ("cargo", "co-change"),
    ("clang", "co-change-c"),
    ("npm", "co-change-as"),
    ("sh", "co-change-lua"),
    ("sh", "co-change-js"),
    ("cc", "co-change-native"),
];

/// An example's unsigned package, built by its own script; none if the machine
/// lacks what that needs, and may.
fn built(tool: &str, example: &str) -> Option<PathBuf> {
    // One at a time: they share a directory.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if skip::lacks(tool, is_there(tool)) {
        return None;
    }
    let out = project().join("target/examples/packages");
    let script = project().join("sandbox-runner/plugin-sdk/examples/build.sh");
    let mut build = builder(script, &project());
    build.env("CARGO_TARGET_DIR", project().join("target/examples"));
    let done = run(build.arg(&out).arg(example), b"");
    if done.exit == 75 && skip::lacks(tool, false) {
        return None;
    }
    done.expect_exit(0);
    Some(PathBuf::from(done.stdout.trim_end()))
}

/// What an example made of a history: the graph without its writer, and what it
/// said at its end.
struct Made {
    graph: String,
    report: String,
}

/// A home with these settings that has the package, signed and loaded. Both words of
/// the operator are there for the one that is machine code.
fn home_with(package: &Path, config: &str) -> Home {
    let home = Home::new();
    home.configure(config);
    home.allow_native(&["com.example.co-change-native"]);
    let copy = home.beside("package");
    std::fs::create_dir(&copy).unwrap();
    for file in std::fs::read_dir(package).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    let key = home.secret("key");
    home.gm(&["gpg", "sign", text(&copy), "--key", text(&key)])
        .expect_exit(0);
    home.gm(&["plugin", "load", text(&copy)]).expect_exit(0);
    home
}

/// Runs a package on what `source` names, with these settings.
fn made(package: &Path, config: &str, source: &[&str]) -> Made {
    let home = home_with(package, config);
    let graph = home.beside("graph.db");
    let place = ["--graph", text(&graph)];

    let ran = home.broker(&[&["run", "--allow-native"], source, &place].concat());

    ran.expect_exit(0);
    let started = events(&ran.records, "started");
    let id = started[0]["plugin"].as_str().unwrap();
    ran.expect_ending(id, "finished");
    let last = &ran.replies(id, "shutdown")[0]["reply"];
    Made {
        graph: dumped(&home, &place),
        report: last["report"].as_str().unwrap().to_owned(),
    }
}

fn dumped(home: &Home, place: &[&str]) -> String {
    let dump = run(
        home.plain("gm-broker")
            .args(["graph", "dump", "--no-writer"])
            .args(place),
        b"",
    );
    dump.expect_exit(0);
    dump.stdout
}

/// What each example that can be built here makes of it; the first is the one in
/// Rust.
fn all(config: &str, source: &[&str]) -> Vec<(&'static str, Made)> {
    let made = EXAMPLES.iter().filter_map(|(tool, example)| {
        Some((*example, made(&built(tool, example)?, config, source)))
    });
    made.collect()
}

fn expect_alike(all: &[(&str, Made)]) {
    let (_, rust) = &all[0];
    for (example, made) in all {
        assert_eq!(made.report, rust.report, "{example}");
        // Not by assert_eq, which would print both.
        let differ = rust
            .graph
            .lines()
            .zip(made.graph.lines())
            .find(|(a, b)| a != b);
        assert!(made.graph == rust.graph, "{example}: {differ:?}");
    }
}

/// Paths whose order, form or bytes are easily got wrong, as git's fast-import
/// quotes them.
const ODD: [&str; 8] = [
    r#""\357\277\276private""#,   // U+FFFE: behind a surrogate in UTF-16 alone
    r#""\360\237\230\200smile""#, // U+1F600
    r#""tab\there""#,
    r#""\302\205control""#,
    r#""not\377utf8""#,
    r#""quote\"back\\slash""#,
    "\u{e4}/\u{20ac}",
    "A",
];

/// 500 commits, the same always, of which some are merges and some too large.
fn history() -> Repository {
    let repository = Repository::empty();
    let mut stream = String::new();
    let mut state = 1_u32;
    let mut random = |below: u32| {
        // Any sequence will do that is the same everywhere.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for number in 1..=500_u32 {
        let parent = if number > 1 {
            format!("from :{}\n", number - 1)
        } else {
            String::new()
        };
        let merge = if number % 50 == 0 {
            format!("merge :{}\n", number - 5)
        } else {
            String::new()
        };
        let _ = write!(
            stream,
            "commit refs/heads/main\nmark :{number}\nauthor A <a@b> {time} +0000\ncommitter A <a@b> {time} +0000\ndata 6\nchange\n{parent}{merge}",
            time = 1_700_000_000 + number,
        );
        let many = if number % 40 == 0 { 40 } else { 1 + random(7) };
        for _ in 0..many {
            let path = match random(6) {
                0 => ODD[random(8) as usize].to_owned(),
                _ => format!("src/{}.txt", random(90)),
            };
            let _ = write!(
                stream,
                "M 100644 inline {path}\ndata <<END\n{number}\nEND\n"
            );
        }
        stream.push('\n');
    }
    let mut import = command("git", repository.path());
    run(import.args(["fast-import", "--quiet"]), stream.as_bytes()).expect_exit(0);
    repository
}

#[test]
fn the_same_500_commits_leave_the_same_graph_in_every_language() {
    let repository = history();
    let all = all("", &["--repo", repository.text()]);
    let (_, rust) = &all[0];
    assert!(
        rust.graph.lines().count() > 1000,
        "{}",
        rust.graph.lines().count()
    );
    assert!(
        rust.report.contains("passed over: 10 merges"),
        "{}",
        rust.report
    );
    assert!(rust.report.contains("were left out"), "{}", rust.report);
    expect_alike(&all);
}

#[test]
fn the_operator_s_settings_mean_the_same_in_every_language() {
    let repository = history();
    let config =
        "[config]\n\"cochange.max_files\" = 4\n\"cochange.min_weight\" = 2\n\"cochange.top\" = 3\n";
    let all = all(config, &["--repo", repository.text(), "--last", "200"]);
    let (_, rust) = &all[0];
    assert!(
        rust.report.contains("of more than 4 files"),
        "{}",
        rust.report
    );
    expect_alike(&all);
}

#[test]
fn the_weakest_pairs_are_forgotten_alike_in_every_language() {
    let home = Home::new();
    let events = home.beside("events.jsonl");
    let mut lines = String::new();
    for number in 0..24 {
        // The first one twice: its pairs are stronger than all others.
        let group = if number == 1 { 0 } else { number };
        let files: Vec<_> = (0..200)
            .map(|file| json!({"path": format!("{group}/{file}")}))
            .collect();
        let data = json!({"files": files, "files_total": 200});
        let _ = writeln!(
            lines,
            "{}",
            json!({"hook": "on_commit_analyzed", "data": data})
        );
    }
    std::fs::write(&events, lines).unwrap();
    let config = "[config]\n\"cochange.max_files\" = 200\n\"cochange.min_weight\" = 2\n";
    let all = all(config, &["--events", text(&events)]);
    let (_, rust) = &all[0];
    assert!(
        rust.report.contains("pairs were forgotten"),
        "{}",
        rust.report
    );
    expect_alike(&all);
}

#[test]
fn a_wrong_setting_is_an_error_of_init_in_every_language() {
    for (tool, example) in EXAMPLES {
        let Some(package) = built(tool, example) else {
            continue;
        };
        let home = home_with(&package, "[config]\n\"cochange.max_files\" = 1\n");
        let run = home.run_events("", &["--fail-fast", "--allow-native"]);
        run.expect_exit(1);
        let ended = run.one(&format!("com.example.{example}"), "ended");
        let detail = ended["detail"].as_str().unwrap();
        assert!(detail.contains("cochange.max_files"), "{run:#?}");
    }
}
