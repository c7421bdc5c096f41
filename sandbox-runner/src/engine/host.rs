//! The host's side of the module `gm`: what a plugin's calls do.
//!
//! Every pointer is the plugin's claim and is checked against its memory; what
//! breaks the contract ends the process. What needs more than this process is
//! asked over the link, one call at a time.

use std::sync::Arc;

use gm_protocol::link::LinkError;
use gm_protocol::message::{FromRunner, ToRunner, TrapClass, head};
use gm_protocol::plan::{Asset, HostOp, WasmSetup};
use gm_protocol::runner_end::RunnerEnd;

use super::files::{Denied, Files, How};
use crate::abi::code;
use crate::walls::sys::guest::Guest;
use crate::walls::{last, sys};

/// The most bytes of an error's text.
const MOST_FAIL: usize = 4096;
/// The most log lines kept while no hook runs, and the most bytes of one.
const EARLY_LINES: usize = 64;
const EARLY_BYTES: usize = 4096;
/// The highest log level: error.
const MOST_LEVEL: u32 = 4;

/// What a hook left behind besides its status.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) reply: Option<Vec<u8>>,
    pub(super) error: Option<Vec<u8>>,
}

/// State behind the imports of one plugin.
pub(super) struct Host {
    link: Option<RunnerEnd>,
    memory: Arc<Guest>,
    cap: usize,
    assets: Vec<Asset>,
    bytes: &'static [u8],
    files: Files,
    in_hook: bool,
    next_id: u32,
    result: Vec<u8>,
    answer: Answer,
    /// Log lines from before the first hook: a `start` function may log, but
    /// the host takes calls only while one of its own is open.
    early: Vec<(u8, Vec<u8>)>,
}

impl Host {
    pub(super) fn new(
        link: RunnerEnd,
        memory: Arc<Guest>,
        task: &WasmSetup,
        bytes: &'static [u8],
    ) -> Self {
        Self {
            link: Some(link),
            cap: usize::try_from(task.body_bytes).unwrap_or(usize::MAX),
            assets: task.assets.clone(),
            bytes,
            files: Files::new(task.grants.clone()),
            ..Self::bare(memory)
        }
    }

    /// For the warm-up: no link, nothing granted.
    pub(super) fn bare(memory: Arc<Guest>) -> Self {
        Self {
            link: None,
            memory,
            cap: 0,
            assets: Vec::new(),
            bytes: &[],
            files: Files::new(Vec::new()),
            in_hook: false,
            next_id: 0,
            result: Vec::new(),
            answer: Answer::default(),
            early: Vec::new(),
        }
    }

    /// The link, for what is not a host call.
    pub(super) fn link(&mut self) -> &mut RunnerEnd {
        match &mut self.link {
            Some(link) => link,
            None => sys::exit_now(last::BROKEN_LINK), // only the warm-up has none
        }
    }

    /// A hook begins; what the module logged before is passed on first.
    pub(super) fn enter(&mut self) {
        self.in_hook = true;
        self.answer = Answer::default();
        for (level, line) in std::mem::take(&mut self.early) {
            self.ask(HostOp::Log, level, &line, &[]);
        }
    }

    /// A hook has returned.
    pub(super) fn leave(&mut self) -> Answer {
        self.in_hook = false;
        std::mem::take(&mut self.answer)
    }

    /// Puts a document into the plugin's memory.
    pub(super) fn put(&self, address: u32, document: &[u8]) {
        if self.memory.write(address, document).is_none() {
            last::trap(TrapClass::HostCall);
        }
    }

    /// `reply`
    pub(super) fn reply(&mut self, text: [u32; 2]) -> i32 {
        self.only_in_hook();
        let document = match self.text(text) {
            Ok(document) => document,
            Err(code) => return code,
        };
        if !is_object(&document) {
            return code::INVALID;
        }
        self.answer.reply = Some(document);
        0
    }

    /// `fail`
    pub(super) fn fail(&mut self, text: [u32; 2]) -> i32 {
        self.only_in_hook();
        let Ok(mut text) = String::from_utf8(self.bytes_at(text)) else {
            return code::INVALID;
        };
        text.truncate(text.floor_char_boundary(MOST_FAIL));
        self.answer.error = Some(text.into_bytes());
        0
    }

