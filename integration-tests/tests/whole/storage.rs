//! What a plugin keeps for itself: from run to run, within its quota, whole hook
//! calls or nothing, and seen by nobody else.

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::records::{number, text};
use gm_integration_tests::{Ended, Home, Package};
use serde_json::{Value, json};

const KEEPER: &str = "com.test.keeper";

fn keeper() -> Package {
    Package::of("keeper")
        .permission("storage", "\"1kb\"")
        .permission("host_api", "[\"nodes:write\"]")
}

fn keeping() -> Home {
    let home = Home::new();
    home.load(&keeper());
    home
}

/// An event of `keeper.wat`: what it does, with which key of four letters.
fn event(what: char, key: &str, value: &str) -> String {
    format!(
        "{{\"hook\":\"on_commit_analyzed\",\"data\":{{\"o\":\"{what}\",\"k\":\"{key}\",\"v\":{value}}}}}\n"
    )
}

fn set(key: &str, value: &str) -> String {
    event('s', key, value)
}

fn get(key: &str) -> String {
    event('g', key, "0")
}

/// What the hook calls of a plugin came to: what was got, or the error.
fn said(run: &Ended, id: &str) -> Vec<Value> {
    let replies = run.replies(id, "on_commit_analyzed").into_iter();
    replies
        .map(|reply| match reply["status"] == "ok" {
            true => reply["reply"]["got"].clone(),
            false => reply["error"].clone(),
        })
        .collect()
}

fn failed(status: i32) -> Value {
    format!("the hook returned {status}").into()
}

fn file_of(home: &Home, id: &str) -> std::path::PathBuf {
    home.path().join(format!("state/storage/{id}.db"))
}

#[test]
fn what_a_plugin_keeps_is_there_in_the_next_run() {
    let home = keeping();
    let first = [
        set("aaaa", "[1]"),
        set("abcd", "{\"b\":2}"),
        set("bbbb", "3"),
        get("aaaa"),
        event('d', "bbbb", "0"),
        event('d', "bbbb", "0"),
    ];
    let one = home.run_events(&first.concat(), &[]);
    let then = [get("aaaa"), get("bbbb"), event('l', "a", "0"), get("cccc")];
    let two = home.run_events(&then.concat(), &[]);

    one.expect_exit(0);
    let nothing = Value::Null;
    let got = [
        &nothing,
        &nothing,
        &nothing,
        &json!([1]),
        &json!(1),
        &json!(0),
    ];
    assert_eq!(said(&one, KEEPER).iter().collect::<Vec<_>>(), got);
    // −2 is `not_found`.
    two.expect_exit(1);
    let got = [json!([1]), failed(-2), json!(["aaaa", "abcd"]), failed(-2)];
    assert_eq!(said(&two, KEEPER), got);
}

#[test]
fn a_newer_version_finds_what_an_older_one_kept() {
    let home = keeping();
    home.run_events(&set("aaaa", "[1]"), &[]).expect_exit(0);
    home.load(&keeper().version("1.1.0"));

    let run = home.run_events(&get("aaaa"), &[]);

    run.expect_exit(0);
    assert_eq!(run.one(KEEPER, "started")["version"], "1.1.0");
    assert_eq!(said(&run, KEEPER), [json!([1])]);
}

#[test]
fn no_plugin_sees_what_another_one_keeps() {
    let home = keeping();
    let other = keeper().id("com.test.keeper-two");
    home.load(&other);

    let ids = [KEEPER, other.plugin()];
    home.run_events(&set("aaaa", "[1]"), &ids[..1])
        .expect_exit(0);
    let seen = home.run_events(&(event('l', "a", "0") + &get("aaaa")), &ids);

    assert_eq!(said(&seen, KEEPER), [json!(["aaaa"]), json!([1])]);
    assert_eq!(said(&seen, other.plugin()), [json!([]), failed(-2)]);
}

