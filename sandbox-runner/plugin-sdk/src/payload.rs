//! The documents that hooks get, as types.
//!
//! A field that a later host adds is ignored, and one that is absent has its
//! type's empty value: documents given with `--events` are handed on as they
//! are. Text is what the repository holds, so it is a stranger's: never take it
//! for markup, a path to open, or a command.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::{Edge, Node};

/// For `init`, the first call.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Init {
    /// The ABI's version.
    pub api: String,
    /// Who this plugin is.
    pub plugin: Plugin,
    /// The repository; none if the events come from a file.
    pub repo: Option<Repository>,
    /// How many events are to come, if that is known.
    pub total: Option<u64>,
    /// The host calls that the grant holds, as `log:write`.
    pub granted: Vec<String>,
    /// What this plugin may use.
    pub limits: Limits,
    /// The package's files, for [`asset_read`](crate::host::asset_read).
    pub assets: Vec<Asset>,
}

/// Who a plugin is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Plugin {
    /// `plugin_id` of the manifest.
    pub id: String,
    /// `version` of the manifest.
    pub version: String,
}

/// The repository that the events come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Repository {
    /// `sha1` or `sha256`.
    pub object_format: String,
    /// It has no work tree.
    pub bare: bool,
    /// Its history is cut off.
    pub shallow: bool,
    /// The commit that HEAD names; none in an empty repository.
    pub head: Option<String>,
}

/// What a plugin may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes for the whole process, the engine included.
    pub memory_bytes: u64,
    /// Milliseconds for one call, its host calls included.
    pub time_ms: u64,
    /// Bytes of one reply or host call's result.
    pub reply_bytes: u64,
    /// Bytes of private storage.
    pub storage_bytes: u64,
}

/// A file of the package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Asset {
    /// Its path in the package.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// For `on_commit_analyzed`: a commit, after all its parents.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Commit {
    /// The commit's object id.
    pub id: String,
    /// Object ids of its parents, the first one first.
    pub parents: Vec<String>,
    /// Object id of its tree.
    pub tree: String,
    /// It has more than one parent.
    pub merge: bool,
    /// The history is cut off here: the commit is described as a root.
    pub boundary: bool,
    /// Who wrote the change.
    pub author: Signature,
    /// Who made the commit.
    pub committer: Signature,
    /// At most 64 KiB; bytes that aren't UTF-8 are U+FFFD.
    pub message: String,
    /// The message's exact bytes, if it isn't UTF-8.
    pub message_base64: Option<String>,
    /// The message was longer.
    pub message_cut: bool,
    /// The difference to the first parent, sorted by path; perhaps not all of it.
    pub files: Vec<File>,
    /// How many files differ; more than `files` holds if the list was cut.
    pub files_total: u64,
    /// Which commit of the run this is, from 1.
    pub index: u64,
    /// How many commits the run has, if that is known.
    #[serde(deserialize_with = "absent_is_zero")]
    pub total: u64,
}

impl Commit {
    /// The first line of the message.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

/// Who did something, and when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Signature {
    /// As in the commit; bytes that aren't UTF-8 are U+FFFD.
    pub name: String,
    /// The name's exact bytes, if it isn't UTF-8.
    pub name_base64: Option<String>,
    /// As in the commit; bytes that aren't UTF-8 are U+FFFD.
    pub email: String,
    /// The address's exact bytes, if it isn't UTF-8.
    pub email_base64: Option<String>,
    /// Seconds since 1970, UTC.
    pub time: i64,
    /// Minutes east of UTC.
    pub offset: i32,
}

/// A changed file of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct File {
    /// From the root of the work tree; bytes that aren't UTF-8 are U+FFFD.
    pub path: String,
    /// The path's exact bytes, if it isn't UTF-8.
    pub path_base64: Option<String>,
    /// `A` added, `M` modified, `D` deleted, `T` type changed.
    pub status: String,
    /// As git shows it, `100644`; none for a deleted file.
    pub mode: Option<String>,
    /// Mode before the commit; none for an added file.
    pub old_mode: Option<String>,
    /// Lines added; none for a binary or missing file.
    pub added: Option<u64>,
    /// Lines deleted; none for a binary or missing file.
    pub deleted: Option<u64>,
    /// It isn't text, or is over 8 MiB.
    pub binary: bool,
    /// Size after the commit, if known.
    pub bytes: Option<u64>,
    /// The object is not in the repository.
    pub missing: bool,
}

/// For `on_edge_created`: another plugin made an edge.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct EdgeCreated {
    /// The new edge.
    pub edge: Edge,
    /// The plugin that made it.
    #[serde(default)]
    pub by: String,
}

/// For `on_node_updated`: another plugin made or changed a node.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct NodeUpdated {
    /// The node as it is now.
    pub node: Node,
    /// The node as it was; none for a new one.
    #[serde(default)]
    pub old: Option<Node>,
    /// The plugin that put it.
    #[serde(default)]
    pub by: String,
}

/// For `on_node_accessed`: another plugin read a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NodeAccessed {
    /// The node's id.
    pub id: String,
    /// The plugin that read it.
    pub by: String,
}

/// For `on_graph_query`: another plugin asked the graph.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct GraphQuery {
    /// `node` or `edge`.
    pub of: String,
    /// What was asked.
    pub query: Value,
    /// How many were found.
    pub results: u64,
    /// The plugin that asked.
    pub by: String,
}

/// For a command: somebody typed `gm plugin run ID NAME -- ARGS`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Command {
    /// One of the commands that the manifest names.
    pub name: String,
    /// What stood behind the dashes.
    pub args: Vec<String>,
}

