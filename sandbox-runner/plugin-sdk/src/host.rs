//! What a plugin may ask of the host. Each function needs the permission that
//! its first line names in the manifest's `host_api`; a module that uses one
//! without it is refused when it is loaded.
//!
//! All that one hook call writes is one transaction: kept if the hook answers
//! `Ok`, undone if it answers an error.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Code, Edge, EdgeQuery, Error, Node, NodeQuery, Page, Request, Response, imports};

/// The most records the host takes in one put.
const MOST_IN_A_PUT: usize = 256;

/// A put is sent on when it holds this many bytes, far below the host's cap for
/// one argument, so that a list of large records doesn't become `too big`.
const ENOUGH_BYTES: usize = 128 << 10;

/// The most bytes of an error's text.
const MOST_WHY: usize = 1 << 10;

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// `log:write`. Writes a line to this plugin's log. Lines over the host's rate
/// are dropped there and counted, so this can't fail.
pub fn log(level: Level, text: &str) {
    let level = match level {
        Level::Trace => 0,
        Level::Debug => 1,
        Level::Info => 2,
        Level::Warn => 3,
        Level::Error => 4,
    };
    imports::log(level, text.as_bytes());
}

/// `config:read`. The operator's value for `key`; none if there is no such key.
///
/// # Errors
/// [`Code::Denied`] if the manifest's `config` doesn't name the key;
/// [`Error::Document`] if the value isn't a `T`.
pub fn config_get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let status = imports::config_get(key.as_bytes());
    found(
        bytes("config_get", status).and_then(|value| read(&format!("the value of {key}"), &value)),
    )
}

/// `nodes:read`. The node with this id, if there is one.
///
/// # Errors
/// What the host answers.
pub fn node_get(id: &str) -> Result<Option<Node>, Error> {
    found(document("node_get", imports::node_get(id.as_bytes())))
}

/// `nodes:write`. Puts nodes, each replacing the one with its id; returns how
/// many are new. Any number: they are sent in as many calls as it takes.
///
/// # Errors
/// What the host answers: [`Code::Denied`] if a node is another plugin's. End
/// the hook with the error then, so that all of its writes are undone.
pub fn node_put(nodes: &[Node]) -> Result<u32, Error> {
    put("node_put", nodes, imports::node_put)
}

/// `nodes:read`. A page of the nodes that fit `query`.
///
/// # Errors
/// What the host answers.
pub fn node_query(query: &NodeQuery) -> Result<Page<Node>, Error> {
    let query = json("node_query", query)?;
    document("node_query", imports::node_query(&query))
}

/// `edges:read`. The edge with this key, if there is one.
///
/// # Errors
/// What the host answers.
pub fn edge_get(src: &str, dst: &str, kind: &str) -> Result<Option<Edge>, Error> {
    let key = serde_json::json!({ "src": src, "dst": dst, "kind": kind });
    let key = json("edge_get", &key)?;
    found(document("edge_get", imports::edge_get(&key)))
}

/// `edges:write`. Puts edges, each replacing the one with its key; returns how
/// many are new. Any number: they are sent in as many calls as it takes.
///
/// # Errors
/// As [`node_put`].
pub fn edge_put(edges: &[Edge]) -> Result<u32, Error> {
    put("edge_put", edges, imports::edge_put)
}

/// `edges:read`. A page of the edges that fit `query`.
///
/// # Errors
/// What the host answers.
pub fn edge_query(query: &EdgeQuery) -> Result<Page<Edge>, Error> {
    let query = json("edge_query", query)?;
    document("edge_query", imports::edge_query(&query))
}

/// `events:emit`. Records an event under `topic` (in the form of a node's kind)
/// for whoever reads the run; no plugin gets it. People are shown the field
/// `text` of `data`, if it has one.
///
/// # Errors
/// What the host answers.
pub fn event_emit(topic: &str, data: &Value) -> Result<(), Error> {
    let data = json("event_emit", data)?;
    let status = imports::event_emit(topic.as_bytes(), &data);
    checked("event_emit", status.into()).map(|_| ())
}

/// No permission. At most `max` bytes of a file of the package, from `offset`
/// on; fewer only at its end.
///
/// # Errors
/// [`Code::NotFound`] if the manifest's `files` doesn't name it.
pub fn asset_read(name: &str, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
    let call = "asset_read";
    let offset = i64::try_from(offset).map_err(|_| Error::Host {
        call,
        code: Code::Invalid,
    })?;
    bytes(call, imports::asset_read(name.as_bytes(), offset, max))
}

