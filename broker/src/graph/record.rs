//! Nodes and edges as values that are well formed.

use super::{HostError, canonical};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The longest id of a node, in bytes.
const MAX_ID_BYTES: usize = 512;

/// The longest kind, in bytes.
const MAX_KIND_BYTES: usize = 64;

/// What a record costs beside its texts: an estimate of the maps that hold it.
const RECORD_BYTES: usize = 160;

/// Weights stay within this, so that every reader of JSON has them exactly.
const MAX_WEIGHT: i64 = (1 << 53) - 1;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub(super) id: String,
    pub(super) kind: String,
    /// Canonical JSON.
    pub(super) data: String,
}

/// What names an edge. Ordered by the bytes of its parts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EdgeKey {
    pub(super) src: String,
    pub(super) dst: String,
    pub(super) kind: String,
}

/// An edge. Its nodes need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    pub(super) key: EdgeKey,
    pub(super) weight: i64,
    /// Canonical JSON.
    pub(super) data: String,
}

/// What nodes and edges have in common.
pub(super) trait Record: Clone + PartialEq {
    type Key: Ord + Clone;

    /// Takes one JSON object as plugins write it.
    fn parse(json: &str) -> Result<Self, HostError>;

    fn key(&self) -> Self::Key;

    /// The document that plugins get.
    fn json(&self) -> String;

    /// About how much memory it holds, in bytes.
    fn cost(&self) -> usize;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeClaim<'a> {
    id: String,
    kind: String,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EdgeClaim<'a> {
    src: String,
    dst: String,
    kind: String,
    #[serde(default = "one")]
    weight: i64,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EdgeKeyClaim {
    src: String,
    dst: String,
    kind: String,
}

/// A member that is there has a value, even if that is `null`.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

fn one() -> i64 {
    1
}

fn data(json: Option<&RawValue>) -> Result<String, HostError> {
    json.map_or_else(|| Ok("{}".to_owned()), |json| canonical::object(json.get()))
}

/// Refuses what is no node's id.
pub(super) fn check_id(id: &str) -> Result<(), HostError> {
    let fits = (1..=MAX_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control);
    if fits {
        Ok(())
    } else {
        Err(HostError::Invalid)
    }
}

/// Refuses what is no kind: `[a-z0-9][a-z0-9_.-]{0,63}`.
///
/// # Errors
/// `invalid`.
pub fn check_kind(kind: &str) -> Result<(), HostError> {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = kind.len() <= MAX_KIND_BYTES
        && kind.bytes().next().is_some_and(word)
        && kind
            .bytes()
            .all(|byte| word(byte) || b"_.-".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(HostError::Invalid)
    }
}

impl EdgeKey {
    fn checked(src: String, dst: String, kind: String) -> Result<Self, HostError> {
        check_id(&src)?;
        check_id(&dst)?;
        check_kind(&kind)?;
        Ok(Self { src, dst, kind })
    }

    /// Takes `{"src","dst","kind"}`.
    ///
    /// # Errors
    /// `invalid`.
    pub fn parse(json: &str) -> Result<Self, HostError> {
        let claim: EdgeKeyClaim = serde_json::from_str(json).map_err(|_| HostError::Invalid)?;
        Self::checked(claim.src, claim.dst, claim.kind)
    }
}

impl Node {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// `{"id","kind","data"}`, as plugins get it.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json()
    }
}

impl Edge {
    /// What names it.
    #[must_use]
    pub fn key(&self) -> &EdgeKey {
        &self.key
    }

    /// `{"src","dst","kind","weight","data"}`, as plugins get it.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.json()
    }
}

impl Record for Node {
    type Key = String;

    fn parse(json: &str) -> Result<Self, HostError> {
        let claim: NodeClaim<'_> = serde_json::from_str(json).map_err(|_| HostError::Invalid)?;
        check_id(&claim.id)?;
        check_kind(&claim.kind)?;
        Ok(Self {
            id: claim.id,
            kind: claim.kind,
            data: data(claim.data)?,
        })
    }

    fn key(&self) -> String {
        self.id.clone()
    }

