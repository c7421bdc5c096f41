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

fn lua(name: &str, text: &str) -> Package {
    Package::script(name, "lua", text)
}

fn run_alone(package: &Package, words: &[&str]) -> Ended {
    let home = Home::new();
    home.configure(NO_RESTART);
    home.load(package);
    home.run(&Repository::of(3), words)
}

#[test]
fn a_lua_plugin_gets_every_commit_and_writes_the_graph() {
    let home = Home::new();
    let package = lua("counter", COUNTER).permission("host_api", "[\"nodes:write\"]");
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
    let home = Home::new();
    let package = lua(
        "waiter",
        "function on_commit_analyzed() return {ok = true} end",
    );
    home.load(&package);
    let mut live = home.start_events(&[]);
    let started = live.wait_for("the start", |record| record["event"] == "started");
    let pid = u32::try_from(number(&started, "pid")).unwrap();
    let process = Process::find(pid).unwrap();

    assert_eq!(started["kind"], "lua");
    assert_eq!(started["seccomp"]["running_calls"], 4);
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
    let package = lua(
        "asker",
        "function on_commit_analyzed()
           local ok, e = pcall(gm.node_get, 'x')
           return {ok = ok, code = e.code, call = e.call, text = tostring(e)}
         end",
    );

    let run = run_alone(&package, &[]);

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
