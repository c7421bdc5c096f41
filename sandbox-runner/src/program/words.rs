//! What stands in the lines between host and program: JSON objects of few forms.
//!
//! A program names its arguments; a document is an argument itself. What does not
//! fit is answered as `invalid`, what is no line of these forms is not answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gm_protocol::abi::{CallError, LogLevel};
use gm_protocol::plan::{Hook, HostOp};
use serde_json::{Map, Value};

use crate::abi::Import;
use crate::hosting::form::{Gives, form};
use crate::hosting::{Args, Host};

/// A line of the program.
pub(super) enum Said {
    /// It asks the host.
    Host(Question),
    /// Its answer to a call; `None` = there is no reply.
    Reply { call: u64, reply: Option<Vec<u8>> },
    /// Its error.
    Error { call: u64, text: String },
}

/// A host call.
pub(super) struct Question {
    name: String,
    args: Value,
    id: u64,
}

/// The line of a call.
pub(super) fn call(number: u64, hook: Hook, document: &[u8]) -> Vec<u8> {
    let head = format!("{{\"call\":{number},\"hook\":\"{hook}\",\"data\":");
    [head.as_bytes(), &one_line(document), b"}\n"].concat()
}

/// A JSON text without line ends; between values they mean nothing, and in one
/// they can't be.
fn one_line(json: &[u8]) -> Vec<u8> {
    let flat = json.iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    });
    flat.collect()
}

/// Takes a line of the program; `None` = it is of no known form.
pub(super) fn read(line: &[u8]) -> Option<Said> {
    let Value::Object(mut fields) = serde_json::from_slice(line).ok()? else {
        return None;
    };
    let mut take = |name: &str| fields.remove(name);
    let said = match (take("host"), take("call"), take("reply"), take("error")) {
        (Some(Value::String(name)), None, None, None) => Said::Host(Question {
            name,
            args: take("args").unwrap_or(Value::Null),
            id: take("id")?.as_u64()?,
        }),
        (None, Some(call), Some(reply), None) => Said::Reply {
            call: call.as_u64()?,
            reply: match reply {
                Value::Null => None,
                reply => Some(serde_json::to_vec(&reply).ok()?),
            },
        },
        (None, Some(call), None, Some(Value::String(text))) => Said::Error {
            call: call.as_u64()?,
            text,
        },
        _ => return None,
    };
    fields.is_empty().then_some(said)
}

/// Makes a host call; the line that answers it.
pub(super) fn answer(host: &mut Host, question: &Question) -> Vec<u8> {
    let id = question.id;
    let refused = |status: i64| {
        format!(
            "{{\"id\":{id},\"error\":\"{}\"}}\n",
            CallError::of_status(status)
        )
    };
    let import = Import::from_name(&question.name);
    let arguments = import.and_then(|import| arguments(import, &question.args, host.cap()));
    let (Some(import), Some(arguments)) = (import, arguments) else {
        return refused(CallError::Invalid.status()).into_bytes();
    };
    let args = Args {
        first: &arguments.first,
        second: &arguments.second,
        x: arguments.x,
        y: arguments.y,
    };
    let status = host
        .call(import, args)
        .unwrap_or(CallError::Invalid.status());
    if status < 0 {
        let net = import == Import::Op(HostOp::HttpRequest) && status == CallError::Net.status();
        let why = String::from_utf8_lossy(host.result());
        return match net {
            // Of requests alone there is a text that says why.
            true => format!(
                "{{\"id\":{id},\"error\":\"net\",\"text\":{}}}\n",
                Value::from(why)
            ),
            false => refused(status),
        }
        .into_bytes();
    }
    let head = format!("{{\"id\":{id},\"ok");
    let rest = match gives(import) {
        Gives::Count | Gives::Nothing => format!("\":{status}").into_bytes(),
        Gives::Document => [b"\":", &*one_line(host.result())].concat(),
        Gives::Bytes => match std::str::from_utf8(host.result()) {
            Ok(text) => format!("\":{}", Value::from(text)).into_bytes(),
            Err(_) => format!("_base64\":\"{}\"", STANDARD.encode(host.result())).into_bytes(),
        },
    };
    [head.as_bytes(), &rest, b"}\n"].concat()
}

