use super::super::Graph;
use super::*;
use serde_json::Value;

mod model;

const LIMIT: usize = 1 << 20;

fn node(id: &str) -> String {
    format!(r#"{{"id":"{id}","kind":"k"}}"#)
}

fn committed(graph: &Graph, writer: &str, json: &str) -> Committed {
    let mut call = graph.begin(writer, LIMIT);
    call.node_put(json).unwrap();
    call.commit().unwrap()
}

fn ids(page: &Page) -> Vec<String> {
    let value: Value = serde_json::from_str(&page.json).unwrap();
    let items = value["items"].as_array().unwrap();
    assert_eq!(items.len(), page.results as usize);
    items
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_call_sees_what_it_put_and_others_see_it_after_the_commit() {
    let graph = Graph::in_memory().unwrap();
    let mut call = graph.begin("w", LIMIT);
    let other = graph.begin("other", LIMIT);
    assert_eq!(
        call.node_put(&format!("[{},{},{}]", node("a"), node("b"), node("a"))),
        Ok(2)
    );
    assert_eq!(call.node_put(&node("a")), Ok(0));
    assert_eq!(
        call.node_get("a").unwrap(),
        r#"{"id":"a","kind":"k","data":{}}"#
    );
    assert_eq!(ids(&call.node_query("{}").unwrap()), ["a", "b"]);
    assert_eq!(other.node_get("a"), Err(HostError::NotFound));
    assert_eq!(call.commit().unwrap().updated_nodes.len(), 2);
    assert_eq!(ids(&other.node_query("{}").unwrap()), ["a", "b"]);
}

#[test]
fn a_dropped_call_has_never_been() {
    let graph = Graph::in_memory().unwrap();
    let mut call = graph.begin("w", LIMIT);
    call.node_put(&node("a")).unwrap();
    drop(call);
    let mut other = graph.begin("other", LIMIT);
    assert_eq!(other.node_get("a"), Err(HostError::NotFound));
    assert_eq!(other.node_put(&node("a")), Ok(1));
}

#[test]
fn a_put_on_another_writers_record_is_denied_as_a_whole() {
    let graph = Graph::in_memory().unwrap();
    committed(&graph, "w", &node("a"));
    let mut call = graph.begin("other", LIMIT);
    assert_eq!(
        call.node_put(&format!("[{},{}]", node("b"), node("a"))),
        Err(HostError::Denied)
    );
    assert_eq!(call.node_get("b"), Err(HostError::NotFound));
    // Nothing of the refused put is claimed either.
    assert_eq!(graph.begin("third", LIMIT).node_put(&node("b")), Ok(1));
}

#[test]
fn what_another_open_call_has_put_is_denied_until_that_call_is_gone() {
    let graph = Graph::in_memory().unwrap();
    let edge = r#"{"src":"a","dst":"b","kind":"k"}"#;
    let (mut one, mut other) = (graph.begin("one", LIMIT), graph.begin("other", LIMIT));
    assert_eq!(
        (one.node_put(&node("a")), one.edge_put(edge)),
        (Ok(1), Ok(1))
    );
    assert_eq!(
        (other.node_put(&node("a")), other.edge_put(edge)),
        (Err(HostError::Denied), Err(HostError::Denied))
    );
    drop(one);
    assert_eq!(
        (other.node_put(&node("a")), other.edge_put(edge)),
        (Ok(1), Ok(1))
    );
}

#[test]
fn a_commit_tells_what_is_new_and_what_differs_and_leaves_out_what_does_not() {
    let graph = Graph::in_memory().unwrap();
    let first = committed(&graph, "w", &node("a"));
    assert_eq!(
        first
            .updated_nodes
            .iter()
            .map(|change| change.old.clone())
            .collect::<Vec<_>>(),
        [None]
    );
    assert_eq!(committed(&graph, "w", &node("a")), Committed::default());
    let second = committed(&graph, "w", r#"{"id":"a","kind":"k","data":{"n":1}}"#);
    assert_eq!(
        second.updated_nodes[0].old,
        Some(first.updated_nodes[0].node.clone())
    );
    let edge = |weight| format!(r#"{{"src":"a","dst":"b","kind":"k","weight":{weight}}}"#);
    for (weight, created) in [(1, 1), (2, 0)] {
        let mut call = graph.begin("w", LIMIT);
        call.edge_put(&edge(weight)).unwrap();
        assert_eq!(call.commit().unwrap().created_edges.len(), created);
    }
}

#[test]
fn counts_and_sizes_of_puts_are_bounded() {
    let graph = Graph::in_memory().unwrap();
    let many = |count: usize| {
        format!(
            "[{}]",
            (0..count)
                .map(|n| node(&n.to_string()))
                .collect::<Vec<_>>()
                .join(",")
        )
    };
    let mut call = graph.begin("w", LIMIT);
    assert_eq!(call.node_put("[]"), Ok(0));
    assert_eq!(call.node_put(&many(257)), Err(HostError::Limit));
    assert_eq!(call.node_put(&many(256)), Ok(256));
    let large = format!(
        r#"{{"id":"a","kind":"k","data":{{"a":"{}"}}}}"#,
        "x".repeat(16_400)
    );
    assert_eq!(call.node_put(&large), Err(HostError::TooBig));
    let full = |n: usize| {
        format!(
            r#"{{"id":"{n}","kind":"k","data":{{"a":"{}"}}}}"#,
            "x".repeat(16_000)
        )
    };
    let puts = (0..3000)
        .map(|n| call.node_put(&full(n)))
        .take_while(Result::is_ok)
        .count();
    assert!((1900..2100).contains(&puts), "{puts}");
    assert_eq!(call.node_put(&full(puts)), Err(HostError::Limit));
}

#[test]
fn pages_follow_each_other_through_their_cursors() {
    let graph = Graph::in_memory().unwrap();
    committed(
        &graph,
        "w",
        &format!("[{},{},{}]", node("a"), node("c"), node("e")),
    );
    let mut call = graph.begin("w", LIMIT);
    call.node_put(&format!("[{},{},{}]", node("b"), node("c"), node("d")))
        .unwrap();
    let (mut seen, mut after) = (Vec::new(), String::from("null"));
    while after != "done" {
        let page = call
            .node_query(&format!(r#"{{"limit":2,"after":{after}}}"#))
            .unwrap();
        let value: Value = serde_json::from_str(&page.json).unwrap();
        seen.push(ids(&page).concat());
        after = if value["next"].is_null() {
            "done".into()
        } else {
            value["next"].to_string()
        };
    }
    assert_eq!(seen, ["ab", "cd", "e"]);
}

#[test]
fn a_page_is_full_even_if_the_call_took_what_stood_first() {
    let graph = Graph::in_memory().unwrap();
    committed(
        &graph,
        "w",
        &format!("[{},{},{}]", node("a"), node("b"), node("c")),
    );
    let mut call = graph.begin("w", LIMIT);
    call.node_put(r#"[{"id":"a","kind":"x"},{"id":"b","kind":"x"}]"#)
        .unwrap();
    let page = call.node_query(r#"{"kind":"k","limit":1}"#).unwrap();
    assert_eq!(ids(&page), ["c"]);
}

#[test]
fn a_page_keeps_below_the_limit_of_a_reply() {
    let graph = Graph::in_memory().unwrap();
    committed(
        &graph,
        "w",
        &format!("[{},{},{}]", node("a"), node("b"), node("c")),
    );
    let call = graph.begin("w", 110);
    let page = call.node_query("{}").unwrap();
    assert_eq!(ids(&page), ["a", "b"]);
    assert!(
        page.json.len() <= 110 && !page.json.ends_with("null}"),
        "{}",
        page.json
    );
    assert_eq!(
        graph.begin("w", 40).node_query("{}"),
        Err(HostError::TooBig)
    );
    assert_eq!(
        graph
            .begin("w", 40)
            .node_query(r#"{"prefix":"x"}"#)
            .unwrap()
            .json,
        r#"{"items":[],"next":null}"#
    );
}

#[test]
fn open_calls_of_many_threads_do_not_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let graph = Graph::open(&dir.path().join("graph.db")).unwrap();
    // All are open and have put before the first may commit.
    let barrier = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (graph, barrier) = (graph.clone(), &barrier);
            scope.spawn(move || {
                let mut call = graph.begin(&format!("w{n}"), LIMIT);
                let nodes: Vec<_> = (0..50).map(|m| node(&format!("{n}-{m}"))).collect();
                assert_eq!(call.node_put(&format!("[{}]", nodes.join(","))), Ok(50));
                barrier.wait();
                assert_eq!(call.node_query(r#"{"limit":50}"#).unwrap().results, 50);
                call.commit().unwrap();
            });
        }
    });
    assert_eq!(
        graph
            .begin("w", LIMIT)
            .node_query(r#"{"limit":1000}"#)
            .unwrap()
            .results,
        400
    );
}

#[test]
fn another_process_that_wrote_meanwhile_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("graph.db");
    // Two graphs of one file know nothing of each other's claims, as two processes.
    let (one, other) = (Graph::open(&path).unwrap(), Graph::open(&path).unwrap());
    let mut call = one.begin("one", LIMIT);
    call.node_put(&format!("[{},{}]", node("a"), node("b")))
        .unwrap();
    committed(&other, "other", &node("b"));
    assert_eq!(call.commit(), Err(HostError::Denied));
    assert_eq!(
        one.begin("one", LIMIT).node_get("a"),
        Err(HostError::NotFound)
    );
}

#[test]
fn a_graph_opened_to_be_read_is_never_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("graph.db");
    committed(&Graph::open(&path).unwrap(), "w", &node("a"));
    let graph = Graph::open_read_only(&path).unwrap();
    let mut call = graph.begin("w", LIMIT);
    assert_eq!(call.node_put(&node("b")), Ok(1));
    assert_eq!(call.commit(), Err(HostError::Io));
}

#[test]
fn a_put_of_which_others_would_hear_too_much_is_refused_whole() {
    let graph = Graph::in_memory().unwrap();
    let mut call = graph.begin("me", LIMIT);
    let three = format!("[{},{},{}]", node("a"), node("b"), node("c"));
    assert_eq!(call.put_nodes(&three, 2), Err(HostError::Limit));
    assert_eq!(call.node_get("a"), Err(HostError::NotFound));
    // Nothing is claimed by what was refused.
    assert_eq!(graph.begin("other", LIMIT).node_put(&node("a")), Ok(1));
    let put = |created, told| Ok(Put { created, told });
    assert_eq!(call.put_nodes(&three, 3), put(3, 3));
    assert_eq!(call.put_nodes(&three, 0), put(0, 0), "nothing changes");
    call.commit().unwrap();
    let mut call = graph.begin("me", LIMIT);
    assert_eq!(call.put_nodes(&three, 0), put(0, 0), "nothing changes");
    let changed = r#"{"id":"a","kind":"other"}"#;
    assert_eq!(call.put_nodes(changed, 0), Err(HostError::Limit));
    assert_eq!(call.put_nodes(changed, 1), put(0, 1));
    let edge = |weight| format!(r#"{{"src":"a","dst":"b","kind":"k","weight":{weight}}}"#);
    assert_eq!(call.put_edges(&edge(1), 1), put(1, 1));
    assert_eq!(call.put_edges(&edge(2), 0), put(0, 0), "it is there");
}
