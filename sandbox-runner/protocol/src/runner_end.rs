//! A walled process's end of the link: plain blocking `read` and `write`, so
//! that its filter needs no socket call at all.
//!
//! The broker is trusted here; still, a frame that does not fit ends the
//! process rather than being guessed at.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::link::{LAST_SEQ, LinkError, MAX_FRAME, encode_frame, next_seq, open_frame};
use crate::message::{FromRunner, Last, ToRunner};
use crate::wire;

/// The most bytes of a final frame.
pub const LAST_FRAME: usize = 128;

/// The runner's end.
#[derive(Debug)]
pub struct RunnerEnd {
    socket: File,
    // A shorter buffer would cut a packet silently.
    frame: Vec<u8>,
    next_out: u32,
    next_in: u32,
}

impl RunnerEnd {
    /// Takes the inherited socket.
    #[must_use]
    pub fn new(socket: File) -> Self {
        Self {
            socket,
            frame: vec![0; MAX_FRAME],
            next_out: 0,
            next_in: 0,
        }
    }

    /// Sends one message; blocks until there is room.
    pub fn send(&mut self, message: &FromRunner) -> Result<(), LinkError> {
        let used = encode_frame(message, self.next_out, &mut self.frame)?;
        self.next_out = next_seq(self.next_out);
        let frame = self.frame.get(..used).unwrap_or_default();
        loop {
            match self.socket.write(frame) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(LinkError::Closed),
            }
        }
    }

    /// Sends a first frame and the parts of its document.
    pub fn send_document(&mut self, first: &FromRunner, document: &[u8]) -> Result<(), LinkError> {
        self.send(first)?;
        for part in FromRunner::parts(document) {
            self.send(&part)?;
        }
        Ok(())
    }

    /// Waits for the next message. [`LinkError::Closed`] = the broker is gone.
    pub fn recv(&mut self) -> Result<ToRunner, LinkError> {
        let len = loop {
            match self.socket.read(&mut self.frame) {
                Ok(0) => return Err(LinkError::Closed),
                Ok(len) => break len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(LinkError::Closed),
            }
        };
        let (seq, body) = open_frame(self.frame.get(..len).unwrap_or_default())?;
        if seq != self.next_in {
            return Err(LinkError::BadHeader("sequence number"));
        }
        self.next_in = next_seq(self.next_in);
        Ok(wire::decode(body)?)
    }

    /// Receives the rest of a document that began with `document`, at most
    /// `cap` bytes in all.
    pub fn recv_parts(
        &mut self,
        mut document: Vec<u8>,
        more: bool,
        cap: usize,
    ) -> Result<Vec<u8>, LinkError> {
        let (mut expected, mut open) = (1, more);
        while open {
            let ToRunner::Part { index, last, bytes } = self.recv()? else {
                return Err(LinkError::BadState("a part was due"));
            };
            if index != expected || bytes.is_empty() || document.len() + bytes.len() > cap {
                return Err(LinkError::BadState("a part out of order or over the cap"));
            }
            document.extend_from_slice(&bytes);
            expected += 1;
            open = !last;
        }
        Ok(document)
    }
}

impl AsFd for RunnerEnd {
    /// To wait for the next message.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Writes the final frame to `to`; returns its length, 0 if it did not fit.
/// Allocates nothing: signal handlers call it, then `write(2)` the bytes.
pub fn last_frame(last: Last, to: &mut [u8; LAST_FRAME]) -> usize {
    encode_frame(&FromRunner::Last(last), LAST_SEQ, to).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Budget, Link, Wait, pair};
    use crate::message::{PART, head};
    use crate::plan::Hook;
    use std::time::{Duration, Instant};

    fn soon() -> Wait<'static> {
        Wait {
            deadline: Instant::now() + Duration::from_secs(2),
            wake: None,
        }
    }

    #[test]
    fn a_document_of_many_frames_crosses_both_ways() {
        let (broker, runner) = pair().unwrap();
        let mut broker = Link::new(
            broker,
            Budget {
                frames: 1000,
                bytes: 64 << 20,
            },
        );
        let document: Vec<u8> = (0..=252_u8).cycle().take(10 * PART).collect();
        let echo = std::thread::spawn(move || {
            let mut end = RunnerEnd::new(File::from(runner));
            let ToRunner::Call {
                call, more, bytes, ..
            } = end.recv().unwrap()
            else {
                panic!("not a call")
            };
            let whole = end.recv_parts(bytes, more, 1 << 20).unwrap();
            let (bytes, more) = head(&whole);
            let first = FromRunner::Done {
                call,
                status: 0,
                has: true,
                more,
                bytes,
            };
            end.send_document(&first, &whole).unwrap();
        });
        let (bytes, more) = head(&document);
        let call = ToRunner::Call {
            call: 1,
            hook: Hook::Init,
            more,
            bytes,
        };
        broker.send_document(&call, &document, soon()).unwrap();
        let FromRunner::Done { more, bytes, .. } = broker.recv(soon()).unwrap() else {
            panic!("not an answer")
        };
        let back = broker.recv_parts(bytes, more, 1 << 20, soon()).unwrap();
        echo.join().unwrap();
        assert_eq!(back, document);
    }

    #[test]
    fn a_final_frame_fits_its_buffer() {
        let mut frame = [0; LAST_FRAME];
        let last = Last::Forbidden {
            nr: i32::MIN,
            args: [u64::MAX; 6],
        };
        assert!(last_frame(last, &mut frame) > 0);
    }
}