const fn gives(import: Import) -> Gives {
    match import {
        Import::AssetRead => Gives::Bytes,
        Import::Reply | Import::Fail => Gives::Nothing,
        Import::Op(op) => form(op).1,
    }
}

/// A call's arguments as the ABI orders them.
#[derive(Default)]
struct Arguments {
    first: Vec<u8>,
    second: Vec<u8>,
    x: i64,
    y: i64,
}

/// By their names; `None` = one is missing, of another type, or not known.
fn arguments(import: Import, args: &Value, cap: usize) -> Option<Arguments> {
    let document = |value: &Value| serde_json::to_vec(value).ok();
    let mut named = Named::of(args);
    let mut found = Arguments::default();
    match import {
        // An answer has a form of its own.
        Import::Reply | Import::Fail => return None,
        Import::AssetRead => {
            found.first = named.text("name")?;
            (found.x, found.y) = named.part(cap)?;
        }
        Import::Op(op) => match op {
            HostOp::NodePut
            | HostOp::NodeQuery
            | HostOp::EdgeGet
            | HostOp::EdgePut
            | HostOp::EdgeQuery
            | HostOp::HttpRequest => {
                found.first = document(args)?;
                return Some(found);
            }
            HostOp::Log => {
                found.first = named.text("text")?;
                found.x = level(&named.take("level")?)?;
            }
            HostOp::ConfigGet => found.first = named.text("key")?,
            HostOp::NodeGet => found.first = named.text("id")?,
            HostOp::EventEmit => {
                found.first = named.text("topic")?;
                found.second = document(&named.take("data")?)?;
            }
            HostOp::FileRead => {
                found.first = named.text("path")?;
                (found.x, found.y) = named.part(cap)?;
            }
            HostOp::FileList => found.first = named.text("path")?,
            HostOp::StorageGet | HostOp::StorageDelete => found.first = named.text("key")?,
            HostOp::StorageList => found.first = named.text("prefix")?,
            HostOp::StorageSet => {
                found.first = named.text("key")?;
                found.second = named.bytes("value")?;
            }
            HostOp::FileWrite => {
                found.first = named.text("path")?;
                found.second = named.bytes("data")?;
                found.x = named.number("offset", 0)?;
                let (create, truncate) = (named.flag("create")?, named.flag("truncate")?);
                found.y = i64::from(create) | i64::from(truncate) << 1;
            }
        },
    }
    named.rest.is_empty().then_some(found)
}

/// Members of an object, each taken once.
struct Named {
    rest: Map<String, Value>,
}

impl Named {
    fn of(args: &Value) -> Self {
        Self {
            rest: args.as_object().cloned().unwrap_or_default(),
        }
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.rest.remove(name)
    }

    fn text(&mut self, name: &str) -> Option<Vec<u8>> {
        match self.take(name)? {
            Value::String(text) => Some(text.into_bytes()),
            _ => None,
        }
    }

    /// Text, or bytes under the name with `_base64`.
    fn bytes(&mut self, name: &str) -> Option<Vec<u8>> {
        match self.take(&format!("{name}_base64")) {
            None => self.text(name),
            Some(Value::String(text)) => STANDARD.decode(text).ok(),
            Some(_) => None,
        }
    }

    fn number(&mut self, name: &str, absent: i64) -> Option<i64> {
        match self.take(name) {
            None => Some(absent),
            Some(value) => value.as_i64(),
        }
    }

    fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name) {
            None => Some(false),
            Some(value) => value.as_bool(),
        }
    }

    /// Offset and most bytes.
    fn part(&mut self, cap: usize) -> Option<(i64, i64)> {
        let most = i64::try_from(cap).unwrap_or(i64::MAX);
        Some((self.number("offset", 0)?, self.number("max", most)?))
    }
}

