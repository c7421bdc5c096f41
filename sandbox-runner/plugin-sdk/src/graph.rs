//! Nodes, edges and questions about them.
//!
//! All plugins share one graph, but a record belongs to the plugin that wrote
//! it first: putting another writer's node or edge is `denied`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A node of the graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Node {
    /// 1–512 bytes of UTF-8 without control characters.
    pub id: String,
    /// `[a-z0-9][a-z0-9_.-]{0,63}`.
    pub kind: String,
    /// At most 16 KiB as JSON.
    #[serde(default)]
    pub data: Map<String, Value>,
}

impl Node {
    /// A node without data.
    #[must_use]
    pub fn new(id: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            kind: kind.into(),
            data: Map::new(),
        }
    }

    /// This node with one more field of `data`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }
}

/// An edge of the graph. `(src, dst, kind)` is its key; its nodes need not exist.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Edge {
    /// The node it leaves, in the form of a node's id.
    pub src: String,
    /// The node it reaches, in the form of a node's id.
    pub dst: String,
    /// In the form of a node's kind.
    pub kind: String,
    /// Within ±(2^53−1).
    #[serde(default = "one")]
    pub weight: i64,
    /// At most 16 KiB as JSON.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// The weight of an edge that doesn't say its own.
fn one() -> i64 {
    1
}

impl Edge {
    /// An edge of weight 1 without data.
    #[must_use]
    pub fn new(src: impl Into<String>, dst: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            src: src.into(),
            dst: dst.into(),
            kind: kind.into(),
            weight: one(),
            data: Map::new(),
        }
    }

    /// This edge with another weight.
    #[must_use]
    pub fn weighing(mut self, weight: i64) -> Self {
        self.weight = weight;
        self
    }

    /// This edge with one more field of `data`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.data.insert(key.to_owned(), value.into());
        self
    }
}

/// Which nodes; a field that is `None` doesn't narrow.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NodeQuery {
    /// Nodes of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Nodes whose id begins with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What [`Page::next`] of the page before said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// How many at most, 1–1000; the host takes 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which edges; a field that is `None` doesn't narrow.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EdgeQuery {
    /// Edges that leave this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    /// Edges that reach this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst: Option<String>,
    /// Edges of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Edges of at least this weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_weight: Option<i64>,
    /// By key if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<EdgeOrder>,
    /// What [`Page::next`] of the page before said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// How many at most, 1–1000; the host takes 100 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// How edges are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EdgeOrder {
    /// By the bytes of `(src, dst, kind)`, ascending.
    Key,
    /// By weight, the heaviest first, then by key.
    Weight,
}

/// One page of an answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// What was found, at most as many as asked for.
    pub items: Vec<T>,
    /// Where the next page begins; none after the last one.
    pub next: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn edge_is_written_as_the_host_reads_it() {
        let edge = Edge::new("file:a", "file:b", "co-change").weighing(3);
        assert_eq!(
            serde_json::to_value(edge).unwrap(),
            json!({ "src": "file:a", "dst": "file:b", "kind": "co-change", "weight": 3, "data": {} })
        );
    }

    #[test]
    fn query_holds_only_what_narrows_it() {
        let query = EdgeQuery {
            kind: Some("co-change".to_owned()),
            order: Some(EdgeOrder::Weight),
            ..EdgeQuery::default()
        };
        assert_eq!(
            serde_json::to_value(query).unwrap(),
            json!({ "kind": "co-change", "order": "weight" })
        );
        assert_eq!(
            serde_json::to_value(NodeQuery::default()).unwrap(),
            json!({})
        );
    }

    #[test]
    fn page_is_read_with_and_without_a_next_one() {
        let page: Page<Node> = serde_json::from_value(json!({
            "items": [{ "id": "file:a", "kind": "file", "data": { "n": 1 }, "writer": "com.x.y" }],
            "next": "file:a"
        }))
        .unwrap();
        assert_eq!(page.items, [Node::new("file:a", "file").with("n", 1)]);
        assert_eq!(page.next, Some(json!("file:a")));
        let last: Page<Edge> =
            serde_json::from_value(json!({ "items": [], "next": null })).unwrap();
        assert_eq!(last.next, None);
    }
}
