//! WASI preview 1, for modules of either ABI: a clock, random bytes, a way to
//! the log, and files as far as they are granted. All else answers an errno.
//!
//! Every address is the plugin's claim: one outside its memory is `FAULT`. No
//! function here makes a system call that the profile does not already have.

mod descriptors;
mod files;
mod lines;
mod sources;

use gm_protocol::plan::HostOp;

use super::imports::Env;
use crate::abi::Import;
use crate::abi::wasm::wasi::Call;
use crate::hosting::Args;

use descriptors::{Descriptors, Open};
use lines::Lines;
pub(super) use sources::Sources;

/// The most bytes that one call moves; more is a short read or write.
const MOST_BYTES: usize = 64 << 10;
/// The most buffers of one call.
const MOST_BUFFERS: u32 = 1024;

/// The only argument: libraries count on a program's name, whatever it is.
const PROGRAM: &[u8] = b"plugin\0";

/// The errnos of WASI that are answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Errno {
    BadDescriptor = 8,
    Exists = 20,
    Fault = 21,
    Invalid = 28,
    Io = 29,
    IsDirectory = 31,
    TooManyOpen = 41,
    NotFound = 44,
    NoSpace = 51,
    NotImplemented = 52,
    NotDirectory = 54,
    NotSocket = 57,
    NotSupported = 58,
    NotSeekable = 70,
    NotCapable = 76,
}

/// What a function gives: nothing, or an errno.
pub(super) type Done = Result<(), Errno>;

/// The plugin ended itself: `proc_exit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the plugin exited with status {0}")]
pub(super) struct Exit(pub(super) u32);

/// What WASI keeps for one instance.
pub(super) struct System {
    sources: Sources,
    open: Descriptors,
    lines: [Lines; 2],
}

impl System {
    pub(super) fn new(sources: Sources) -> Self {
        Self {
            sources,
            open: Descriptors::new(),
            lines: [Lines::of_output(), Lines::of_errors()],
        }
    }
}

/// The arguments of one call.
#[derive(Clone, Copy)]
struct Given<'a>(&'a [u64]);

impl Given<'_> {
    fn wide(self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or_default()
    }

    /// One that came as 32 bits.
    fn at(self, index: usize) -> u32 {
        u32::try_from(self.wide(index)).unwrap_or(u32::MAX)
    }
}

impl Env {
    /// Does one call of WASI; its errno, 0 = done.
    pub(super) fn wasi(&mut self, call: Call, given: &[u64]) -> Result<i32, Exit> {
        if call == Call::ProcExit {
            return Err(Exit(Given(given).at(0)));
        }
        let done = self.done(call, Given(given));
        Ok(done.map_or_else(|errno| errno as i32, |()| 0))
    }

    fn done(&mut self, call: Call, given: Given<'_>) -> Done {
        match call {
            // No variables.
            Call::EnvironGet | Call::SchedYield => Ok(()),
            Call::EnvironSizesGet => {
                self.number(given.at(0), 0)?;
                self.number(given.at(1), 0)
            }
            Call::ArgsSizesGet => {
                self.number(given.at(0), 1)?;
                self.count(given.at(1), PROGRAM.len())
            }
            Call::ArgsGet => {
                self.number(given.at(0), given.at(1))?;
                self.at(given.at(1), PROGRAM)
            }
            Call::ClockTimeGet => {
                let now = self.system.sources.now(given.at(0))?;
                self.at(given.at(2), &now.to_le_bytes())
            }
            Call::ClockResGet => {
                let step = self.system.sources.resolution(given.at(0))?;
                self.at(given.at(1), &step.to_le_bytes())
            }
            Call::RandomGet => self.random(given.at(0), given.at(1)),
            Call::FdWrite => self.write(given),
            Call::FdRead => self.read(given),
            // Waiting is the host's: a plugin is woken by its next event.
            Call::PollOneoff | Call::ProcRaise | Call::ProcExit => Err(Errno::NotImplemented),
            Call::SockAccept | Call::SockRecv | Call::SockSend | Call::SockShutdown => {
                self.system.open.get(given.at(0))?;
                Err(Errno::NotSocket)
            }
            other => self.file_call(other, given),
        }
    }

