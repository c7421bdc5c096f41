//! What a plugin's calls of the host do, whatever engine makes them.
//!
//! An engine hands over bytes that it has read out of the plugin; what needs
//! more than this process is asked over the link, one call at a time.

use gm_protocol::abi::{CallError, LogLevel};
use gm_protocol::link::LinkError;
use gm_protocol::message::{FromRunner, ToRunner, head};
use gm_protocol::plan::{Asset, HostOp, PluginSetup};
use gm_protocol::runner_end::RunnerEnd;

#[cfg(feature = "wasm")]
use super::files::Stat;
use super::files::{Denied, Files, How};
use super::hung_up;
use crate::abi::Import;
use crate::walls::{last, sys};

/// The most bytes of an error's text.
const MOST_FAIL: usize = 4096;
/// The most log lines kept while no hook runs, and the most bytes of one.
const EARLY_LINES: usize = 64;
const EARLY_BYTES: usize = 4096;

/// What a hook left behind besides its status.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) reply: Option<Vec<u8>>,
    pub(crate) error: Option<Vec<u8>>,
}

/// A call that breaks the contract, which no honest plugin makes: a trap where
/// code can trap, an error elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breach {
    /// No hook is running, and the call is not `log`.
    OutsideOfHook,
    /// A level or flag that does not exist.
    UnknownValue,
}

/// A call's bytes and numbers, as the table of the ABI has them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Args<'a> {
    /// Document, key, name or path.
    pub(crate) first: &'a [u8],
    /// Data or value.
    pub(crate) second: &'a [u8],
    /// Offset, or level.
    pub(crate) x: i64,
    /// Most bytes, or flags.
    pub(crate) y: i64,
}

/// State behind the calls of one plugin.
pub(crate) struct Host {
    link: Option<RunnerEnd>,
    cap: usize,
    assets: Vec<Asset>,
    bytes: &'static [u8],
    files: Files,
    in_hook: bool,
    next_id: u32,
    result: Vec<u8>,
    answer: Answer,
    /// Log lines from before the first hook: code that runs while it is loaded
    /// may log, but the host takes calls only while one of its own is open.
    early: Vec<(u8, Vec<u8>)>,
}

impl Host {
    pub(crate) fn new(link: RunnerEnd, task: &PluginSetup, bytes: &'static [u8]) -> Self {
        Self {
            link: Some(link),
            cap: usize::try_from(task.body_bytes).unwrap_or(usize::MAX),
            assets: task.assets.clone(),
            bytes,
            files: Files::new(task.grants.clone()),
            ..Self::bare()
        }
    }

