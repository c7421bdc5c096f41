//! What plugins log: one file each, written by the broker, which puts the id
//! in front, escapes what could deceive a terminal, and limits rate and size.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use gm_manifest::Refusal;

use crate::home::Dir;

/// The most bytes of one log line; longer ones are cut, so that a plugin
/// can't fill the disk through us faster than its quota.
pub const MAX_LINE: usize = 4096;
/// The most bytes of log text a second.
const BYTES_A_SECOND: usize = 64 * 1024;
/// How many rotated files are kept.
pub const KEPT: u32 = 3;

/// A file of JSON lines that is rotated when it grows.
#[derive(Debug)]
pub struct LogFile {
    dir: Dir,
    name: String,
    file: File,
    most: u64,
    /// The last line may have no end.
    torn: bool,
}

impl LogFile {
    /// Opens `name` in `dir` for appending; at `most` bytes it is rotated.
    pub fn open(dir: Dir, name: &str, most: u64) -> Result<Self, Refusal> {
        let file = dir.append(name)?;
        let size = file.metadata().map(|meta| meta.len()).unwrap_or(0);
        Ok(Self {
            dir,
            name: name.to_owned(),
            file,
            most,
            // What a crash or a full disk left of a line ends before the next one.
            torn: size > 0,
        })
    }

    /// Appends one line. A full disk loses the line, never the run.
    ///
    /// # Errors
    /// The line, or the end of it, is lost.
    pub fn line(&mut self, text: &str) -> std::io::Result<()> {
        if self.follow() >= self.most {
            self.rotate();
        }
        let mut line = String::with_capacity(text.len() + 2);
        if std::mem::take(&mut self.torn) && !self.ends_a_line() {
            line.push('\n');
        }
        line.push_str(text);
        line.push('\n');
        let written = self.file.write_all(line.as_bytes());
        self.torn = written.is_err();
        written
    }

    /// Other runs write to this file, too, and rotate it: what is written must not go
    /// into one that has been moved away. Gives the size of the one that is there.
    fn follow(&mut self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let named = std::fs::symlink_metadata(self.dir.path().join(&self.name));
        let Ok(own) = self.file.metadata() else {
            return 0;
        };
        let same = named.is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino()));
        if !same && let Ok(file) = self.dir.append(&self.name) {
            self.file = file;
            return self.file.metadata().map(|meta| meta.len()).unwrap_or(0);
        }
        own.len()
    }

    fn ends_a_line(&self) -> bool {
        use std::os::unix::fs::FileExt as _;
        let len = self.file.metadata().map(|meta| meta.len()).unwrap_or(0);
        let mut last = [0];
        match len.checked_sub(1) {
            Some(at) => self.file.read_exact_at(&mut last, at).is_ok() && last == *b"\n",
            None => true,
        }
    }

    fn rotate(&mut self) {
        let numbered = |n: u32| self.dir.path().join(format!("{}.{n}", self.name));
        for n in (1..KEPT).rev() {
            // The older ones may not be there yet.
            let _ = std::fs::rename(numbered(n), numbered(n + 1));
        }
        let _ = std::fs::rename(self.dir.path().join(&self.name), numbered(1));
        if let Ok(file) = self.dir.append(&self.name) {
            self.file = file;
        }
    }
}

/// What became of one line.
#[derive(Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Write it; that many lines were lost just before.
    Line {
        /// Lines dropped since the last one that was written.
        dropped: u64,
    },
    /// Over the rate: dropped and counted.
    Dropped,
    /// Dropped, and more were dropped in this run than the operator bears.
    Flood,
}

/// How much one plugin may log.
#[derive(Debug)]
pub struct Rate {
    lines_a_second: u64,
    most_dropped: u64,
    window: Instant,
    lines: u64,
    bytes: usize,
    dropped_now: u64,
    dropped_ever: u64,
}

impl Rate {
    /// At most `lines_a_second`; a run that drops more than `most_dropped` is
    /// a flood.
    #[must_use]
    pub fn new(lines_a_second: u64, most_dropped: u64) -> Self {
        Self {
            lines_a_second,
            most_dropped,
            window: Instant::now(),
            lines: 0,
            bytes: 0,
            dropped_now: 0,
            dropped_ever: 0,
        }
    }

    /// Judges a line of `len` bytes.
    pub fn accept(&mut self, len: usize) -> Accepted {
        if self.window.elapsed() >= Duration::from_secs(1) {
            (self.window, self.lines, self.bytes) = (Instant::now(), 0, 0);
        }
        if self.lines >= self.lines_a_second || self.bytes.saturating_add(len) > BYTES_A_SECOND {
            self.dropped_now += 1;
            self.dropped_ever += 1;
            return if self.dropped_ever > self.most_dropped {
                Accepted::Flood
            } else {
                Accepted::Dropped
            };
        }
        self.lines += 1;
        self.bytes += len;
        Accepted::Line {
            dropped: std::mem::take(&mut self.dropped_now),
        }
    }

    /// How many lines a run may lose, and how many this one has lost.
    #[must_use]
    pub fn flood(&self) -> (u64, u64) {
        (self.most_dropped, self.dropped_ever)
    }
}

/// A line as it may be shown: cut at [`MAX_LINE`], not UTF-8 replaced,
/// control, direction and newline characters escaped.
#[must_use]
pub fn harmless(text: &[u8]) -> String {
    let cut = text.get(..MAX_LINE).unwrap_or(text);
    let mut shown = crate::output::escape::one_line(&String::from_utf8_lossy(cut));
    if cut.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_rate_are_dropped_and_counted() {
        let mut rate = Rate::new(2, 3);
        assert_eq!(rate.accept(1), Accepted::Line { dropped: 0 });
        assert_eq!(rate.accept(1), Accepted::Line { dropped: 0 });
        for _ in 0..3 {
            assert_eq!(rate.accept(1), Accepted::Dropped);
        }
        assert_eq!(rate.accept(1), Accepted::Flood);
        assert_eq!(rate.flood().1, 4);
    }

    #[test]
    fn a_file_that_another_run_moved_away_is_not_written_to() {
        let temp = tempfile::tempdir().unwrap();
        let dir = || Dir::root(temp.path()).unwrap();
        let mut ours = LogFile::open(dir(), "journal", 10).unwrap();
        let mut theirs = LogFile::open(dir(), "journal", 10).unwrap();
        ours.line("ours, over ten bytes").unwrap();
        theirs.line("theirs, in a new file").unwrap();
        ours.line("ours").unwrap();
        let read = |name: &str| std::fs::read_to_string(temp.path().join(name)).unwrap();
        assert_eq!(read("journal.2"), "ours, over ten bytes\n");
        assert_eq!(read("journal.1"), "theirs, in a new file\n");
        assert_eq!(read("journal"), "ours\n");
    }

    #[test]
    fn a_line_cannot_forge_another_one() {
        let shown = harmless(b"a\nother.plugin \xe2\x94\x82 b\x1b[2J\r");
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }

    #[test]
    fn a_long_line_is_cut() {
        assert!(harmless(&vec![b'x'; 3 * MAX_LINE]).len() <= MAX_LINE + 4);
    }
}