    fn random(&mut self, address: u32, len: u32) -> Done {
        self.inside(address, len)?;
        let (mut at, mut left) = (address, len);
        while left > 0 {
            let mut bytes = [0; 1024];
            let part = left.min(1024);
            let bytes = usize::try_from(part)
                .ok()
                .and_then(|part| bytes.get_mut(..part));
            let bytes = bytes.ok_or(Errno::Fault)?;
            self.system.sources.fill(bytes);
            self.at(at, bytes)?;
            at = at.saturating_add(part);
            left -= part;
        }
        Ok(())
    }

    fn write(&mut self, given: Given<'_>) -> Done {
        let [fd, buffers, count, written] = [0, 1, 2, 3].map(|index| given.at(index));
        match self.system.open.get(fd)? {
            Open::Output(stream) => {
                let stream = *stream;
                let bytes = self.gather(buffers, count)?;
                self.print(stream, &bytes);
                self.count(written, bytes.len())
            }
            Open::Input | Open::Directory(_) => Err(Errno::BadDescriptor),
            Open::File(_) => self.file_write(fd, buffers, count, None, written),
        }
    }

    fn read(&mut self, given: Given<'_>) -> Done {
        let [fd, buffers, count, read] = [0, 1, 2, 3].map(|index| given.at(index));
        match self.system.open.get(fd)? {
            // Nothing is ever there, and that is its end.
            Open::Input => self.count(read, 0),
            Open::Output(_) => Err(Errno::BadDescriptor),
            Open::Directory(_) => Err(Errno::IsDirectory),
            Open::File(_) => self.file_read(fd, buffers, count, None, read),
        }
    }

    /// What was printed goes to the log line by line. Without `log:write` it
    /// goes nowhere: who prints is not refused, as every toolchain imports it.
    fn print(&mut self, stream: usize, bytes: &[u8]) {
        let Some(lines) = self.system.lines.get_mut(stream) else {
            return;
        };
        let level = lines.level();
        for line in lines.take(bytes) {
            self.log(level, &line);
        }
    }

    /// What was printed without an end of line, at the end of a call.
    pub(super) fn flush(&mut self) {
        for stream in 0..2 {
            let Some(lines) = self.system.lines.get_mut(stream) else {
                return;
            };
            let level = lines.level();
            if let Some(rest) = lines.rest() {
                self.log(level, &rest);
            }
        }
    }

    /// One line for the log, if that is granted.
    pub(super) fn log(&mut self, level: u8, line: &[u8]) {
        if self.granted.has(HostOp::Log) {
            let args = Args {
                first: line,
                x: level.into(),
                ..Args::default()
            };
            // The level is one of ours, and the log may be called at any time.
            let _ = self.host.call(Import::Op(HostOp::Log), args);
        }
    }

    /// The buffers of a scatter-gather list: address and length of each.
    fn buffers(&self, list: u32, count: u32) -> Result<Vec<(u32, u32)>, Errno> {
        let count = count.min(MOST_BUFFERS);
        let bytes = self.memory.read(list, count * 8).ok_or(Errno::Fault)?;
        let numbers = bytes.chunks_exact(8).filter_map(|entry| {
            let (address, len) = entry.split_first_chunk::<4>()?;
            let len = len.first_chunk::<4>()?;
            Some((u32::from_le_bytes(*address), u32::from_le_bytes(*len)))
        });
        Ok(numbers.collect())
    }

    /// The bytes of the buffers, at most [`MOST_BYTES`].
    fn gather(&self, list: u32, count: u32) -> Result<Vec<u8>, Errno> {
        let mut whole = Vec::new();
        for (address, len) in self.buffers(list, count)? {
            self.inside(address, len)?;
            let left = u32::try_from(MOST_BYTES - whole.len()).unwrap_or(0);
            let part = self.memory.read(address, len.min(left));
            whole.extend_from_slice(&part.ok_or(Errno::Fault)?);
        }
        Ok(whole)
    }

    /// All of a buffer must be there, not only what is used of it.
    fn inside(&self, address: u32, len: u32) -> Done {
        let end = u64::from(address) + u64::from(len);
        if end > self.memory.len() as u64 {
            return Err(Errno::Fault);
        }
        Ok(())
    }

    fn at(&self, address: u32, bytes: &[u8]) -> Done {
        self.memory.write(address, bytes).ok_or(Errno::Fault)
    }

    fn number(&self, address: u32, number: u32) -> Done {
        self.at(address, &number.to_le_bytes())
    }

    fn count(&self, address: u32, number: usize) -> Done {
        self.number(address, u32::try_from(number).unwrap_or(u32::MAX))
    }
}