fn level(value: &Value) -> Option<i64> {
    let level = LogLevel::from_name(value.as_str()?)?;
    Some(level.number().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_one_line_whatever_its_document() {
        let line = call(7, Hook::OnCommitAnalyzed, b"{\"a\":\n1}");
        let expected = b"{\"call\":7,\"hook\":\"on_commit_analyzed\",\"data\":{\"a\": 1}}\n";
        assert_eq!(line, expected);
    }

    #[test]
    fn only_three_forms_of_lines_are_taken() {
        let reply = |line: &str| match read(line.as_bytes()) {
            Some(Said::Reply { call, reply }) => Some((call, reply)),
            _ => None,
        };
        assert_eq!(
            reply("{\"call\":1,\"reply\":{\"a\":2}}"),
            Some((1, Some(b"{\"a\":2}".to_vec())))
        );
        assert_eq!(reply(" {\"reply\":null,\"call\":3} "), Some((3, None)));
        let error = read(b"{\"call\":2,\"error\":\"no\"}");
        assert!(matches!(error, Some(Said::Error { call: 2, text }) if text == "no"));
        let host = read(b"{\"host\":\"log\",\"args\":{},\"id\":7}");
        assert!(matches!(host, Some(Said::Host(Question { id: 7, .. }))));
        for line in [
            "",
            "hello",
            "[]",
            "{}",
            "{\"call\":1}",
            "{\"call\":-1,\"reply\":null}",
            "{\"call\":1,\"error\":2}",
            "{\"call\":1,\"reply\":{},\"error\":\"x\"}",
            "{\"call\":1,\"reply\":{},\"more\":1}",
            "{\"host\":\"log\",\"args\":{}}",
            "{\"host\":1,\"args\":{},\"id\":7}",
            "{\"host\":\"log\",\"call\":1,\"args\":{},\"id\":7}",
        ] {
            assert!(read(line.as_bytes()).is_none(), "{line}");
        }
    }

    fn given(name: &str, args: &str) -> Option<(Vec<u8>, Vec<u8>, i64, i64)> {
        let args: Value = serde_json::from_str(args).unwrap();
        let found = arguments(Import::from_name(name)?, &args, 1000)?;
        Some((found.first, found.second, found.x, found.y))
    }

    #[test]
    fn arguments_are_those_of_the_abi() {
        let text = |text: &str| text.as_bytes().to_vec();
        for (name, args, expected) in [
            (
                "log",
                "{\"level\":\"warn\",\"text\":\"x\"}",
                ("x", "", 3, 0),
            ),
            ("node_get", "{\"id\":\"a\"}", ("a", "", 0, 0)),
            ("config_get", "{\"key\":\"a.b\"}", ("a.b", "", 0, 0)),
            (
                "node_put",
                "[{\"id\":\"a\"}]",
                ("[{\"id\":\"a\"}]", "", 0, 0),
            ),
            ("edge_query", "{}", ("{}", "", 0, 0)),
            (
                "event_emit",
                "{\"topic\":\"t\",\"data\":{\"n\":1}}",
                ("t", "{\"n\":1}", 0, 0),
            ),
            ("asset_read", "{\"name\":\"a\"}", ("a", "", 0, 1000)),
            (
                "file_read",
                "{\"path\":\"$DATA/a\",\"offset\":5,\"max\":7}",
                ("$DATA/a", "", 5, 7),
            ),
            (
                "file_write",
                "{\"path\":\"$DATA/a\",\"data_base64\":\"eA==\",\"create\":true,\"truncate\":true}",
                ("$DATA/a", "x", 0, 3),
            ),
        ] {
            let (first, second, x, y) = expected;
            let expected = Some((text(first), text(second), x, y));
            assert_eq!(given(name, args), expected, "{name}");
        }
        for (name, args) in [
            ("log", "{\"level\":2,\"text\":\"x\"}"),
            ("log", "{\"text\":\"x\"}"),
            ("node_get", "{\"id\":7}"),
            ("node_get", "{\"id\":\"a\",\"more\":1}"),
            ("node_get", "[]"),
            ("file_read", "{\"path\":\"a\",\"max\":\"7\"}"),
            ("file_write", "{\"path\":\"a\",\"data_base64\":\"?\"}"),
            ("reply", "{}"),
            ("socket", "{}"),
        ] {
            assert_eq!(given(name, args), None, "{name} {args}");
        }
    }
}
