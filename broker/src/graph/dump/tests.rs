use super::super::Graph;

fn dumped(graph: &Graph, kind: Option<&str>, with_writer: bool) -> String {
    let mut out = Vec::new();
    graph.dump(&mut out, kind, with_writer).unwrap();
    String::from_utf8(out).unwrap()
}

/// A graph with these records, each put by its own call.
fn graph(writer: &str, nodes: &[&str], edges: &[&str]) -> Graph {
    let graph = Graph::in_memory().unwrap();
    for (json, is_node) in nodes
        .iter()
        .map(|json| (json, true))
        .chain(edges.iter().map(|json| (json, false)))
    {
        let mut call = graph.begin(writer, 1 << 20);
        let put = if is_node {
            call.node_put(json)
        } else {
            call.edge_put(json)
        };
        assert_eq!(put, Ok(1), "{json}");
        call.commit().unwrap();
    }
    graph
}

const NODES: [&str; 3] = [
    r#"{"id":"b","kind":"file"}"#,
    r#"{"id":"ä","kind":"file","data":{"z":1.0,"a":"\u0041"}}"#,
    r#"{"id":"Z","kind":"other"}"#,
];
const EDGES: [&str; 2] = [
    r#"{"src":"b","dst":"c","kind":"k","weight":-2}"#,
    r#"{"dst":"z","src":"a","kind":"file"}"#,
];

#[test]
fn records_are_canonical_and_sorted_by_the_bytes_of_their_keys() {
    let expected = concat!(
        r#"{"node":{"data":{},"id":"Z","kind":"other","writer":"w"}}"#,
        "\n",
        r#"{"node":{"data":{},"id":"b","kind":"file","writer":"w"}}"#,
        "\n",
        r#"{"node":{"data":{"a":"A","z":1},"id":"ä","kind":"file","writer":"w"}}"#,
        "\n",
        r#"{"edge":{"data":{},"dst":"z","kind":"file","src":"a","weight":1,"writer":"w"}}"#,
        "\n",
        r#"{"edge":{"data":{},"dst":"c","kind":"k","src":"b","weight":-2,"writer":"w"}}"#,
        "\n",
    );
    assert_eq!(dumped(&graph("w", &NODES, &EDGES), None, true), expected);
}

#[test]
fn equal_graphs_give_equal_bytes_in_whatever_order_they_were_made() {
    let (mut nodes, mut edges) = (NODES, EDGES);
    nodes.reverse();
    edges.reverse();
    let (one, other) = (graph("one", &NODES, &EDGES), graph("other", &nodes, &edges));
    assert_eq!(dumped(&one, None, false), dumped(&other, None, false));
    assert_ne!(dumped(&one, None, true), dumped(&other, None, true));
}

#[test]
fn a_kind_leaves_out_all_others() {
    let text = dumped(&graph("w", &NODES, &EDGES), Some("file"), false);
    assert_eq!(text.lines().count(), 3);
    assert!(
        text.lines().all(|line| line.contains(r#""kind":"file""#)),
        "{text}"
    );
}

#[test]
fn data_that_was_damaged_in_the_file_is_not_handed_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("graph.db");
    let graph = Graph::open(&path).unwrap();
    let damage = "INSERT INTO node VALUES ('a', 'k', '{\"b\":', 'w')";
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(damage)
        .unwrap();
    let error = graph.dump(&mut Vec::new(), None, true).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn a_closed_output_ends_the_dump_with_its_own_error() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = graph("w", &NODES, &[])
        .dump(&mut Closed, None, true)
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}