    /// `result`
    pub(super) fn result(&mut self, [address, room]: [u32; 2]) -> i32 {
        self.only_in_hook();
        let len = self
            .result
            .len()
            .min(usize::try_from(room).unwrap_or(usize::MAX));
        let bytes = self.result.get(..len).unwrap_or_default();
        // All of the room that is claimed must be there, not only what is used.
        if self.memory.read(address, room).is_none() {
            last::trap(TrapClass::HostCall);
        }
        self.put(address, bytes);
        i32::try_from(len).unwrap_or(i32::MAX)
    }

    /// `asset_read`
    pub(super) fn asset_read(&mut self, name: [u32; 2], offset: i64, most: u32) -> i64 {
        self.only_in_hook();
        let name = self.bytes_at(name);
        let (Ok(offset), Ok(most)) = (usize::try_from(offset), usize::try_from(most)) else {
            return code::INVALID.into();
        };
        let Some(file) = self.assets.iter().find(|file| file.path.as_bytes() == name) else {
            return code::NOT_FOUND.into();
        };
        let whole = slice(self.bytes, file.offset, file.len).unwrap_or_default();
        let rest = whole.get(offset..).unwrap_or_default();
        let part = rest.get(..most).unwrap_or(rest);
        if part.len() > self.cap {
            return code::TOO_BIG.into();
        }
        self.result = part.to_vec();
        i64::try_from(self.result.len()).unwrap_or(i64::MAX)
    }

    /// `file_read`
    pub(super) fn file_read(&mut self, path: [u32; 2], offset: i64, most: u32) -> i64 {
        self.only_in_hook();
        let (Ok(offset), Ok(most)) = (u64::try_from(offset), usize::try_from(most)) else {
            return code::INVALID.into();
        };
        if most > self.cap {
            return code::TOO_BIG.into();
        }
        self.file(HostOp::FileRead, path, |files, path| {
            files.read(path, offset, most)
        })
    }

    /// `file_list`
    pub(super) fn file_list(&mut self, path: [u32; 2]) -> i64 {
        self.only_in_hook();
        let cap = self.cap;
        self.file(HostOp::FileList, path, |files, path| files.list(path, cap))
    }

    /// `file_write`
    pub(super) fn file_write(
        &mut self,
        path: [u32; 2],
        offset: i64,
        bytes: [u32; 2],
        flags: u32,
    ) -> i32 {
        self.only_in_hook();
        let how = match How::of(flags) {
            Some(how) => how,
            None => last::trap(TrapClass::HostCall),
        };
        let Ok(offset) = u64::try_from(offset) else {
            return code::INVALID;
        };
        let bytes = self.bytes_at(bytes);
        if bytes.len() > self.cap {
            return code::TOO_BIG;
        }
        let written = self.file(HostOp::FileWrite, path, |files, path| {
            files.write(path, offset, &bytes, how)?;
            Ok(Vec::new())
        });
        match narrow(written) {
            0 => i32::try_from(bytes.len()).unwrap_or(i32::MAX),
            error => error,
        }
    }

    /// A call about files: done here where a grant covers the path, by plain
    /// system calls behind the walls; else the host hears of it and denies it.
    fn file(
        &mut self,
        op: HostOp,
        path: [u32; 2],
        act: impl FnOnce(&Files, &str) -> Result<Vec<u8>, Denied>,
    ) -> i64 {
        let Ok(path) = String::from_utf8(self.bytes_at(path)) else {
            return code::INVALID.into();
        };
        match act(&self.files, &path) {
            Ok(bytes) => {
                let len = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
                if op != HostOp::FileWrite {
                    self.result = bytes;
                }
                len
            }
            Err(Denied::Code(code)) => code.into(),
            Err(Denied::NotGranted) => self.ask(op, 0, path.as_bytes(), &[]),
        }
    }

