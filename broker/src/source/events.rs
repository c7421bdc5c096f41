//! Events from a file instead of a repository: JSON lines, for tests and replays.
//!
//! Lines are bounded before they are parsed, and the data of an event goes on
//! byte for byte.

use gm_manifest::{Code, Hook, Refusal};
use rustix::event::{PollFd, PollFlags, poll};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::{AsFd as _, OwnedFd};
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

/// A file that is read until somebody has had enough.
struct Input {
    file: File,
    enough: Option<OwnedFd>,
    /// Enough came before the end of the file.
    cut: bool,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(enough) = &self.enough {
            let mut fds = [
                PollFd::new(enough, PollFlags::IN),
                PollFd::new(&self.file, PollFlags::IN),
            ];
            poll(&mut fds, None)?;
            let [enough, _] = &fds;
            if !enough.revents().is_empty() {
                self.cut = true;
                return Ok(0);
            }
        }
        self.file.read(buffer)
    }
}

/// The events of a file, in order. After the first bad line there is nothing more.
pub struct Events {
    from: BufReader<Input>,
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
        let file = match path.as_os_str() == "-" {
            // Its own buffer could hold what poll(2) then waits for in vain.
            true => std::io::stdin()
                .as_fd()
                .try_clone_to_owned()
                .map(File::from),
            false => open_to_read(path),
        };
        let file = file.map_err(|error| {
            Refusal::new(Code::SourceBadEvent, format!("{}: {error}", path.display()))
        })?;
        Ok(Self::new(file, limit))
    }

    /// Ends the events, also in the middle of a line, once `enough` is readable:
    /// a pipe or terminal may stay silent for ever.
    pub fn until(&mut self, enough: OwnedFd) {
        self.from.get_mut().enough = Some(enough);
    }

    /// Events of an open file.
    #[must_use]
    pub fn new(file: File, limit: usize) -> Self {
        Self {
            from: BufReader::new(Input {
                file,
                enough: None,
                cut: false,
            }),
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
            if bytes.is_empty() || self.from.get_ref().cut {
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
        // A sequence of the two values would do as well.
        if !text.trim_start().starts_with('{') {
            return Err(self.bad("isn't an object"));
        }
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

/// A named pipe without a writer must not hold up who opens it: poll(2) waits for
/// one, and can be told to stop.
fn open_to_read(path: &Path) -> std::io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK)?;
    Ok(File::from(fd))
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
    use std::io::{Seek as _, Write as _};

    fn read(text: &str) -> Vec<Result<Event, Refusal>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        Events::new(file, 64).collect()
    }

    #[test]
    fn silent_pipe_ends_when_there_was_enough_and_half_a_line_is_no_event() {
        let (pipe, mut write) = std::io::pipe().unwrap();
        let mut events = Events::new(File::from(OwnedFd::from(pipe)), 64);
        let (enough, mut say) = std::io::pipe().unwrap();
        events.until(enough.into());
        write
            .write_all(b"{\"hook\":\"on_commit_analyzed\",\"data\":{}}\n{\"ho")
            .unwrap();
        assert!(events.next().unwrap().is_ok());
        say.write_all(b"x").unwrap();
        assert!(events.next().is_none());
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

    proptest::proptest! {
        #[test]
        fn no_line_makes_the_reader_panic_or_go_on_after_a_bad_one(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300),
            cut in 0usize..56,
        ) {
            let good = "{\"hook\":\"on_commit_analyzed\",\"data\":{\"a\":[1,\"\\u0000\"]}}\n";
            let mut file = tempfile::tempfile().unwrap();
            for part in [good.as_bytes(), &good.as_bytes()[..cut], &bytes] {
                std::io::Write::write_all(&mut file, part).unwrap();
            }
            std::io::Seek::rewind(&mut file).unwrap();
            let seen: Vec<_> = Events::new(file, 64).collect();
            proptest::prop_assert!(seen[0].is_ok());
            let bad = seen.iter().position(Result::is_err);
            proptest::prop_assert!(bad.is_none_or(|at| at + 1 == seen.len()));
            for event in seen.into_iter().flatten() {
                let object = event.data.as_bytes()[0] == b'{';
                proptest::prop_assert!(object && event.data.len() <= 64);
            }
        }
    }
}