/// `filesystem`. Bytes of a granted file, such as `$REPO/docs/a.md`, from
/// `offset` on; fewer than `max` only at its end.
///
/// # Errors
/// [`Code::Denied`] outside the grant, [`Code::NotFound`], [`Code::Invalid`] for a
/// directory, [`Code::Io`].
pub fn file_read(path: &str, offset: u64, max: u32) -> Result<Vec<u8>, Error> {
    let call = "file_read";
    let status = imports::file_read(path.as_bytes(), signed(call, offset)?, max);
    bytes(call, status)
}

/// `filesystem`. The entries of a granted directory, sorted by name.
///
/// # Errors
/// As [`file_read`].
pub fn file_list(path: &str) -> Result<Vec<Entry>, Error> {
    let listed = bytes("file_list", imports::file_list(path.as_bytes()))?;
    read("a list of files", &listed)
}

/// `filesystem`. Writes to a file of `$DATA`, which is empty at each start.
///
/// # Errors
/// [`Code::Denied`] elsewhere, [`Code::Quota`] when `$DATA` is full.
pub fn file_write(path: &str, offset: u64, bytes: &[u8], how: Write) -> Result<(), Error> {
    let call = "file_write";
    let flags = u32::from(how.create) | u32::from(how.truncate) << 1;
    let status = imports::file_write(path.as_bytes(), signed(call, offset)?, bytes, flags);
    checked(call, status.into()).map(|_| ())
}

/// `storage`. The value of a key in this plugin's own storage, if it is there.
/// Storage is kept from run to run and seen by no other plugin.
///
/// # Errors
/// What the host answers.
pub fn storage_get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    found(bytes("storage_get", imports::storage_get(key.as_bytes())))
}

/// `storage`. The keys that begin with `prefix`, sorted by their bytes; all for an
/// empty one.
///
/// # Errors
/// [`Code::TooBig`] if the list is over the cap of a result.
pub fn storage_list(prefix: &str) -> Result<Vec<String>, Error> {
    let status = imports::storage_list(prefix.as_bytes());
    document("storage_list", status)
}

/// `storage`. Sets a value, in place of that of the same key.
///
/// # Errors
/// [`Code::Quota`] if keys and values are more bytes than the grant,
/// [`Code::TooBig`] above 64 KiB, [`Code::Invalid`] for a key that is empty or
/// above 256 bytes.
pub fn storage_set(key: &str, value: &[u8]) -> Result<(), Error> {
    let status = imports::storage_set(key.as_bytes(), value);
    checked("storage_set", status.into()).map(|_| ())
}

/// `storage`. Deletes a key; whether it was there.
///
/// # Errors
/// What the host answers.
pub fn storage_delete(key: &str) -> Result<bool, Error> {
    let status = imports::storage_delete(key.as_bytes());
    Ok(checked("storage_delete", status.into())? > 0)
}

/// `network`. Makes a request to a granted host; its time counts in the hook's own.
///
/// # Errors
/// [`Code::Denied`] outside the grant, [`Code::Invalid`] for a request of another
/// form, [`Code::TooBig`]; [`Code::Net`] for what was refused or failed. The last and
/// the second say why: [`Error::Told`].
pub fn http_request(request: &Request) -> Result<Response, Error> {
    let call = "http_request";
    let document = json(call, request)?;
    let status = imports::http_request(&document);
    match Code::of(status) {
        Some(code @ (Code::Net | Code::Invalid)) => Err(told(call, code)),
        _ => self::document(call, status),
    }
}

/// The error whose text is the result.
fn told(call: &'static str, code: Code) -> Error {
    let mut text = vec![0; MOST_WHY];
    let copied = usize::try_from(imports::result(&mut text)).unwrap_or(0);
    text.truncate(copied);
    let why = String::from_utf8_lossy(&text).into_owned();
    Error::Told { call, code, why }
}

/// How [`file_write`] treats the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Write {
    /// Make it if it isn't there.
    pub create: bool,
    /// Drop what it held.
    pub truncate: bool,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// `file`, `dir` or `other`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Length of a file.
    pub bytes: u64,
}

fn signed(call: &'static str, offset: u64) -> Result<i64, Error> {
    i64::try_from(offset).map_err(|_| Error::Host {
        call,
        code: Code::Invalid,
    })
}

/// `status`, unless it is one of the ABI's errors.
fn checked(call: &'static str, status: i64) -> Result<u64, Error> {
    match Code::of(status) {
        Some(code) => Err(Error::Host { call, code }),
        None => Ok(status.unsigned_abs()),
    }
}

/// Fetches the result that `status` announces.
fn bytes(call: &'static str, status: i64) -> Result<Vec<u8>, Error> {
    let internal = Error::Host {
        call,
        code: Code::Internal,
    };
    let Ok(length) = usize::try_from(checked(call, status)?) else {
        return Err(internal);
    };
    let mut result = vec![0; length];
    match usize::try_from(imports::result(&mut result)) {
        Ok(copied) if copied == length => Ok(result),
        _ => Err(internal),
    }
}

