//! One hook call's view of the graph: all that is there, and what it has put.
//!
//! Puts are kept apart until the hook has answered well, and are then written
//! in one transaction; a call that is dropped has changed nothing. Nothing is
//! locked between two host calls, so plugins never wait for each other.

use super::HostError;
use super::claims::ClaimKey;
use super::page::{self, Page};
use super::query::{EdgeQuery, NodeQuery};
use super::record::{Edge, EdgeKey, Node, Record, check_id};
use super::store::{Store, Stored};
use rusqlite::TransactionBehavior;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most records of one put.
const MAX_PUT: usize = 256;

/// The most that the puts of one call may hold until it is committed, in bytes
/// of memory. Room for some hundred thousand edges; without it a plugin could
/// fill the broker's memory instead of its own.
const MAX_CALL_BYTES: usize = 32 << 20;

/// An open call. Dropped without [`Call::commit`] it has never been.
pub struct Call {
    store: Arc<Store>,
    writer: Arc<str>,
    reply_limit: usize,
    nodes: BTreeMap<String, Node>,
    edges: BTreeMap<EdgeKey, Edge>,
    bytes: usize,
}

/// What a put came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Put {
    /// Records that were not there before.
    pub created: u32,
    /// The most that others will hear of it.
    pub told: u64,
}

/// A node that a call made or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeChange {
    /// As it is now.
    pub node: Node,
    /// As it was; `None` if it is new.
    pub old: Option<Node>,
}

/// What a committed call has changed, in the order of keys. A record that was
/// put as it already was is no change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Edges that were not there before.
    pub created_edges: Vec<Edge>,
    /// Nodes that are new or differ.
    pub updated_nodes: Vec<NodeChange>,
}

