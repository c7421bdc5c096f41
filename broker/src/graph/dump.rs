//! The whole graph as text, one record a line, so that two can be compared.

use super::canonical::{self, string};
use rusqlite::{Connection, Row};
use std::io::{Error, ErrorKind, Result, Write};

/// Writes nodes, then edges, each sorted by the bytes of its key, as they were
/// at one moment.
pub(super) fn write(
    connection: &Connection,
    out: &mut dyn Write,
    kind: Option<&str>,
    with_writer: bool,
) -> Result<()> {
    let moment = connection.unchecked_transaction().map_err(unreadable)?;
    let nodes = "SELECT data, id, kind, writer FROM node WHERE ?1 IS NULL OR kind = ?1 ORDER BY id";
    table(&moment, nodes, kind, |row| node(row, out, with_writer))?;
    let edges = "SELECT data, dst, kind, src, weight, writer FROM edge WHERE ?1 IS NULL OR kind = ?1 \
        ORDER BY src, dst, kind";
    table(&moment, edges, kind, |row| edge(row, out, with_writer))?;
    out.flush()
}

fn table(
    connection: &Connection,
    sql: &str,
    kind: Option<&str>,
    mut line: impl FnMut(&Row<'_>) -> Result<()>,
) -> Result<()> {
    let mut statement = connection.prepare(sql).map_err(unreadable)?;
    let mut rows = statement.query([kind]).map_err(unreadable)?;
    while let Some(row) = rows.next().map_err(unreadable)? {
        line(row)?;
    }
    Ok(())
}

/// Members stand in the order of their names, as RFC 8785 has it.
fn node(row: &Row<'_>, out: &mut dyn Write, with_writer: bool) -> Result<()> {
    let (data, id, kind) = (data(row)?, text(row, 1)?, text(row, 2)?);
    write!(out, r#"{{"node":{{"data":{data},"id":{id},"kind":{kind}"#)?;
    end(row, 3, out, with_writer)
}

fn edge(row: &Row<'_>, out: &mut dyn Write, with_writer: bool) -> Result<()> {
    let (data, dst, kind, src) = (data(row)?, text(row, 1)?, text(row, 2)?, text(row, 3)?);
    let weight: i64 = row.get(4).map_err(unreadable)?;
    write!(
        out,
        r#"{{"edge":{{"data":{data},"dst":{dst},"kind":{kind},"src":{src},"weight":{weight}"#
    )?;
    end(row, 5, out, with_writer)
}

fn end(row: &Row<'_>, writer: usize, out: &mut dyn Write, with_writer: bool) -> Result<()> {
    if with_writer {
        write!(out, r#","writer":{}"#, text(row, writer)?)?;
    }
    out.write_all(b"}}\n")
}

/// Made canonical again: the file may have been edited by others.
fn data(row: &Row<'_>) -> Result<String> {
    let text: String = row.get(0).map_err(unreadable)?;
    canonical::object(&text).map_err(|error| Error::new(ErrorKind::InvalidData, error))
}

fn text(row: &Row<'_>, column: usize) -> Result<String> {
    let text: String = row.get(column).map_err(unreadable)?;
    Ok(string(&text))
}

fn unreadable(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests;
