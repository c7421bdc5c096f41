//! One of the two standard streams: whole lines, flushed, and what its end
//! can show.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A standard stream. After the first failed write it swallows everything.
pub(super) struct Stream {
    to: Box<dyn Write + Send>,
    terminal: bool,
    colour: bool,
    failed: Option<io::Error>,
    closed: bool,
}

impl Stream {
    pub(super) fn stdout(colour: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self::new(Box::new(stdout), terminal, colour)
    }

    /// Swallows everything.
    pub(super) fn nowhere() -> Self {
        Self::new(Box::new(io::sink()), false, false)
    }

    pub(super) fn stderr(colour: bool) -> Self {
        let stderr = io::stderr();
        let terminal = stderr.is_terminal();
        Self::new(Box::new(stderr), terminal, colour)
    }

    fn new(to: Box<dyn Write + Send>, terminal: bool, colour: bool) -> Self {
        Self {
            to,
            terminal,
            colour: terminal && colour,
            failed: None,
            closed: false,
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.terminal
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The error that ended it, unless it was a reader that left.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// `text` in the colour of an SGR code, if this end can show one.
    pub(super) fn paint(&self, sgr: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{sgr}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// One write for the whole line, so that two processes with the same
    /// stdout don't mix theirs.
    pub(super) fn write_line(&mut self, text: &str) {
        let mut line = String::with_capacity(text.len() + 1);
        line.push_str(text);
        line.push('\n');
        self.write_part(&line);
    }

    pub(super) fn write_part(&mut self, text: &str) {
        if self.closed {
            return;
        }
        let written = self
            .to
            .write_all(text.as_bytes())
            .and_then(|()| self.to.flush());
        if let Err(error) = written {
            self.closed = true;
            self.failed = (error.kind() != io::ErrorKind::BrokenPipe).then_some(error);
        }
    }
}

/// Whether the other end of a pipe, socket or terminal is gone; a file has none.
pub(super) fn reader_left(to: &impl AsFd) -> bool {
    // Errors are reported whether they are asked for or not.
    let mut fds = [PollFd::new(to, PollFlags::empty())];
    let now = Timespec::default();
    let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
    poll(&mut fds, Some(&now)).is_ok() && fds.iter().any(|stdout| stdout.revents().intersects(gone))
}

/// What an output that is kept in memory has received so far.
#[derive(Clone, Default)]
pub struct Kept {
    text: Arc<Mutex<Vec<u8>>>,
    most: usize,
}

impl Kept {
    /// A stream that is closed once it holds `most` bytes.
    pub(super) fn stream(most: usize) -> (Stream, Self) {
        let kept = Self {
            most,
            ..Self::default()
        };
        (Stream::new(Box::new(kept.clone()), false, false), kept)
    }

    /// All lines, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len().saturating_add(bytes.len()) > self.most {
            // As from a reader that left: whoever writes stops.
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a captured output has received.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Captured {
    pub(crate) out: Shared,
    pub(crate) err: Shared,
}

#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

#[cfg(test)]
impl Shared {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[cfg(test)]
impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
pub(super) fn captured() -> (Stream, Stream, Captured) {
    let captured = Captured::default();
    let out = Stream::new(Box::new(captured.out.clone()), false, false);
    let err = Stream::new(Box::new(captured.err.clone()), false, false);
    (out, err, captured)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ends(io::ErrorKind);

    impl Write for Ends {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_closes_the_stream_without_an_error() {
        let mut stream = Stream::new(Box::new(Ends(io::ErrorKind::BrokenPipe)), false, false);
        stream.write_line("x");
        assert!(stream.is_closed());
        assert!(stream.take_error().is_none());
    }

    #[test]
    fn a_full_disk_closes_the_stream_with_its_error() {
        let mut stream = Stream::new(Box::new(Ends(io::ErrorKind::StorageFull)), false, false);
        stream.write_line("x");
        assert!(stream.is_closed());
        assert_eq!(
            stream.take_error().map(|error| error.kind()),
            Some(io::ErrorKind::StorageFull)
        );
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let (mut stream, kept) = Kept::stream(8);
        stream.write_line("one");
        stream.write_line("two");
        assert!(!stream.is_closed());
        stream.write_line("");
        assert!(stream.is_closed());
        assert_eq!(kept.lines(), ["one", "two"]);
    }

    #[test]
    fn colour_needs_a_terminal() {
        let plain = Stream::new(Box::new(io::sink()), false, true);
        assert_eq!(plain.paint("31", "x"), "x");
        let coloured = Stream::new(Box::new(io::sink()), true, true);
        assert_eq!(coloured.paint("31", "x"), "\u{1b}[31mx\u{1b}[0m");
        let no_color = Stream::new(Box::new(io::sink()), true, false);
        assert_eq!(no_color.paint("31", "x"), "x");
    }
}
