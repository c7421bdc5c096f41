//! The channel between host and program: calls as lines to its input, answers and
//! host calls as lines of its output, its error output as lines of its log.
//!
//! Everything is waited for at once, so that neither side can hold up the other by
//! not reading. The end of the program is the end of this process.

use std::ops::DerefMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gm_protocol::abi::LogLevel;
use gm_protocol::message::{Last, LineFault};
use gm_protocol::plan::{Hook, HostOp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use super::Pipes;
use super::lines::Lines;
use super::words::{self, Said};
use crate::abi::Import;
use crate::hosting::{self, Args, Host, NOT_RUN};
use crate::walls::sys::process::Started;
use crate::walls::{Narrowed, last, sys};

/// The most bytes of a line of the program.
const MOST_LINE: usize = 1 << 20;
/// The most bytes of a line of its log; a longer one becomes several.
const MOST_LOG: usize = 4096;
/// A pipe that can be written to takes this much without waiting.
const PAGE: usize = 4096;
/// Who lost its parent is reaped after this at the latest: nothing wakes us for it.
const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};
const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
/// The status of a hook that answered an error.
const FAILED: i32 = 1;
/// Exit status for a signal of this number: with it added.
const BY_SIGNAL: i32 = 128;

/// A program that can be called.
pub(super) struct Program {
    host: Host,
    pid: Pid,
    pidfd: OwnedFd,
    /// How it ended, once it has.
    status: Option<WaitStatus>,
    /// `None` = it was told to stop, or does not listen any more.
    input: Option<OwnedFd>,
    output: Lines,
    error: Lines,
    /// What is still to be written to it.
    unsent: Vec<u8>,
    calls: u64,
}

/// What is waited for besides the program's end and its error output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Its answer.
    Output,
    /// The host.
    Link,
}

/// What has happened.
struct Ready {
    error: bool,
    output: bool,
    input: bool,
    link: bool,
    /// The program was dead before the others were asked.
    ended: bool,
}

impl Ready {
    /// Nothing more will come of it.
    fn is_over(&self) -> bool {
        self.ended && !self.error && !self.output
    }
}

impl Program {
    pub(super) fn new(_: Narrowed, host: Host, started: Started, pipes: Pipes) -> Self {
        Self {
            host,
            pid: started.pid,
            pidfd: started.pidfd,
            status: None,
            input: Some(pipes.input),
            output: Lines::new(pipes.output),
            error: Lines::new(pipes.error),
            unsent: Vec::new(),
            calls: 0,
        }
    }

    /// Waits until something happens, then does what can be done at once.
    fn step(&mut self, wanted: For) -> Ready {
        let ready = self.wait(wanted);
        if ready.input {
            self.write();
        }
        if ready.error {
            self.error.read();
            self.log();
        }
        if ready.output {
            self.output.read();
        }
        self.reap();
        ready
    }

