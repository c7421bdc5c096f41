//! Answers host calls within the grant: checked, done, counted.
//!
//! What a plugin says here is hostile text until its form is checked. Its id
//! comes from the thread that serves it, never from a message.

use std::collections::BTreeMap;

use gm_protocol::abi::LogLevel;
use gm_protocol::plan::{Hook, HostOp};
use serde_json::{Value, json};

use crate::ending::Cause;
use crate::graph::{self, Call, Committed, Graph, HostError};
use crate::http::Fetched;
use crate::hub::{Event, Hub, MAX_DEPTH};
use crate::logs::{Accepted, LogFile, Rate, harmless};
use crate::plan::Walls;
use crate::records::{Kind, Recorder, Share, Source};
use crate::storage::{self, Storage, Unwritten};

/// The host's side of one plugin.
pub struct HostApi<'a> {
    source: &'a Source,
    index: usize,
    walls: &'a Walls,
    graph: &'a Graph,
    storage: Option<&'a Storage>,
    hub: &'a Hub,
    recorder: &'a Recorder<'a>,
    values: BTreeMap<String, Value>,
    log: LogFile,
    rate: Rate,
    share: Share,
    result_bytes: usize,
    next_id: u32,
    events: u64,
}

/// What a [`HostApi`] is made of.
pub struct Parts<'a> {
    /// For records.
    pub source: &'a Source,
    /// Index in the hub.
    pub index: usize,
    /// The grant.
    pub walls: &'a Walls,
    /// The graph that all plugins share.
    pub graph: &'a Graph,
    /// What the plugin keeps for itself, if that is granted.
    pub storage: Option<&'a Storage>,
    /// Takes derived events.
    pub hub: &'a Hub,
    /// Takes records.
    pub recorder: &'a Recorder<'a>,
    /// What `config_get` may show, before the grant is asked.
    pub values: BTreeMap<String, Value>,
    /// The plugin's own log.
    pub log: LogFile,
    /// How much it may log.
    pub rate: Rate,
    /// How much else it may make us write down.
    pub share: Share,
    /// Most bytes of a result.
    pub result_bytes: usize,
}

/// One hook call: its transaction, and what it will cause.
pub struct Open {
    graph: Option<Call>,
    storage: Option<storage::Call>,
    seq: Option<u64>,
    depth: u8,
    made: u32,
    first_id: u32,
    caused: Vec<Event>,
    /// How many events it will cause at most: puts do so when it is committed.
    told: u64,
}

impl Open {
    /// Checks that host calls are numbered without a gap: a repeated or
    /// skipped number is a broken link.
    pub fn expect_id(&mut self, id: u32) -> Result<(), Cause> {
        let expected = self.first_id.wrapping_add(self.made);
        self.made = self.made.wrapping_add(1);
        if id == expected {
            Ok(())
        } else {
            Err(Cause::Link("a host call out of order".into()))
        }
    }

    /// How many host calls were made.
    #[must_use]
    pub fn host_calls(&self) -> u32 {
        self.made
    }
}

impl<'a> HostApi<'a> {
    /// The host's side for one plugin's process.
    #[must_use]
    pub fn new(parts: Parts<'a>) -> Self {
        let Parts {
            source,
            index,
            walls,
            graph,
            storage,
            hub,
            recorder,
            values,
            log,
            rate,
            share,
            result_bytes,
        } = parts;
        Self {
            source,
            index,
            walls,
            graph,
            storage,
            hub,
            recorder,
            values,
            log,
            rate,
            share,
            result_bytes,
            next_id: 0,
            events: 0,
        }
    }

    /// A new process begins to count anew.
    pub fn restart(&mut self) {
        self.next_id = 0;
    }

    /// How many log lines a run may lose, and how many this one has lost.
    #[must_use]
    pub fn log_flood(&self) -> (u64, u64) {
        self.rate.flood()
    }

    /// Records what a hook answered.
    pub fn replied(&mut self, fields: Value) {
        let kind = (Kind::Reply, 0);
        self.recorder
            .caused(self.source, &mut self.share, kind, || fields);
    }

    /// A life is over: tells what of it was only counted.
    pub fn sum_up(&mut self) {
        self.recorder.sums(self.source, &mut self.share);
    }

    /// How many source events the plugin was given.
    #[must_use]
    pub fn events_seen(&self) -> u64 {
        self.events
    }