    /// For the warm-up: no link, nothing granted.
    pub(crate) fn bare() -> Self {
        Self {
            link: None,
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
    pub(crate) fn link(&mut self) -> &mut RunnerEnd {
        match &mut self.link {
            Some(link) => link,
            None => sys::exit_now(last::BROKEN_LINK), // only the warm-up has none
        }
    }

    /// To wait for the host.
    #[cfg(feature = "program")]
    pub(crate) fn link_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.link.as_ref().map(std::os::fd::AsFd::as_fd)
    }

    /// The most bytes of an argument, result or reply.
    pub(crate) const fn cap(&self) -> usize {
        self.cap
    }

    /// Puts a document where the plugin finds the result of a call.
    #[cfg(feature = "native")]
    pub(crate) fn offer(&mut self, document: &[u8]) {
        self.result = document.to_vec();
    }

    /// What the last call that has a result gave.
    pub(crate) fn result(&self) -> &[u8] {
        &self.result
    }

    /// A hook begins; what was logged before is passed on first.
    pub(crate) fn enter(&mut self) {
        self.in_hook = true;
        self.answer = Answer::default();
        for (level, line) in std::mem::take(&mut self.early) {
            self.ask(HostOp::Log, level, &line, &[]);
        }
    }

    /// A hook has returned.
    pub(crate) fn leave(&mut self) -> Answer {
        self.in_hook = false;
        std::mem::take(&mut self.answer)
    }

    /// Whether a call may be made now.
    pub(crate) fn may_call(&self, call: Import) -> Result<(), Breach> {
        if self.in_hook || call == Import::Op(HostOp::Log) {
            Ok(())
        } else {
            Err(Breach::OutsideOfHook)
        }
    }

    /// Does one call: a length, count or 0, or an error code of the ABI.
    pub(crate) fn call(&mut self, call: Import, args: Args<'_>) -> Result<i64, Breach> {
        self.may_call(call)?;
        match call {
            Import::Reply => Ok(self.reply(args.first)),
            Import::Fail => Ok(self.fail(args.first)),
            // Answered by the engine, which knows where the room is.
            #[cfg(feature = "wasm")]
            Import::Result => Ok(length(&self.result)),
            Import::AssetRead => Ok(self.asset_read(args)),
            Import::Op(op) => self.op(op, args),
        }
    }

    fn op(&mut self, op: HostOp, args: Args<'_>) -> Result<i64, Breach> {
        match op {
            HostOp::Log => self.log(args),
            HostOp::FileRead => Ok(self.file_read(args)),
            HostOp::FileList => {
                let cap = self.cap;
                Ok(self.file(op, args.first, |files, path| files.list(path, cap)))
            }
            HostOp::FileWrite => self.file_write(args),
            _ if args.first.len() + args.second.len() > self.cap => Ok(CallError::TooBig.status()),
            _ => Ok(self.ask(op, 0, args.first, args.second)),
        }
    }

    fn reply(&mut self, document: &[u8]) -> i64 {
        if document.len() > self.cap {
            return CallError::TooBig.status();
        }
        if !is_object(document) {
            return CallError::Invalid.status();
        }
        self.answer.reply = Some(document.to_vec());
        0
    }

    fn fail(&mut self, text: &[u8]) -> i64 {
        let Ok(text) = std::str::from_utf8(text) else {
            return CallError::Invalid.status();
        };
        self.answer.error = Some(Self::error_text(text.as_bytes()));
        0
    }

    /// As much of an error's text as is told. What is no text is told as well as
    /// it can be.
    pub(crate) fn error_text(text: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(text);
        let cut = text.get(..text.floor_char_boundary(MOST_FAIL));
        cut.unwrap_or_default().as_bytes().to_vec()
    }

    /// Whether these bytes may be a reply: one JSON object.
    #[cfg(feature = "wasm")]
    pub(crate) fn is_reply(document: &[u8]) -> bool {
        is_object(document)
    }

    fn asset_read(&mut self, args: Args<'_>) -> i64 {
        let (Ok(offset), Ok(most)) = (usize::try_from(args.x), usize::try_from(args.y)) else {
            return CallError::Invalid.status();
        };
        let named = |file: &&Asset| file.path.as_bytes() == args.first;
        let Some(file) = self.assets.iter().find(named) else {
            return CallError::NotFound.status();
        };
        let whole = slice(self.bytes, file).unwrap_or_default();
        let rest = whole.get(offset..).unwrap_or_default();
        let part = rest.get(..most).unwrap_or(rest);
        if part.len() > self.cap {
            return CallError::TooBig.status();
        }
        self.result = part.to_vec();
        length(&self.result)
    }

    fn file_read(&mut self, args: Args<'_>) -> i64 {
        let (Ok(offset), Ok(most)) = (u64::try_from(args.x), usize::try_from(args.y)) else {
            return CallError::Invalid.status();
        };
        if most > self.cap {
            return CallError::TooBig.status();
        }
        self.file(HostOp::FileRead, args.first, |files, path| {
            files.read(path, offset, most)
        })
    }

    fn file_write(&mut self, args: Args<'_>) -> Result<i64, Breach> {
        let flags = u32::try_from(args.y).ok().and_then(How::of);
        let how = flags.ok_or(Breach::UnknownValue)?;
        let Ok(offset) = u64::try_from(args.x) else {
            return Ok(CallError::Invalid.status());
        };
        if args.second.len() > self.cap {
            return Ok(CallError::TooBig.status());
        }
        let written = self.file(HostOp::FileWrite, args.first, |files, path| {
            files.write(path, offset, args.second, how)?;
            Ok(Vec::new())
        });
        Ok(match written {
            0 => length(args.second),
            error => error,
        })
    }

    /// A call about files: done here where a grant covers the path, by plain
    /// system calls behind the walls; else the host hears of it and denies it.
    fn file(
        &mut self,
        op: HostOp,
        path: &[u8],
        act: impl FnOnce(&Files, &str) -> Result<Vec<u8>, Denied>,
    ) -> i64 {
        let Ok(path) = std::str::from_utf8(path) else {
            return CallError::Invalid.status();
        };
        match act(&self.files, path) {
            Ok(bytes) => {
                let len = length(&bytes);
                if op != HostOp::FileWrite {
                    self.result = bytes;
                }
                len
            }
            Err(Denied::Code(error)) => error.status(),
            Err(Denied::NotGranted) if path.len() > self.cap => CallError::TooBig.status(),
            Err(Denied::NotGranted) => self.ask(op, 0, path.as_bytes(), &[]),
        }
    }

    /// A call whose result the engine takes for itself: the one that the plugin
    /// sees stays as it is.
    #[cfg(feature = "wasm")]
    pub(crate) fn fetch(&mut self, op: HostOp, args: Args<'_>) -> Result<Vec<u8>, i64> {
        let seen = std::mem::take(&mut self.result);
        let status = self.call(Import::Op(op), args);
        let result = std::mem::replace(&mut self.result, seen);
        match status {
            Ok(0..) => Ok(result),
            Ok(error) => Err(error),
            Err(Breach::OutsideOfHook | Breach::UnknownValue) => Err(CallError::Denied.status()),
        }
    }

    /// What lies at a path, as far as it is granted; if it isn't, the host hears
    /// of it. Only while a hook runs.
    #[cfg(feature = "wasm")]
    pub(crate) fn file_stat(&mut self, path: &str) -> Result<Stat, i64> {
        let mut found = None;
        let seen = std::mem::take(&mut self.result);
        let status = self.file(HostOp::FileRead, path.as_bytes(), |files, path| {
            found = Some(files.stat(path)?);
            Ok(Vec::new())
        });
        self.result = seen;
        found.ok_or(status)
    }

    fn log(&mut self, args: Args<'_>) -> Result<i64, Breach> {
        let level = u8::try_from(args.x).ok().and_then(LogLevel::of_number);
        let level = level.ok_or(Breach::UnknownValue)?.number();
        if self.in_hook {
            return Ok(match args.first.len() > self.cap {
                true => CallError::TooBig.status(),
                false => self.ask(HostOp::Log, level, args.first, &[]),
            });
        }
        if self.early.len() < EARLY_LINES {
            let cut = args.first.get(..EARLY_BYTES).unwrap_or(args.first);
            self.early.push((level, cut.to_vec()));
        }
        Ok(0)
    }

    fn ask(&mut self, op: HostOp, level: u8, first: &[u8], second: &[u8]) -> i64 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let Ok(first_len) = u32::try_from(first.len()) else {
            return CallError::TooBig.status();
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
        let (status, bytes) = answered.unwrap_or_else(|error| hung_up(&error));
        if yields(op) && (status >= 0 || !bytes.is_empty()) {
            self.result = bytes;
        }
        status
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

const fn yields(op: HostOp) -> bool {
    match op {
        HostOp::ConfigGet
        | HostOp::NodeGet
        | HostOp::NodeQuery
        | HostOp::EdgeGet
        | HostOp::EdgeQuery
        | HostOp::StorageGet
        | HostOp::StorageList
        | HostOp::HttpRequest => true,
        // What the host answers of files is only that it denies them.
        HostOp::FileRead | HostOp::FileList | HostOp::FileWrite => false,
        HostOp::Log | HostOp::NodePut | HostOp::EdgePut | HostOp::EventEmit => false,
        HostOp::StorageSet | HostOp::StorageDelete => false,
    }
}

pub(super) fn slice<'a>(bytes: &'a [u8], file: &Asset) -> Option<&'a [u8]> {
    let start = usize::try_from(file.offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(file.len).ok()?)?)
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
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