/// For `shutdown`, the last call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Shutdown {
    /// `end` or `interrupted`.
    pub reason: String,
    /// How many events the run had.
    pub events: u64,
}

/// Reads a number that may be `null`.
fn absent_is_zero<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    /// The samples of the contract, one for each payload.
    const INIT: &str = r#"{"schema":"gm.init/1","api":"2.0","plugin":{"id":"com.x.y","version":"1.2.1"},"repo":{"object_format":"sha1","bare":false,"shallow":false,"head":"abc"},"total":5000,"granted":["log:write"],"limits":{"memory_bytes":33554432,"time_ms":2000,"reply_bytes":1048576,"storage_bytes":0},"assets":[{"path":"words.txt","bytes":11}]}"#;
    const COMMIT: &str = r#"{"schema":"gm.commit/1","id":"abc","parents":["def"],"tree":"123","merge":false,"boundary":false,"author":{"name":"A","email":"a@b","time":1700000000,"offset":60},"committer":{"name":"A","email":"a@b","time":1700000000,"offset":60},"message":"subject\n\nbody\n","message_cut":false,"files":[{"path":"src/a.rs","status":"M","mode":"100644","old_mode":"100644","added":3,"deleted":1,"binary":false,"bytes":812,"missing":false}],"files_total":1,"index":17,"total":5000}"#;
    const EDGE_CREATED: &str = r#"{"schema":"gm.edge_created/1","edge":{"src":"file:a","dst":"file:b","kind":"co-change","weight":3,"data":{}},"by":"com.x.y"}"#;
    const NODE_UPDATED: &str = r#"{"schema":"gm.node_updated/1","node":{"id":"file:a","kind":"file","data":{}},"old":null,"by":"com.x.y"}"#;
    const NODE_ACCESSED: &str = r#"{"schema":"gm.node_accessed/1","id":"file:a","by":"com.x.y"}"#;
    const GRAPH_QUERY: &str = r#"{"schema":"gm.graph_query/1","of":"edge","query":{"kind":"co-change"},"results":12,"by":"com.x.y"}"#;
    const COMMAND: &str = r#"{"schema":"gm.command/1","name":"suggest","args":["src/a.rs"]}"#;
    const SHUTDOWN: &str = r#"{"schema":"gm.shutdown/1","reason":"end","events":5000}"#;

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn init_is_read_whole() {
        let init: Init = read(INIT);
        assert_eq!(init.plugin.id, "com.x.y");
        assert_eq!(init.repo.unwrap().head.as_deref(), Some("abc"));
        assert_eq!(init.total, Some(5000));
        assert_eq!(init.limits.memory_bytes, 32 << 20);
        assert_eq!(init.assets[0].path, "words.txt");
    }

    #[test]
    fn commit_is_read_whole() {
        let commit: Commit = read(COMMIT);
        assert_eq!(commit.parents, ["def"]);
        assert_eq!(commit.author.time, 1_700_000_000);
        assert_eq!(commit.committer.offset, 60);
        assert_eq!(commit.subject(), "subject");
        assert_eq!((commit.index, commit.total), (17, 5000));
        let file = &commit.files[0];
        assert_eq!((file.added, file.deleted), (Some(3), Some(1)));
        assert_eq!(file.bytes, Some(812));
    }

    #[test]
    fn null_counts_and_exact_bytes_are_told_from_absent_ones() {
        let file: File = read(
            r#"{"path":"\ufffd","path_base64":"/w==","status":"D","mode":null,"old_mode":"100644","added":null,"deleted":null,"binary":true,"bytes":null,"missing":true}"#,
        );
        assert_eq!(file.path_base64.as_deref(), Some("/w=="));
        assert_eq!((file.added, file.mode, file.bytes), (None, None, None));
        assert!(file.binary && file.missing);
    }

    #[test]
    fn derived_events_are_read_whole() {
        let made: EdgeCreated = read(EDGE_CREATED);
        assert_eq!(
            made.edge,
            Edge::new("file:a", "file:b", "co-change").weighing(3)
        );
        let changed: NodeUpdated = read(NODE_UPDATED);
        assert_eq!(changed.node, Node::new("file:a", "file"));
        assert_eq!(changed.old, None);
        assert_eq!(read::<NodeAccessed>(NODE_ACCESSED).id, "file:a");
        let asked: GraphQuery = read(GRAPH_QUERY);
        assert_eq!(asked.query, json!({ "kind": "co-change" }));
        assert_eq!(asked.results, 12);
    }

    #[test]
    fn command_is_read_whole() {
        let command: Command = read(COMMAND);
        assert_eq!(command.name, "suggest");
        assert_eq!(command.args, ["src/a.rs"]);
    }

    #[test]
    fn shutdown_is_read_whole() {
        let end: Shutdown = read(SHUTDOWN);
        assert_eq!((end.reason.as_str(), end.events), ("end", 5000));
    }

    #[test]
    fn document_of_an_events_file_may_be_sparse_and_have_more() {
        let commit: Commit = read(r#"{"message":"x","total":null,"later":{"a":1}}"#);
        assert_eq!(commit.subject(), "x");
        assert!(commit.files.is_empty());
        let init: Init = read(r#"{"repo":null,"total":null}"#);
        assert_eq!((init.repo, init.total), (None, None));
    }

    #[test]
    fn wrong_type_is_an_error_not_a_default() {
        assert!(serde_json::from_str::<Commit>(r#"{"message":7}"#).is_err());
        assert!(serde_json::from_str::<EdgeCreated>(r#"{"by":"com.x.y"}"#).is_err());
    }
}