impl Call {
    pub(super) fn new(store: Arc<Store>, writer: Arc<str>, reply_limit: usize) -> Self {
        Self {
            store,
            writer,
            reply_limit,
            nodes: BTreeMap::new(),
            edges: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// The document of a node.
    ///
    /// # Errors
    /// `not_found`, `invalid`, `io`.
    pub fn node_get(&self, id: &str) -> Result<String, HostError> {
        check_id(id)?;
        get(&self.store, &self.nodes, &id.to_owned())
    }

    /// The document of the edge `{"src","dst","kind"}`.
    ///
    /// # Errors
    /// `not_found`, `invalid`, `io`.
    pub fn edge_get(&self, json: &str) -> Result<String, HostError> {
        get(&self.store, &self.edges, &EdgeKey::parse(json)?)
    }

    /// Puts a node, or an array of at most 256, all or none. Gives how many
    /// were not there before.
    ///
    /// # Errors
    /// `denied` (another writer's), `invalid`, `too_big`, `limit`, `io`.
    pub fn node_put(&mut self, json: &str) -> Result<u32, HostError> {
        self.put_nodes(json, u64::MAX).map(|put| put.created)
    }

    /// The same with edges.
    ///
    /// # Errors
    /// As [`Call::node_put`].
    pub fn edge_put(&mut self, json: &str) -> Result<u32, HostError> {
        self.put_edges(json, u64::MAX).map(|put| put.created)
    }

    /// As [`Call::node_put`], where others hear of each node that is new or
    /// changed, and may hear of `room` more.
    ///
    /// # Errors
    /// As [`Call::node_put`].
    pub fn put_nodes(&mut self, json: &str, room: u64) -> Result<Put, HostError> {
        put(
            &self.store,
            &self.writer,
            &mut self.nodes,
            &mut self.bytes,
            json,
            room,
        )
    }

    /// As [`Call::edge_put`], where others hear of each new edge, and may hear of
    /// `room` more.
    ///
    /// # Errors
    /// As [`Call::node_put`].
    pub fn put_edges(&mut self, json: &str, room: u64) -> Result<Put, HostError> {
        put(
            &self.store,
            &self.writer,
            &mut self.edges,
            &mut self.bytes,
            json,
            room,
        )
    }

    /// A page of the nodes that a query asks for.
    ///
    /// # Errors
    /// `invalid`, `too_big` (not even one item fits), `io`.
    pub fn node_query(&self, json: &str) -> Result<Page, HostError> {
        let query = NodeQuery::parse(json)?;
        self.store
            .read(|connection| page::of(connection, &query, &self.nodes, self.reply_limit))
    }

    /// A page of the edges that a query asks for.
    ///
    /// # Errors
    /// As [`Call::node_query`].
    pub fn edge_query(&self, json: &str) -> Result<Page, HostError> {
        let query = EdgeQuery::parse(json)?;
        self.store
            .read(|connection| page::of(connection, &query, &self.edges, self.reply_limit))
    }

    /// Writes all that was put, in one transaction.
    ///
    /// # Errors
    /// `denied`: another process has written one of the records meanwhile as
    /// another writer; `io`. Nothing was written then.
    pub fn commit(self) -> Result<Committed, HostError> {
        let mut committed = Committed::default();
        if self.nodes.is_empty() && self.edges.is_empty() {
            return Ok(committed);
        }
        let mut connection = self.store.writing();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for node in self.nodes.values() {
            if let Some(old) = write(&transaction, node, &self.writer)? {
                committed.updated_nodes.push(NodeChange {
                    node: node.clone(),
                    old,
                });
            }
        }
        for edge in self.edges.values() {
            if let Some(None) = write(&transaction, edge, &self.writer)? {
                committed.created_edges.push(edge.clone());
            }
        }
        transaction.commit()?;
        Ok(committed)
    }
}

/// Claims outlive the commit: whoever claims a key next must see what was written.
impl Drop for Call {
    fn drop(&mut self) {
        let nodes = std::mem::take(&mut self.nodes)
            .into_keys()
            .map(ClaimKey::from);
        let edges = std::mem::take(&mut self.edges)
            .into_keys()
            .map(ClaimKey::from);
        self.store.claims.release(nodes.chain(edges));
    }
}

fn get<R: Stored>(
    store: &Store,
    own: &BTreeMap<R::Key, R>,
    key: &R::Key,
) -> Result<String, HostError> {
    if let Some(record) = own.get(key) {
        return Ok(record.json());
    }
    let found = store.read(|connection| Ok(R::find(connection, key)?))?;
    found
        .map(|(record, _)| record.json())
        .ok_or(HostError::NotFound)
}

fn put<R: Stored>(
    store: &Store,
    writer: &Arc<str>,
    own: &mut BTreeMap<R::Key, R>,
    bytes: &mut usize,
    json: &str,
    room: u64,
) -> Result<Put, HostError>
where
    ClaimKey: From<R::Key>,
{
    let records = parse::<R>(json)?;
    let total = records
        .iter()
        .fold(*bytes, |sum, record| sum.saturating_add(record.cost()));
    if total > MAX_CALL_BYTES {
        return Err(HostError::Limit);
    }
    // Of those with one key the last one counts.
    let records: BTreeMap<_, _> = records.into_iter().map(|each| (each.key(), each)).collect();
    let fresh = records.keys().filter(|key| !own.contains_key(key));
    let claims: Vec<_> = fresh.cloned().map(ClaimKey::from).collect();
    // First the claim, then the look at the file: a call that commits in
    // between is seen by one of them.
    if !store.claims.take(writer, &claims) {
        return Err(HostError::Denied);
    }
    let counted = count::<R>(store, writer, own, &records);
    match counted {
        Ok(put) if put.told <= room => {
            own.extend(records);
            *bytes = total;
            Ok(put)
        }
        refused => {
            store.claims.release(claims.into_iter());
            Err(refused.err().unwrap_or(HostError::Limit))
        }
    }
}

/// One record, or an array of them.
fn parse<R: Record>(json: &str) -> Result<Vec<R>, HostError> {
    if !json.trim_start().starts_with('[') {
        return Ok(vec![R::parse(json)?]);
    }
    let items: Vec<&RawValue> = serde_json::from_str(json).map_err(|_| HostError::Invalid)?;
    if items.len() > MAX_PUT {
        return Err(HostError::Limit);
    }
    items.into_iter().map(|item| R::parse(item.get())).collect()
}

/// How many of the records are not there yet, and how many change something.
fn count<R: Stored>(
    store: &Store,
    writer: &str,
    own: &BTreeMap<R::Key, R>,
    records: &BTreeMap<R::Key, R>,
) -> Result<Put, HostError> {
    store.read(|connection| {
        let mut put = Put::default();
        for (key, record) in records {
            if let Some(before) = own.get(key) {
                put.told += u64::from(record.is_told(Some(before)));
                continue;
            }
            let before = match R::find(connection, key)? {
                Some((_, owner)) if owner != writer => return Err(HostError::Denied),
                found => found.map(|(before, _)| before),
            };
            put.created += u32::from(before.is_none());
            put.told += u64::from(record.is_told(before.as_ref()));
        }
        Ok(put)
    })
}

/// Writes a record unless it is there as it is: `None` if so, else what was
/// there. The writer is asked again, since another process may share the file.
#[expect(
    clippy::option_option,
    reason = "no change, or a change with or without an old record"
)]
fn write<R: Stored>(
    connection: &rusqlite::Connection,
    record: &R,
    writer: &str,
) -> Result<Option<Option<R>>, HostError> {
    let old = match R::find(connection, &record.key())? {
        Some((_, owner)) if owner != writer => return Err(HostError::Denied),
        Some((old, _)) if old == *record => return Ok(None),
        Some((old, _)) => Some(old),
        None => None,
    };
    record.store(connection, writer)?;
    Ok(Some(old))
}

#[cfg(test)]
mod tests;