    /// Before any hook: only the log answers.
    #[must_use]
    pub fn outside(&self) -> Open {
        Open {
            graph: None,
            storage: None,
            seq: None,
            depth: 0,
            made: 0,
            first_id: self.next_id,
            caused: Vec::new(),
            told: 0,
        }
    }

    /// Opens the transaction of one hook call.
    #[must_use]
    pub fn open(&mut self, event: &Event, seq: Option<u64>) -> Open {
        if event.depth == 0 && event.seq > 0 {
            self.events += 1;
            self.share.event();
        }
        Open {
            graph: Some(self.graph.begin(&self.source.id, self.result_bytes)),
            storage: self.storage.map(|kept| kept.begin(self.result_bytes)),
            seq,
            depth: event.depth,
            ..self.outside()
        }
    }

    /// A hook call is over, however it ended.
    pub fn close(&mut self, open: &Open) {
        self.next_id = open.first_id.wrapping_add(open.made);
    }

    /// The hook answered ok: what it put is kept, and others hear of it. An
    /// error is the call's answer then.
    ///
    /// Graph and storage are two files, which no commit joins. So all that can be
    /// refused is asked first, then the graph is committed, then the storage: a
    /// storage that fails in this very last step (its disk is full) lacks what the
    /// graph has, never the other way round, and the plugin does it again.
    ///
    /// # Errors
    /// What was not kept, for people: nothing of the call, or in that one case its
    /// storage.
    pub fn commit(&self, open: Open) -> Result<(), String> {
        let Open {
            graph,
            storage,
            seq,
            depth,
            mut caused,
            ..
        } = open;
        let commit_graph = || match graph {
            Some(graph) => graph.commit().map_err(Unkept::Graph),
            None => Ok(Committed::default()),
        };
        let done = match storage {
            Some(storage) => storage.commit(commit_graph),
            None => commit_graph().map(|committed| (committed, Ok(()))),
        };
        let (committed, stored) = done.map_err(|error| error.to_string())?;
        self.derive(&committed, seq, depth, &mut caused);
        // Calls that would cause too many were answered `limit` before.
        self.hub.push_derived(self.index, caused);
        stored.map_err(|error| format!("{error}; what was put into the graph is kept"))
    }

    fn derive(&self, committed: &Committed, seq: Option<u64>, depth: u8, caused: &mut Vec<Event>) {
        let (edges, nodes) = (&committed.created_edges, &committed.updated_nodes);
        if !edges.is_empty() && self.hub.wanted(self.index, Hook::OnEdgeCreated) {
            for edge in edges {
                let document = graph::edge_created(edge, &self.source.id);
                caused.push(derived(Hook::OnEdgeCreated, seq, depth, document));
            }
        }
        if !nodes.is_empty() && self.hub.wanted(self.index, Hook::OnNodeUpdated) {
            for change in nodes {
                let document =
                    graph::node_updated(&change.node, change.old.as_ref(), &self.source.id);
                caused.push(derived(Hook::OnNodeUpdated, seq, depth, document));
            }
        }
    }

    /// Whether a host call may be made now, and is granted; a denial is recorded.
    fn may(&mut self, open: &Open, op: HostOp, a: &[u8]) -> Result<bool, Cause> {
        if op != HostOp::Log && open.graph.is_none() {
            return Err(Cause::Link("a host call while no hook runs".into()));
        }
        if self.walls.ops.has(op) {
            return Ok(true);
        }
        // What comes here of files is outside of every grant.
        match op.is_file() {
            true => self.denied(open, op, &harmless(a.get(..256).unwrap_or(a))),
            false => self.denied(open, op, op.permission()),
        }
        Ok(false)
    }

    /// Answers a request by what `fetch` makes of it, if it is granted at all.
    ///
    /// # Errors
    /// A broken rule of the link, and what `fetch` says.
    pub fn answer_request(
        &mut self,
        open: &Open,
        document: &[u8],
        fetch: impl FnOnce(&[u8]) -> Result<Fetched, Cause>,
    ) -> Result<(i64, Vec<u8>), Cause> {
        let op = HostOp::HttpRequest;
        let denied = (status(&HostError::Denied), Vec::new());
        if !self.may(open, op, document)? {
            return Ok(denied);
        }
        match fetch(document)? {
            Fetched::Done(status, result) => Ok((status, result)),
            Fetched::Denied(what) => {
                let what = what.get(..256).unwrap_or(&what);
                self.denied(open, op, &harmless(what));
                Ok(denied)
            }
        }
    }

