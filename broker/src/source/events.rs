//! Events from a file instead of a repository: JSON lines, for tests and replays.
//!
//! Lines are bounded before they are parsed, and the data of an event goes on
//! byte for byte.

use gm_manifest::{Code, Hook, Refusal};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

/// What a line may hold beside its data.
const ENVELOPE_BYTES: usize = 4096;

/// One event of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Which hook gets it.
    pub hook: Hook,
    /// A JSON object, as it stands in the file.
    pub data: String,
    /// Its line, from 1.
    pub line: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    hook: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The events of a file, in order. After the first bad line there is nothing more.
pub struct Events {
    from: Box<dyn BufRead + Send>,
    limit: usize,
    line: u64,
    ended: bool,
}

impl Events {
    /// Opens a file, or standard input for `-`. `limit` bounds the data of one
    /// event, in bytes.
    ///
    /// # Errors
    /// `source/bad-event`: it can't be opened.
    pub fn open(path: &Path, limit: usize) -> Result<Self, Refusal> {
        if path.as_os_str() == "-" {
            return Ok(Self::new(Box::new(BufReader::new(std::io::stdin())), limit));
        }
        let file = File::open(path).map_err(|error| {
            Refusal::new(Code::SourceBadEvent, format!("{}: {error}", path.display()))
        })?;
        Ok(Self::new(Box::new(BufReader::new(file)), limit))
    }

    /// Events of any reader.
    #[must_use]
    pub fn new(from: Box<dyn BufRead + Send>, limit: usize) -> Self {
        Self {
            from,
            limit,
            line: 0,
            ended: false,
        }
    }

    /// The next line that isn't blank, without its end.
    fn next_line(&mut self) -> Result<Option<String>, Refusal> {
        loop {
            self.line += 1;
            let max = self.limit.saturating_add(ENVELOPE_BYTES);
            let mut bytes = Vec::new();
            let most = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
            let read = self.from.by_ref().take(most).read_until(b'\n', &mut bytes);
            read.map_err(|error| self.bad(format_args!("can't be read: {error}")))?;
            if bytes.is_empty() {
                return Ok(None);
            }
            if bytes.len() > max {
                return Err(self.bad(format_args!("is over {max} bytes")));
            }
            let text = String::from_utf8(bytes).map_err(|_| self.bad("isn't UTF-8"))?;
            if !text.trim().is_empty() {
                return Ok(Some(text));
            }
        }
    }

    fn event(&self, text: &str) -> Result<Event, Refusal> {
        let line: Line<'_> = serde_json::from_str(text).map_err(|error| self.bad(error))?;
        let hook = Hook::parse(&line.hook).map_err(|error| self.bad(error))?;
        let data = line.data.get();
        if !data.starts_with('{') {
            return Err(self.bad("data isn't an object"));
        }
        if data.len() > self.limit {
            return Err(self.bad(format_args!("data is over {} bytes", self.limit)));
        }
        Ok(Event {
            hook,
            data: data.to_owned(),
            line: self.line,
        })
    }

    fn bad(&self, why: impl std::fmt::Display) -> Refusal {
        Refusal::new(
            Code::SourceBadEvent,
            format!("events, line {}: {why}", self.line),
        )
    }
}

impl Iterator for Events {
    type Item = Result<Event, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let event = match self.next_line() {
            Ok(None) => None,
            Ok(Some(text)) => Some(self.event(&text)),
            Err(refusal) => Some(Err(refusal)),
        };
        self.ended = !matches!(event, Some(Ok(_)));
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Result<Event, Refusal>> {
        Events::new(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())), 64).collect()
    }

    #[test]
    fn data_goes_on_as_it_stands_and_blank_lines_are_skipped() {
        let events = read(
            "\n{\"hook\":\"on_commit_analyzed\",\"data\":{ \"a\": 1e2 }}\n  \r\n{\"data\":{},\"hook\":\"on_node_updated\"}",
        );
        let expected = [
            Ok(Event {
                hook: Hook::CommitAnalyzed,
                data: "{ \"a\": 1e2 }".into(),
                line: 2,
            }),
            Ok(Event {
                hook: Hook::NodeUpdated,
                data: "{}".into(),
                line: 4,
            }),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn anything_else_is_refused_with_its_line_after_the_events_before_it() {
        let long = format!(
            "{{\"hook\":\"on_commit_analyzed\",\"data\":{{\"a\":\"{}\"}}}}",
            "x".repeat(64)
        );
        let endless = "x".repeat(64 + ENVELOPE_BYTES + 1);
        for bad in [
            "[]",
            "{}",
            "{\"hook\":\"on_commit_analyzed\"}",
            "{\"hook\":\"on_commit_analyzed\",\"data\":[]}",
            "{\"hook\":\"on_commit_analyzed\",\"data\":{}} {}",
            "{\"hook\":\"on_commit_analyzed\",\"data\":{},\"more\":1}",
            "{\"hook\":\"on_commit_analyzed\",\"hook\":\"on_commit_analyzed\",\"data\":{}}",
            "{\"hook\":\"init\",\"data\":{}}",
            "{\"hook\":\"on_commit_analyzed\",\"data\":{\"a\":}}",
            &long,
            &endless,
        ] {
            let mut events = read(&format!(
                "{{\"hook\":\"on_commit_analyzed\",\"data\":{{}}}}\n{bad}\n{{}}\n"
            ))
            .into_iter();
            assert!(events.next().unwrap().is_ok(), "{bad}");
            let refusal = events.next().unwrap().unwrap_err();
            assert_eq!(refusal.code, Code::SourceBadEvent, "{bad}");
            assert!(refusal.detail.contains("line 2"), "{}", refusal.detail);
            assert!(events.next().is_none(), "{bad}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_refused() {
        let refusal = Events::open(Path::new("/nowhere/events"), 64)
            .err()
            .unwrap();
        assert_eq!(refusal.code, Code::SourceBadEvent);
    }
}
