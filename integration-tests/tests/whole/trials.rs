//! `gm plugin test`: the author's cases, behind the real walls.

use gm_integration_tests::home::text;
use gm_integration_tests::process::run;
use gm_integration_tests::{Ended, Home, Package, Repository};
use serde_json::{Value, json};

/// Answers with what it was asked for, in all the ways that a case may expect.
const PLUGIN: &str = "
function on_commit_analyzed(commit)
  local what = commit.message
  if what == 'fail' then error('as told') end
  if what == 'loop' then while true do end end
  if what == 'graph' then
    gm.node_put({ id = 'own', kind = 'k', data = { files = #commit.files } })
    gm.edge_put({ src = 'own', dst = 'there', kind = 'k', weight = 2 })
  end
  if what == 'emit' then gm.event_emit('test.topic', { text = 'told' }) end
  if what == 'log' then gm.log('info', 'one'); gm.log('warn', 'two') end
  if what == 'config' then return { value = gm.config_get('test.key') } end
  if what == 'other' then return { value = gm.config_get('other.key') } end
  if what == 'many' then
    for _ = 1, 100 do pcall(gm.config_get, 'listed') end
    pcall(gm.config_get, 'hidden')
  end
  if what == 'there' then return { kind = gm.node_get('there').kind } end
  if what == 'nothing' then return nil end
  if what == 'keep' then
    gm.storage_set('new', gm.storage_get('old') .. '!')
    gm.storage_delete('old')
  end
  return { message = what }
end
function on_node_updated(event) return { id = event.node.id } end
function gm_command(command)
  return { status = 0, text = command.name .. ' ' .. table.concat(command.args, ' ') }
end
function shutdown(stop) return { report = stop.events .. ' events' } end
";

fn plugin() -> Package {
    Package::script("trial", "lua", PLUGIN)
        .hooks(&["on_commit_analyzed", "on_node_updated"])
        .permission("host_api", "[\"log:write\", \"nodes:read\", \"nodes:write\", \"edges:write\", \"config:read\", \"events:emit\"]")
        .permission("config", "[\"test.*\"]")
        .permission("time_limit", "\"500ms\"")
        .permission("storage", "\"64kb\"")
        .command("greet")
}

/// Tests a package with these cases.
fn tested(home: &Home, package: &Package, cases: &[(&str, &str)]) -> Ended {
    let directory = home.beside("cases");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).unwrap();
    for (name, case) in cases {
        std::fs::write(directory.join(name), case).unwrap();
    }
    home.gm(&[
        "plugin",
        "test",
        package.text(),
        "--cases",
        text(&directory),
    ])
}

fn event(message: &str, wanted: &str) -> String {
    format!(
        "[[event]]\nhook = \"on_commit_analyzed\"\ncommit = {{ message = \"{message}\", files = [\"a\", \"b\"] }}\n{wanted}\n"
    )
}

/// The failures of the only case.
fn failures(tested: &Ended) -> &Vec<Value> {
    let case = tested
        .records
        .iter()
        .find(|record| record["schema"] == "gm.case/1")
        .unwrap();
    case["failures"].as_array().unwrap()
}

#[test]
fn all_that_a_case_may_expect_is_found_where_it_is() {
    let home = Home::new();
    let case = [
        "[config]\n\"test.key\" = [\"a\", \"b\"]\n\n[given]\nnodes = [{ id = \"there\", kind = \"given\" }]\nstorage = { old = \"kept\" }\n".to_owned(),
        event("plain", "reply = { message = \"plain\" }"),
        event("nothing", "reply = false"),
        event("fail", "error = \"as told\""),
        event("config", "reply = { value = [\"a\", \"b\"] }"),
        event("there", "reply = { kind = \"given\" }"),
        event("graph", ""),
        event("emit", ""),
        event("log", ""),
        event("keep", ""),
        "[[event]]\ncommand = \"greet\"\nargs = [\"Ann\"]\nreply = { status = 0, text = \"greet Ann\" }\n".to_owned(),
        "[[event]]\nhook = \"on_node_updated\"\njson = '{\"node\":{\"id\":\"x\"},\"old\":null}'\nreply = { id = \"x\" }\n".to_owned(),
        "[expect]\nreport = \"11 events\"\nstorage = { new = \"kept!\" }\nnodes = [{ id = \"own\", kind = \"k\", data = { files = 2 } }]\n\
         edges = [{ src = \"own\", dst = \"there\", kind = \"k\", weight = 2 }]\n\
         emitted = [{ topic = \"test.topic\", data = { text = \"told\" } }]\nlog = [\"one\", \"two\"]\n".to_owned(),
    ];
    let tested = tested(&home, &plugin(), &[("all.toml", &case.concat())]);
    tested.expect_exit(0);
    assert_eq!(failures(&tested), &Vec::<Value>::new());
    assert_eq!(
        (&tested.last()["cases"], &tested.last()["failed"]),
        (&json!(1), &json!(0))
    );
}

#[test]
fn each_difference_fails_the_case_with_its_line() {
    for (case, what, line) in [
        (
            event("plain", "reply = { message = \"other\" }"),
            "reply",
            1,
        ),
        (event("plain", "reply = false"), "reply", 1),
        (event("plain", "error = \"x\""), "error", 1),
        (format!("\n\n{}", event("fail", "")), "error", 3),
        (
            format!("{}[expect]\nreport = \"2 events\"", event("plain", "")),
            "report",
            5,
        ),
        (
            format!("{}[expect]\nnodes = []", event("graph", "")),
            "nodes",
            5,
        ),
        (
            format!("{}[expect]\nedges = []", event("graph", "")),
            "edges",
            5,
        ),
        (
            format!("{}[expect]\nemitted = []", event("emit", "")),
            "emitted",
            5,
        ),
        (
            format!("{}[expect]\nlog = [\"two\", \"one\"]", event("log", "")),
            "log",
            5,
        ),
        (
            format!("{}[expect]\ndenied = [\"node_get\"]", event("plain", "")),
            "denied",
            5,
        ),
        (
            format!("{}[expect]\nending = \"trapped\"", event("plain", "")),
            "ending",
            5,
        ),
        (
            "[[event]]\nhook = \"on_edge_created\"\ndata = {}".to_owned(),
            "call",
            1,
        ),
        // The plugin answers it, but nobody can type it.
        (
            "\n[[event]]\ncommand = \"undeclared\"".to_owned(),
            "call",
            2,
        ),
        (
            "[[event]]\ncommand = \"undeclared\"\nreply = { status = 0, text = \"undeclared \" }"
                .to_owned(),
            "call",
            1,
        ),
    ] {
        let home = Home::new();
        let tested = tested(&home, &plugin(), &[("case.toml", &case)]);
        tested.expect_exit(1);
        let failures = failures(&tested);
        assert_eq!(failures.len(), 1, "{case}: {failures:#?}");
        assert_eq!(
            (&failures[0]["what"], &failures[0]["line"]),
            (&json!(what), &json!(line)),
            "{case}"
        );
    }
}

#[test]
fn ending_at_a_limit_is_a_failure_or_what_is_expected() {
    let home = Home::new();
    let looping = event("loop", "");
    let failed = tested(&home, &plugin(), &[("loop.toml", &looping)]);
    failed.expect_exit(1);
    let what: Vec<_> = failures(&failed)
        .iter()
        .map(|failure| failure["what"].as_str().unwrap())
        .collect();
    assert_eq!(what, ["call", "ending"]);
    assert_eq!(failures(&failed)[1]["got"], "timed_out");
    let expected = format!("{looping}[expect]\nending = \"timed_out\"\n");
    let passed = tested(&home, &plugin(), &[("loop.toml", &expected)]);
    passed.expect_exit(0);
}

#[test]
fn people_read_what_failed_where_and_what_the_manifest_lacks() {
    let home = Home::new();
    let package = plugin();
    let directory = home.beside("cases");
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(directory.join("bad.toml"), event("other", "")).unwrap();
    let words = [
        "plugin",
        "test",
        package.text(),
        "--cases",
        text(&directory),
    ];
    let told = run(home.plain("gm").args(words), b"");
    told.expect_exit(1);
    assert!(told.stdout.starts_with("FAIL  bad.toml"), "{}", told.stdout);
    for line in [
        "      line 1: denied: config_get other.key\n",
        "      in plugin.manifest.toml: config = [\"test.*\", \"other.key\"]\n",
        "1 case, 1 failed",
    ] {
        assert!(told.stdout.contains(line), "{}", told.stdout);
    }
}

#[test]
fn denied_call_is_shown_with_the_manifest_s_line_to_add() {
    let home = Home::new();
    let package = plugin().permission("filesystem", "{ read = [\"$REPO/docs\"] }");
    let case = event("other", "error = \"denied\"");
    let denied = tested(&home, &package, &[("denied.toml", &case)]);
    denied.expect_exit(1);
    let failure = &failures(&denied)[0];
    assert_eq!(failure["what"], "denied");
    assert_eq!(failure["got"], "config_get other.key");
    assert_eq!(failure["line"], 1);
    assert_eq!(failure["add"], "config = [\"test.*\", \"other.key\"]");
    let expected = format!("{case}[expect]\ndenied = [\"config_get other.key\"]\n");
    tested(&home, &package, &[("denied.toml", &expected)]).expect_exit(0);
}

#[test]
fn denial_that_was_only_counted_is_in_no_list_of_objects() {
    let home = Home::new();
    let case = event("many", "");
    let listed = format!("{case}[expect]\ndenied = [\"config_get listed\"]\n");
    let told = tested(&home, &plugin(), &[("many.toml", &listed)]);
    told.expect_exit(1);
    let failure = &failures(&told)[0];
    assert_eq!(
        (&failure["what"], &failure["got"]),
        (&json!("denied"), &json!("config_get"))
    );
    let all = format!("{case}[expect]\ndenied = [\"config_get\"]\n");
    tested(&home, &plugin(), &[("many.toml", &all)]).expect_exit(0);
}

#[test]
fn cases_know_nothing_of_each_other_and_leave_nothing_behind() {
    let home = Home::without_key();
    let package = plugin();
    let graph = format!("{}[expect]\nreport = \"1 events\"\n", event("graph", ""));
    let after = format!(
        "{}[expect]\nnodes = []\nreport = \"1 events\"\n",
        event("plain", "")
    );
    let cases = [
        ("1.toml", &*graph),
        ("2.toml", &*after),
        ("3.toml", &*graph),
    ];
    tested(&home, &package, &cases).expect_exit(0);
    assert!(package.manifest().contains("BASE64_GPG_SIG"));
    assert_eq!(home.gm(&["gpg", "trust-list"]).last()["keys"], 0);
    assert_eq!(home.gm(&["plugin", "list"]).last()["plugins"], 0);
    let words = ["plugin", "try", package.text(), "--repo"];
    home.gm(&[&words[..], &[Repository::of(1).text()]].concat())
        .expect_exit(0);
}

#[test]
fn failed_case_does_not_stop_the_others() {
    let home = Home::new();
    let good = event("plain", "reply = { message = \"plain\" }");
    let bad = event("plain", "reply = false");
    let both = tested(&home, &plugin(), &[("1.toml", &bad), ("2.toml", &good)]);
    both.expect_exit(1);
    let results: Vec<_> = both
        .records
        .iter()
        .filter_map(|record| record["result"].as_str())
        .collect();
    assert_eq!(results, ["failed", "passed", "ok"]);
    assert_eq!(both.last()["failed"], 1);
}

#[test]
fn what_is_no_case_is_a_usage_error_and_runs_nothing() {
    let home = Home::new();
    for case in [
        "x = 1",
        "[[event]]\nhook = \"on_commit\"\ndata = {}",
        "[[event]]\ncommand = \"greet\"\nrepley = {}",
        "[given]\nnodes = [{ id = \"n\", kind = \"k\", colour = \"red\" }]",
        "[",
    ] {
        let refused = tested(&home, &plugin(), &[("a.toml", case)]);
        refused.expect_refused(2, "usage/arguments");
    }
    tested(&home, &plugin(), &[]).expect_refused(2, "usage/arguments");
}

#[test]
fn import_without_its_permission_is_refused_with_the_line_to_add() {
    let home = Home::new();
    let case = event("plain", "");
    let package = Package::of("ungranted-import");
    let refused = tested(&home, &package, &[("a.toml", &case)]);
    refused.expect_refused(17, "policy/import-not-granted");
}

#[test]
fn native_code_is_tested_only_with_both_opt_ins() {
    let home = Home::new();
    let native = Package::with_code("com.test.native", b"\x7fELF\x02\x01\x01").kind("native");
    let case = event("plain", "");
    tested(&home, &native, &[("a.toml", &case)]).expect_refused(17, "policy/native-disallowed");
    let cases = home.beside("cases");
    let asked = [
        "plugin",
        "test",
        native.text(),
        "--allow-native",
        "--cases",
        text(&cases),
    ];
    home.gm(&asked)
        .expect_refused(17, "policy/native-disallowed");
    home.configure("");
    home.write_config("allow_native = [\"com.test.native\"]\n");
    tested(&home, &native, &[("a.toml", &case)]).expect_refused(17, "policy/native-disallowed");
}

#[test]
fn safe_mode_tests_nothing() {
    let home = Home::new();
    let package = plugin();
    let refused = home.gm(&["--safe-mode", "plugin", "test", package.text()]);
    refused.expect_refused(17, "policy/safe-mode");
}
