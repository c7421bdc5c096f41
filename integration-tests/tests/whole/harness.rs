//! `gm-broker harness`: real probes are contained, and whatever is broken about the
//! harness itself, a launcher or the product is never taken for a wall.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use gm_integration_tests::home::{Home, copy_binaries, text as path_text};
use gm_integration_tests::kernel::within;
use gm_integration_tests::process::{Live, command, run};
use gm_integration_tests::records::text;
use gm_integration_tests::skip::{below_l4, lacks};
use gm_integration_tests::{Ended, binary, project};
use rustix::process::Signal;
use serde_json::{Value, json};

fn harness(words: &[&str]) -> Ended {
    let mut broker = command(binary("gm-broker"), Path::new("/"));
    run(broker.args(["harness"]).args(words), b"")
}

/// The rows of a run with `--report json`.
fn rows(ended: &Ended) -> Vec<&Value> {
    let rows = ended.records.iter();
    rows.filter(|record| record["kind"] == "probe").collect()
}

/// The only row of a run of one probe.
#[track_caller]
fn row(ended: &Ended) -> &Value {
    match rows(ended)[..] {
        [only] => only,
        _ => panic!("not one row: {ended:#?}"),
    }
}

/// One probe under a launcher that takes the probe's words behind its own.
fn under(launcher: &str) -> Ended {
    harness(&[
        "run",
        "--only",
        "sc-io-uring",
        "--report",
        "json",
        "--under",
        launcher,
    ])
}

#[test]
fn the_table_is_listed_for_people_and_for_programs() {
    let people = harness(&["list", "--only", "sc-*"]);
    people.expect_exit(0);
    assert!(people.stdout.contains("sc-io-uring") && !people.stdout.contains("fs-"));
    let programs = harness(&["list", "--format", "json"]);
    programs.expect_exit(0);
    assert!(programs.records.iter().any(|row| row["id"] == "tr-tamper"));
    assert_eq!(programs.last()["exit"], 0);
}

#[test]
fn an_interrupted_run_ends_what_it_began_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    let left = || std::fs::read_dir(place.path()).unwrap().count();
    let mut broker = command(binary("gm-broker"), Path::new("/"));
    broker.env("TMPDIR", place.path());
    let words = ["--format", "json", "harness", "run", "--profile", "lua"];
    let harness = Live::start(broker.args(words));
    assert!(within(Duration::from_secs(60), || left() > 0));

    harness.signal(Signal::TERM);

    let ended = harness.finish();
    ended.expect_exit(143);
    let told: Vec<&Value> = ended.records.iter().collect();
    assert!(
        matches!(told[..], [only] if only["exit"] == 143),
        "{told:?}"
    );
    assert_eq!(left(), 0);
}

#[test]
fn a_call_that_can_not_be_carried_out_is_exit_2() {
    let home = Home::without_key();
    let waivers = home.beside("waivers.toml");
    std::fs::write(&waivers, "[[waiver]]\nprobe = \"*\"\nowner = \"ann\"\n").unwrap();
    for words in [
        &["run", "--only", "no-such-probe"][..],
        &["run", "--ablate"],
        &["run", "--under", ""],
        &["run", "--under", "sh -c 'x"],
        &["run", "--waivers", path_text(&waivers)],
        &["run", "--plugin", "com.test.observer"],
        &["no-such-verb"],
    ] {
        let ended = harness(&[words, &["--format", "json"]].concat());
        ended.expect_exit(2);
        assert_eq!(ended.last()["exit"], 2, "{words:?}");
    }
}

#[test]
fn a_product_without_its_harness_says_how_it_is_installed() {
    let home = Home::without_key();
    let place = home.beside("bin");
    std::fs::create_dir(&place).unwrap();
    std::fs::copy(binary("gm-broker"), place.join("gm-broker")).unwrap();
    let mut broker = command(place.join("gm-broker"), Path::new("/"));
    let ended = run(broker.args(["--format", "json", "harness", "list"]), b"");
    let refused = ended.expect_refused(2, "usage/arguments");
    assert!(text(refused, "rule").contains("cargo build"), "{refused:#}");
}

#[test]
fn a_probe_is_contained_in_a_plugin_and_its_control_is_not() {
    if below_l4() {
        return;
    }
    let ended = harness(&[
        "run",
        "--only",
        "sc-io-uring",
        "--only",
        "fs-read-outside",
        "--report",
        "json",
    ]);
    ended.expect_exit(0);
    for row in rows(&ended) {
        assert!(
            ["CONTAINED", "CONTAINED_ELSEWHERE"].contains(&text(row, "verdict")),
            "{row:#}"
        );
        assert_eq!(
            (&row["control"], &row["twin"]["verdict"]),
            (&json!("ok"), &json!("ok"))
        );
        assert_eq!(row["profile_digest"].as_str().unwrap().len(), 64);
    }
    let ring = rows(&ended)[0];
    assert_eq!(
        (&ring["layer"], &ring["ending"]),
        (&json!("seccomp"), &json!("forbidden_syscall"))
    );
    assert_eq!(ended.last()["exit"], 0);
}

#[test]
fn an_attack_from_outside_is_refused_by_its_code() {
    let ended = harness(&[
        "run",
        "--only",
        "tr-unsigned",
        "--only",
        "tr-downgrade",
        "--report",
        "json",
        "--level",
        "L3",
    ]);
    ended.expect_exit(0);
    let rows = rows(&ended);
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|row| row["verdict"] == "CONTAINED" && row["layer"] == "trust")
    );
}

#[test]
fn a_launcher_that_stops_nothing_lets_the_probe_escape() {
    let ended = under("env --");
    ended.expect_exit(1);
    assert_eq!(row(&ended)["verdict"], "ESCAPED");
    assert!(
        ended.stdout.contains("gm-broker"),
        "what ours does is beside it"
    );
}

