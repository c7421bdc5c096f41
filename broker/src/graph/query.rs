//! What plugins may ask for, and how that is asked of SQLite.
//!
//! All values are bound; the text of a statement is made of fixed parts.

use super::HostError;
use super::record::{Edge, EdgeKey, Node, check_id, check_kind};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::types::Value;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// The most items of one page, and how many if nothing is said.
const MAX_ITEMS: usize = 1000;
const ITEMS: usize = 100;

/// The longest prefix: that of an id.
const MAX_PREFIX_BYTES: usize = 512;

/// A checked query.
pub(super) trait Query {
    type Item;

    /// How many items a page may have.
    fn limit(&self) -> usize;

    /// Whether it asks for this record, on a page behind the cursor.
    fn takes(&self, item: &Self::Item) -> bool;

    /// The order of a page.
    fn order(&self, one: &Self::Item, other: &Self::Item) -> Ordering;

    /// A text from which the query goes on behind this record.
    fn cursor(&self, item: &Self::Item) -> String;

    /// The same for SQLite: a condition, an order, and the values.
    fn sql(&self) -> Sql;
}

/// Parts of a statement, and the values of its parameters in their order.
#[derive(Default)]
pub(super) struct Sql {
    pub(super) condition: String,
    pub(super) order: &'static str,
    pub(super) values: Vec<Value>,
}

impl Sql {
    fn and(&mut self, condition: &'static str, values: impl IntoIterator<Item = Value>) {
        self.condition.push_str(if self.condition.is_empty() {
            " WHERE "
        } else {
            " AND "
        });
        self.condition.push_str(condition);
        self.values.extend(values);
    }

