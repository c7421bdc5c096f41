//! A call with its overlay against the plainest graph that there is: two maps
//! to which each put is applied at once.

use super::super::super::Graph;
use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    PutNodes(Vec<(u8, u8)>),
    PutEdges(Vec<(u8, u8, i64)>),
    GetNode(u8),
    GetEdge(u8, u8),
    Nodes {
        kind: Option<u8>,
        prefix: Option<u8>,
        limit: usize,
    },
    Edges {
        src: Option<u8>,
        dst: Option<u8>,
        least: Option<i64>,
        by_weight: bool,
        limit: usize,
    },
}

/// What one writer does in one call, and whether that is committed.
#[derive(Debug, Clone)]
struct Turn {
    writer: u8,
    steps: Vec<Step>,
    commit: bool,
}

/// Kind, or weight; and writer.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    nodes: BTreeMap<String, (u8, u8)>,
    edges: BTreeMap<(String, String), (i64, u8)>,
}

/// Ids of two letters, so that prefixes take some and not all.
fn id(n: u8) -> String {
    format!("{}{}", char::from(b'a' + n % 3), char::from(b'a' + n / 3))
}

fn node_json(n: u8, kind: u8) -> String {
    format!(r#"{{"id":"{}","kind":"k{kind}","data":{{}}}}"#, id(n))
}

fn edge_json((src, dst): &(String, String), weight: i64) -> String {
    format!(r#"{{"src":"{src}","dst":"{dst}","kind":"k","weight":{weight},"data":{{}}}}"#)
}

fn put<K: Ord, V>(
    map: &mut BTreeMap<K, (V, u8)>,
    writer: u8,
    records: Vec<(K, V)>,
) -> Result<u32, HostError> {
    if records
        .iter()
        .any(|(key, _)| map.get(key).is_some_and(|(_, owner)| *owner != writer))
    {
        return Err(HostError::Denied);
    }
    let before = map.len();
    map.extend(
        records
            .into_iter()
            .map(|(key, value)| (key, (value, writer))),
    );
    Ok(u32::try_from(map.len() - before).unwrap())
}

/// All items of a query, page by page.
fn all_pages(ask: impl Fn(&str) -> Page) -> Vec<String> {
    let (mut items, mut after) = (Vec::new(), String::from("null"));
    loop {
        let value: Value = serde_json::from_str(&ask(&after).json).unwrap();
        items.extend(
            value["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(Value::to_string),
        );
        after = value["next"].to_string();
        if value["next"].is_null() {
            return items;
        }
        assert!(items.len() < 1000, "the pages have no end");
    }
}

fn member(name: &str, value: Option<String>) -> String {
    value.map_or_else(String::new, |value| format!(r#","{name}":{value}"#))
}

fn take(step: &Step, call: &mut Call, model: &mut Model, writer: u8) -> Result<(), TestCaseError> {
    match step {
        Step::PutNodes(nodes) => {
            let json: Vec<_> = nodes.iter().map(|(n, kind)| node_json(*n, *kind)).collect();
            let records = nodes.iter().map(|(n, kind)| (id(*n), *kind)).collect();
            prop_assert_eq!(
                call.node_put(&format!("[{}]", json.join(","))),
                put(&mut model.nodes, writer, records)
            );
        }
        Step::PutEdges(edges) => {
            let records: Vec<_> = edges
                .iter()
                .map(|(src, dst, weight)| ((id(*src), id(*dst)), *weight))
                .collect();
            let json: Vec<_> = records
                .iter()
                .map(|(key, weight)| edge_json(key, *weight))
                .collect();
            prop_assert_eq!(
                call.edge_put(&format!("[{}]", json.join(","))),
                put(&mut model.edges, writer, records)
            );
        }
        Step::GetNode(n) => {
            let expected = model
                .nodes
                .get(&id(*n))
                .map(|(kind, _)| node_json(*n, *kind));
            prop_assert_eq!(call.node_get(&id(*n)).ok(), expected);
        }
        Step::GetEdge(src, dst) => {
            let key = (id(*src), id(*dst));
            let asked = format!(r#"{{"src":"{}","dst":"{}","kind":"k"}}"#, key.0, key.1);
            let expected = model
                .edges
                .get(&key)
                .map(|(weight, _)| edge_json(&key, *weight));
            prop_assert_eq!(call.edge_get(&asked).ok(), expected);
        }
        Step::Nodes {
            kind,
            prefix,
            limit,
        } => {
            let letter = prefix.map(|n| char::from(b'a' + n));
            let kinds = member("kind", kind.map(|kind| format!("\"k{kind}\"")));
            let prefixes = member("prefix", letter.map(|letter| format!("\"{letter}\"")));
            let ask = |after: &str| {
                call.node_query(&format!(
                    r#"{{"limit":{limit},"after":{after}{kinds}{prefixes}}}"#
                ))
                .unwrap()
            };
            let expected = model.nodes.iter().filter(|(id, (is, _))| {
                kind.is_none_or(|kind| kind == *is)
                    && letter.is_none_or(|letter| id.starts_with(letter))
            });
            let expected: Vec<_> = expected
                .map(|(id, (kind, _))| format!(r#"{{"id":"{id}","kind":"k{kind}","data":{{}}}}"#))
                .collect();
            prop_assert_eq!(all_pages(ask), expected);
        }
        Step::Edges {
            src,
            dst,
            least,
            by_weight,
            limit,
        } => {
            let ends = member("src", src.map(|n| format!("\"{}\"", id(n))))
                + &member("dst", dst.map(|n| format!("\"{}\"", id(n))))
                + &member("min_weight", least.map(|least| least.to_string()));
            let order = if *by_weight { "weight" } else { "key" };
            let ask = |after: &str| {
                call.edge_query(&format!(
                    r#"{{"order":"{order}","limit":{limit},"after":{after}{ends}}}"#
                ))
                .unwrap()
            };
            let mut expected: Vec<_> = model
                .edges
                .iter()
                .filter(|((is_src, is_dst), (weight, _))| {
                    src.is_none_or(|n| id(n) == *is_src)
                        && dst.is_none_or(|n| id(n) == *is_dst)
                        && least.is_none_or(|least| *weight >= least)
                })
                .collect();
            if *by_weight {
                expected.sort_by_key(|(key, (weight, _))| (-weight, *key));
            }
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(key, (weight, _))| edge_json(key, *weight))
                .collect();
            prop_assert_eq!(all_pages(ask), expected);
        }
    }
    Ok(())
}

/// The changes of a commit, as the two states of the model tell them.
fn changes(before: &Model, after: &Model) -> (Vec<String>, Vec<String>) {
    let created = after
        .edges
        .keys()
        .filter(|key| !before.edges.contains_key(key));
    let updated = after
        .nodes
        .iter()
        .filter(|(id, node)| before.nodes.get(*id) != Some(node));
    (
        created.map(|(src, dst)| format!("{src} {dst}")).collect(),
        updated.map(|(id, _)| id.clone()).collect(),
    )
}

fn run(graph: &Graph, turns: &[Turn]) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    for turn in turns {
        let mut call = graph.begin(&turn.writer.to_string(), LIMIT);
        let mut tried = model.clone();
        for step in &turn.steps {
            take(step, &mut call, &mut tried, turn.writer)?;
        }
        if turn.commit {
            let committed = call.commit().unwrap();
            let edges = committed
                .created_edges
                .iter()
                .map(|edge| format!("{} {}", edge.key.src, edge.key.dst))
                .collect();
            let nodes = committed
                .updated_nodes
                .iter()
                .map(|change| change.node.id.clone())
                .collect();
            prop_assert_eq!((edges, nodes), changes(&model, &tried));
            model = tried;
        }
    }
    let mut dumped = Vec::new();
    graph.dump(&mut dumped, None, true).unwrap();
    let dumped = String::from_utf8(dumped).unwrap();
    prop_assert_eq!(
        dumped.lines().count(),
        model.nodes.len() + model.edges.len()
    );
    Ok(())
}

fn steps() -> impl Strategy<Value = Step> {
    let (n, weight) = (0..9_u8, -2..3_i64);
    let limit = 1..5_usize;
    prop_oneof![
        prop::collection::vec((n.clone(), 0..2_u8), 0..8).prop_map(Step::PutNodes),
        prop::collection::vec((n.clone(), n.clone(), weight.clone()), 0..6)
            .prop_map(Step::PutEdges),
        n.clone().prop_map(Step::GetNode),
        (n.clone(), n.clone()).prop_map(|(src, dst)| Step::GetEdge(src, dst)),
        (
            prop::option::of(0..2_u8),
            prop::option::of(0..3_u8),
            limit.clone()
        )
            .prop_map(|(kind, prefix, limit)| Step::Nodes {
                kind,
                prefix,
                limit
            }),
        (
            prop::option::of(n.clone()),
            prop::option::of(n),
            prop::option::of(weight),
            any::<bool>(),
            limit
        )
            .prop_map(|(src, dst, least, by_weight, limit)| Step::Edges {
                src,
                dst,
                least,
                by_weight,
                limit
            }),
    ]
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (
        prop::sample::select(vec![0, 0, 0, 1]),
        prop::collection::vec(steps(), 1..8),
        prop::bool::weighted(0.7),
    )
        .prop_map(|(writer, steps, commit)| Turn {
            writer,
            steps,
            commit,
        });
    prop::collection::vec(turn, 1..6)
}

proptest! {
    #[test]
    fn a_call_sees_what_it_would_see_if_its_puts_were_applied_at_once(turns in turns()) {
        run(&Graph::in_memory().unwrap(), &turns)?;
    }
}

proptest! {
    // Files are slow to make.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_graph_in_a_file_is_the_same(turns in turns()) {
        let dir = tempfile::tempdir().unwrap();
        run(&Graph::open(&dir.path().join("graph.db")).unwrap(), &turns)?;
    }
}
