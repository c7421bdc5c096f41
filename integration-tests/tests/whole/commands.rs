//! `gm plugin run`: a plugin's own commands, carried out behind the same walls as
//! in a run, with its answer as the verb's result.

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::process::{Live, run};
use gm_integration_tests::records::events;
use gm_integration_tests::{Ended, Home, Package, Repository};
use serde_json::{Value, json};

const COMMANDER: &str = "com.test.commander";
const NAMES: [&str; 8] = [
    "echo", "refuse", "fail", "wrong", "nothing", "loop", "trap", "put",
];

fn commander() -> Package {
    let package = Package::of("commander")
        .permission("host_api", "[\"nodes:write\"]")
        .permission("time_limit", "\"300ms\"");
    NAMES
        .iter()
        .fold(package, |package, name| package.command(name))
}

fn commanding() -> Home {
    let home = Home::new();
    home.load(&commander());
    home
}

fn command(home: &Home, words: &[&str]) -> Ended {
    home.gm(&[&["plugin", "run", COMMANDER], words].concat())
}

/// Fails unless the last line is the verb's result with this exit code.
#[track_caller]
fn result(ended: &Ended, exit: i32) -> &Value {
    ended.expect_exit(exit);
    let last = ended.last();
    assert_eq!(last["schema"], "gm.result/1", "{ended:#?}");
    assert_eq!(
        (&last["verb"], &last["exit"]),
        (&json!("plugin run"), &json!(exit))
    );
    last
}

#[test]
fn a_command_gets_its_arguments_and_its_answer_is_the_result() {
    let home = commanding();

    let ended = command(&home, &["echo", "--", "src/a.rs", "--help", "ä \"b\""]);

    let last = result(&ended, 0);
    assert_eq!(
        (&last["result"], &last["status"]),
        (&json!("ok"), &json!(0))
    );
    let document = json!({"schema": "gm.command/1", "name": "echo", "args": ["src/a.rs", "--help", "ä \"b\""]});
    assert_eq!(last["data"], document);
    let reply = ended.one(COMMANDER, "reply");
    assert_eq!(
        (&reply["hook"], &reply["subject"], &reply["seq"]),
        (&json!("gm_command"), &json!("echo"), &json!(1))
    );
    let started = ended.one(COMMANDER, "started");
    assert_eq!(started["seccomp"]["filters"], 4);
    // Its shutdown traps, but nothing was walked that it could sum up.
    ended.expect_ending(COMMANDER, "finished");
}

#[test]
fn commands_that_begin_at_once_in_one_home_are_all_carried_out() {
    let home = commanding();
    for pair in 0..20 {
        let began = [(); 2].map(|()| {
            let mut command = home.json("gm");
            Live::start(command.args(["plugin", "run", COMMANDER, "echo"]))
        });
        for ended in began.map(Live::finish) {
            assert_eq!(result(&ended, 0)["result"], "ok", "pair {pair}");
            ended.expect_ending(COMMANDER, "finished");
        }
    }
    let left = std::fs::read_dir(home.path().join("state/run")).unwrap();
    assert_eq!(left.count(), 0);
}

#[test]
fn what_somebody_types_reaches_the_command_as_it_is() {
    let home = commanding();
    let odd = "a\nb\r\t\u{1b}[2J\u{202e}";

    let ended = command(&home, &["echo", "--", odd, ""]);
    assert_eq!(result(&ended, 0)["data"]["args"], json!([odd, ""]));

    let many = vec!["x"; 5000];
    let ended = command(&home, &[&["echo", "--"], &many[..]].concat());
    assert_eq!(result(&ended, 0)["data"]["args"], json!(many));
}

#[test]
fn arguments_that_no_command_can_have_are_refused_before_anything_starts() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let home = commanding();
    let long = "x".repeat(120_000);

    let ended = command(&home, &[&["echo", "--"], &[&*long; 9][..]].concat());
    ended.expect_refused(2, "usage/arguments");

    let mut typed = home.plain("gm");
    let typed = typed.args(["plugin", "run", COMMANDER, "echo", "--"]);
    let said = run(typed.arg(OsStr::from_bytes(b"a\n\xff")), b"");
    said.expect_exit(2);
    assert_eq!(said.stdout, "");

    let mut typed = home.plain("gm");
    let fake = format!("--x\nerror: y{long}");
    let said = run(typed.args(["plugin", "run", &fake]), b"");
    said.expect_exit(2);
    assert!(said.stderr.len() < 4096, "{said:#?}");
    assert!(!said.stderr.contains("\nerror: y"), "{said:#?}");
}

#[test]
fn info_names_the_commands() {
    let home = commanding();

    let info = home.gm(&["plugin", "info", COMMANDER]);

    info.expect_exit(0);
    let commands = info.records[0]["commands"].as_array().unwrap();
    let names: Vec<_> = commands.iter().map(|command| &command["name"]).collect();
    assert_eq!(names, NAMES);
}

#[test]
fn people_are_shown_the_text_alone_on_stdout() {
    let home = commanding();

    let said = run(
        home.plain("gm").args(["plugin", "run", COMMANDER, "put"]),
        b"",
    );

    said.expect_exit(0);
    assert_eq!(said.stdout, "put\n");
}

#[test]
fn a_status_that_is_not_zero_is_exit_1_and_stands_in_the_result() {
    let home = commanding();

    let ended = command(&home, &["refuse"]);

    let last = result(&ended, 1);
    assert_eq!(
        (&last["result"], &last["status"]),
        (&json!("ok"), &json!(3))
    );
    assert_eq!(last["text"], "not today");
    ended.expect_ending(COMMANDER, "finished");
}