#[test]
fn what_a_launcher_of_roots_mounts_is_gone_with_it() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    // The probe is only run where it could be mounted.
    let ended = under("sh -c 'mount -t tmpfs gm-mounted-below /mnt && exec \"$@\"' sh");
    assert_eq!(row(&ended)["verdict"], "ESCAPED", "{ended:#?}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("gm-mounted-below"), "{mounts}");
}

#[test]
fn a_launcher_of_namespaces_contains_what_needs_the_network() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let words = [
        "run",
        "--only",
        "net-inet",
        "--report",
        "markdown",
        "--under",
        "unshare --net --",
    ];
    let ended = harness(&words);
    assert!(ended.stdout.contains("## Side by side"), "{}", ended.stdout);
    let line = ended
        .stdout
        .lines()
        .find(|line| line.contains("net-inet") && line.contains("done"));
    assert!(
        line.is_some_and(|line| line.contains("| CONTAINED")),
        "{}",
        ended.stdout
    );
}

#[test]
fn a_launcher_that_does_not_run_the_probe_contains_nothing() {
    for launcher in [
        "false",
        "true",
        "/no/such/launcher --",
        // Its words are the launcher's own: they aren't the answer.
        "echo",
        "sh -c '\"$@\" >/dev/null' sh",
        "sh -c 'rm -f \"$1\"; exec \"$@\"' sh",
    ] {
        let ended = under(launcher);
        ended.expect_exit(70);
        assert_eq!(row(&ended)["verdict"], "HARNESS_ERROR", "{launcher}");
    }
}

#[test]
fn a_launcher_that_only_greets_contains_nothing() {
    let greets = |then: &str| format!("sh -c 'case \"$2\" in self) exec \"$@\";; esac; {then}' sh");
    for then in [
        "exit 0",
        "exit 1",
        "exit 126",
        "exit 127",
        "kill -SEGV $$",
        "kill -KILL $$",
        "echo probe=sc-x32 form=harmless said=EPERM value=0",
        "echo probe=sc-io-uring form=harmless said=ENOENT value=0",
        "echo EPERM",
    ] {
        let ended = under(&greets(then));
        ended.expect_exit(70);
        assert_eq!(row(&ended)["verdict"], "HARNESS_ERROR", "{then}");
    }
}

#[test]
fn an_engine_that_never_runs_the_probe_contains_nothing() {
    if below_l4() {
        return;
    }
    let home = Home::without_key();
    let place = home.beside("bin");
    copy_binaries(&place);
    // It ends at once, without a word.
    std::fs::copy("/bin/true", place.join("gm-run-native")).unwrap();
    let mut broker = command(place.join("gm-broker"), Path::new("/"));
    let words = [
        "harness",
        "run",
        "--only",
        "sc-io-uring",
        "--report",
        "json",
    ];
    let ended = run(broker.args(words), b"");
    ended.expect_exit(1);
    let row = row(&ended);
    assert_eq!(row["verdict"], "HARNESS_ERROR", "{row:#}");
    assert_eq!(row["twin"]["verdict"], "failed");
}

/// What other tools read.
#[test]
fn reports_are_what_their_readers_expect() {
    let schema = project().join("target/third-party/sarif-2.1.0.json");
    let fetched = project().join("target/third-party/complete");
    if lacks("registries", fetched.is_file() && schema.is_file()) {
        return;
    }
    let home = Home::without_key();
    let [sarif, junit] = ["r.sarif", "r.xml"].map(|name| home.beside(name));
    let reports = [
        format!("sarif={}", path_text(&sarif)),
        format!("junit={}", path_text(&junit)),
    ];
    let words = [
        "run",
        "--only",
        "sc-io-uring",
        "--only",
        "net-inet",
        "--under",
        "env --",
    ];
    let words = [
        &words[..],
        &["--report", &reports[0], "--report", &reports[1]],
    ]
    .concat();
    harness(&words).expect_exit(1);

    let mut schemas = boon::Schemas::new();
    let index = boon::Compiler::new()
        .compile(path_text(&schema), &mut schemas)
        .unwrap();
    let document: Value = serde_json::from_slice(&std::fs::read(sarif).unwrap()).unwrap();
    let valid = schemas.validate(&document, index);
    assert!(valid.is_ok(), "{:#}", valid.unwrap_err());
    expect_surefire(&junit);
}

/// Reads a report as CI servers do: an XML parser of somebody else's, the elements and
/// attributes of Surefire's schema in its order, and counts that are right.
fn expect_surefire(file: &Path) {
    const READER: &str = "
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag == 'testsuites', root.tag
for suite in root:
    assert suite.tag == 'testsuite', suite.tag
    cases = suite.findall('testcase')
    assert [child.tag for child in suite] == ['properties'] + ['testcase'] * len(cases)
    for name in ('name', 'tests', 'failures', 'errors', 'skipped', 'time'):
        assert name in suite.attrib, name
    for word, tag in (('failures', 'failure'), ('errors', 'error'), ('skipped', 'skipped')):
        assert int(suite.attrib[word]) == sum(case.find(tag) is not None for case in cases), word
    assert int(suite.attrib['tests']) == len(cases)
    for case in cases:
        assert set(case.attrib) == {'classname', 'name', 'time'}, case.attrib
        tags = [child.tag for child in case]
        assert tags[-1] == 'system-out' and len(tags) <= 2, tags
        assert all(tag in ('failure', 'error', 'skipped') for tag in tags[:-1]), tags
        assert all('message' in child.attrib for child in case if child.tag != 'system-out')
";
    let mut python = command("python3", Path::new("/"));
    run(python.args(["-c", READER]).arg(file), b"").expect_exit(0);
}
