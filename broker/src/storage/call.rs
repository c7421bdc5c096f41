//! One hook call's view of a plugin's storage: what is kept, and what the call
//! has changed, which is written when it is committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::Store;
use crate::graph::HostError;

/// The most bytes of a key.
const MAX_KEY: usize = 256;
/// The most bytes of a value.
const MAX_VALUE: usize = 64 << 10;
/// What a change takes beside its bytes, in memory.
const OVERHEAD: usize = 128;
/// The most that the changes of one call may hold until it is committed, in bytes
/// of memory: without it a plugin could fill the broker's instead of its own.
const MAX_CALL_BYTES: usize = 32 << 20;

/// An open call. Dropped without [`Call::commit`] it has never been.
pub struct Call {
    store: Arc<Store>,
    reply_limit: usize,
    /// Values that were set; none = the key was deleted.
    changes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Memory that they take.
    held: usize,
    /// What they add to the sum of all lengths.
    growth: i64,
}

impl Call {
    pub(super) fn new(store: Arc<Store>, reply_limit: usize) -> Self {
        Self {
            store,
            reply_limit,
            changes: BTreeMap::new(),
            held: 0,
            growth: 0,
        }
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `not_found`, `invalid`, `too_big` (over the cap of a result), `io`.
    pub fn get(&self, key: &[u8]) -> Result<Vec<u8>, HostError> {
        check_key(key)?;
        let value = match self.changes.get(key) {
            Some(changed) => changed.clone(),
            None => find(&self.store.lock(), key)?,
        };
        let value = value.ok_or(HostError::NotFound)?;
        if value.len() > self.reply_limit {
            return Err(HostError::TooBig);
        }
        Ok(value)
    }

    /// The keys that begin with `prefix`, sorted by their bytes, as a JSON list.
    ///
    /// # Errors
    /// `invalid`, `too_big` (over the cap of a result: ask for a longer
    /// prefix), `io`.
    pub fn list(&self, prefix: &[u8]) -> Result<String, HostError> {
        if !prefix.is_empty() {
            check_key(prefix)?;
        }
        let mut keys = self.kept(prefix)?;
        let changed = self.changes.range(prefix.to_vec()..);
        let changed = changed.take_while(|(key, _)| key.starts_with(prefix));
        keys.extend(
            changed
                .filter(|(_, value)| value.is_some())
                .map(|(key, _)| key.clone()),
        );
        keys.sort_unstable();
        let texts: Result<Vec<_>, _> = keys.into_iter().map(String::from_utf8).collect();
        // Only texts were ever set.
        let texts = texts.map_err(|_| HostError::Io)?;
        let json = serde_json::to_string(&texts).map_err(|_| HostError::Internal)?;
        if json.len() > self.reply_limit {
            return Err(HostError::TooBig);
        }
        Ok(json)
    }

    /// Keys with this prefix that are in the file and were not changed.
    fn kept(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, HostError> {
        let connection = self.store.lock();
        let mut query =
            connection.prepare_cached("SELECT key FROM item WHERE key >= ?1 ORDER BY key")?;
        let mut rows = query.query([prefix])?;
        let (mut keys, mut bytes) = (Vec::new(), 0_usize);
        while let Some(row) = rows.next()? {
            let key: Vec<u8> = row.get(0)?;
            if !key.starts_with(prefix) {
                break;
            }
            if self.changes.contains_key(&key) {
                continue;
            }
            bytes = bytes.saturating_add(key.len());
            if bytes > self.reply_limit {
                return Err(HostError::TooBig);
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// Sets a value, in place of that of the same key.
    ///
    /// # Errors
    /// `invalid`, `too_big`, `quota`, `limit` (more in one call than can be held),
    /// `io`.
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), HostError> {
        check_key(key)?;
        if value.len() > MAX_VALUE {
            return Err(HostError::TooBig);
        }
        let (before, used) = self.before(key)?;
        let change = size(key, Some(value.len())) - size(key, before);
        let total = used.saturating_add(self.growth).saturating_add(change);
        if change > 0 && total > signed(self.store.quota) {
            return Err(HostError::Quota);
        }
        self.note(key, Some(value.to_vec()), change)
    }

    /// Deletes a key; whether it was there.
    ///
    /// # Errors
    /// `invalid`, `limit`, `io`.
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, HostError> {
        check_key(key)?;
        let (before, _) = self.before(key)?;
        if before.is_none() {
            return Ok(false);
        }
        self.note(key, None, -size(key, before))?;
        Ok(true)
    }

    /// The length of a key's value as the call sees it, and how much the file holds.
    fn before(&self, key: &[u8]) -> Result<(Option<usize>, i64), HostError> {
        let connection = self.store.lock();
        let length = match self.changes.get(key) {
            Some(changed) => changed.as_ref().map(Vec::len),
            None => length(&connection, key)?,
        };
        Ok((length, used(&connection)?))
    }

    fn note(&mut self, key: &[u8], value: Option<Vec<u8>>, change: i64) -> Result<(), HostError> {
        let cost = |value: Option<&Vec<u8>>| key.len() + OVERHEAD + value.map_or(0, Vec::len);
        let before = self.changes.get(key).map_or(0, |old| cost(old.as_ref()));
        let held = self.held - before + cost(value.as_ref());
        if held > MAX_CALL_BYTES {
            return Err(HostError::Limit);
        }
        self.held = held;
        self.growth = self.growth.saturating_add(change);
        self.changes.insert(key.to_vec(), value);
        Ok(())
    }

    /// Writes all changes in one transaction, and does `meanwhile` when all is
    /// written that can be refused but not yet committed. If `meanwhile` fails
    /// nothing is kept. If it is done and only then the commit fails (a disk that
    /// is full at this moment), that is the inner error.
    ///
    /// # Errors
    /// That of `meanwhile`; or the changes can't be written: `quota` if another
    /// process filled the storage meanwhile, `io`.
    pub fn commit<T, E: From<Unwritten>>(
        self,
        meanwhile: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, Result<(), Unwritten>), E> {
        if self.changes.is_empty() {
            return Ok((meanwhile()?, Ok(())));
        }
        let mut connection = self.store.lock();
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|error| Unwritten(error.into()))?;
        self.write(&transaction).map_err(Unwritten)?;
        let done = meanwhile()?;
        let kept = transaction.commit();
        Ok((done, kept.map_err(|error| Unwritten(error.into()))))
    }

    fn write(&self, connection: &Connection) -> Result<(), HostError> {
        let before = used(connection)?;
        let mut now = before;
        for (key, value) in &self.changes {
            now -= size(key, length(connection, key)?);
            now += size(key, value.as_ref().map(Vec::len));
            match value {
                Some(value) => connection
                    .prepare_cached("REPLACE INTO item (key, value) VALUES (?1, ?2)")?
                    .execute([key, value])?,
                None => connection
                    .prepare_cached("DELETE FROM item WHERE key = ?1")?
                    .execute([key])?,
            };
        }
        if now > before && now > signed(self.store.quota) {
            return Err(HostError::Quota);
        }
        connection.execute("UPDATE used SET bytes = ?1", [now])?;
        Ok(())
    }
}

/// The changes of a call could not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the storage could not be written: {0}")]
pub struct Unwritten(pub HostError);

fn check_key(key: &[u8]) -> Result<(), HostError> {
    if (1..=MAX_KEY).contains(&key.len()) && std::str::from_utf8(key).is_ok() {
        Ok(())
    } else {
        Err(HostError::Invalid)
    }
}

/// What an item counts; nothing if there is none.
fn size(key: &[u8], value: Option<usize>) -> i64 {
    value.map_or(0, |value| {
        i64::try_from(key.len().saturating_add(value)).unwrap_or(i64::MAX)
    })
}

fn signed(quota: u64) -> i64 {
    i64::try_from(quota).unwrap_or(i64::MAX)
}

fn find(connection: &Connection, key: &[u8]) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT value FROM item WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

fn length(connection: &Connection, key: &[u8]) -> rusqlite::Result<Option<usize>> {
    connection
        .prepare_cached("SELECT length(value) FROM item WHERE key = ?1")?
        .query_row([key], |row| row.get::<_, u32>(0))
        .map(|length| usize::try_from(length).unwrap_or(usize::MAX))
        .optional()
}

fn used(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT bytes FROM used")?
        .query_row([], |row| row.get(0))
}
