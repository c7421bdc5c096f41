//! One page of a query: what is in the graph and what the call itself has put,
//! merged in order.

use super::HostError;
use super::query::Query;
use super::record::Record as _;
use super::store::Stored;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// `{"items":[…],"next":CURSOR|null}`.
    pub json: String,
    /// How many items it has.
    pub results: u32,
}

/// Room for what closes a page, without its cursor.
const CLOSING: &str = "],\"next\":\"\"}";

/// The first page of a query, of at most `max_bytes`. What the call has put
/// stands in the place of what is kept.
pub(super) fn of<R, Q>(
    connection: &Connection,
    query: &Q,
    own: &BTreeMap<R::Key, R>,
    max_bytes: usize,
) -> Result<Page, HostError>
where
    R: Stored,
    Q: Query<Item = R>,
{
    let mut mine: Vec<&R> = own.values().filter(|record| query.takes(record)).collect();
    mine.sort_by(|one, other| query.order(one, other));
    let mut mine = mine.into_iter().peekable();
    let sql = query.sql();
    // One more than a page tells whether there is a next; each own record may
    // hide one.
    let rows = query.limit().saturating_add(1).saturating_add(own.len());
    let text = format!(
        "SELECT {} FROM {}{} ORDER BY {} LIMIT ?",
        R::COLUMNS,
        R::TABLE,
        sql.condition,
        sql.order
    );
    let limit = Value::Integer(i64::try_from(rows).unwrap_or(i64::MAX));
    let mut statement = connection.prepare_cached(&text)?;
    let kept = statement.query_map(
        params_from_iter(sql.values.into_iter().chain([limit])),
        R::of_row,
    )?;
    let mut kept = kept
        .filter(|row| {
            row.as_ref()
                .map_or(true, |record| !own.contains_key(&record.key()))
        })
        .peekable();
    let mut page = Building {
        items: String::from("{\"items\":["),
        results: 0,
        last: None,
        max_bytes,
    };
    loop {
        let mine_first = match (mine.peek(), kept.peek()) {
            (None, None) => return Ok(page.end(None)),
            (Some(_), None) => true,
            (None, Some(_)) | (Some(_), Some(Err(_))) => false,
            (Some(own), Some(Ok(other))) => query.order(own, other) == Ordering::Less,
        };
        let next = if mine_first {
            mine.next().cloned()
        } else {
            kept.next().transpose()?
        };
        let Some(record) = next else { continue };
        if page.results as usize == query.limit() || !page.add(query, &record) {
            return if page.results == 0 {
                Err(HostError::TooBig)
            } else {
                Ok(page.end_with_next())
            };
        }
    }
}

/// A page that grows.
struct Building {
    items: String,
    results: u32,
    /// The cursor behind the last item.
    last: Option<String>,
    max_bytes: usize,
}

impl Building {
    /// Adds an item if the page stays small enough, its cursor included.
    fn add<Q: Query<Item: Stored>>(&mut self, query: &Q, record: &Q::Item) -> bool {
        let (json, cursor) = (record.json(), query.cursor(record));
        if self.items.len() + 1 + json.len() + CLOSING.len() + cursor.len() > self.max_bytes {
            return false;
        }
        if self.results > 0 {
            self.items.push(',');
        }
        self.items.push_str(&json);
        self.results += 1;
        self.last = Some(cursor);
        true
    }

    fn end_with_next(mut self) -> Page {
        let cursor = self.last.take();
        self.end(cursor)
    }

    fn end(self, next: Option<String>) -> Page {
        // A cursor has no character that JSON escapes.
        let next = next.map_or_else(|| "null".to_owned(), |cursor| format!("\"{cursor}\""));
        Page {
            json: format!("{}],\"next\":{next}}}", self.items),
            results: self.results,
        }
    }
}