    /// `log`
    pub(super) fn log(&mut self, level: u32, text: [u32; 2]) -> i32 {
        let level = match u8::try_from(level) {
            Ok(known) if level <= MOST_LEVEL => known,
            _ => last::trap(TrapClass::HostCall),
        };
        if self.in_hook {
            return narrow(self.ask_with(HostOp::Log, level, text, None));
        }
        let mut line = self.bytes_at(text);
        line.truncate(EARLY_BYTES);
        if self.early.len() < EARLY_LINES {
            self.early.push((level, line));
        }
        0
    }

    /// A call with one document or two, with a result.
    pub(super) fn query(&mut self, op: HostOp, text: [u32; 2]) -> i64 {
        self.only_in_hook();
        self.ask_with(op, 0, text, None)
    }

    /// A call that changes something.
    pub(super) fn change(&mut self, op: HostOp, text: [u32; 2], second: Option<[u32; 2]>) -> i32 {
        self.only_in_hook();
        narrow(self.ask_with(op, 0, text, second))
    }

    fn ask_with(
        &mut self,
        op: HostOp,
        level: u8,
        first: [u32; 2],
        second: Option<[u32; 2]>,
    ) -> i64 {
        let first = self.bytes_at(first);
        let second = second.map(|at| self.bytes_at(at)).unwrap_or_default();
        if first.len() + second.len() > self.cap {
            return code::TOO_BIG.into();
        }
        self.ask(op, level, &first, &second)
    }

    fn ask(&mut self, op: HostOp, level: u8, first: &[u8], second: &[u8]) -> i64 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let Ok(first_len) = u32::try_from(first.len()) else {
            return code::TOO_BIG.into();
        };
        let document = [first, second].concat();
        let (bytes, more) = head(&document);
        let question = FromRunner::Host {
            id,
            op,
            level,
            first: first_len,
            more,
            bytes,
        };
        let cap = self.cap;
        let answered = self
            .link()
            .send_document(&question, &document)
            .and_then(|()| answer(self.link(), id, cap));
        let (status, bytes) = answered.unwrap_or_else(|error| end(&error));
        if yields(op) && (status >= 0 || !bytes.is_empty()) {
            self.result = bytes;
        }
        status
    }

    fn text(&self, at: [u32; 2]) -> Result<Vec<u8>, i32> {
        let bytes = self.bytes_at(at);
        if bytes.len() > self.cap {
            Err(code::TOO_BIG)
        } else {
            Ok(bytes)
        }
    }

    fn bytes_at(&self, [address, len]: [u32; 2]) -> Vec<u8> {
        match self.memory.read(address, len) {
            Some(bytes) => bytes,
            None => last::trap(TrapClass::HostCall),
        }
    }

    fn only_in_hook(&self) {
        if !self.in_hook {
            last::trap(TrapClass::HostCall);
        }
    }
}

fn answer(link: &mut RunnerEnd, asked: u32, cap: usize) -> Result<(i64, Vec<u8>), LinkError> {
    match link.recv()? {
        ToRunner::HostDone {
            id,
            status,
            more,
            bytes,
        } if id == asked => Ok((status, link.recv_parts(bytes, more, cap)?)),
        _ => Err(LinkError::BadState("the answer to a host call was due")),
    }
}

/// Ends the process because the host is gone, or says what it must not.
pub(super) fn end(error: &LinkError) -> ! {
    match error {
        LinkError::Closed => sys::exit_now(0),
        _ => sys::exit_now(last::BROKEN_LINK),
    }
}

const fn yields(op: HostOp) -> bool {
    match op {
        HostOp::ConfigGet
        | HostOp::NodeGet
        | HostOp::NodeQuery
        | HostOp::EdgeGet
        | HostOp::EdgeQuery => true,
        // What the host answers of files is only that it denies them.
        HostOp::FileRead | HostOp::FileList | HostOp::FileWrite => false,
        HostOp::Log | HostOp::NodePut | HostOp::EdgePut | HostOp::EventEmit => false,
    }
}

fn slice(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}

fn narrow(status: i64) -> i32 {
    i32::try_from(status).unwrap_or(i32::MAX)
}

/// Whether the text is one JSON object. The host checks again: this one only
/// tells an honest plugin at once.
fn is_object(text: &[u8]) -> bool {
    // The parser skips what it ignores without a look at its characters.
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    text.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