#[test]
fn a_hook_that_fails_or_traps_keeps_nothing_in_storage_or_graph() {
    let home = keeping();
    let graph = home.beside("graph.db");
    let words = ["--graph", path_text(&graph)];
    let dump = || home.broker(&["graph", "dump", "--graph", path_text(&graph)]);

    let failing = event('f', "aaaa", "1") + &event('t', "bbbb", "1");
    let failing = home.run_events(
        &(failing + &event('l', "a", "0") + &event('l', "b", "0")),
        &words,
    );
    let nothing = dump();
    // The twin: the same two calls of a hook that answers well.
    let done = home.run_events(&(event('b', "aaaa", "1") + &get("aaaa")), &words);
    let both = dump();

    failing.expect_exit(1);
    assert_eq!(failing.of(KEEPER, "started").len(), 2, "it trapped once");
    assert_eq!(said(&failing, KEEPER), [failed(1), json!([]), json!([])]);
    assert!(!nothing.stdout.contains("test:kept"), "{nothing:#?}");
    done.expect_exit(0);
    assert_eq!(said(&done, KEEPER), [Value::Null, json!(1)]);
    assert!(both.stdout.contains("test:kept"), "{both:#?}");
}

#[test]
fn a_graph_that_refuses_the_put_leaves_nothing_in_the_storage() {
    let home = keeping();
    let other = keeper().id("com.test.keeper-two");
    home.load(&other);
    let graph = home.beside("graph.db");
    let run = |id: &str, events: &str| home.run_events(events, &["--graph", path_text(&graph), id]);

    run(KEEPER, &event('b', "aaaa", "1")).expect_exit(0);
    // The node is another's: the hook fails, and with it what it had set.
    let refused = run(other.plugin(), &(event('b', "aaaa", "1") + &get("aaaa")));

    assert_eq!(said(&refused, other.plugin()), [failed(-1), failed(-2)]);
}

#[test]
fn what_is_over_the_quota_is_not_kept_and_the_plugin_goes_on() {
    let home = keeping();
    let text = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
    // 1 KiB of keys and values: 4 + 1020 is the last that fits.
    let events = [
        set("aaaa", &text(1021)),
        set("aaaa", &text(1020)),
        set("bbbb", "1"),
        set("aaaa", "1"),
        set("bbbb", "1"),
        get("bbbb"),
    ];

    let run = home.run_events(&events.concat(), &[]);

    run.expect_ending(KEEPER, "finished");
    let (kept, quota) = (Value::Null, failed(-5));
    let got = [
        quota.clone(),
        kept.clone(),
        quota,
        kept.clone(),
        kept,
        json!(1),
    ];
    assert_eq!(said(&run, KEEPER), got);
}

#[test]
fn the_operators_ceiling_cuts_the_quota_and_the_record_says_so() {
    let home = Home::new();
    home.load(&keeper().permission("time_limit", "\"2s\""));
    let value = format!("\"{}\"", "x".repeat(1000));
    let fits = home.run_events(&set("aaaa", &value), &[]);
    home.configure("[plugins.\"com.test.keeper\"]\nstorage = \"2kb\"\n");
    let raised = home.run_events(&(set("bbbb", &value) + &event('d', "bbbb", "0")), &[]);
    let other = Package::of("keeper")
        .id("com.test.keeper-two")
        .permission("storage", "\"2mb\"")
        .permission("host_api", "[\"nodes:write\"]");
    home.load(&other);
    home.configure("[ceilings]\nstorage = \"1kb\"\n");
    let cut = home.run_events(
        &(set("aaaa", &value) + &set("bbbb", &value)),
        &[other.plugin()],
    );

    fits.expect_exit(0);
    raised.expect_exit(0);
    let started = raised.one(KEEPER, "started");
    assert_eq!(started["granted"], json!(["nodes:write", "storage 2kb"]));
    assert_eq!(said(&cut, other.plugin()), [Value::Null, failed(-5)]);
    let started = cut.one(other.plugin(), "started");
    assert_eq!(started["granted"], json!(["nodes:write", "storage 1kb"]));
    let refused = &started["refused"][0];
    assert_eq!(
        (&refused["asked"], &refused["value"], &refused["by"]),
        (&json!("storage"), &json!("2mb"), &json!("operator"))
    );
}