/// Fetches the result that `status` announces, as a document.
fn document<T: DeserializeOwned>(call: &'static str, status: i64) -> Result<T, Error> {
    read(&format!("the result of {call}"), &bytes(call, status)?)
}

/// Reads a document; `what` tells people which one.
fn read<T: DeserializeOwned>(what: &str, text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|source| Error::Document {
        what: what.to_owned(),
        source,
    })
}

/// Tells "there is none" from a failure.
fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.code() == Some(Code::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `value` as the argument of `call`.
fn json(call: &'static str, value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|source| Error::Document {
        what: format!("the argument of {call}"),
        source,
    })
}

/// Sends records in lists that the host takes; adds up what it answers.
fn put<T: Serialize>(
    call: &'static str,
    records: &[T],
    send: impl Fn(&[u8]) -> i32,
) -> Result<u32, Error> {
    let mut new: u32 = 0;
    let mut list = Vec::new();
    let mut listed = 0;
    for (position, record) in records.iter().enumerate() {
        list.push(if listed == 0 { b'[' } else { b',' });
        list.append(&mut json(call, record)?);
        listed += 1;
        let last = position + 1 == records.len();
        if last || listed == MOST_IN_A_PUT || list.len() >= ENOUGH_BYTES {
            list.push(b']');
            let created = checked(call, send(&list).into())?;
            new = new.saturating_add(u32::try_from(created).unwrap_or(u32::MAX));
            list.clear();
            listed = 0;
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Sends `nodes` to a stand-in for the host; returns what each call held.
    fn sent(nodes: &[Node]) -> (Vec<Vec<Node>>, u32) {
        let calls = RefCell::new(Vec::new());
        let new = put("node_put", nodes, |list| {
            let nodes: Vec<Node> = serde_json::from_slice(list).unwrap();
            let count = i32::try_from(nodes.len()).unwrap();
            calls.borrow_mut().push(nodes);
            count
        });
        (calls.into_inner(), new.unwrap())
    }

    #[test]
    fn long_list_is_put_in_calls_of_at_most_256_records() {
        let nodes: Vec<Node> = (0..600)
            .map(|number| Node::new(format!("n:{number}"), "n"))
            .collect();
        let (calls, new) = sent(&nodes);
        let sizes: Vec<usize> = calls.iter().map(Vec::len).collect();
        assert_eq!(sizes, [256, 256, 88]);
        assert_eq!(calls.concat(), nodes);
        assert_eq!(new, 600);
    }

    #[test]
    fn large_records_are_put_in_calls_below_the_cap() {
        let node = Node::new("n", "n").with("text", "x".repeat(16 << 10));
        let (calls, _) = sent(&vec![node; 20]);
        let sizes: Vec<usize> = calls.iter().map(Vec::len).collect();
        assert_eq!(sizes, [8, 8, 4]);
    }

    #[test]
    fn empty_list_is_no_call() {
        assert_eq!(sent(&[]), (vec![], 0));
    }

    #[test]
    fn refused_put_names_call_and_code() {
        let error = put("edge_put", &[Edge::new("a", "b", "k")], |_| -1).unwrap_err();
        assert_eq!(error.to_string(), "edge_put: denied");
    }

    #[test]
    fn absent_and_refused_are_told_apart() {
        let absent = found(document::<Value>("node_get", -2)).unwrap();
        assert_eq!(absent, None);
        let refused = found(document::<Value>("node_get", -1)).unwrap_err();
        assert_eq!(refused.code(), Some(Code::Denied));
    }

    #[test]
    fn without_a_host_every_call_is_an_internal_error() {
        let code = |error: Error| error.code();
        assert_eq!(node_get("a").map_err(code), Err(Some(Code::Internal)));
        assert_eq!(
            config_get::<u32>("a").map_err(code),
            Err(Some(Code::Internal))
        );
        assert_eq!(
            asset_read("a", 0, 1).map_err(code),
            Err(Some(Code::Internal))
        );
        assert_eq!(
            event_emit("a", &Value::Null).map_err(code),
            Err(Some(Code::Internal))
        );
        assert_eq!(storage_get("a").map_err(code), Err(Some(Code::Internal)));
        assert_eq!(storage_list("").map_err(code), Err(Some(Code::Internal)));
        assert_eq!(
            storage_set("a", b"1").map_err(code),
            Err(Some(Code::Internal))
        );
        assert_eq!(storage_delete("a").map_err(code), Err(Some(Code::Internal)));
    }
}
