//! Where in the manifest the signature's text stands.
//!
//! The signature covers every other byte, so the place is found from the parse
//! alone and only in one form of line: the file never chooses the range.

use crate::document::{Span, Table};
use crate::{Code, Refusal};
use std::ops::Range;
use toml::de::DeValue;

/// What a manifest that isn't signed yet may hold in place of a signature.
pub(crate) const SIGNATURE_PLACEHOLDER: &str = "BASE64_GPG_SIG";

/// The manifest's signature, and the bytes between its quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    /// No key `signature`, or one in a form that only an unsigned manifest may have.
    Absent,
    /// The line is there and the text is empty or the placeholder.
    Empty(Range<usize>),
    /// The line is there and holds a text.
    Filled(Range<usize>),
}

/// Finds the slot in `[identity]`.
pub(crate) fn find(identity: &Table<'_, '_>) -> Result<Slot, Refusal> {
    let Some((key, value)) = identity.entries.get_key_value("signature") else {
        return Ok(Slot::Absent);
    };
    let refuse = |code, detail: &str, rule: &str| {
        Err(Refusal::new(code, detail)
            .rule(rule)
            .line(Span::of(identity.text, key.span().start).line))
    };
    let DeValue::String(decoded) = value.get_ref() else {
        return refuse(
            Code::ManifestBadValue,
            "identity.signature is no text",
            "it is a base64 text on one line",
        );
    };
    let unsigned = decoded.is_empty() || decoded == SIGNATURE_PLACEHOLDER;
    match plain_line(identity, key.span(), value.span(), decoded) {
        Some(range) if unsigned => Ok(Slot::Empty(range)),
        Some(range) => Ok(Slot::Filled(range)),
        None if unsigned => Ok(Slot::Absent),
        None => refuse(
            Code::ManifestSignatureForm,
            "identity.signature is not written in its one form",
            "the line is exactly signature = \"...\" below [identity]",
        ),
    }
}

/// The range between the quotes, if the whole line is `signature = "..."` in a
/// plain table, without escapes. That leaves out dotted and quoted keys, inline
/// tables, literal and multi-line strings, which all decode to the same value.
fn plain_line(
    identity: &Table<'_, '_>,
    key: Range<usize>,
    value: Range<usize>,
    decoded: &str,
) -> Option<Range<usize>> {
    let text = identity.text;
    // An inline table may run over lines, so the line alone doesn't give it away.
    if text.get(identity.at.clone())?.starts_with('{') {
        return None;
    }
    let line_start = text
        .get(..key.start)?
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    let line_end = value.end
        + text
            .get(value.end..)?
            .find('\n')
            .unwrap_or(text.len() - value.end);
    if key.start != line_start || text.get(key.clone())? != "signature" {
        return None;
    }
    let is_blank = |part: &str| part.bytes().all(|b| matches!(b, b' ' | b'\t'));
    let between = text.get(key.end..value.start)?;
    let (before_equals, after_equals) = between.split_once('=')?;
    if !is_blank(before_equals)
        || !is_blank(after_equals)
        || !is_blank(text.get(value.end..line_end)?)
    {
        return None;
    }
    let inner = text
        .get(value.clone())?
        .strip_prefix('"')?
        .strip_suffix('"')?;
    (inner == decoded && !inner.contains('"')).then(|| value.start + 1..value.end - 1)
}
