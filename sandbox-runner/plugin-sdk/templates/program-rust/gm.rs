//! The plugin's end of the ABI program-1: lines of JSON, one call at a time. What the
//! host's calls take and give stands in its docs/protocol.md.

// What a plugin doesn't use yet.
#![allow(dead_code)]

use std::io::{BufRead as _, Error, Result, StdinLock, StdoutLock, Write as _};

use serde_json::{Value, json};

/// A hook's reply, none, or the text of its error.
pub type Answer = std::result::Result<Option<Value>, String>;

/// What the author writes.
pub trait Plugin {
    /// Answers one hook: `init`, one of the manifest's `hooks`, `gm_command`, or
    /// `shutdown`.
    fn call(&mut self, gm: &mut Gm, hook: &str, document: &Value) -> Answer;
}

#[derive(Clone, Copy)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The host.
pub struct Gm {
    from: StdinLock<'static>,
    to: StdoutLock<'static>,
    asked: u64,
    /// Why no line comes or goes any more.
    broken: Option<Error>,
}

impl Gm {
    /// `log:write`
    pub fn log(&mut self, level: Level, text: &str) {
        // Lines over the host's rate are dropped there and counted.
        let _ = self.call("log", json!({ "level": level.as_str(), "text": text }));
    }

    /// Any call, with its arguments by name. Bytes that are no text come as
    /// `{"base64": "…"}`. An error is the name that the ABI has for it, such as
    /// `denied` or `not_found`.
    pub fn call(&mut self, name: &str, arguments: Value) -> std::result::Result<Value, String> {
        self.asked += 1;
        let question = json!({ "host": name, "args": arguments, "id": self.asked });
        let answered = self.say(&question).and_then(|()| self.line());
        let mut answer = match answered {
            Ok(Some(answer)) => answer,
            // The host is gone: what is answered now, nobody hears.
            Ok(None) => return Err("stopping".to_owned()),
            Err(error) => {
                self.broken = Some(error);
                return Err("stopping".to_owned());
            }
        };
        if let Some(error) = answer["error"].as_str() {
            return Err(error.to_owned());
        }
        match answer["ok_base64"].take() {
            Value::Null => Ok(answer["ok"].take()),
            bytes => Ok(json!({ "base64": bytes })),
        }
    }

    fn say(&mut self, line: &Value) -> Result<()> {
        writeln!(self.to, "{line}")?;
        self.to.flush()
    }

    /// The next line; none = the host says no more.
    fn line(&mut self) -> Result<Option<Value>> {
        let mut line = String::new();
        match self.from.read_line(&mut line)? {
            0 => Ok(None),
            _ => Ok(Some(serde_json::from_str(&line)?)),
        }
    }
}

/// Answers call after call until the host says no more.
pub fn serve(mut plugin: impl Plugin) -> Result<()> {
    let mut gm = Gm {
        from: std::io::stdin().lock(),
        to: std::io::stdout().lock(),
        asked: 0,
        broken: None,
    };
    while let Some(call) = gm.line()? {
        let hook = call["hook"].as_str().unwrap_or_default();
        let answer = plugin.call(&mut gm, hook, &call["data"]);
        if let Some(error) = gm.broken.take() {
            return Err(error);
        }
        gm.say(&match answer {
            Ok(reply) => json!({ "call": call["call"], "reply": reply }),
            Err(text) => json!({ "call": call["call"], "error": text }),
        })?;
    }
    Ok(())
}
