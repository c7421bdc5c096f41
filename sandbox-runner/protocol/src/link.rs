//! The broker's end of the link to one runner: bounded, and any error is final.
//!
//! One packet of a `SOCK_SEQPACKET` socket is one frame, so there is no
//! partial message. The peer is hostile from its first frame on: nothing is
//! allocated by a number that it claims, and no descriptor is ever taken
//! (a plain `recv` has no control buffer, so the kernel drops them).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::message::{FromRunner, PART, ToRunner};
use crate::wire;

/// The most bytes of a frame, header included, in both directions.
pub const MAX_FRAME: usize = 64 * 1024;
/// Bytes of a frame's header: magic, length of the body, sequence number,
/// flags; each a little-endian u32.
pub const HEADER: usize = 16;
/// First word of every frame: "GM02".
pub const MAGIC: u32 = 0x3230_4D47;
/// Sequence number of the final frame of a process that ends by itself.
pub const LAST_SEQ: u32 = 0xFFFF_FFFF;

/// Why a link is over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The peer closed its end or died.
    #[error("the runner closed the link")]
    Closed,
    /// The deadline passed.
    #[error("the deadline passed")]
    TimedOut,
    /// The wake descriptor became readable: somebody wants this thread.
    #[error("the wait was interrupted by the host")]
    Woken,
    /// A packet larger than [`MAX_FRAME`].
    #[error("a frame of {0} bytes")]
    TooBig(usize),
    /// Magic, length, sequence number or flags are wrong.
    #[error("a frame with a wrong header ({0})")]
    BadHeader(&'static str),
    /// More frames or bytes in a second than the limits allow.
    #[error("more frames or bytes a second than the limit")]
    OverBudget,
    /// The body is no message.
    #[error("a frame with a wrong body: {0}")]
    BadBody(#[from] wire::WireError),
    /// A message that the conversation does not allow now.
    #[error("a message out of turn ({0})")]
    BadState(&'static str),
    /// The kernel refused.
    #[error("could not use the link's socket: {0}")]
    Io(#[from] Errno),
}

/// What a [`Budget`] is for.
const SECOND: Duration = Duration::from_secs(1);
/// For the reading of a packet that is there already.
const ARRIVED: Duration = Duration::from_millis(20);

/// How much a runner may send in one second. The frame that answers a call is
/// not counted: how many there are is the broker's doing.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Frames a second.
    pub frames: u32,
    /// Bytes a second.
    pub bytes: u64,
}

impl Budget {
    /// What it takes to send a document of at most so many bytes.
    #[must_use]
    pub fn of_document(bytes: usize) -> Self {
        let frames = bytes / PART + 1;
        let total = bytes.saturating_add(frames.saturating_mul(MAX_FRAME - PART));
        Self {
            frames: u32::try_from(frames).unwrap_or(u32::MAX),
            bytes: u64::try_from(total).unwrap_or(u64::MAX),
        }
    }
}

/// Until when to wait, and what else ends the wait.
#[derive(Debug, Clone, Copy)]
pub struct Wait<'a> {
    /// Absolute, so that frames never extend it.
    pub deadline: Instant,
    /// Readable = give up with [`LinkError::Woken`].
    pub wake: Option<BorrowedFd<'a>>,
}

/// The broker's end of the link.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
    frame: Vec<u8>,
    next_out: u32,
    next_in: u32,
    budget: Budget,
    window: Instant,
    left: Budget,
    ended: bool,
}

/// A connected pair of sockets: the broker's end and the runner's.
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}

impl Link {
    /// Takes the broker's end. Turn `SO_PASSRIGHTS` off on it first.
    #[must_use]
    pub fn new(socket: OwnedFd, budget: Budget) -> Self {
        Self {
            socket,
            frame: vec![0; MAX_FRAME],
            next_out: 0,
            next_in: 0,
            budget,
            window: Instant::now(),
            left: budget,
            ended: false,
        }
    }

    /// Sends one message; waits for room until the deadline, never longer.
    pub fn send(&mut self, message: &ToRunner, wait: Wait<'_>) -> Result<(), LinkError> {
        let used = encode_frame(message, self.next_out, &mut self.frame)?;
        self.next_out = next_seq(self.next_out);
        loop {
            let bytes = self.frame.get(..used).unwrap_or_default();
            match rustix::net::send(
                &self.socket,
                bytes,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            ) {
                Ok(_) => break,
                Err(Errno::AGAIN) => self.ready(PollFlags::OUT, wait)?,
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(LinkError::Closed),
                Err(other) => return Err(other.into()),
            }
        }
        if matches!(message, ToRunner::Call { .. }) {
            // Its answer is no flood, however fast calls follow each other: a
            // quick machine must not end a plugin that only answers.
            self.left.frames = self.left.frames.saturating_add(1);
        }
        Ok(())
    }