#[test]
fn calls_of_storage_are_refused_at_load_unless_the_manifest_asks_for_storage() {
    let home = Home::new();
    let without = Package::of("keeper").permission("host_api", "[\"nodes:write\"]");
    home.sign(&without);

    let refused = home.try_load(&without);

    let refused = refused.expect_refused(17, "policy/import-not-granted");
    let detail = text(refused, "detail");
    assert!(detail.contains("storage = \"1mb\""), "{detail}");
    // The same module with the line that it was told to add.
    home.load(&keeper());
    let calls = home.policy("show", KEEPER);
    let line = keeper().line_of("storage");
    let mut shown = calls.iter().filter(|line| line["kind"] == "host_call");
    let get = shown.find(|call| call["name"] == "storage_get").unwrap();
    assert_eq!(number(&get["because"][0], "line"), line as u64);
    let quota = calls.iter().find(|limit| limit["name"] == "storage");
    assert_eq!(number(quota.unwrap(), "value"), 1024);
}

#[test]
fn unload_keeps_the_storage_and_purge_drops_it() {
    let home = keeping();
    home.run_events(&set("aaaa", "[1]"), &[]).expect_exit(0);
    home.gm(&["plugin", "unload", KEEPER]).expect_exit(0);
    assert!(file_of(&home, KEEPER).is_file());
    home.load(&keeper());
    let kept = home.run_events(&get("aaaa"), &[]);

    home.gm(&["plugin", "unload", KEEPER, "--purge"])
        .expect_exit(0);
    let left = std::fs::read_dir(home.path().join("state/storage")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    home.load(&keeper());
    let dropped = home.run_events(&get("aaaa"), &[]);

    assert_eq!(said(&kept, KEEPER), [json!([1])]);
    assert_eq!(left, Vec::<std::ffi::OsString>::new());
    assert_eq!(said(&dropped, KEEPER), [failed(-2)]);
}

#[test]
fn a_storage_file_that_is_not_ours_is_refused_and_left_alone() {
    let home = keeping();
    let notes = home.beside("notes.txt");
    std::fs::write(&notes, "my notes\n").unwrap();
    home.run_events(&set("aaaa", "1"), &[]).expect_exit(0);
    let file = file_of(&home, KEEPER);
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&notes, &file).unwrap();

    let run = home.run_events(&set("aaaa", "1"), &[]);

    run.expect_refused(18, "store/corrupt");
    run.expect_nothing_started();
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "my notes\n");
}

/// Counts its events, also those of earlier runs.
const SCRIPT: &str = "function on_commit_analyzed()
  local done, kept = pcall(gm.storage_get, 'count')
  if not done then return {code = kept.code} end
  local count = tonumber(kept or '0') + 1
  gm.storage_set('count', tostring(count))
  return {count = count, keys = gm.storage_list(''), gone = gm.storage_delete('other')}
end
";

#[test]
fn a_script_keeps_values_too_and_is_denied_without_the_permission() {
    let home = Home::new();
    let script = |name: &str| Package::script(name, "lua", SCRIPT);
    let granted = script("counts").permission("storage", "\"1kb\"");
    let denied = script("may-not");
    home.load(&granted);
    home.load(&denied);
    let events = set("aaaa", "1");

    home.run_events(&events, &[granted.plugin()]).expect_exit(0);
    let run = home.run_events(&events, &[]);

    run.expect_exit(0);
    let replies = run.replies(granted.plugin(), "on_commit_analyzed");
    let expected = json!({"count": 2, "gone": 0, "keys": ["count"]});
    assert_eq!(replies[0]["reply"], expected);
    let replies = run.replies(denied.plugin(), "on_commit_analyzed");
    assert_eq!(replies[0]["reply"], json!({"code": "denied"}));
    let record = run.one(denied.plugin(), "denied");
    assert_eq!(
        (&record["call"], &record["what"]),
        (&json!("storage_get"), &json!("storage"))
    );
    assert!(!file_of(&home, denied.plugin()).exists());
}