    fn json(&self) -> String {
        let Self { id, kind, data } = self;
        format!(
            r#"{{"id":{},"kind":"{kind}","data":{data}}}"#,
            canonical::string(id)
        )
    }

    fn cost(&self) -> usize {
        RECORD_BYTES + 2 * self.id.len() + self.kind.len() + self.data.len()
    }
}

impl Record for Edge {
    type Key = EdgeKey;

    fn parse(json: &str) -> Result<Self, HostError> {
        let claim: EdgeClaim<'_> = serde_json::from_str(json).map_err(|_| HostError::Invalid)?;
        if !(-MAX_WEIGHT..=MAX_WEIGHT).contains(&claim.weight) {
            return Err(HostError::Invalid);
        }
        let key = EdgeKey::checked(claim.src, claim.dst, claim.kind)?;
        Ok(Self {
            key,
            weight: claim.weight,
            data: data(claim.data)?,
        })
    }

    fn key(&self) -> EdgeKey {
        self.key.clone()
    }

    fn json(&self) -> String {
        let Self {
            key: EdgeKey { src, dst, kind },
            weight,
            data,
        } = self;
        let (src, dst) = (canonical::string(src), canonical::string(dst));
        format!(r#"{{"src":{src},"dst":{dst},"kind":"{kind}","weight":{weight},"data":{data}}}"#)
    }

    fn cost(&self) -> usize {
        let EdgeKey { src, dst, kind } = &self.key;
        RECORD_BYTES + 2 * (src.len() + dst.len() + kind.len()) + self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_plugins_read_them() {
        let node =
            Node::parse(r#"{"kind":"file","data":{"b":1,"a":"x"},"id":"file:\"ä\""}"#).unwrap();
        assert_eq!(
            node.to_json(),
            r#"{"id":"file:\"ä\"","kind":"file","data":{"a":"x","b":1}}"#
        );
        let edge = Edge::parse(r#"{"src":"a","dst":"b","kind":"co-change"}"#).unwrap();
        assert_eq!(
            edge.to_json(),
            r#"{"src":"a","dst":"b","kind":"co-change","weight":1,"data":{}}"#
        );
    }

    #[test]
    fn ids_and_kinds_keep_to_their_form() {
        let long = "x".repeat(513);
        for id in ["", "a\n", "\u{7f}", "\u{85}", &long] {
            assert_eq!(check_id(id), Err(HostError::Invalid), "{id:?}");
        }
        for id in ["a", "file:src/a b.rs", "ä\u{2028}", &long[..512]] {
            assert_eq!(check_id(id), Ok(()), "{id:?}");
        }
        for kind in ["", "A", "-a", ".a", "_a", "a b", "ä", &long[..65]] {
            assert_eq!(check_kind(kind), Err(HostError::Invalid), "{kind:?}");
        }
        for kind in ["a", "0", "co-change", "a.b_c-d", &long[..64]] {
            assert_eq!(check_kind(kind), Ok(()), "{kind:?}");
        }
    }

    #[test]
    fn a_record_with_a_wrong_missing_unknown_or_doubled_field_is_invalid() {
        for json in [
            "",
            "[]",
            "{}",
            r#"{"id":"a"}"#,
            r#"{"id":1,"kind":"f"}"#,
            r#"{"id":"a","kind":"f","writer":"x"}"#,
            r#"{"id":"a","id":"b","kind":"f"}"#,
            r#"{"id":"a","kind":"f","data":null}"#,
            r#"{"id":"a","kind":"f","data":[]}"#,
        ] {
            assert_eq!(Node::parse(json), Err(HostError::Invalid), "{json}");
        }
        for weight in [
            "null",
            "1.5",
            "1.0",
            "\"1\"",
            "9007199254740992",
            "-9007199254740992",
            "1e2",
        ] {
            let json = format!(r#"{{"src":"a","dst":"b","kind":"k","weight":{weight}}}"#);
            assert_eq!(Edge::parse(&json), Err(HostError::Invalid), "{json}");
        }
        assert_eq!(
            EdgeKey::parse(r#"{"src":"a","dst":"b","kind":"k","weight":1}"#),
            Err(HostError::Invalid)
        );
    }
}
