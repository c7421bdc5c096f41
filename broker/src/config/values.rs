//! `[config]`: the values that plugins may be shown by `config_get`.

use std::collections::BTreeMap;

use gm_manifest::{ConfigPattern, Refusal};
use serde_json::Value;

use super::reader::{Item, Section};

/// Integers that every JSON reader keeps exact.
const MAX_INTEGER: i64 = (1 << 53) - 1;
/// The most that one text may hold, in bytes, so that a value fits a reply.
const MAX_TEXT: usize = 4096;
/// The most items of a list.
const MAX_ITEMS: usize = 256;

/// Takes every key of the table.
pub(super) fn read(
    section: &mut Section<'_>,
    to: &mut BTreeMap<String, Value>,
) -> Result<(), Refusal> {
    for (key, item) in section.drain() {
        // The rule of manifests, which ask for these keys; none is a pattern.
        if key.ends_with(".*") || ConfigPattern::parse(&key).is_err() {
            return Err(item.refuse("its key must be dotted [A-Za-z0-9_-], at most 128 bytes"));
        }
        to.insert(key, value(item)?);
    }
    Ok(())
}

fn value(item: Item<'_>) -> Result<Value, Refusal> {
    if item.is_table() {
        return Err(item.refuse("write the dotted key in quotes, as in \"lint.max_subject\" = 72"));
    }
    if let Some(value) = item.boolean() {
        return Ok(value.into());
    }
    if item.integer().is_some() {
        return item.number(-MAX_INTEGER, MAX_INTEGER).map(Value::from);
    }
    if item.string().is_some() {
        return text(&item).map(Value::from);
    }
    const RULE: &str = "it must be a text, an integer, true, false or a list of at most 256 texts";
    let refused = item.refuse(RULE);
    let items = item.items().map_err(|_| refused.clone())?;
    if items.len() > MAX_ITEMS {
        return Err(refused);
    }
    items
        .iter()
        .map(|item| text(item).map(Value::from))
        .collect()
}

fn text(item: &Item<'_>) -> Result<String, Refusal> {
    let text = item.text()?;
    if text.len() > MAX_TEXT {
        return Err(item.refuse("a text has at most 4096 bytes"));
    }
    Ok(text.to_owned())
}
