//! Plugins that are scripts, in whole runs: signed, loaded, walled, called.

use gm_integration_tests::kernel::Process;
use gm_integration_tests::records::{number, text};
use gm_integration_tests::{Ended, Home, Package, Repository};

/// No second try: the first ending is what a test is about.
const NO_RESTART: &str = "[restart]\nmax = 0\n";

/// Counts, puts a node for each commit, and reports.
const COUNTER: &str = "local n = 0
function on_commit_analyzed(commit)
  n = n + 1
  gm.node_put({id = 'commit:' .. commit.id, kind = 'commit', data = {index = commit.index, files = #commit.files}})
  return {n = n, subject = commit.message:match('^[^\\n]*')}
end
function shutdown() return {report = n .. ' commits'} end
";

/// The same in JavaScript.
const COUNTER_JS: &str = "let n = 0
export function on_commit_analyzed(commit) {
  n += 1
  gm.node_put({id: `commit:${commit.id}`, kind: 'commit', data: {index: commit.index, files: commit.files.length}})
  return {n, subject: commit.message.split('\\n')[0]}
}
export function shutdown() { return {report: `${n} commits`} }
";

fn lua(name: &str, text: &str) -> Package {
    Package::script(name, "lua", text)
}

fn js(name: &str, text: &str) -> Package {
    Package::script(name, "js", text)
}

fn run_alone(package: &Package, words: &[&str]) -> Ended {
    let home = Home::new();
    home.configure(NO_RESTART);
    home.load(package);
    home.run(&Repository::of(3), words)
}

#[test]
fn a_lua_plugin_gets_every_commit_and_writes_the_graph() {
    expect_every_commit(lua("counter", COUNTER));
}

#[test]
fn a_js_plugin_gets_every_commit_and_writes_the_graph() {
    expect_every_commit(js("counter", COUNTER_JS));
}

fn expect_every_commit(package: Package) {
    let home = Home::new();
    let package = package.permission("host_api", "[\"nodes:write\"]");
    home.load(&package);
    let repository = Repository::of(5);

    let run = home.run(&repository, &[]);

    run.expect_exit(0);
    run.expect_ending(package.plugin(), "finished");
    let replies = run.replies(package.plugin(), "on_commit_analyzed");
    let subjects: Vec<_> = replies.iter().map(|reply| text(reply, "subject")).collect();
    assert_eq!(subjects, repository.ids(&["HEAD"]));
    assert_eq!(replies[4]["reply"]["n"], 5);
    assert_eq!(replies[4]["host_calls"], 1);
    let shutdown = run.replies(package.plugin(), "shutdown");
    assert_eq!(shutdown[0]["reply"]["report"], "5 commits");
    let dump = home.broker(&["graph", "dump", "--repo", repository.text()]);
    assert_eq!(dump.stdout.matches("\"kind\":\"commit\"").count(), 5);
}

#[test]
fn a_script_stands_behind_the_same_walls_and_a_smaller_filter() {
    let text = "function on_commit_analyzed() return {ok = true} end";
    expect_walls(&lua("waiter", text), "lua", (4, 6));
    let text = "export function on_commit_analyzed() { return {ok: true} }";
    expect_walls(&js("waiter", text), "js", (5, 5));
}

fn expect_walls(package: &Package, kind: &str, (calls, ceiling): (u64, u64)) {
    let home = Home::new();
    home.load(package);
    let mut live = home.start_events(&[]);
    let started = live.wait_for("the start", |record| record["event"] == "started");
    let pid = u32::try_from(number(&started, "pid")).unwrap();
    let process = Process::find(pid).unwrap();

    assert_eq!(started["kind"], kind);
    assert_eq!(started["seccomp"]["running_calls"], calls);
    assert_eq!(started["seccomp"]["ceiling"], ceiling);
    assert_eq!(started["landlock"]["rules"], 0);
    assert_eq!(started["fds"].as_array().unwrap().len(), 4);
    assert_eq!(process.status("Seccomp"), "2");
    assert_eq!(process.status("NoNewPrivs"), "1");
    assert_eq!(process.mounts().len(), 1);
    live.close_stdin();
    live.finish().expect_exit(0);
}

#[test]
fn what_a_script_may_not_do_is_denied_by_name_and_the_rest_goes_on() {
    expect_denied(&lua(
        "asker",
        "function on_commit_analyzed()
           local ok, e = pcall(gm.node_get, 'x')
           return {ok = ok, code = e.code, call = e.call, text = tostring(e)}
         end",
    ));
    expect_denied(&js(
        "asker",
        "export function on_commit_analyzed() {
           try { gm.node_get('x'); return {ok: true} }
           catch (e) { return {ok: false, code: e.code, call: e.call} }
         }",
    ));
}

fn expect_denied(package: &Package) {
    let run = run_alone(package, &[]);

    run.expect_exit(0);
    let reply = &run.replies(package.plugin(), "on_commit_analyzed")[0]["reply"];
    assert_eq!(reply["ok"], false);
    assert_eq!(
        (&reply["code"], &reply["call"]),
        (&"denied".into(), &"node_get".into())
    );
    assert_eq!(run.of(package.plugin(), "denied").len(), 3);
}

#[test]
fn a_script_that_cannot_be_read_fails_with_its_line() {
    let package = lua("broken", "function on_commit_analyzed(\nend");

    let run = run_alone(&package, &[]);

    run.expect_exit(1);
    let ended = run.expect_ending(package.plugin(), "failed");
    assert!(text(ended, "detail").starts_with("main.lua:"), "{ended:#}");
    run.expect_nothing_started();

    let package = js(
        "broken",
        "export function on_commit_analyzed() {\n  return {a: }\n}",
    );

    let run = run_alone(&package, &[]);

    run.expect_exit(1);
    let ended = run.expect_ending(package.plugin(), "failed");
    let detail = text(ended, "detail");
    assert!(detail.starts_with("SyntaxError: "), "{detail}");
    assert!(detail.contains("main.js:2:"), "{detail}");
    run.expect_nothing_started();
}

#[test]
fn bombs_of_a_script_end_at_its_limits_and_its_neighbour_goes_on() {
    let home = Home::new();
    home.configure(NO_RESTART);
    let endless = "function on_commit_analyzed() while true do pcall(function() while true do end end) end end";
    home.load(&lua("endless", endless).permission("time_limit", "\"300ms\""));
    let hog = "local t = {} function on_commit_analyzed() while true do t[#t + 1] = ('x'):rep(1e5) .. #t end end";
    home.load(&lua("hog", hog));
    let neighbour = lua("neighbour", COUNTER).permission("host_api", "[\"nodes:write\"]");
    home.load(&neighbour);

    let run = home.run(&Repository::of(4), &[]);

    run.expect_exit(20);
    let ended = run.expect_ending("com.test.endless", "timed_out");
    assert_eq!(ended["layer"], "deadline");
    let ended = run.expect_ending("com.test.hog", "out_of_memory");
    assert!(number(ended, "memory_peak_bytes") <= 32 << 20, "{ended:#}");
    run.expect_ending("com.test.neighbour", "finished");
    assert_eq!(
        run.replies("com.test.neighbour", "on_commit_analyzed")
            .len(),
        4
    );
}

#[test]
fn a_shutdown_over_its_fixed_time_is_told_as_just_that() {
    let endless = "function on_commit_analyzed() end function shutdown() while true do end end";
    let late = |time: &str| {
        let package = lua("late", endless).permission("time_limit", time);
        let run = run_alone(&package, &[]);
        run.expect_exit(20);
        let ended = run.expect_ending(package.plugin(), "timed_out").clone();
        assert_eq!(
            (&ended["layer"], &ended["at_hook"]),
            (&"deadline".into(), &"shutdown".into())
        );
        (ended, package.line_of("time_limit"))
    };

    let (fixed, _) = late("\"10s\"");
    let (own, line) = late("\"300ms\"");

    assert_eq!(text(&fixed, "detail"), "shutdown took over 2 s");
    assert_eq!(
        (&fixed["limit"], &fixed["manifest_line"]),
        (&"2s".into(), &serde_json::Value::Null)
    );
    assert_eq!(
        (&own["limit"], &own["manifest_line"]),
        (&"300ms".into(), &line.into())
    );
    assert!(own["detail"].is_null(), "{own:#}");
}

#[test]
fn modules_and_configuration_reach_a_script() {
    let home = Home::new();
    home.configure("[config]\n\"lint.words\" = [\"a\", \"b\"]\n");
    let package = lua(
        "modular",
        "local join = require('lib/join.lua')
         function on_commit_analyzed() return {words = join(gm.config_get('lint.words')), none = gm.config_get('lint.none')} end",
    )
    .permission("host_api", "[\"config:read\"]")
    .permission("config", "[\"lint.*\"]");
    std::fs::create_dir(package.file("lib")).unwrap();
    let package = package.asset(
        "lib/join.lua",
        b"return function(t) return table.concat(t, '+') end",
    );
    home.load(&package);

    let run = home.run(&Repository::of(1), &[]);

    run.expect_exit(0);
    let reply = &run.replies(package.plugin(), "on_commit_analyzed")[0]["reply"];
    assert_eq!(*reply, serde_json::json!({"words": "a+b"}));
}

#[test]
fn bombs_in_js_end_at_their_limits_and_the_neighbour_goes_on() {
    let home = Home::new();
    home.configure(NO_RESTART);
    // None of these asks the engine whether it should stop.
    let endless = [
        (
            "reverse",
            "Array.prototype.reverse.call({length: 2 ** 53 - 1})",
        ),
        ("regexp", "/^(a+)+$/.test('a'.repeat(60) + 'b')"),
        (
            "loop",
            "for (;;) { try { for (;;) {} } finally { continue } }",
        ),
        (
            "promises",
            "const again = () => queueMicrotask(again); again()",
        ),
    ];
    for (name, body) in endless {
        let text = format!("export function on_commit_analyzed() {{ {body} }}");
        home.load(&js(name, &text).permission("time_limit", "\"300ms\""));
    }
    let hog = "const t = []; export function on_commit_analyzed() { for (;;) { try { for (;;) t.push('x'.repeat(1e5) + t.length) } catch {} } }";
    home.load(&js("hog", hog));
    let deep = "export function on_commit_analyzed() { const f = n => 1 + f(n + 1); return f(0) }";
    home.load(&js("deep", deep));
    let neighbour = js("neighbour", COUNTER_JS).permission("host_api", "[\"nodes:write\"]");
    home.load(&neighbour);

    let run = home.run(&Repository::of(4), &[]);

    run.expect_exit(20);
    for (name, _) in endless {
        let ended = run.expect_ending(&format!("com.test.{name}"), "timed_out");
        assert_eq!(ended["layer"], "deadline");
    }
    let ended = run.expect_ending("com.test.hog", "out_of_memory");
    assert_eq!(ended["layer"], "engine");
    assert!(number(ended, "memory_peak_bytes") <= 32 << 20, "{ended:#}");
    let ended = run.expect_ending("com.test.deep", "trapped");
    assert_eq!(ended["detail"], "stack");
    run.expect_ending("com.test.neighbour", "finished");
    let replies = run.replies("com.test.neighbour", "on_commit_analyzed");
    assert_eq!(replies.len(), 4);
}

#[test]
fn modules_files_and_configuration_reach_a_script_in_js() {
    let home = Home::new();
    home.configure("[config]\n\"lint.words\" = [\"a\", \"b\"]\n");
    let package = js(
        "modular",
        "import join from 'lib/join.js'
         export async function on_commit_analyzed() {
           const {plus} = await import('lib/plus.js')
           gm.file_write('$DATA/kept', new Uint8Array([104, 105]), {create: true})
           return {words: join(gm.config_get('lint.words'), plus), none: gm.config_get('lint.none'), kept: gm.file_read('$DATA/kept')}
         }",
    )
    .permission("filesystem", "{ write = [\"$DATA\"] }")
    .permission("host_api", "[\"config:read\"]")
    .permission("config", "[\"lint.*\"]");
    std::fs::create_dir(package.file("lib")).unwrap();
    let join = b"export default (list, by) => list.join(by)";
    let package = package
        .asset("lib/join.js", join)
        .asset("lib/plus.js", b"export const plus = '+'");
    home.load(&package);

    let run = home.run(&Repository::of(1), &[]);

    run.expect_exit(0);
    let reply = &run.replies(package.plugin(), "on_commit_analyzed")[0]["reply"];
    let expected = serde_json::json!({"words": "a+b", "none": null, "kept": "hi"});
    assert_eq!(*reply, expected);
}

#[test]
fn what_is_not_signed_never_runs_in_js() {
    let package = js(
        "smuggler",
        "export async function on_commit_analyzed(commit) {
           const text = 'globalThis.ran = 1'
           const tries = [() => eval(text), () => new Function(text)(), () => import('data:,' + text), () => import('unlisted.js')]
           for (const attempt of tries) { try { await attempt() } catch {} }
           return {ran: globalThis.ran ?? null}
         }",
    );

    let run = run_alone(&package, &[]);

    run.expect_exit(0);
    let reply = &run.replies(package.plugin(), "on_commit_analyzed")[0]["reply"];
    assert_eq!(*reply, serde_json::json!({"ran": null}));
    // Nor is such a file ever in a package that is loaded.
    std::fs::write(package.file("unlisted.js"), "globalThis.ran = 1").unwrap();
    let home = Home::new();
    let loaded = home.gm(&["plugin", "load", package.text()]);
    loaded.expect_exit(14);
}
