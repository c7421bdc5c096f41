//! Lines out of a pipe, bounded.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The most that is read at once: what a pipe holds.
const CHUNK: usize = 64 << 10;

/// The reading end of a pipe and what was read of it.
#[derive(Debug)]
pub(super) struct Lines {
    /// `None` = nothing more will come.
    pipe: Option<OwnedFd>,
    /// Lines that were given out, whole lines, and the beginning of one.
    held: Vec<u8>,
    /// Where the first line begins that was not given out.
    start: usize,
    /// From `start` to here no line ends.
    seen: usize,
}

impl Lines {
    pub(super) const fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: Some(pipe),
            held: Vec::new(),
            start: 0,
            seen: 0,
        }
    }

    /// The pipe, while something may come out of it.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what is there; waits if nothing is.
    pub(super) fn read(&mut self) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        // Once a read, not once a line: many short ones would be moved as often.
        self.held.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        let before = self.held.len();
        self.held.resize(before + CHUNK, 0);
        let room = self.held.get_mut(before..).unwrap_or_default();
        let got = match rustix::io::read(pipe, room) {
            Ok(got) => got,
            Err(Errno::INTR) => {
                self.held.truncate(before);
                return;
            }
            Err(_) => 0,
        };
        self.held.truncate(before + got);
        if got == 0 {
            self.pipe = None;
        }
    }

    /// Whether something is there that was not given out, if only a piece of a line.
    /// What the pipe holds is read for it; nothing is waited for.
    pub(super) fn is_ahead(&mut self) -> bool {
        if self.is_readable() {
            self.read();
        }
        self.start < self.held.len()
    }

    /// Whether [`Lines::read`] would not wait: there is something, or the end.
    pub(super) fn is_readable(&self) -> bool {
        let Some(pipe) = &self.pipe else {
            return false;
        };
        let mut fds = [PollFd::new(pipe, PollFlags::IN)];
        loop {
            match poll(&mut fds, Some(&Timespec::default())) {
                Ok(ready) => return ready > 0,
                Err(Errno::INTR) => {}
                // What can't be asked about is not taken for silence.
                Err(_) => return true,
            }
        }
    }

    /// The next whole line, without its end; at the end of everything also one that
    /// has none. `Err` = it would be longer than `most` bytes.
    pub(super) fn next(&mut self, most: usize) -> Result<Option<Vec<u8>>, TooLong> {
        let fresh = self.held.get(self.seen..).unwrap_or_default();
        let end = fresh.iter().position(|byte| *byte == b'\n');
        let (line, rest) = match end.map(|end| end + self.seen) {
            Some(end) => (end, end + 1),
            None if self.pipe.is_none() && self.start < self.held.len() => {
                (self.held.len(), self.held.len())
            }
            None => {
                self.seen = self.held.len();
                return match self.seen - self.start > most {
                    true => Err(TooLong),
                    false => Ok(None),
                };
            }
        };
        if line - self.start > most {
            return Err(TooLong);
        }
        Ok(Some(self.give(line, rest)))
    }

    /// As [`Lines::next`], but what is longer comes in pieces of `most` bytes.
    pub(super) fn piece(&mut self, most: usize) -> Option<Vec<u8>> {
        match self.next(most) {
            Ok(line) => line,
            Err(TooLong) => {
                let end = (self.start + most).min(self.held.len());
                Some(self.give(end, end))
            }
        }
    }

    /// Gives out what lies before `end`; what is next begins at `rest`.
    fn give(&mut self, end: usize, rest: usize) -> Vec<u8> {
        let given = self.held.get(self.start..end).unwrap_or_default().to_vec();
        (self.start, self.seen) = (rest, rest);
        given
    }
}

/// A line that is too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Lines {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, text).unwrap();
        drop(write);
        let mut lines = Lines::new(read);
        lines.read();
        lines
    }

    #[test]
    fn lines_come_one_by_one_and_the_last_one_may_lack_its_end() {
        let mut lines = lines(b"one\n\nthree");
        assert_eq!(lines.next(10), Ok(Some(b"one".to_vec())));
        assert_eq!(lines.next(10), Ok(Some(Vec::new())));
        assert_eq!(lines.next(10), Ok(None));
        lines.read();
        assert_eq!(lines.next(10), Ok(Some(b"three".to_vec())));
        assert_eq!(lines.next(10), Ok(None));
        assert!(lines.pipe().is_none());
    }

    #[test]
    fn what_was_not_asked_for_is_seen_without_waiting() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut lines = Lines::new(read);
        assert!(!lines.is_ahead());
        rustix::io::write(&write, b"one\n").unwrap();
        assert!(lines.is_ahead());
        assert_eq!(lines.next(10), Ok(Some(b"one".to_vec())));
        assert!(!lines.is_ahead());
        // No whole line, and read before.
        rustix::io::write(&write, b"t").unwrap();
        lines.read();
        assert_eq!(lines.next(10), Ok(None));
        assert!(lines.is_ahead());
        rustix::io::write(&write, b"\n").unwrap();
        drop(write);
        lines.read();
        assert_eq!(lines.next(10), Ok(Some(b"t".to_vec())));
        assert!(!lines.is_ahead());
        assert!(!lines.is_ahead());
    }

    #[test]
    fn line_that_is_too_long_is_told_before_it_ends() {
        assert_eq!(lines(b"12345\n").next(5), Ok(Some(b"12345".to_vec())));
        assert_eq!(lines(b"123456\n").next(5), Err(TooLong));
        assert_eq!(lines(b"123456").next(5), Err(TooLong));
        let mut pieces = lines(b"1234567\n8\n");
        let mut next = || pieces.piece(3);
        assert_eq!(next(), Some(b"123".to_vec()));
        assert_eq!(next(), Some(b"456".to_vec()));
        assert_eq!(next(), Some(b"7".to_vec()));
        assert_eq!(next(), Some(b"8".to_vec()));
        assert_eq!(next(), None);
    }

    #[test]
    fn many_short_lines_cost_no_more_than_their_bytes() {
        const LINES: usize = 1 << 20;
        let mut many = lines(b"");
        many.held = vec![b'\n'; LINES];
        let begun = std::time::Instant::now();
        for _ in 0..LINES {
            assert_eq!(many.next(10), Ok(Some(Vec::new())));
        }
        assert_eq!(many.next(10), Ok(None));
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }
}
