//! The documents of the events that a committed call causes for other plugins.

use super::canonical::string;
use super::record::{Edge, Node, Record as _};

/// `gm.edge_created/1`, for `on_edge_created`.
#[must_use]
pub fn edge_created(edge: &Edge, by: &str) -> String {
    format!(
        r#"{{"schema":"gm.edge_created/1","edge":{},"by":{}}}"#,
        edge.json(),
        string(by)
    )
}

/// `gm.node_updated/1`, for `on_node_updated`; `old` is `null` for a new node.
#[must_use]
pub fn node_updated(node: &Node, old: Option<&Node>, by: &str) -> String {
    let old = old.map_or_else(|| "null".to_owned(), Node::to_json);
    format!(
        r#"{{"schema":"gm.node_updated/1","node":{},"old":{old},"by":{}}}"#,
        node.json(),
        string(by)
    )
}

/// `gm.node_accessed/1`, for `on_node_accessed`.
#[must_use]
pub fn node_accessed(id: &str, by: &str) -> String {
    format!(
        r#"{{"schema":"gm.node_accessed/1","id":{},"by":{}}}"#,
        string(id),
        string(by)
    )
}

/// `gm.graph_query/1`, for `on_graph_query`: `of` is `node` or `edge`, `query`
/// the JSON text of a query that was answered with so many `results`.
#[must_use]
pub fn graph_query(of: &'static str, query: &str, results: u32, by: &str) -> String {
    format!(
        r#"{{"schema":"gm.graph_query/1","of":"{of}","query":{},"results":{results},"by":{}}}"#,
        query.trim(),
        string(by)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_those_that_plugins_know() {
        let edge = Edge::parse(r#"{"src":"file:a","dst":"file:b","kind":"co-change","weight":3}"#)
            .unwrap();
        let node = Node::parse(r#"{"id":"file:a","kind":"file"}"#).unwrap();
        assert_eq!(
            edge_created(&edge, "com.x.y"),
            r#"{"schema":"gm.edge_created/1","edge":{"src":"file:a","dst":"file:b","kind":"co-change","weight":3,"data":{}},"by":"com.x.y"}"#
        );
        assert_eq!(
            node_updated(&node, None, "com.x.y"),
            r#"{"schema":"gm.node_updated/1","node":{"id":"file:a","kind":"file","data":{}},"old":null,"by":"com.x.y"}"#
        );
        assert_eq!(
            node_accessed("file:a", "com.x.y"),
            r#"{"schema":"gm.node_accessed/1","id":"file:a","by":"com.x.y"}"#
        );
        assert_eq!(
            graph_query("edge", " {\"kind\":\"co-change\"}\n", 12, "com.x.y"),
            r#"{"schema":"gm.graph_query/1","of":"edge","query":{"kind":"co-change"},"results":12,"by":"com.x.y"}"#
        );
    }
}