    fn wait(&self, wanted: For) -> Ready {
        let ended = self.status.is_some();
        let reads = |fd| (fd, PollFlags::IN);
        let output = self.output.pipe();
        let output = output.filter(|_| wanted == For::Output && self.listens());
        let link = self.host.link_fd().filter(|_| wanted == For::Link);
        let input = self.input.as_ref().filter(|_| !self.unsent.is_empty());
        let watched: [Option<(BorrowedFd<'_>, PollFlags)>; 5] = [
            (!ended).then(|| reads(self.pidfd.as_fd())),
            self.error.pipe().map(reads),
            output.map(reads),
            input.map(|pipe| (pipe.as_fd(), PollFlags::OUT)),
            link.map(reads),
        ];
        let fds = watched.iter().flatten();
        let fds = fds.map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags));
        let mut fds: Vec<PollFd<'_>> = fds.collect();
        let timeout = if ended { AT_ONCE } else { TICK };
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => sys::exit_now(last::BROKEN_LINK),
        }
        let mut seen = fds.iter().map(|fd| !fd.revents().is_empty());
        let [_, error, output, input, link] =
            watched.map(|one| one.is_some() && seen.next().unwrap_or(false));
        Ready {
            error,
            output,
            input,
            link,
            ended,
        }
    }

    fn write(&mut self) {
        let Some(pipe) = &self.input else {
            return;
        };
        let part = self.unsent.get(..PAGE).unwrap_or(&self.unsent);
        match rustix::io::write(pipe, part) {
            Ok(done) => drop(self.unsent.drain(..done)),
            Err(Errno::INTR) => {}
            // It has closed its input: what it is told is lost, what it says is not.
            Err(_) => self.deafen(),
        }
    }

    /// Closes the program's input, which tells it to stop.
    fn deafen(&mut self) {
        self.input = None;
        self.unsent = Vec::new();
    }

    fn log(&mut self) {
        while let Some(line) = self.error.piece(MOST_LOG) {
            let line = String::from_utf8_lossy(&line);
            let args = Args {
                first: line.as_bytes(),
                x: LogLevel::Info.number().into(),
                ..Args::default()
            };
            // Whatever is wrong with a line of a log, the program goes on.
            let _ = self.host.call(Import::Op(HostOp::Log), args);
        }
    }

    /// Takes the status of whatever has ended, the program's above all.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.pid {
                self.status = Some(status);
            }
        }
    }

    /// Waits for the answer to the call that is open, and serves its host calls.
    fn exchange(&mut self) -> (i32, Option<Vec<u8>>) {
        loop {
            while self.listens()
                && let Some(line) = self.line()
            {
                match words::read(&line) {
                    Some(Said::Host(question)) => {
                        let answer = words::answer(&mut self.host, &question);
                        self.unsent.extend(answer);
                    }
                    Some(Said::Reply { call, reply }) if call == self.calls => return (0, reply),
                    Some(Said::Error { call, text }) if call == self.calls => {
                        return (FAILED, Some(text.into_bytes()));
                    }
                    Some(Said::Reply { .. } | Said::Error { .. }) => end_by(LineFault::OutOfTurn),
                    None => end_by(LineFault::Form),
                }
            }
            if self.step(For::Output).is_over() {
                self.end();
            }
            if self.input.is_none() && self.status.is_none() {
                return closed();
            }
        }
    }

    /// Not while too many answers wait for the program to read them.
    fn listens(&self) -> bool {
        self.unsent.len() <= MOST_LINE
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        let line = self.output.next(MOST_LINE);
        line.unwrap_or_else(|_| end_by(LineFault::TooLong))
    }

    /// Ends this process as the program has ended.
    fn end(&self) -> ! {
        let signal = self.status.and_then(WaitStatus::terminating_signal);
        if let Some(signal) = signal {
            last::say(Last::Child {
                signal: u8::try_from(signal).unwrap_or(u8::MAX),
            });
            sys::exit_now(BY_SIGNAL.saturating_add(signal))
        }
        let status = self.status.and_then(WaitStatus::exit_status);
        sys::exit_now(status.unwrap_or(FAILED))
    }
}

impl hosting::Plugin for Program {
    /// What a program knows of, only its answers tell.
    fn has(&self, _: Hook) -> bool {
        true
    }

    fn host(&mut self) -> impl DerefMut<Target = Host> {
        &mut self.host
    }

    fn call(&mut self, hook: Hook, document: &[u8]) -> (i32, Option<Vec<u8>>) {
        if self.input.is_none() {
            return closed();
        }
        // An answer that is there already answers nothing that it could know, and a
        // host call would be served on behalf of an event that did not cause it.
        if self.output.is_ahead() {
            end_by(LineFault::Ahead);
        }
        self.calls = self.calls.saturating_add(1);
        self.host.enter();
        self.unsent.extend(words::call(self.calls, hook, document));
        let answer = self.exchange();
        // What it wrote before its answer belongs to this call, and after the last
        // one there is no other: one read takes all that the pipe holds.
        if self.error.is_readable() {
            self.error.read();
            self.log();
        }
        // It answers by a line alone.
        let _ = self.host.leave();
        answer
    }

    fn idle(&mut self) {
        loop {
            let ready = self.step(For::Link);
            if ready.link {
                return;
            }
            if ready.is_over() {
                self.end();
            }
        }
    }

    /// The program's own status, once it has seen the end of its input. How long
    /// that may take is for the host to say.
    fn stop(&mut self) -> i32 {
        self.deafen();
        loop {
            let ready = self.step(For::Output);
            // It is not listened to any more.
            while self.output.piece(MOST_LINE).is_some() {}
            if ready.is_over() {
                self.end();
            }
        }
    }
}

/// What is answered for a program that can't be told anything.
fn closed() -> (i32, Option<Vec<u8>>) {
    (NOT_RUN, Some(b"the program has closed its input".to_vec()))
}

fn end_by(fault: LineFault) -> ! {
    last::say(Last::Line(fault));
    sys::exit_now(last::BROKEN_LINE)
}
