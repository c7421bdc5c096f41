//! The graph's connections, and the statements on nodes and edges.

use super::call::Call;
use super::claims::Claims;
use super::file::FORM;
use super::record::{Edge, EdgeKey, Node, Record};
use super::{HostError, dump};
use crate::database::Access;
use gm_manifest::Refusal;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An open graph; a clone is the same one.
#[derive(Clone)]
pub struct Graph(pub(super) Arc<Store>);

/// Where the graph is kept, and what is about to be written.
pub(super) struct Store {
    writing: Mutex<Connection>,
    /// Readers of a file wait for nobody; a graph in memory has the one
    /// connection for all.
    reading: Option<Readers>,
    pub(super) claims: Claims,
}

struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Graph {
    /// Opens the graph in a file, or makes the file (mode 0600) in a directory
    /// that is there.
    ///
    /// # Errors
    /// `source/graph`: not ours, a link, of a newer schema, or not writable.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        let path = FORM.place(path)?;
        FORM.make(&path)?;
        let writing = FORM.open(&path, Access::Write)?;
        Ok(Self::with(writing, Some(path)))
    }

    /// Opens the graph in a file that is there, to look at it; a put is never
    /// committed.
    ///
    /// # Errors
    /// `source/graph`: not there, not ours, a link, or of a newer schema.
    pub fn open_read_only(path: &Path) -> Result<Self, Refusal> {
        let path = FORM.place(path)?;
        FORM.must_be(&path)?;
        Ok(Self::with(FORM.open(&path, Access::Read)?, None))
    }

    /// A graph that is gone with the process.
    ///
    /// # Errors
    /// `source/graph`: no memory.
    pub fn in_memory() -> Result<Self, Refusal> {
        Ok(Self::with(FORM.in_memory()?, None))
    }

    fn with(writing: Connection, path: Option<PathBuf>) -> Self {
        let reading = path.map(|path| Readers {
            path,
            idle: Mutex::default(),
        });
        Self(Arc::new(Store {
            writing: Mutex::new(writing),
            reading,
            claims: Claims::default(),
        }))
    }

    /// Begins one hook call of a plugin. `reply_limit` bounds each result of a
    /// query, in bytes.
    #[must_use]
    pub fn begin(&self, writer: &str, reply_limit: usize) -> Call {
        Call::new(self.0.clone(), Arc::from(writer), reply_limit)
    }

    /// Writes all nodes, then all edges, sorted by the bytes of their keys, as
    /// canonical JSON, one a line: equal graphs give equal bytes. `kind` leaves
    /// out all others, `with_writer` = false the writers.
    ///
    /// # Errors
    /// Of `out`; or the graph can't be read.
    pub fn dump(
        &self,
        out: &mut dyn std::io::Write,
        kind: Option<&str>,
        with_writer: bool,
    ) -> std::io::Result<()> {
        let result = self
            .0
            .read(|connection| Ok(dump::write(connection, out, kind, with_writer)));
        result.map_err(std::io::Error::other)?
    }
}

impl Store {
    /// Uses a connection to read; other readers of a file go on meanwhile.
    pub(super) fn read<T>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        let Some(readers) = &self.reading else {
            return f(&lock(&self.writing));
        };
        let idle = lock(&readers.idle).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => FORM
                .open(&readers.path, Access::Read)
                .map_err(|_| HostError::Io)?,
        };
        let result = f(&connection);
        lock(&readers.idle).push(connection);
        result
    }

    /// The one connection that writes.
    pub(super) fn writing(&self) -> MutexGuard<'_, Connection> {
        lock(&self.writing)
    }
}

/// A panic elsewhere spoils nothing: a transaction is rolled back on its way out.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a record is kept.
pub(super) trait Stored: Record {
    /// Its columns in the order of [`Stored::of_row`], without the writer.
    const COLUMNS: &'static str;
    const TABLE: &'static str;

    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self>;

    /// The record of this key, and who wrote it.
    fn find(connection: &Connection, key: &Self::Key) -> rusqlite::Result<Option<(Self, String)>>;

    /// Whether others hear of it where this was before.
    fn is_told(&self, before: Option<&Self>) -> bool;

    /// Puts it in, or in the place of that of the same key.
    fn store(&self, connection: &Connection, writer: &str) -> rusqlite::Result<()>;
}

impl Stored for Node {
    const COLUMNS: &'static str = "id, kind, data";
    const TABLE: &'static str = "node";

    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            kind: row.get(1)?,
            data: row.get(2)?,
        })
    }

    fn find(connection: &Connection, key: &String) -> rusqlite::Result<Option<(Self, String)>> {
        let mut query =
            connection.prepare_cached("SELECT id, kind, data, writer FROM node WHERE id = ?1")?;
        query
            .query_row([key], |row| Ok((Self::of_row(row)?, row.get(3)?)))
            .optional()
    }

    fn is_told(&self, before: Option<&Self>) -> bool {
        before.is_none_or(|before| before != self)
    }

    fn store(&self, connection: &Connection, writer: &str) -> rusqlite::Result<()> {
        let mut put = connection
            .prepare_cached("REPLACE INTO node (id, kind, data, writer) VALUES (?1, ?2, ?3, ?4)")?;
        put.execute([&self.id, &self.kind, &self.data, writer])
            .map(drop)
    }
}

impl Stored for Edge {
    const COLUMNS: &'static str = "src, dst, kind, weight, data";
    const TABLE: &'static str = "edge";

    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let key = EdgeKey {
            src: row.get(0)?,
            dst: row.get(1)?,
            kind: row.get(2)?,
        };
        Ok(Self {
            key,
            weight: row.get(3)?,
            data: row.get(4)?,
        })
    }

    fn find(connection: &Connection, key: &EdgeKey) -> rusqlite::Result<Option<(Self, String)>> {
        let mut query = connection.prepare_cached(
            "SELECT src, dst, kind, weight, data, writer FROM edge WHERE src = ?1 AND dst = ?2 AND kind = ?3",
        )?;
        let key = [&key.src, &key.dst, &key.kind];
        query
            .query_row(key, |row| Ok((Self::of_row(row)?, row.get(5)?)))
            .optional()
    }

    fn is_told(&self, before: Option<&Self>) -> bool {
        before.is_none()
    }

    fn store(&self, connection: &Connection, writer: &str) -> rusqlite::Result<()> {
        let mut put = connection.prepare_cached(
            "REPLACE INTO edge (src, dst, kind, weight, data, writer) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let EdgeKey { src, dst, kind } = &self.key;
        put.execute(params![src, dst, kind, self.weight, self.data, writer])
            .map(drop)
    }
}
