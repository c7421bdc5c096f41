//! Opens a SQLite file of ours, or refuses it.
//!
//! The file may have been laid out by somebody else: it is followed through no
//! link, nothing of its schema is run, and one that is not exactly of its
//! [`Form`] is left as it is.

use gm_manifest::{Code, Refusal};
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No text or row larger than this is read: records are far smaller.
const MAX_ROW_BYTES: i32 = 1 << 20;

/// How long another process may hold the file.
const BUSY: Duration = Duration::from_secs(5);

/// What a file of ours is, and how one that isn't is told.
pub(crate) struct Form {
    /// What it is called, such as "graph".
    pub(crate) name: &'static str,
    /// The code of a refusal.
    pub(crate) code: Code,
    pub(crate) application_id: i32,
    /// The schema that this version reads and writes.
    pub(crate) version: i32,
    /// The text of each table, in the order of their names.
    pub(crate) tables: &'static [&'static str],
    /// What is in a new one.
    pub(crate) content: &'static str,
}

/// What a connection may do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

enum Missing {
    NotThere,
    Refused(Refusal),
}

impl Form {
    /// The path with all links resolved but that of the file itself, which must
    /// be no link: SQLite refuses a path that has any.
    pub(crate) fn place(&self, path: &Path) -> Result<PathBuf, Refusal> {
        let name = path
            .file_name()
            .ok_or_else(|| self.refused(path, "names no file"))?;
        let parent = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let parent = parent
            .canonicalize()
            .map_err(|error| self.refused(path, error))?;
        Ok(parent.join(name))
    }

    /// Makes sure that a regular file is there, readable by its owner alone if it
    /// is made here.
    pub(crate) fn make(&self, path: &Path) -> Result<(), Refusal> {
        match self.look(path) {
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
                self.look(path).map_err(|missing| match missing {
                    Missing::Refused(refusal) => refusal,
                    Missing::NotThere => self.refused(path, "comes and goes"),
                })
            }
            Err(error) => Err(self.refused(path, error).fix(WRITABLE)),
        }
    }

    /// Refuses what is not there.
    pub(crate) fn must_be(&self, path: &Path) -> Result<(), Refusal> {
        self.look(path).map_err(|missing| match missing {
            Missing::Refused(refusal) => refusal,
            Missing::NotThere => self.refused(path, format_args!("there is no such {}", self.name)),
        })
    }

    fn look(&self, path: &Path) -> Result<(), Missing> {
        let refused = |why: &dyn std::fmt::Display| Missing::Refused(self.refused(path, why));
        let meta = match std::fs::symlink_metadata(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Missing::NotThere);
            }
            Err(error) => return Err(refused(&error)),
        };
        if meta.is_symlink() {
            return Err(refused(&"is a link"));
        }
        if !meta.is_file() {
            return Err(refused(&"is not a file"));
        }
        Ok(())
    }

    /// Opens an existing file.
    pub(crate) fn open(&self, path: &Path, access: Access) -> Result<Connection, Refusal> {
        let failed = |error: rusqlite::Error| self.failed(path, &error);
        let mode = match access {
            Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let flags = mode | OpenFlags::SQLITE_OPEN_NOFOLLOW | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        harden(&connection).map_err(failed)?;
        if access == Access::Write {
            if connection.is_readonly("main").map_err(failed)? {
                return Err(self.refused(path, "can't be written").fix(WRITABLE));
            }
            self.initialise(&mut connection).map_err(failed)?;
        }
        self.check(&connection, path)?;
        if access == Access::Write {
            log_ahead(&connection).map_err(failed)?;
        }
        Ok(connection)
    }

    /// One without a file.
    pub(crate) fn in_memory(&self) -> Result<Connection, Refusal> {
        let open = || -> rusqlite::Result<Connection> {
            let mut connection = Connection::open_in_memory()?;
            harden(&connection)?;
            self.initialise(&mut connection)?;
            Ok(connection)
        };
        open().map_err(|error| self.refused(Path::new("in memory"), error))
    }

    /// Gives an empty database our schema, in one transaction that also looks
    /// whether it is empty: two processes may have made the file together.
    fn initialise(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        if !is_empty(connection)? {
            return Ok(());
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if is_empty(&transaction)? {
            for text in self.tables.iter().chain([&self.content]) {
                transaction.execute_batch(text)?;
            }
            transaction.pragma_update(None, "application_id", self.application_id)?;
            transaction.pragma_update(None, "user_version", self.version)?;
        }
        transaction.commit()
    }

    /// Refuses every schema but ours.
    fn check(&self, connection: &Connection, path: &Path) -> Result<(), Refusal> {
        let failed = |error: rusqlite::Error| self.failed(path, &error);
        let version = number(connection, "user_version").map_err(failed)?;
        let id = number(connection, "application_id").map_err(failed)?;
        let name = self.name;
        if id != self.application_id || version < self.version {
            let why = format_args!("is not a {name} of gm-broker");
            return Err(self.refused(path, why));
        }
        if version > self.version {
            let why = format_args!("has schema {version}, newer than {}", self.version);
            return Err(self.refused(path, why));
        }
        if schema(connection).map_err(failed)? != self.tables {
            let why = format_args!("is not a {name} of gm-broker: its tables differ");
            return Err(self.refused(path, why));
        }
        Ok(())
    }

    fn refused(&self, path: &Path, why: impl std::fmt::Display) -> Refusal {
        let name = self.name;
        Refusal::new(self.code, format!("{name} {}: {why}", path.display()))
    }

    /// What SQLite says. Of the file itself nothing is wrong where only the disk is full,
    /// or takes no writes.
    fn failed(&self, path: &Path, error: &rusqlite::Error) -> Refusal {
        let refusal = self.refused(path, error);
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => refusal.fix("make room on that disk, and run again"),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::SystemIoFailure) => {
                refusal.fix(WRITABLE)
            }
            _ => refusal,
        }
    }
}

const WRITABLE: &str = "use a file, in a directory, that this user may write, on a disk with room";

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

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(tables == 0
        && number(connection, "application_id")? == 0
        && number(connection, "user_version")? == 0)
}

/// A pragma that is a number.
pub(crate) fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
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
