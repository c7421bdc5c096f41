//! The one text of a JSON object (RFC 8785), so that equal data has equal bytes.

use super::HostError;
use serde_json::Value;

/// The most that the data of one node or edge may hold, in canonical bytes.
pub(super) const MAX_DATA_BYTES: usize = 16 << 10;

/// Numbers beyond this are not the same in every reader.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// The canonical text of an object.
///
/// # Errors
/// `invalid`: no JSON, no object, or a number that is not exact everywhere;
/// `too_big`.
pub(super) fn object(json: &str) -> Result<String, HostError> {
    let value: Value = serde_json::from_str(json).map_err(|_| HostError::Invalid)?;
    if !value.is_object() || !exact(&value) {
        return Err(HostError::Invalid);
    }
    let text = serde_json_canonicalizer::to_string(&value).map_err(|_| HostError::Invalid)?;
    if text.len() > MAX_DATA_BYTES {
        Err(HostError::TooBig)
    } else {
        Ok(text)
    }
}

/// Whether all numbers stay where doubles are exact. The parser has bounded the depth.
fn exact(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number
            .as_f64()
            .is_some_and(|number| number.abs() <= MAX_SAFE),
        Value::Array(items) => items.iter().all(exact),
        Value::Object(members) => members.values().all(exact),
    }
}

/// A JSON string, escaped as RFC 8785 has it.
pub(super) fn string(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_objects_have_one_text() {
        for text in [
            r#"{"b":[1,2.50,-0.0],"a":{"é":"\u00e9\/\u0007","d":null}}"#,
            " { \"a\" : {\"d\":null, \"\\u00e9\":\"é/\\u0007\"}, \"b\":[1.0,25e-1,0] } ",
        ] {
            assert_eq!(
                object(text).unwrap(),
                r#"{"a":{"d":null,"é":"é/\u0007"},"b":[1,2.5,0]}"#
            );
        }
    }

    #[test]
    fn what_is_no_exact_object_is_invalid() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for text in [
            "",
            "[]",
            "1",
            "null",
            "{",
            "{}x",
            "{\"a\":9007199254740992}",
            "{\"a\":[-9007199254740993]}",
            "{\"a\":1e300}",
            "{\"a\":1e999}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":NaN}",
            &deep,
        ] {
            assert_eq!(object(text), Err(HostError::Invalid), "{text}");
        }
        assert_eq!(
            object("{\"a\":9007199254740991}").unwrap(),
            "{\"a\":9007199254740991}"
        );
    }

    #[test]
    fn the_limit_is_that_of_the_canonical_text() {
        let room = MAX_DATA_BYTES - r#"{"a":""}"#.len();
        assert!(object(&format!("{{ \"a\": \"{}\" }}", "x".repeat(room))).is_ok());
        assert_eq!(
            object(&format!("{{\"a\":\"{}\"}}", "x".repeat(room + 1))),
            Err(HostError::TooBig)
        );
    }
}