    fn and_text(&mut self, condition: &'static str, value: Option<&String>) {
        if let Some(value) = value {
            self.and(condition, [Value::Text(value.clone())]);
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeQueryClaim {
    kind: Option<String>,
    prefix: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EdgeQueryClaim {
    src: Option<String>,
    dst: Option<String>,
    kind: Option<String>,
    min_weight: Option<i64>,
    order: Option<Order>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Order {
    Key,
    Weight,
}

/// Nodes by kind and prefix of the id, ascending by id.
pub(super) struct NodeQuery {
    kind: Option<String>,
    prefix: Option<String>,
    after: Option<String>,
    limit: usize,
}

/// Edges by their parts and least weight.
pub(super) struct EdgeQuery {
    src: Option<String>,
    dst: Option<String>,
    kind: Option<String>,
    min_weight: Option<i64>,
    after: After,
    limit: usize,
}

/// The order of edges, and the edge that a page begins behind.
enum After {
    Key(Option<EdgeKey>),
    Weight(Option<(i64, EdgeKey)>),
}

impl NodeQuery {
    pub(super) fn parse(json: &str) -> Result<Self, HostError> {
        let claim: NodeQueryClaim = object(json)?;
        claim.kind.as_deref().map_or(Ok(()), check_kind)?;
        if claim
            .prefix
            .as_ref()
            .is_some_and(|prefix| prefix.len() > MAX_PREFIX_BYTES)
        {
            return Err(HostError::Invalid);
        }
        let after = claim.after.as_deref().map(decoded).transpose()?;
        Ok(Self {
            kind: claim.kind,
            prefix: claim.prefix,
            after,
            limit: limit(claim.limit)?,
        })
    }
}

impl EdgeQuery {
    pub(super) fn parse(json: &str) -> Result<Self, HostError> {
        let claim: EdgeQueryClaim = object(json)?;
        claim.src.as_deref().map_or(Ok(()), check_id)?;
        claim.dst.as_deref().map_or(Ok(()), check_id)?;
        claim.kind.as_deref().map_or(Ok(()), check_kind)?;
        let after = claim.after.as_deref();
        let after = match claim.order.unwrap_or(Order::Key) {
            Order::Key => After::Key(after.map(decoded).transpose()?.map(key)),
            Order::Weight => {
                let after: Option<(i64, (String, String, String))> =
                    after.map(decoded).transpose()?;
                After::Weight(after.map(|(weight, parts)| (weight, key(parts))))
            }
        };
        let EdgeQueryClaim {
            src,
            dst,
            kind,
            min_weight,
            ..
        } = claim;
        Ok(Self {
            src,
            dst,
            kind,
            min_weight,
            after,
            limit: limit(claim.limit)?,
        })
    }
}

impl Query for NodeQuery {
    type Item = Node;

    fn limit(&self) -> usize {
        self.limit
    }

    fn takes(&self, node: &Node) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == node.kind)
            && self
                .prefix
                .as_ref()
                .is_none_or(|prefix| node.id.starts_with(prefix))
            && self.after.as_ref().is_none_or(|after| node.id > *after)
    }

    fn order(&self, one: &Node, other: &Node) -> Ordering {
        one.id.cmp(&other.id)
    }

    fn cursor(&self, node: &Node) -> String {
        encoded(&node.id)
    }

    fn sql(&self) -> Sql {
        let mut sql = Sql {
            order: "id",
            ..Sql::default()
        };
        sql.and_text("id > ?", self.after.as_ref());
        sql.and_text("id >= ?", self.prefix.as_ref());
        sql.and_text("id < ?", self.prefix.as_deref().and_then(behind).as_ref());
        sql.and_text("kind = ?", self.kind.as_ref());
        sql
    }
}

impl Query for EdgeQuery {
    type Item = Edge;

    fn limit(&self) -> usize {
        self.limit
    }

    fn takes(&self, edge: &Edge) -> bool {
        let equal =
            |asked: &Option<String>, is: &String| asked.as_ref().is_none_or(|asked| asked == is);
        equal(&self.src, &edge.key.src)
            && equal(&self.dst, &edge.key.dst)
            && equal(&self.kind, &edge.key.kind)
            && self.min_weight.is_none_or(|least| edge.weight >= least)
            && match &self.after {
                After::Key(after) => after.as_ref().is_none_or(|after| edge.key > *after),
                After::Weight(after) => after.as_ref().is_none_or(|(weight, key)| {
                    edge.weight < *weight || (edge.weight == *weight && edge.key > *key)
                }),
            }
    }

    fn order(&self, one: &Edge, other: &Edge) -> Ordering {
        let by_key = one.key.cmp(&other.key);
        match self.after {
            After::Key(_) => by_key,
            After::Weight(_) => other.weight.cmp(&one.weight).then(by_key),
        }
    }

    fn cursor(&self, edge: &Edge) -> String {
        let EdgeKey { src, dst, kind } = &edge.key;
        match self.after {
            After::Key(_) => encoded(&(src, dst, kind)),
            After::Weight(_) => encoded(&(edge.weight, (src, dst, kind))),
        }
    }

    fn sql(&self) -> Sql {
        let order = match self.after {
            After::Key(_) => "src, dst, kind",
            After::Weight(_) => "weight DESC, src, dst, kind",
        };
        let mut sql = Sql {
            order,
            ..Sql::default()
        };
        sql.and_text("src = ?", self.src.as_ref());
        sql.and_text("dst = ?", self.dst.as_ref());
        sql.and_text("kind = ?", self.kind.as_ref());
        if let Some(least) = self.min_weight {
            sql.and("weight >= ?", [Value::Integer(least)]);
        }
        match &self.after {
            After::Key(Some(key)) => sql.and("(src, dst, kind) > (?, ?, ?)", texts(key)),
            After::Weight(Some((weight, key))) => {
                let weight = Value::Integer(*weight);
                let values = [weight.clone(), weight].into_iter().chain(texts(key));
                sql.and(
                    "(weight < ? OR (weight = ? AND (src, dst, kind) > (?, ?, ?)))",
                    values,
                );
            }
            After::Key(None) | After::Weight(None) => {}
        }
        sql
    }
}

/// A struct would take an array as well.
fn object<T: DeserializeOwned>(json: &str) -> Result<T, HostError> {
    if !json.trim_start().starts_with('{') {
        return Err(HostError::Invalid);
    }
    serde_json::from_str(json).map_err(|_| HostError::Invalid)
}

fn limit(asked: Option<usize>) -> Result<usize, HostError> {
    Some(asked.unwrap_or(ITEMS))
        .filter(|limit| (1..=MAX_ITEMS).contains(limit))
        .ok_or(HostError::Invalid)
}

fn key((src, dst, kind): (String, String, String)) -> EdgeKey {
    EdgeKey { src, dst, kind }
}

fn texts(key: &EdgeKey) -> impl Iterator<Item = Value> {
    [&key.src, &key.dst, &key.kind]
        .map(|text| Value::Text(text.clone()))
        .into_iter()
}

/// The smallest text above all that begin with this one, if there is any.
/// UTF-8 sorts as its characters do.
fn behind(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // A range of characters steps over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return Some(text);
        }
    }
    None
}

fn encoded(position: &impl Serialize) -> String {
    // Strings and numbers always have a JSON text.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).unwrap_or_default())
}

fn decoded<T: DeserializeOwned>(cursor: &str) -> Result<T, HostError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| HostError::Invalid)?;
    serde_json::from_slice(&bytes).map_err(|_| HostError::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_with_a_wrong_or_unknown_field_is_invalid() {
        for json in [
            "",
            "[]",
            "[null,null,null,null]",
            "1",
            "{",
            r#"{"kinds":"a"}"#,
            r#"{"kind":"A"}"#,
            r#"{"limit":0}"#,
            r#"{"limit":1001}"#,
            r#"{"limit":"1"}"#,
            r#"{"limit":-1}"#,
            r#"{"after":"!"}"#,
            r#"{"after":"AAAA"}"#,
        ] {
            assert_eq!(
                NodeQuery::parse(json).err(),
                Some(HostError::Invalid),
                "{json}"
            );
            assert_eq!(
                EdgeQuery::parse(json).err(),
                Some(HostError::Invalid),
                "{json}"
            );
        }
        for json in [
            r#"{"order":"size"}"#,
            r#"{"min_weight":1.5}"#,
            r#"{"src":""}"#,
            r#"{"prefix":"a"}"#,
        ] {
            assert_eq!(
                EdgeQuery::parse(json).err(),
                Some(HostError::Invalid),
                "{json}"
            );
        }
        assert_eq!(
            NodeQuery::parse(r#"{"src":"a"}"#).err(),
            Some(HostError::Invalid)
        );
        assert!(NodeQuery::parse(r#"{"after":null,"limit":1000}"#).is_ok());
    }

    #[test]
    fn a_cursor_of_the_other_order_is_invalid() {
        let edge = Edge {
            key: key(("a".into(), "b".into(), "k".into())),
            weight: 3,
            data: "{}".into(),
        };
        let (by_key, by_weight) = (
            EdgeQuery::parse("{}").unwrap(),
            EdgeQuery::parse(r#"{"order":"weight"}"#).unwrap(),
        );
        let ask = |order: &str, cursor: String| {
            EdgeQuery::parse(&format!(r#"{{"order":"{order}","after":"{cursor}"}}"#)).map(drop)
        };
        assert_eq!(ask("key", by_key.cursor(&edge)), Ok(()));
        assert_eq!(ask("weight", by_weight.cursor(&edge)), Ok(()));
        assert_eq!(ask("weight", by_key.cursor(&edge)), Err(HostError::Invalid));
        assert_eq!(ask("key", by_weight.cursor(&edge)), Err(HostError::Invalid));
    }

    #[test]
    fn a_prefix_ends_before_the_next_text_of_its_length() {
        let cases = [
            ("", None),
            ("a", Some("b")),
            ("a\u{d7ff}", Some("a\u{e000}")),
            ("a\u{10ffff}", Some("b")),
        ];
        for (prefix, expected) in cases {
            assert_eq!(behind(prefix).as_deref(), expected, "{prefix:?}");
        }
        assert_eq!(behind("\u{10ffff}"), None);
    }
}
