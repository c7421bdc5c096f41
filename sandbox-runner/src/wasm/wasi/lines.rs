//! What a module prints, cut into the lines of its log.

/// The most bytes of one line; a longer one is cut into several.
const MOST_LINE: usize = 4096;
/// Log levels: standard output is information, standard error a warning.
const INFO: u8 = 2;
const WARN: u8 = 3;

/// A stream of text, of which the last line may not have ended yet.
#[derive(Debug)]
pub(super) struct Lines {
    level: u8,
    rest: Vec<u8>,
}

impl Lines {
    pub(super) const fn of_output() -> Self {
        Self {
            level: INFO,
            rest: Vec::new(),
        }
    }

    pub(super) const fn of_errors() -> Self {
        Self {
            level: WARN,
            rest: Vec::new(),
        }
    }

    pub(super) const fn level(&self) -> u8 {
        self.level
    }

    /// Takes bytes; gives the lines that have ended by them.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut ended = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                ended.push(std::mem::take(&mut self.rest));
                continue;
            }
            if self.rest.len() == MOST_LINE {
                ended.push(std::mem::take(&mut self.rest));
            }
            self.rest.push(*byte);
        }
        ended
    }

    /// The line that has not ended, if there is one.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_its_line_ends_and_at_the_most_bytes() {
        let mut lines = Lines::of_output();
        assert!(lines.take(b"one").is_empty());
        assert_eq!(lines.take(b" line\n\ntwo"), [&b"one line"[..], b""]);
        assert_eq!(lines.rest().unwrap(), b"two");
        assert_eq!(lines.rest(), None);
        let long = lines.take(&vec![b'x'; 2 * MOST_LINE + 1]);
        assert_eq!(long.len(), 2);
        assert_eq!(lines.rest().unwrap(), b"x");
    }
}