#[test]
fn an_answer_that_says_nothing_about_its_status_is_no_success() {
    let home = commanding();
    for (name, error) in [
        ("fail", "no such file"),
        ("wrong", "the command's reply has no status"),
        ("nothing", "the command gave no reply"),
    ] {
        let ended = command(&home, &[name]);
        let last = result(&ended, 1);
        assert_eq!(
            (&last["result"], &last["error"]),
            (&json!("error"), &json!(error))
        );
        assert_eq!(last["status"], Value::Null);
        ended.expect_ending(COMMANDER, "finished");
    }
}

#[test]
fn a_command_that_ends_badly_ends_as_in_a_run_and_once() {
    let home = commanding();

    let slow = command(&home, &["loop"]);
    let trapped = command(&home, &["trap"]);

    let last = result(&slow, 20);
    assert_eq!(
        (&last["result"], &last["ending"]),
        (&json!("error"), &json!("timed_out"))
    );
    let ended = slow.expect_ending(COMMANDER, "timed_out");
    assert_eq!(
        (&ended["at_hook"], &ended["limit"]),
        (&json!("gm_command"), &json!("300ms"))
    );
    let last = result(&trapped, 1);
    assert_eq!(last["ending"], "trapped");
    assert_eq!(trapped.one(COMMANDER, "ended")["restart"], Value::Null);
}

#[test]
fn an_unknown_command_is_told_those_that_exist() {
    let home = commanding();
    home.load(&Package::of("observer"));

    let unknown = command(&home, &["suggest"]);
    let none = home.gm(&["plugin", "run", "com.test.observer", "echo"]);

    let refused = unknown.expect_refused(2, "usage/arguments");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.ends_with(&NAMES.join(", ")), "{detail}");
    unknown.expect_nothing_started();
    none.expect_refused(2, "usage/arguments");
}

#[test]
fn a_plugin_that_may_not_run_carries_out_no_command() {
    let home = commanding();
    let refused = |words: &[&str]| home.gm(&[&["plugin", "run"], words].concat());
    let echo = [COMMANDER, "echo"];

    refused(&[COMMANDER, "echo", "--safe-mode"]).expect_refused(17, "policy/safe-mode");
    refused(&["com.test.nobody", "echo"]).expect_refused(2, "usage/unknown-plugin");
    home.gm(&["plugin", "disable", COMMANDER]).expect_exit(0);
    refused(&echo).expect_refused(17, "policy/disabled");
    home.gm(&["plugin", "enable", COMMANDER]).expect_exit(0);
    refused(&echo).expect_exit(0);
    home.gm(&["plugin", "revoke", COMMANDER]).expect_exit(0);
    let revoked = refused(&echo);
    revoked.expect_refused(16, "revoked/local");
    revoked.expect_nothing_started();
}

#[test]
fn commands_need_their_export_and_a_module_without_them_does_not() {
    let home = Home::new();
    let observer = Package::of("observer");
    home.load(&observer);
    let commanding = Package::of("observer").version("1.0.1").command("echo");
    home.sign(&commanding);

    let refused = home.try_load(&commanding);

    let refused = refused.expect_refused(14, "artifact/missing-export");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("gm_command"), "{detail}");
}

#[test]
fn a_command_writes_to_the_graph_that_is_named_and_to_no_other() {
    let home = commanding();
    let repository = Repository::of(2);
    let graph = home.beside("graph.db");
    let dump = |words: &[&str]| home.broker(&[&["graph", "dump"], words].concat());

    command(&home, &["put"]).expect_exit(0);
    command(&home, &["put", "--graph", path_text(&graph)]).expect_exit(0);
    let of_file = dump(&["--graph", path_text(&graph)]);
    let with_repository = command(&home, &["put", "--repo", repository.text()]);
    let of_repository = dump(&["--repo", repository.text()]);

    assert!(of_file.stdout.contains("test:command"), "{of_file:#?}");
    with_repository.expect_exit(0);
    let begun = events(&with_repository.records, "run_started");
    assert_eq!(
        (&begun[0]["repo"], &begun[0]["total"]),
        (&json!(true), &Value::Null)
    );
    assert!(
        of_repository.stdout.contains("test:command"),
        "{of_repository:#?}"
    );
    // Only the one command was carried out: no commit was walked.
    assert_eq!(with_repository.of(COMMANDER, "reply").len(), 1);
}

#[test]
fn the_linter_of_the_examples_checks_a_message_before_it_is_committed() {
    let home = Home::new();
    home.load(&Package::example("com.example.commit-lint"));
    let check = |message: &str| {
        home.gm(&[
            "plugin",
            "run",
            "com.example.commit-lint",
            "check",
            "--",
            message,
        ])
    };

    let bad = check("WIP.");
    let good = check("Add a test");

    assert_eq!(result(&bad, 1)["status"], 1);
    assert_eq!(result(&good, 0)["text"], "no findings");
}

#[test]
fn a_script_carries_out_commands_too() {
    let home = Home::new();
    let text = "function gm_command(c)
      return {status = #c.args, text = c.name .. ' ' .. table.concat(c.args, ',')}
    end";
    let script = Package::script("obeys", "lua", text)
        .hooks(&[])
        .command("greet");
    home.load(&script);
    let greet =
        |words: &[&str]| home.gm(&[&["plugin", "run", script.plugin(), "greet"], words].concat());

    let none = greet(&[]);
    let two = greet(&["--", "a", "b"]);

    assert_eq!(result(&none, 0)["text"], "greet ");
    let last = result(&two, 1);
    assert_eq!(
        (&last["status"], &last["text"]),
        (&json!(2), &json!("greet a,b"))
    );
}
