//! What a hook answers: one JSON object, or nothing.

use serde_json::{Map, Value};

use crate::Error;

/// A hook's answer: one JSON object. The host records it; of `shutdown` it
/// shows `report` to people and keeps `data`, of a command it shows `text`, else
/// `data`, and takes its `status`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reply(Map<String, Value>);

impl Reply {
    /// An empty object.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The answer of `shutdown`: text for people. Add data with
    /// [`with`](Self::with)`("data", …)`.
    #[must_use]
    pub fn report(text: impl Into<String>) -> Self {
        Self::new().with("report", text.into())
    }

    /// The answer of a command: 0 if it did what it was asked for, else a number of
    /// its own. Add what it has to say with [`with`](Self::with)`("text", …)` or
    /// `with("data", …)`.
    #[must_use]
    pub fn status(status: i32) -> Self {
        Self::new().with("status", status)
    }

    /// This reply with one more field; a second value for a key replaces the first.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    /// The document as it goes to the host.
    pub(crate) fn into_document(self) -> Vec<u8> {
        Value::Object(self.0).to_string().into_bytes()
    }
}

impl TryFrom<Value> for Reply {
    type Error = Error;

    /// Takes a JSON object, for instance one of [`json!`](crate::json);
    /// anything else is an error.
    fn try_from(value: Value) -> Result<Self, Error> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err(Error::Plugin("a reply must be a JSON object".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn report_is_the_document_that_shutdown_answers_with() {
        let reply = Reply::report("two lines\nof text").with("data", json!({ "commits": 2 }));
        assert_eq!(
            serde_json::from_slice::<Value>(&reply.into_document()).unwrap(),
            json!({ "report": "two lines\nof text", "data": { "commits": 2 } })
        );
    }

    #[test]
    fn status_is_in_the_document_that_a_command_answers_with() {
        let reply = Reply::status(1).with("text", "no such file");
        assert_eq!(
            serde_json::from_slice::<Value>(&reply.into_document()).unwrap(),
            json!({ "status": 1, "text": "no such file" })
        );
    }

    #[test]
    fn only_an_object_is_a_reply() {
        for value in [
            json!(null),
            json!([1]),
            json!("text"),
            json!(1),
            json!(true),
        ] {
            assert!(Reply::try_from(value.clone()).is_err(), "accepted {value}");
        }
        assert_eq!(
            Reply::try_from(json!({ "a": 1 })).unwrap(),
            Reply::new().with("a", 1)
        );
    }
}
