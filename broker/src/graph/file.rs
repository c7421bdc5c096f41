//! Opens the file of a graph, or refuses it.
//!
//! The file may have been laid out by somebody else: it is followed through no
//! link, nothing of its schema is run, and one that is not exactly ours is
//! left as it is.

use gm_manifest::{Code, Refusal};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `GMGR`.
const APPLICATION_ID: i32 = 0x474D_4752;

/// The schema that this version reads and writes.
const SCHEMA_VERSION: i32 = 1;

/// No text or row larger than this is read: records are far smaller.
const MAX_ROW_BYTES: i32 = 1 << 20;

/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(5);

const NODE: &str = "CREATE TABLE node (id TEXT PRIMARY KEY, kind TEXT NOT NULL, data TEXT NOT NULL, \
    writer TEXT NOT NULL) STRICT, WITHOUT ROWID";
const EDGE: &str = "CREATE TABLE edge (src TEXT NOT NULL, dst TEXT NOT NULL, kind TEXT NOT NULL, \
    weight INTEGER NOT NULL, data TEXT NOT NULL, writer TEXT NOT NULL, PRIMARY KEY (src, dst, kind)) \
    STRICT, WITHOUT ROWID";

/// What a connection may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// The path with all links resolved but that of the file itself, which must be
/// no link: SQLite refuses a path that has any.
pub(super) fn place(path: &Path) -> Result<PathBuf, Refusal> {
    let name = path
        .file_name()
        .ok_or_else(|| refused(path, "names no file"))?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let parent = parent
        .canonicalize()
        .map_err(|error| refused(path, error))?;
    Ok(parent.join(name))
}

/// Makes sure that a regular file is there, readable by its owner alone if it
/// is made here.
pub(super) fn make(path: &Path) -> Result<(), Refusal> {
    match look(path) {
        Ok(()) => return Ok(()),
        Err(Missing::Refused(refusal)) => return Err(refusal),
        Err(Missing::NotThere) => {}
    }
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        // Somebody was quicker; what that is must be looked at as well.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            look(path).map_err(|missing| match missing {
                Missing::Refused(refusal) => refusal,
                Missing::NotThere => refused(path, "comes and goes"),
            })
        }
        Err(error) => Err(refused(path, error)),
    }
}

/// Refuses what is not there.
pub(super) fn must_be(path: &Path) -> Result<(), Refusal> {
    look(path).map_err(|missing| match missing {
        Missing::Refused(refusal) => refusal,
        Missing::NotThere => refused(path, "there is no such graph"),
    })
}

enum Missing {
    NotThere,
    Refused(Refusal),
}

fn look(path: &Path) -> Result<(), Missing> {
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Missing::NotThere);
        }
        Err(error) => return Err(Missing::Refused(refused(path, error))),
    };
    if meta.is_symlink() {
        return Err(Missing::Refused(refused(path, "is a link")));
    }
    if !meta.is_file() {
        return Err(Missing::Refused(refused(path, "is not a file")));
    }
    Ok(())
}

/// Opens an existing file.
pub(super) fn open(path: &Path, access: Access) -> Result<Connection, Refusal> {
    let mode = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let flags = mode | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|error| refused(path, error))?;
    harden(&connection).map_err(|error| refused(path, error))?;
    if access == Access::Write {
        if connection
            .is_readonly("main")
            .map_err(|error| refused(path, error))?
        {
            return Err(refused(path, "can't be written"));
        }
        initialise(&mut connection).map_err(|error| refused(path, error))?;
    }
    check(&connection, path)?;
    if access == Access::Write {
        log_ahead(&connection).map_err(|error| refused(path, error))?;
    }
    Ok(connection)
}

/// A graph without a file.
pub(super) fn in_memory() -> Result<Connection, Refusal> {
    let open = || -> rusqlite::Result<Connection> {
        let mut connection = Connection::open_in_memory()?;
        harden(&connection)?;
        initialise(&mut connection)?;
        Ok(connection)
    };
    open().map_err(|error| refused(Path::new("in memory"), error))
}

fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    for danger in [
        DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
        DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
        DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW,
    ] {
        connection.set_db_config(danger, false)?;
    }
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Gives an empty database our schema, in one transaction that also looks
/// whether it is empty: two processes may have made the file together.
fn initialise(connection: &mut Connection) -> rusqlite::Result<()> {
    if !is_empty(connection)? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_empty(&transaction)? {
        transaction.execute_batch(NODE)?;
        transaction.execute_batch(EDGE)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0
        && number(connection, "application_id")? == 0
        && number(connection, "user_version")? == 0)
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

/// Refuses every schema but ours.
fn check(connection: &Connection, path: &Path) -> Result<(), Refusal> {
    let failed = |error: rusqlite::Error| refused(path, error);
    let version = number(connection, "user_version").map_err(failed)?;
    if number(connection, "application_id").map_err(failed)? != APPLICATION_ID
        || version < SCHEMA_VERSION
    {
        return Err(refused(path, "is not a graph of gm-broker"));
    }
    if version > SCHEMA_VERSION {
        return Err(refused(
            path,
            format_args!("has schema {version}, newer than {SCHEMA_VERSION}"),
        ));
    }
    if schema(connection).map_err(failed)? != [EDGE, NODE] {
        return Err(refused(
            path,
            "is not a graph of gm-broker: its tables differ",
        ));
    }
    Ok(())
}

/// The texts of all that the file defines, sorted by name; blanks mean nothing in them.
fn schema(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query =
        connection.prepare("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name")?;
    let texts = query.query_map([], |row| row.get::<_, String>(0))?;
    texts
        .map(|text| Ok(text?.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect()
}

/// A killed process loses no commit, and readers wait for no writer.
fn log_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::InvalidPath(
            "no write-ahead log is possible here".into(),
        ));
    }
    connection.pragma_update(None, "synchronous", "NORMAL")
}

fn refused(path: &Path, why: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        Code::SourceGraph,
        format!("graph {}: {why}", path.display()),
    )
}

#[cfg(test)]
mod tests;
