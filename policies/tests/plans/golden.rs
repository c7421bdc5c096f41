//! What each example plugin may do, word for word: any change of it shows up
//! in review. How long a proof took is the one thing that differs from run to
//! run and is left out; `cargo insta review` takes a change over.

use crate::shown::{lines, plan};

/// The number in front of `unit`, wherever one stands.
fn without_time(text: &str) -> String {
    let unit = " µs)";
    let Some((before, after)) = text.split_once(unit) else {
        return text.to_owned();
    };
    let kept = before.trim_end_matches(|c: char| c.is_ascii_digit());
    format!("{kept}[micros]{unit}{after}")
}

fn text(manifest: &str) -> String {
    let lines = lines(&plan(manifest));
    let lines: Vec<_> = lines.iter().map(|line| without_time(line.text())).collect();
    lines.join("\n")
}

fn json(manifest: &str) -> String {
    let lines = lines(&plan(manifest));
    let lines = lines.iter().map(|line| {
        let mut line = serde_json::to_value(line).unwrap();
        if let Some(micros) = line.get_mut("micros") {
            assert!(micros.is_u64());
            *micros = "[micros]".into();
        }
        line.to_string()
    });
    lines.collect::<Vec<_>>().join("\n")
}

macro_rules! example {
    ($name:literal) => {
        include_str!(concat!(
            "../../../sandbox-runner/plugin-sdk/examples/",
            $name,
            "/plugin.manifest.toml"
        ))
    };
}

#[test]
fn commit_stats_may_do_this() {
    insta::assert_snapshot!("commit-stats.text", text(example!("commit-stats")));
    insta::assert_snapshot!("commit-stats.json", json(example!("commit-stats")));
}

#[test]
fn commit_lint_may_do_this() {
    insta::assert_snapshot!("commit-lint.text", text(example!("commit-lint")));
    insta::assert_snapshot!("commit-lint.json", json(example!("commit-lint")));
}

#[test]
fn co_change_may_do_this() {
    insta::assert_snapshot!("co-change.text", text(example!("co-change")));
    insta::assert_snapshot!("co-change.json", json(example!("co-change")));
}

/// What both forms of machine code ask for, each with a file of the package.
fn machine_code(abi: &str) -> String {
    format!(
        "[identity]\nplugin_id = \"com.example.native\"\npublic_key = \"\"\n\n[plugin]\nname = \"Native\"\nversion = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"native\"\nabi = \"{abi}\"\nentrypoint = \"plugin\"\nfiles = [\"words.txt\"]\n\n[permissions]\nmemory_limit = \"4mb\"\nhost_api = [\"nodes:read\"]\n"
    )
}

#[test]
fn a_shared_object_may_do_this() {
    insta::assert_snapshot!("native.text", text(&machine_code("gm-2")));
    insta::assert_snapshot!("native.json", json(&machine_code("gm-2")));
}

#[test]
fn a_program_may_do_this() {
    insta::assert_snapshot!("program.text", text(&machine_code("program-1")));
    insta::assert_snapshot!("program.json", json(&machine_code("program-1")));
}
