//! What plugins hear of each other: after the commit, to every other one that
//! hooks it, and never without end.

use gm_integration_tests::{Ended, Home, Package};
use serde_json::{Value, json};

const TELLER: &str = "com.test.teller";
const ALL: [&str; 4] = [
    "on_edge_created",
    "on_node_updated",
    "on_node_accessed",
    "on_graph_query",
];

fn teller() -> Package {
    Package::of("teller").permission(
        "host_api",
        "[\"nodes:read\", \"nodes:write\", \"edges:read\", \"edges:write\"]",
    )
}

fn listener(name: &str, hooks: &[&str]) -> Package {
    Package::of("listener")
        .id(&format!("com.test.{name}"))
        .hooks(hooks)
}

/// An event of `teller.wat`: what it does, a letter for each.
fn does(what: &str) -> String {
    format!("{{\"hook\":\"on_commit_analyzed\",\"data\":{{\"o\":\"{what}\"}}}}\n")
}

/// What a listener heard in this hook.
fn heard<'a>(run: &'a Ended, id: &str, hook: &str) -> Vec<&'a Value> {
    let replies = run.replies(id, hook).into_iter();
    replies.map(|reply| &reply["reply"]).collect()
}

#[test]
fn every_other_plugin_hears_of_what_it_hooks_and_of_nothing_else() {
    let home = Home::new();
    home.load(&teller());
    let (one, two) = (listener("one", &ALL), listener("two", &ALL[1..2]));
    home.load(&one);
    home.load(&two);

    let run = home.run_events(&(does("negqx") + &does("n")), &[]);

    run.expect_exit(0);
    let node = json!({"id": "test:told", "kind": "test", "data": {}});
    let put = json!({"schema": "gm.node_updated/1", "node": node, "old": null, "by": TELLER});
    let last = json!({"id": "test:last", "kind": "test", "data": {}});
    let last = json!({"schema": "gm.node_updated/1", "node": last, "old": null, "by": TELLER});
    // Put again as it was, the node is not updated; what a shutdown puts is heard.
    assert_eq!(heard(&run, one.plugin(), ALL[1]), [&put, &last]);
    assert_eq!(heard(&run, two.plugin(), ALL[1]), [&put, &last]);
    let edge =
        json!({"src": "test:told", "dst": "test:other", "kind": "test", "weight": 1, "data": {}});
    let made = json!({"schema": "gm.edge_created/1", "edge": edge, "by": TELLER});
    assert_eq!(heard(&run, one.plugin(), ALL[0]), [&made]);
    let got = json!({"schema": "gm.node_accessed/1", "id": "test:told", "by": TELLER});
    assert_eq!(heard(&run, one.plugin(), ALL[2]), [&got]);
    let asked = |of: &str| json!({"schema": "gm.graph_query/1", "of": of, "query": {"kind": "test"}, "results": 1, "by": TELLER});
    assert_eq!(
        heard(&run, one.plugin(), ALL[3]),
        [&asked("node"), &asked("edge")]
    );
    for hook in [ALL[0], ALL[2], ALL[3]] {
        assert_eq!(heard(&run, two.plugin(), hook), Vec::<&Value>::new());
    }
    // Each has the number of its cause, and nobody hears of itself.
    assert_eq!(run.replies(one.plugin(), ALL[0])[0]["seq"], 1);
    assert_eq!(run.of(TELLER, "reply").len(), 3);
}

#[test]
fn nobody_hears_of_a_call_that_was_undone() {
    let home = Home::new();
    let writer = Package::of("writer").permission("host_api", "[\"nodes:write\"]");
    home.load(&writer);
    let one = listener("one", &ALL[1..2]);
    home.load(&one);
    let event = |data: &str| format!("{{\"hook\":\"on_commit_analyzed\",\"data\":{data}}}\n");
    let long = event(&format!("{{\"long\":\"{}\"}}", "x".repeat(5000)));

    let undone = home.run_events(&long, &[]);
    let done = home.run_events(&event("{}"), &[]);

    undone.expect_exit(1);
    assert_eq!(heard(&undone, one.plugin(), ALL[1]).len(), 0);
    done.expect_exit(0);
    assert_eq!(heard(&done, one.plugin(), ALL[1]).len(), 1);
}

fn pinger(name: &str, hooks: &[&str]) -> Package {
    let source = Package::source("pinger").replace("NAME", name);
    Package::with_code(&format!("com.test.{name}"), &Package::assemble(&source))
        .hooks(hooks)
        .permission("host_api", "[\"nodes:write\"]")
}

#[test]
fn plugins_that_answer_each_other_come_to_an_end_at_depth_four() {
    let home = Home::new();
    let both = ["on_commit_analyzed", "on_node_updated"];
    home.load(&pinger("ping", &both));
    home.load(&pinger("pong", &both[1..]));

    let run = home.run_events(&does(""), &["--fail-fast"]);

    // ping puts at depth 0, pong at 1, ping at 2, pong at 3; at 4 it is over.
    let of = |id: &str, hook: &str| {
        run.replies(id, hook)
            .into_iter()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of("com.test.ping", "on_commit_analyzed")[0]["status"], "ok");
    let ping = of("com.test.ping", "on_node_updated");
    let pong = of("com.test.pong", "on_node_updated");
    assert_eq!((ping.len(), pong.len()), (2, 2), "{run:#?}");
    assert!(pong.iter().all(|reply| reply["status"] == "ok"), "{run:#?}");
    assert_eq!(ping[0]["status"], "ok");
    // −6 is `limit`.
    assert_eq!(ping[1]["error"], "the hook returned -6");
    assert!(ping.iter().chain(&pong).all(|reply| reply["seq"] == 1));
    run.expect_ending("com.test.ping", "finished");
}

#[test]
fn one_source_event_causes_no_more_events_than_the_operator_allows() {
    let home = Home::new();
    home.load(&teller());
    let one = listener("one", &ALL);
    home.load(&one);
    home.configure("[limits]\nderived = 4\n");

    let run = home.run_events(&(does("negqx") + &does("gqx")), &[TELLER, one.plugin()]);
    let alone = home.run_events(&does("negqx"), &[TELLER]);

    // The fifth call of the first event is refused, and with it the whole hook call.
    let replies = run.replies(TELLER, "on_commit_analyzed");
    assert_eq!(replies[0]["error"], "the hook returned -6");
    assert_eq!(
        replies[1]["error"], "the hook returned -2",
        "nothing was put"
    );
    // The twin: where nobody listens nothing is caused.
    alone.expect_exit(0);
    home.configure("[limits]\nderived = 5\n");
    let enough = home.run_events(&does("negqx"), &[TELLER, one.plugin()]);
    enough.expect_exit(0);
    assert_eq!(heard(&enough, one.plugin(), ALL[3]).len(), 2);
}
