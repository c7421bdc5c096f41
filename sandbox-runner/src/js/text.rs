//! Texts of scripts as UTF-8.
//!
//! A text of JavaScript may hold half of a character, a lone surrogate, which no
//! UTF-8 can say. Wherever a text leaves a script, U+FFFD stands for it.

use rquickjs::{Ctx, Error, Result, String as Text, Value};

/// U+FFFD as JSON escapes it.
const INSTEAD: &str = "\\ufffd";
/// An escape: backslash, `u` and four digits.
const ESCAPE: usize = 6;

/// A text of the script.
pub(super) fn utf8(text: &Text<'_>) -> Result<String> {
    match text.to_string() {
        Err(Error::Utf8(_)) => {
            // As JSON it comes with an escape for what can't be written.
            let escaped = json(text.ctx(), text.as_value().clone())?.unwrap_or_default();
            serde_json::from_str(&escaped).map_err(|_| Error::Unknown)
        }
        read => read,
    }
}

/// A value as JSON; none if it is none, as a function.
pub(super) fn json<'js>(ctx: &Ctx<'js>, value: Value<'js>) -> Result<Option<String>> {
    let text = ctx.json_stringify(value)?;
    text.map(|text| text.to_string().map(whole)).transpose()
}

/// JSON without escapes of half a character.
fn whole(json: String) -> String {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        // Both halves of a character, one half, or any other escape of two letters.
        let (instead, taken) = match (half(escape), escape.get(ESCAPE..).and_then(half)) {
            (Some(Half::First), Some(Half::Second)) => (None, 2 * ESCAPE),
            (Some(_), _) => (Some(INSTEAD), ESCAPE),
            (None, _) => (None, 2),
        };
        let (escape, behind) = escape.split_at_checked(taken).unwrap_or((escape, ""));
        out.push_str(instead.unwrap_or(escape));
        rest = behind;
    }
    out.push_str(rest);
    out
}

enum Half {
    First,
    Second,
}

/// Which half of a character the escape at the beginning stands for.
fn half(text: &str) -> Option<Half> {
    let digits = text.get(..ESCAPE)?.strip_prefix("\\u")?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xd800..=0xdbff => Some(Half::First),
        0xdc00..=0xdfff => Some(Half::Second),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_escapes_of_half_a_character_are_replaced() {
        for (json, expected) in [
            (r#""plain""#, r#""plain""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""a\uDE00b\ud83dc""#, r#""a\ufffdb\ufffdc""#),
            (r#""\ud83d\ude00\ud83d""#, r#""\ud83d\ude00\ufffd""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (
                r#""\\ud83d \" \n \u0000ä\ud83d""#,
                r#""\\ud83d \" \n \u0000ä\ufffd""#,
            ),
            (
                r#"{"\udfff":["\\","\ud800"]}"#,
                r#"{"\ufffd":["\\","\ufffd"]}"#,
            ),
        ] {
            assert_eq!(whole(json.to_owned()), expected);
            serde_json::from_str::<serde_json::Value>(expected).unwrap();
        }
    }
}