    /// Answers one host call: the ABI's status and the result.
    pub fn answer(
        &mut self,
        open: &mut Open,
        op: HostOp,
        level: u8,
        a: &[u8],
        b: &[u8],
    ) -> Result<(i64, Vec<u8>), Cause> {
        if !self.may(open, op, a)? {
            return Ok((status(&HostError::Denied), Vec::new()));
        }
        let done = match op {
            HostOp::Log => return self.log(open, level, a),
            HostOp::ConfigGet => self.config_get(open, a),
            HostOp::EventEmit => self.event_emit(open, a, b),
            storage if storage.is_storage() => Self::storage(open, storage, a, b),
            graph => self.graph(open, graph, a),
        };
        Ok(match done {
            Ok(done) => done,
            Err(error) => {
                if matches!(error, HostError::Denied) && op != HostOp::ConfigGet {
                    self.denied(open, op, &harmless(a.get(..256).unwrap_or(a)));
                }
                (status(&error), Vec::new())
            }
        })
    }

    fn graph(&self, open: &mut Open, op: HostOp, a: &[u8]) -> Result<(i64, Vec<u8>), HostError> {
        let told = caused_by(op).filter(|hook| self.hub.wanted(self.index, *hook));
        let room = self.room(open, told);
        let text = text(a)?;
        let Some(call) = open.graph.as_mut() else {
            return Err(HostError::Internal);
        };
        match op {
            HostOp::NodePut | HostOp::EdgePut => {
                let put = match op {
                    HostOp::NodePut => call.put_nodes(text, room)?,
                    _ => call.put_edges(text, room)?,
                };
                open.told += if told.is_some() { put.told } else { 0 };
                Ok((i64::from(put.created), Vec::new()))
            }
            _ if room == 0 => Err(HostError::Limit),
            _ => {
                let (result, document) = read(call, op, text, &self.source.id)?;
                // Told to those who hook it when the call is committed.
                if let (Some(hook), Some(document)) = (told, document) {
                    open.told += 1;
                    open.caused
                        .push(derived(hook, open.seq, open.depth, document));
                }
                with_length(result.into_bytes())
            }
        }
    }

    /// How many more events a call may cause for `hook`; any number if nobody
    /// hears of it.
    fn room(&self, open: &Open, hook: Option<Hook>) -> u64 {
        match hook {
            None => u64::MAX,
            Some(_) if open.depth >= MAX_DEPTH => 0,
            Some(_) => self.hub.room(open.seq.unwrap_or(0), open.told),
        }
    }

    fn storage(
        open: &mut Open,
        op: HostOp,
        a: &[u8],
        b: &[u8],
    ) -> Result<(i64, Vec<u8>), HostError> {
        let Some(call) = open.storage.as_mut() else {
            return Err(HostError::Internal);
        };
        match op {
            HostOp::StorageGet => with_length(call.get(a)?),
            HostOp::StorageList => with_length(call.list(a)?.into_bytes()),
            HostOp::StorageSet => call.set(a, b).map(|()| (0, Vec::new())),
            HostOp::StorageDelete => Ok((i64::from(call.delete(a)?), Vec::new())),
            _ => Err(HostError::Internal),
        }
    }

    fn config_get(&mut self, open: &Open, key: &[u8]) -> Result<(i64, Vec<u8>), HostError> {
        let key = text(key)?;
        if !self.walls.may_read_config(key) {
            self.denied(open, HostOp::ConfigGet, &harmless(key.as_bytes()));
            return Err(HostError::Denied);
        }
        let value = self.values.get(key).ok_or(HostError::NotFound)?;
        with_length(value.to_string().into_bytes())
    }

    fn event_emit(
        &mut self,
        open: &Open,
        topic: &[u8],
        data: &[u8],
    ) -> Result<(i64, Vec<u8>), HostError> {
        let topic = text(topic)?;
        graph::check_kind(topic)?;
        if data.len() > self.result_bytes {
            return Err(HostError::TooBig);
        }
        let len = topic.len() + data.len();
        let data: Value = serde_json::from_slice(data).map_err(|_| HostError::Invalid)?;
        if !data.is_object() {
            return Err(HostError::Invalid);
        }
        let kind = (Kind::Emitted, len);
        let fields = || json!({"topic": topic, "data": data, "seq": open.seq});
        if self
            .recorder
            .caused(self.source, &mut self.share, kind, fields)
        {
            let shown = match data.get("text").and_then(Value::as_str) {
                Some(text) => text.to_owned(),
                None => data.to_string(),
            };
            let shown = crate::output::escape::one_line(&shown);
            let line = format!("{} │ {topic} {shown}", self.source.id);
            self.recorder.say(|output| output.line(&line));
        }
        Ok((0, Vec::new()))
    }

