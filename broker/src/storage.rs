//! What a plugin keeps for itself from run to run: keys and values in SQLite, a
//! file for each plugin's id, that no other plugin can name.
//!
//! As with the graph, a hook's call changes nothing until it is committed. The
//! quota counts the bytes of keys and values; the file itself takes more.

mod call;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gm_manifest::{Code, PluginId, Refusal};
use rusqlite::Connection;

use crate::database::{Access, Form};
use crate::home::Dir;
pub use call::{Call, Unwritten};

const FORM: Form = Form {
    name: "storage",
    code: Code::StoreCorrupt,
    // `GMST`
    application_id: 0x474D_5354,
    version: 1,
    tables: &[
        // Blobs: a key is sorted and counted by its bytes, whatever they are.
        "CREATE TABLE item (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
        // Its one row is the sum of all lengths, so that nobody need add them up.
        "CREATE TABLE used (bytes INTEGER NOT NULL) STRICT",
    ],
    content: "INSERT INTO used (bytes) VALUES (0)",
};

/// The open storage of one plugin; a clone is the same one.
#[derive(Clone)]
pub struct Storage(Arc<Store>);

struct Store {
    connection: Mutex<Connection>,
    quota: u64,
}

impl Storage {
    /// Opens the storage of a plugin in this directory, or makes it. It holds
    /// `quota` bytes; what is over that since the quota was lowered stays, but
    /// can't grow.
    ///
    /// # Errors
    /// `store/corrupt`: not ours, a link, of a newer schema, or not writable.
    pub fn open(dir: &Path, id: &PluginId, quota: u64) -> Result<Self, Refusal> {
        let path = FORM.place(&dir.join(format!("{id}.db")))?;
        FORM.make(&path)?;
        let connection = FORM.open(&path, Access::Write)?;
        Ok(Self(Arc::new(Store {
            connection: Mutex::new(connection),
            quota,
        })))
    }

    /// Drops what a plugin kept in this directory.
    ///
    /// # Errors
    /// Class `store`.
    pub fn forget(dir: &Dir, id: &PluginId) -> Result<(), Refusal> {
        for end in ["db", "db-wal", "db-shm"] {
            dir.remove(format!("{id}.{end}"))?;
        }
        Ok(())
    }

    /// Begins one hook call. `reply_limit` bounds each result, in bytes.
    #[must_use]
    pub fn begin(&self, reply_limit: usize) -> Call {
        Call::new(Arc::clone(&self.0), reply_limit)
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage")
            .field("quota", &self.0.quota)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// A panic elsewhere spoils nothing: a transaction is rolled back on its way out.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