    /// Receives one message. After an error, or a [`FromRunner::Last`], the
    /// link is over: what follows is never read.
    pub fn recv(&mut self, wait: Wait<'_>) -> Result<FromRunner, LinkError> {
        if self.ended {
            return Err(LinkError::Closed);
        }
        let result = self.packet(wait).and_then(|len| self.open(len));
        self.ended = match &result {
            // A deadline or a wake leaves the link as it was: a queued final
            // frame may still be read.
            Err(LinkError::TimedOut | LinkError::Woken) => false,
            Err(_) | Ok(FromRunner::Last(_)) => true,
            Ok(_) => false,
        };
        result
    }

    /// Waits for the next second's budget if this one's has no room for `next`, up to
    /// half of it: who sends only when it was answered is slowed down that way, never
    /// over its budget. Who sends all the same is not waited for.
    ///
    /// # Errors
    /// [`LinkError::TimedOut`], [`LinkError::Woken`], [`LinkError::Io`].
    pub fn pace(&mut self, next: Budget, wait: Wait<'_>) -> Result<(), LinkError> {
        let frames = next.frames.min(self.budget.frames / 2).max(1);
        let bytes = next.bytes.min(self.budget.bytes / 2);
        let over = self.window + SECOND;
        while self.left.frames < frames || self.left.bytes < bytes {
            if Instant::now() >= over {
                self.window = Instant::now();
                self.left = self.budget;
                break;
            }
            let until = Wait {
                deadline: over.min(wait.deadline),
                ..wait
            };
            match self.ready(PollFlags::IN, until) {
                // It didn't wait for its answer, or it is dead.
                Ok(()) if self.has_arrived()? => break,
                Ok(()) => {}
                Err(LinkError::TimedOut) if Instant::now() < wait.deadline => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What has arrived already, if anything has; does not wait.
    ///
    /// # Errors
    /// As [`Link::recv`].
    pub fn arrived(&mut self) -> Result<Option<FromRunner>, LinkError> {
        if !self.has_arrived()? {
            return Ok(None);
        }
        let wait = Wait {
            deadline: Instant::now() + ARRIVED,
            wake: None,
        };
        match self.recv(wait) {
            Err(LinkError::TimedOut) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Receives the rest of a document that began with `document`, at most
    /// `cap` bytes in all. The sum is checked before the buffer grows. A part that
    /// breaks the rules ends the link as a bad frame does.
    pub fn recv_parts(
        &mut self,
        document: Vec<u8>,
        more: bool,
        cap: usize,
        wait: Wait<'_>,
    ) -> Result<Vec<u8>, LinkError> {
        if self.ended {
            return Err(LinkError::Closed);
        }
        let whole = self.whole(document, more, cap, wait);
        self.ended |= matches!(whole, Err(LinkError::BadState(_)));
        whole
    }

    fn whole(
        &mut self,
        mut document: Vec<u8>,
        more: bool,
        cap: usize,
        wait: Wait<'_>,
    ) -> Result<Vec<u8>, LinkError> {
        let mut expected = 1;
        let mut open = more;
        if document.len() > cap {
            return Err(LinkError::BadState("a document over its cap"));
        }
        while open {
            let FromRunner::Part { index, last, bytes } = self.recv(wait)? else {
                return Err(LinkError::BadState("a part was due"));
            };
            if index != expected || bytes.is_empty() {
                return Err(LinkError::BadState("a part out of order"));
            }
            if document.len() + bytes.len() > cap {
                return Err(LinkError::BadState("a document over its cap"));
            }
            document.extend_from_slice(&bytes);
            expected += 1;
            open = !last;
        }
        Ok(document)
    }

    /// Sends a first frame and the parts of its document.
    pub fn send_document(
        &mut self,
        first: &ToRunner,
        document: &[u8],
        wait: Wait<'_>,
    ) -> Result<(), LinkError> {
        self.send(first, wait)?;
        for part in ToRunner::parts(document) {
            self.send(&part, wait)?;
        }
        Ok(())
    }

    /// After the process died: a final frame that is still queued, if any.
    pub fn drain_last(&mut self, most: u32) -> Option<FromRunner> {
        let now = Wait {
            deadline: Instant::now(),
            wake: None,
        };
        for _ in 0..most {
            match self.recv(now) {
                Ok(last @ FromRunner::Last(_)) => return Some(last),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
        None
    }

    fn packet(&mut self, wait: Wait<'_>) -> Result<usize, LinkError> {
        loop {
            let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
            match rustix::net::recv(&self.socket, self.frame.as_mut_slice(), flags) {
                Ok((_, 0)) => return Err(LinkError::Closed),
                Ok((_, len)) if len > MAX_FRAME => return Err(LinkError::TooBig(len)),
                Ok((_, len)) => return Ok(len),
                Err(Errno::AGAIN) => self.ready(PollFlags::IN, wait)?,
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Err(LinkError::Closed),
                Err(other) => return Err(other.into()),
            }
        }
    }

    fn open(&mut self, len: usize) -> Result<FromRunner, LinkError> {
        self.charge(len)?;
        let frame = self.frame.get(..len).unwrap_or_default();
        let (seq, body) = open_frame(frame)?;
        if seq == LAST_SEQ {
            return match wire::decode(body)? {
                last @ FromRunner::Last(_) => Ok(last),
                _ => Err(LinkError::BadHeader("sequence number of a final frame")),
            };
        }
        if seq != self.next_in {
            return Err(LinkError::BadHeader("sequence number"));
        }
        self.next_in = next_seq(self.next_in);
        match wire::decode(body)? {
            FromRunner::Last(_) => Err(LinkError::BadHeader("sequence number")),
            message => Ok(message),
        }
    }

    fn charge(&mut self, len: usize) -> Result<(), LinkError> {
        if self.window.elapsed() >= SECOND {
            self.window = Instant::now();
            self.left = self.budget;
        }
        let len = u64::try_from(len).map_err(|_| LinkError::OverBudget)?;
        let frames = self
            .left
            .frames
            .checked_sub(1)
            .ok_or(LinkError::OverBudget)?;
        let bytes = self
            .left
            .bytes
            .checked_sub(len)
            .ok_or(LinkError::OverBudget)?;
        self.left = Budget { frames, bytes };
        Ok(())
    }

    /// Whether something is there to read, be it the end.
    fn has_arrived(&self) -> Result<bool, LinkError> {
        let mut fds = [PollFd::from_borrowed_fd(self.socket.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(ready) => Ok(ready > 0),
            // Who reads then waits for a moment at most.
            Err(Errno::INTR) => Ok(true),
            Err(other) => Err(other.into()),
        }
    }

    fn ready(&self, events: PollFlags, wait: Wait<'_>) -> Result<(), LinkError> {
        let left = wait.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(LinkError::TimedOut);
        }
        let timeout = Timespec::try_from(left).map_err(|_| LinkError::TimedOut)?;
        let mut fds = Vec::with_capacity(2);
        fds.push(PollFd::from_borrowed_fd(self.socket.as_fd(), events));
        if let Some(wake) = wait.wake {
            fds.push(PollFd::from_borrowed_fd(wake, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(other) => return Err(other.into()),
        }
        match fds.get(1) {
            Some(wake) if !wake.revents().is_empty() => Err(LinkError::Woken),
            _ => Ok(()),
        }
    }
}

/// The sequence number after `seq`; 0xFFFFFFFF is kept for final frames.
#[must_use]
pub const fn next_seq(seq: u32) -> u32 {
    if seq == LAST_SEQ - 1 { 0 } else { seq + 1 }
}

/// Writes header and body of one frame to `to`; returns the frame's length.
pub fn encode_frame<T: bincode::Encode>(
    message: &T,
    seq: u32,
    to: &mut [u8],
) -> Result<usize, wire::WireError> {
    let (header, body) = to
        .split_at_mut_checked(HEADER)
        .ok_or(wire::WireError::TooLong)?;
    let room = body.len().min(MAX_FRAME - HEADER);
    let len = wire::encode(message, body.get_mut(..room).unwrap_or_default())?;
    let len32 = u32::try_from(len).map_err(|_| wire::WireError::TooLong)?;
    let words = [MAGIC, len32, seq, 0];
    for (slot, word) in header.chunks_exact_mut(4).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    Ok(HEADER + len)
}

/// Checks magic, length and flags of one frame; gives sequence number and body.
pub fn open_frame(frame: &[u8]) -> Result<(u32, &[u8]), LinkError> {
    let (header, body) = frame
        .split_at_checked(HEADER)
        .ok_or(LinkError::BadHeader("short"))?;
    let mut words = header.chunks_exact(4).map(|word| match word {
        &[a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    });
    let mut word = || words.next().unwrap_or_default();
    let (magic, len, seq, flags) = (word(), word(), word(), word());
    if magic != MAGIC {
        return Err(LinkError::BadHeader("magic"));
    }
    if usize::try_from(len).ok() != Some(body.len()) {
        return Err(LinkError::BadHeader("length"));
    }
    if flags != 0 {
        return Err(LinkError::BadHeader("flags"));
    }
    Ok((seq, body))
}

#[cfg(test)]
mod tests;