    fn log(&mut self, open: &Open, level: u8, text: &[u8]) -> Result<(i64, Vec<u8>), Cause> {
        let Some(level) = LogLevel::of_number(level) else {
            return Err(Cause::Link("a log line of an unknown level".into()));
        };
        let shown = harmless(text);
        match self.rate.accept(shown.len()) {
            Accepted::Line { dropped } => {
                let fields = json!({"level": level.as_str(), "text": shown, "seq": open.seq, "dropped": dropped});
                self.recorder.log(self.source, &mut self.log, fields);
                Ok((0, Vec::new()))
            }
            Accepted::Dropped => Ok((0, Vec::new())),
            Accepted::Flood => Err(Cause::LogFlood),
        }
    }

    fn denied(&mut self, open: &Open, op: HostOp, what: &str) {
        let fields = || {
            json!({
                "call": op.as_str(),
                "code": "denied",
                "what": what,
                "manifest_line": self.walls.line_for(op),
                "seq": open.seq,
            })
        };
        let kind = (Kind::Denied(op), 0);
        self.recorder
            .caused(self.source, &mut self.share, kind, fields);
    }
}

/// An event that a call of `depth` causes.
fn derived(hook: Hook, seq: Option<u64>, depth: u8, document: String) -> Event {
    Event {
        hook,
        seq: seq.unwrap_or(0),
        subject: None,
        depth: depth.saturating_add(1),
        document: document.into_bytes(),
    }
}

fn text(bytes: &[u8]) -> Result<&str, HostError> {
    std::str::from_utf8(bytes).map_err(|_| HostError::Invalid)
}

/// The hook that other plugins may have for what this call does.
fn caused_by(op: HostOp) -> Option<Hook> {
    match op {
        HostOp::NodeGet => Some(Hook::OnNodeAccessed),
        HostOp::NodePut => Some(Hook::OnNodeUpdated),
        HostOp::EdgePut => Some(Hook::OnEdgeCreated),
        HostOp::NodeQuery | HostOp::EdgeQuery => Some(Hook::OnGraphQuery),
        HostOp::EdgeGet
        | HostOp::Log
        | HostOp::ConfigGet
        | HostOp::EventEmit
        | HostOp::FileRead
        | HostOp::FileList
        | HostOp::FileWrite
        | HostOp::StorageGet
        | HostOp::StorageList
        | HostOp::StorageSet
        | HostOp::StorageDelete
        | HostOp::HttpRequest => None,
    }
}

/// What a call reads of the graph: its result, and the document for those who
/// hook such reads.
fn read(
    call: &Call,
    op: HostOp,
    text: &str,
    by: &str,
) -> Result<(String, Option<String>), HostError> {
    let (of, page) = match op {
        HostOp::NodeGet => {
            return Ok((call.node_get(text)?, Some(graph::node_accessed(text, by))));
        }
        HostOp::EdgeGet => return Ok((call.edge_get(text)?, None)),
        HostOp::NodeQuery => ("node", call.node_query(text)?),
        HostOp::EdgeQuery => ("edge", call.edge_query(text)?),
        HostOp::NodePut
        | HostOp::EdgePut
        | HostOp::Log
        | HostOp::ConfigGet
        | HostOp::EventEmit
        | HostOp::FileRead
        | HostOp::FileList
        | HostOp::FileWrite
        | HostOp::StorageGet
        | HostOp::StorageList
        | HostOp::StorageSet
        | HostOp::StorageDelete
        | HostOp::HttpRequest => return Err(HostError::Internal),
    };
    let document = graph::graph_query(of, text, page.results, by);
    Ok((page.json, Some(document)))
}

/// What of a call could not be kept.
#[derive(Debug, thiserror::Error)]
enum Unkept {
    #[error("the graph could not be written: {0}")]
    Graph(HostError),
    #[error(transparent)]
    Storage(#[from] Unwritten),
}

fn with_length(result: Vec<u8>) -> Result<(i64, Vec<u8>), HostError> {
    let len = i64::try_from(result.len()).map_err(|_| HostError::TooBig)?;
    Ok((len, result))
}

fn status(error: &HostError) -> i64 {
    i64::from(error.code())
}
