//! The link: what a runner may send, frame by frame and in a row.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use gm_protocol::link::{
    Budget, HEADER, LAST_SEQ, Link, LinkError, MAGIC, MAX_FRAME, Wait, encode_frame, open_frame,
    pair,
};
use gm_protocol::message::{FromRunner, Last, TrapClass};
use gm_protocol::runner_end::RunnerEnd;
use gm_protocol::wire;

use crate::bytes::Bytes;
use crate::cost::within;

/// Reading one frame may take so long.
const MOST: Duration = Duration::from_millis(10);
const PLENTY: Budget = Budget {
    frames: 1000,
    bytes: 64 << 20,
};

fn now() -> Wait<'static> {
    Wait {
        deadline: Instant::now(),
        wake: None,
    }
}

fn put(peer: &OwnedFd, frame: &[u8]) {
    use rustix::net::SendFlags;
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    // The other end may be gone, or full: what isn't sent isn't read.
    let _ = rustix::net::send(peer, frame, flags);
}

fn framed(body: &[u8], seq: u32) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap();
    let mut frame = Vec::with_capacity(HEADER + body.len());
    for word in [MAGIC, len, seq, 0] {
        frame.extend_from_slice(&word.to_le_bytes());
    }
    frame.extend_from_slice(body);
    frame
}

/// One frame to both ends. The first byte says whether its header is made right, and
/// whether it is a final one.
pub fn runner_frame(data: &[u8]) -> bool {
    let Some((how, body)) = data.split_first() else {
        return false;
    };
    let frame = match how % 4 {
        0 => framed(body, 0),
        1 => framed(body, LAST_SEQ),
        _ => body.to_vec(),
    };
    if frame.is_empty() {
        return false;
    }
    let (read, mut link) = within(MOST, "a frame", || {
        let (mut link, peer) = ends(PLENTY);
        put(&peer, &frame);
        (link.recv(now()), link)
    });
    let from_runner = read.is_ok();
    if let Ok(message) = read {
        same_again(&message, &frame);
    }
    assert!(matches!(link.recv(now()), Err(LinkError::Closed)));

    let read = within(MOST, "a frame", || {
        let (broker, runner) = pair().unwrap();
        put(&broker, &frame);
        drop(broker);
        RunnerEnd::new(File::from(runner)).recv()
    });
    let to_runner = read.is_ok();
    if let Ok(message) = read {
        same_again(&message, &frame);
    }
    from_runner || to_runner
}

/// What was read is all of the frame: written and read again it is the same, and
/// no longer.
fn same_again<T>(message: &T, frame: &[u8])
where
    T: bincode_free::Message,
{
    let (seq, _) = open_frame(frame).unwrap();
    let mut again = vec![0; MAX_FRAME];
    let used = message.encode(seq, &mut again);
    assert!(used <= frame.len(), "{used} bytes of {}", frame.len());
    assert!(message.is_read_from(&again[HEADER..used]));
}

/// The two kinds of messages, without naming the codec.
mod bincode_free {
    use gm_protocol::message::{FromRunner, ToRunner};

    pub(super) trait Message {
        fn encode(&self, seq: u32, to: &mut [u8]) -> usize;
        fn is_read_from(&self, body: &[u8]) -> bool;
    }

    impl Message for FromRunner {
        fn encode(&self, seq: u32, to: &mut [u8]) -> usize {
            super::encode_frame(self, seq, to).unwrap()
        }

        fn is_read_from(&self, body: &[u8]) -> bool {
            super::wire::decode::<Self>(body).unwrap() == *self
        }
    }

    impl Message for ToRunner {
        fn encode(&self, seq: u32, to: &mut [u8]) -> usize {
            super::encode_frame(self, seq, to).unwrap()
        }

        fn is_read_from(&self, body: &[u8]) -> bool {
            super::wire::decode::<Self>(body).unwrap() == *self
        }
    }
}

fn ends(budget: Budget) -> (Link, OwnedFd) {
    let (broker, runner) = pair().unwrap();
    (Link::new(broker, budget), runner)
}

/// Many frames, and the broker's ways to read them: after the first error nothing
/// is read any more, whatever the runner goes on to send.
pub fn link_state(data: &[u8]) -> bool {
    let mut from = Bytes::new(data);
    let budget = Budget {
        frames: u32::from(from.byte()),
        bytes: u64::from(u16::from_le_bytes(from.array())) * 16,
    };
    let (mut link, peer) = ends(budget);
    let (mut peer, mut seq, mut over, mut read) = (Some(peer), 0_u32, false, 0);
    // More steps than a socket has room for would only repeat themselves.
    for _ in 0..200 {
        if from.is_empty() {
            break;
        }
        match from.byte() % 8 {
            0 | 1 => {
                let message = message(&mut from);
                let mut frame = vec![0; MAX_FRAME];
                let used = encode_frame(&message, seq, &mut frame).unwrap();
                seq += 1;
                peer.iter().for_each(|peer| put(peer, &frame[..used]));
            }
            2 => {
                let len = usize::from(from.byte());
                let frame = framed(from.take(len), u32::from_le_bytes(from.array()));
                peer.iter().for_each(|peer| put(peer, &frame));
            }
            3 => read += step(link.recv(now()).map(Some), &mut over),
            4 => {
                let cap = usize::from(from.byte());
                let head = from.take(8).to_vec();
                let whole = link.recv_parts(head, true, cap, now());
                if let Ok(document) = &whole {
                    assert!(!over && document.len() <= cap);
                }
                step(whole.map(|_| None), &mut over);
            }
            5 => read += step(link.arrived(), &mut over),
            6 => drop(link.pace(budget, now())),
            _ => peer = None,
        }
    }
    if over {
        peer.iter()
            .for_each(|peer| put(peer, &framed(&[1, 0, 0], seq)));
        assert!(matches!(link.recv(now()), Err(LinkError::Closed)));
        assert!(link.drain_last(4).is_none());
    }
    read > 0
}

/// Whether a link that is over stays silent, and whether it is over now; how many
/// messages it gave.
fn step(read: Result<Option<FromRunner>, LinkError>, over: &mut bool) -> usize {
    let given = usize::from(matches!(read, Ok(Some(_))));
    match read {
        Err(LinkError::Closed) => *over = true,
        Err(LinkError::TimedOut) | Ok(None) => {}
        Ok(Some(FromRunner::Last(_))) | Err(_) if !*over => *over = true,
        read => assert!(!*over, "after its end the link gave {read:?}"),
    }
    given
}

fn message(from: &mut Bytes<'_>) -> FromRunner {
    let more = from.byte() % 2 == 1;
    let len = usize::from(from.byte());
    match from.byte() % 6 {
        0 => FromRunner::Loaded {
            init: more,
            shutdown: !more,
        },
        1 => FromRunner::Compiled { len: 7 },
        2 => FromRunner::Last(Last::Trap {
            class: TrapClass::Bounds,
            refused_grow: more,
        }),
        3 => FromRunner::Done {
            call: from.byte().into(),
            status: 0,
            has: true,
            more,
            bytes: from.take(len).to_vec(),
        },
        _ => FromRunner::Part {
            index: u32::from(from.byte() % 4),
            last: !more,
            bytes: from.take(len).to_vec(),
        },
    }
}
