//! The sources behind their walls: each does what its row says, and is stopped by what
//! the row says. The harness runs all of them and looks from outside; here it is the
//! sources that are tried. With GM_PROBE, all whose id begins with it.

use std::collections::BTreeSet;

use gm_integration_tests::probes::{self, Kind, Oracle, Probe, Said, SetOff, State};
use gm_integration_tests::{Home, Package};

/// A package whose command is the probe.
fn package(row: &Probe, kind: Kind) -> Package {
    let package = match kind {
        Kind::Wasm => Package::with_code("com.test.probe", probes::module(&row.id).unwrap()),
        Kind::Lua => Package::script("probe", "lua", probes::script(&row.id, kind).unwrap()),
        Kind::Js => Package::script("probe", "js", probes::script(&row.id, kind).unwrap()),
        Kind::Native | Kind::Host => {
            Package::with_code("com.test.probe", probes::SHARED).kind("native")
        }
    };
    let lines = row.permission_lines().into_iter();
    lines.fold(
        package.hooks(&[]).command("probe"),
        |package, (key, value)| package.permission(&key, &value),
    )
}

/// What came of a variant.
#[derive(Debug)]
struct Answer {
    /// What it said, or how it ended.
    word: String,
    /// The call that it was stopped at, if the filter reports it.
    call: Option<String>,
}

fn answer(home: &Home, row: &Probe, variant: u32, more: &[&str]) -> Answer {
    let number = format!("variant={variant}");
    let given = [
        "--",
        &row.id,
        &number,
        "tcp=9",
        "udp=9",
        "pid=1",
        "canary=/etc/passwd",
        "abstract=x",
        "unix=/run/x",
        "data=/data",
        "granted=/grant",
        "memory=33554432",
        "pids_max=8",
        "self=1",
    ];
    let words = [&["plugin", "run", "com.test.probe", "probe"], more, &given];
    let ended = home.gm(&words.concat());
    let text = ended.last()["text"].as_str().unwrap_or_default();
    if let Some(said) = Said::read(text) {
        assert_eq!(said.id, row.id);
        return Answer {
            word: said.said,
            call: None,
        };
    }
    let mut records = ended.records.iter();
    let record = records.rfind(|record| record["event"] == "ended");
    let record = record.unwrap_or_else(|| panic!("{}.{variant}: {ended:#?}", row.id));
    Answer {
        word: record["ending"].as_str().unwrap().to_owned(),
        call: record["seccomp"]["call"].as_str().map(str::to_owned),
    }
}

/// Whether this is what should come of it, so that nothing got through.
fn is_stopped(row: &Probe, variant: u32, answer: &Answer) -> bool {
    let word = answer.word.as_str();
    let listed = |words: &[String]| words.iter().any(|own| own == word);
    let filtered = word == "forbidden_syscall";
    // The plan's answer to some calls is an errno: not the kernel's, which is `reached`.
    let soft = ["ENOSYS", "ENOTTY"].contains(&word) && !row.is_reached(word);
    // The veto layer doesn't say which call it was, and some numbers have no name.
    let this = match answer.call.as_deref() {
        Some(call) => row.denied_call(variant) == Some(call),
        None => true,
    };
    match &row.oracle {
        Oracle::Ending(words) => listed(words.all()),
        Oracle::Errno(words) => filtered || listed(words.all()),
        Oracle::Deny(_) => soft || (filtered && this),
        // What is only seen from outside.
        Oracle::State(
            State::Log | State::Neighbour | State::Descriptors | State::Memory | State::Survivors,
        ) => true,
        Oracle::State(_) => !row.is_reached(word),
    }
}

#[test]
fn what_the_engines_run_is_stopped_by_what_the_table_says() {
    let only = std::env::var("GM_PROBE").unwrap_or_default();
    let mut wrong = Vec::new();
    for row in probes::table() {
        if row.alone || row.hook == SetOff::Load || !row.id.starts_with(&only) {
            continue;
        }
        let engines = [Kind::Wasm, Kind::Lua, Kind::Js];
        for kind in row.kinds.iter().filter(|kind| engines.contains(kind)) {
            let home = Home::new();
            home.configure("[restart]\nmax = 0\n");
            home.load(&package(&row, *kind));
            // The harness runs all of them; here it is the sources that are tried.
            let ends = BTreeSet::from([0, row.variants - 1]);
            let all = !only.is_empty();
            for variant in (0..row.variants).filter(|own| all || ends.contains(own)) {
                let answer = answer(&home, &row, variant, &[]);
                if !is_stopped(&row, variant, &answer) {
                    wrong.push(format!("{}.{variant} {kind:?}: {answer:?}", row.id));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_module_or_asks_for_too_much_is_refused_at_load() {
    let home = Home::new();
    let rows = probes::table();
    for id in ["en-malformed", "en-import-undeclared"] {
        let row = rows.iter().find(|row| row.id == id).unwrap();
        for variant in 0..row.variants {
            let code = probes::loaded(id, Kind::Wasm, variant).unwrap();
            let tried = home.try_load(&signed(&home, &code));
            let refusal = tried.last();
            assert_eq!(refusal["result"], "refused", "{id}.{variant}: {tried:#?}");
            assert!(refusal["code"].is_string(), "{id}.{variant}: {tried:#?}");
        }
    }
}

fn signed(home: &Home, code: &[u8]) -> Package {
    let package = Package::with_code("com.test.probe", code);
    home.sign(&package);
    package
}

#[test]
fn the_shared_object_of_all_probes_is_stopped_at_the_call_that_the_table_names() {
    let home = Home::new();
    home.allow_native(&["com.test.probe"]);
    let rows = probes::table();
    let native = rows
        .iter()
        .filter(|row| row.kinds.contains(&Kind::Native) && !row.constructor);
    // The harness runs all of them; here it is the shared object that is tried.
    let only = std::env::var("GM_PROBE").unwrap_or_default();
    let few = [
        "sc-io-uring",
        "rb-fork",
        "pr-proc-environ",
        "ns-uts-id",
        "rb-anon",
    ];
    let chosen = |row: &&Probe| {
        if only.is_empty() {
            few.contains(&row.id.as_str())
        } else {
            row.id.starts_with(&only)
        }
    };
    let native: Vec<&Probe> = native.filter(chosen).collect();
    let first = native.first().expect("no such probe");
    home.load(&package(first, Kind::Native));
    let mut wrong = Vec::new();
    for row in native {
        for variant in 0..row.variants {
            let answer = answer(&home, row, variant, &["--allow-native"]);
            if !is_stopped(row, variant, &answer) {
                wrong.push(format!(
                    "{}.{variant}: {answer:?} instead of {:?}",
                    row.id,
                    row.denied_call(variant)
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_constructor_is_stopped_as_the_table_says() {
    for row in probes::table().iter().filter(|row| row.constructor) {
        for variant in 0..row.variants {
            let code = probes::constructor(&row.id, variant).unwrap();
            let package = Package::with_code("com.test.probe", code).kind("native");
            let home = Home::new();
            home.allow_native(&["com.test.probe"]);
            home.load(
                &package
                    .hooks(&[])
                    .command("probe")
                    .permission("time_limit", "\"1s\""),
            );
            let answer = answer(&home, row, variant, &["--allow-native"]);
            let stopped = is_stopped(row, variant, &answer);
            assert!(stopped, "{}.{variant}: {answer:?}", row.id);
        }
    }
}
