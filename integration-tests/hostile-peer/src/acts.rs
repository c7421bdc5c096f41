//! The acts, by name and by when they are done. An unknown name is an honest life.

use gm_protocol::link::{LAST_SEQ, MAGIC, MAX_FRAME};
use gm_protocol::message::{FromRunner, Last};
use gm_protocol::plan::HostOp;

use crate::peer::{
    Peer, answer, close_assets, install_deadly_filter, install_filters, prepare, report as honest,
    sleep_for_ever,
};

/// What is done in place of the report.
pub fn before_report(act: &str, peer: &mut Peer) -> Option<()> {
    match act {
        "silent-start" => sleep_for_ever(),
        "garbage-start" => peer.raw(&[0x5a; 4000]),
        "loaded-before-report" => peer.send(&FromRunner::Loaded {
            init: false,
            shutdown: false,
        }),
        "answer-before-go" => peer.done(0, b"{}"),
        _ => Some(()),
    }
}

/// Walls and the word about them.
pub fn report(act: &str, peer: &mut Peer) -> Option<()> {
    let mut said = honest();
    let mut filters = 3;
    let mut dumpable = false;
    match act {
        "no-filter" => filters = 0,
        "one-filter-less" => filters = 2,
        "old-protocol" => said.protocol = 0,
        "says-root" => said.uids = [0; 3],
        "says-capable" => said.caps = 1 << 21,
        "says-unwalled" => said.root_refused = false,
        "dumpable" => {
            said.dumpable = true;
            dumpable = true;
        }
        "more-descriptors" => peer.leak()?,
        _ => {}
    }
    if !dumpable {
        prepare()?;
    }
    install_filters(filters)?;
    peer.send(&FromRunner::Report(said.clone()))?;
    match act {
        "report-twice" => peer.send(&FromRunner::Report(said)),
        "loaded-before-go" => peer.send(&FromRunner::Loaded {
            init: false,
            shutdown: false,
        }),
        _ => Some(()),
    }
}

/// The last filter, and the word that all is loaded.
pub fn load(act: &str, peer: &mut Peer) -> Option<()> {
    let loaded = FromRunner::Loaded {
        init: false,
        shutdown: false,
    };
    match act {
        "silent-load" => sleep_for_ever(),
        "no-last-filter" => close_assets(),
        "keeps-assets" => install_filters(1)?,
        _ => {
            close_assets();
            install_filters(1)?;
        }
    }
    peer.send(&loaded)?;
    match act {
        "loaded-twice" => peer.send(&loaded),
        "answer-without-call" => peer.done(0, b"{}"),
        _ => Some(()),
    }
}

/// While a call is open.
pub fn at_call(act: &str, peer: &mut Peer, call: u32, more: bool) -> Option<()> {
    match act {
        "short-packet" => peer.raw_with_descriptors(&8_u64.to_le_bytes()),
        "late-short-packet" => {
            // By then its neighbour's secrets have come the same way.
            std::thread::sleep(std::time::Duration::from_millis(300));
            peer.raw_with_descriptors(&8_u64.to_le_bytes())
        }
        "tells-secrets" => secrets(peer),
        "one-byte" => peer.raw(&[0x47]),
        "empty-packet" => peer.raw(&[]),
        "header-only" => peer.send_words([MAGIC, 0, peer.seq, 0], &[]),
        "length-too-small" => peer.send_words([MAGIC, 3, peer.seq, 0], b"1234"),
        "length-huge" => peer.send_words([MAGIC, u32::MAX, peer.seq, 0], b"1234"),
        "wrong-magic" => peer.send_words([MAGIC + 1, 4, peer.seq, 0], b"1234"),
        "flags" => peer.send_words([MAGIC, 4, peer.seq, 1], b"1234"),
        "over-a-frame" => peer.raw(&vec![0x5a; MAX_FRAME + 1]),
        "raised-buffer" => peer.raw_largest(),
        "seq-repeated" => peer.send_as(&answer(call, b"{}"), peer.seq.wrapping_sub(1)),
        "seq-skipped" => peer.send_as(&answer(call, b"{}"), peer.seq + 1),
        "unknown-tag" => peer.send_body(&[200, 0, 0, 0, 0, 0]),
        "huge-claim" => peer.send_body(&huge_claim()),
        "trailing-bytes" => with_tail(peer, call),
        "cut-body" => peer.send_body(&[6]),
        "half-an-answer" => half_an_answer(peer, call),
        "parts-for-ever" => parts(peer, call, |index| index),
        "parts-out-of-order" => parts(peer, call, |_| 7),
        "other-call" => peer.done(call + 1000, b"{}"),
        "answered-twice" => peer.done(call, b"{}").and_then(|()| peer.done(call, b"{}")),
        "reply-is-no-json" => peer
            .done(call, b"\xff\xfe{")
            .and_then(|()| live_on(peer, more)),
        "ungranted-call" => host(peer, HostOp::NodePut, b"{\"id\":\"a\",\"kind\":\"b\"}"),
        "wrong-call-id" => peer.send(&host_message(9, HostOp::Log, b"x")),
        "claims-longer-argument" => longer_argument(peer),
        "odd-names" => odd_names(peer),
        "calls-at-once" => calls_at_once(peer),
        "asks-for-credentials" => peer.ask_for_credentials(),
        "descriptors" => descriptors(peer),
        "flood" => flood(peer),
        "never-reads" => sleep_for_ever(),
        "frame-after-last" => peer
            .send_as(&FromRunner::Last(Last::Panic), LAST_SEQ)
            .and_then(|()| peer.done(call, b"{\"forged\":true}"))
            .and_then(|()| sleep_for_ever()),
        "last-in-the-row" => peer.send(&FromRunner::Last(Last::Panic)),
        "half-closed" => peer.shut_down_writing().and_then(|()| sleep_for_ever()),
        "drips" => drips(peer),
        "multiplies" => multiply(),
        "forbidden-call" => forbidden_call(),
        _ => Some(()),
    }
}

/// When a request is to be made. The first one only: a life of its own follows.
pub fn at_fetch(act: &str, peer: &mut Peer, id: u32) -> Option<()> {
    let document = br#"{"status":200,"headers":[],"body":"honest"}"#;
    let length = i64::try_from(document.len()).ok()?;
    let fetched = |id, status, bytes: &[u8]| FromRunner::Fetched {
        id,
        status,
        more: false,
        bytes: bytes.to_vec(),
    };
    match act {
        "says-nothing" => sleep_for_ever(),
        "ends" => None,
        "sends-garbage" => peer.raw(&[0x5a; 4000]),
        "answers-another" => peer.send(&fetched(id + 1, length, document)),
        "answers-twice" => peer
            .send(&fetched(id, length, document))
            .and_then(|()| peer.send(&fetched(id, length, document))),
        "claims-a-length" => peer.send(&fetched(id, 1 << 40, document)),
        "answers-no-json" => peer.send(&fetched(id, 4, b"\xff\xfe{}")),
        "says-not-found" => peer.send(&fetched(id, -2, b"")),
        "answers-as-a-plugin" => peer.done(id, b"{}"),
        "paints-a-denial" => peer.send(&fetched(id, -1, b"\x1b[2Jevil\n{\"event\":1}")),
        "never-ends" => parts_of(peer, &fetched(id, length, document)),
        _ => peer.send(&fetched(id, length, document)),
    }
}

/// A document that goes on and on.
fn parts_of(peer: &mut Peer, first: &FromRunner) -> Option<()> {
    let FromRunner::Fetched { id, status, .. } = first else {
        return None;
    };
    peer.send(&FromRunner::Fetched {
        id: *id,
        status: *status,
        more: true,
        bytes: vec![b' '; 60 << 10],
    })?;
    for index in 1.. {
        peer.send(&FromRunner::Part {
            index,
            last: false,
            bytes: vec![b' '; 60 << 10],
        })?;
    }
    Some(())
}

/// Goes on as if nothing had happened: the answer is out already.
fn live_on(peer: &mut Peer, more: bool) -> Option<()> {
    peer.skip_parts(more)?;
    sleep_for_ever()
}

/// `Host` with an argument that claims 2^40 bytes, in the encoding's form for a
/// 64-bit number.
fn huge_claim() -> Vec<u8> {
    let mut body = vec![4, 0, 0, 0, 0, 0, 253];
    body.extend((1_u64 << 40).to_le_bytes());
    body
}

/// An answer with a byte behind it.
fn with_tail(peer: &mut Peer, call: u32) -> Option<()> {
    let mut frame = peer.frame(&answer(call, b"{}"))?;
    let body = u32::try_from(frame.len() - 15).ok()?;
    frame.push(0);
    frame.splice(4..8, body.to_le_bytes());
    peer.raw(&frame)
}

fn half_an_answer(peer: &mut Peer, call: u32) -> Option<()> {
    let beginning = FromRunner::Done {
        call,
        status: 0,
        has: true,
        more: true,
        bytes: b"{".to_vec(),
    };
    peer.send(&beginning)?;
    sleep_for_ever()
}

/// A document that never ends.
fn parts(peer: &mut Peer, call: u32, index: impl Fn(u32) -> u32) -> Option<()> {
    let bytes = vec![b' '; 60 * 1024];
    let beginning = FromRunner::Done {
        call,
        status: 0,
        has: true,
        more: true,
        bytes: bytes.clone(),
    };
    peer.send(&beginning)?;
    for number in 1.. {
        let part = FromRunner::Part {
            index: index(number),
            last: false,
            bytes: bytes.clone(),
        };
        peer.send(&part)?;
    }
    Some(())
}

fn host_message(id: u32, op: HostOp, text: &[u8]) -> FromRunner {
    let first = u32::try_from(text.len()).unwrap_or(0);
    FromRunner::Host {
        id,
        op,
        level: 2,
        first,
        more: false,
        bytes: text.to_vec(),
    }
}

/// A call of the host that waits for its answer.
fn host(peer: &mut Peer, op: HostOp, text: &[u8]) -> Option<()> {
    peer.send(&host_message(0, op, text))?;
    peer.recv().map(|_| ())
}

/// Calls that aren't granted, on names that no path or text should have.
fn odd_names(peer: &mut Peer) -> Option<()> {
    let long = vec![b'a'; 60 * 1024];
    let names: [&[u8]; 5] = [
        b"../up",
        b"/etc/shadow",
        b"nul\0nul",
        &[0xff, 0xfe, 0x80],
        &long,
    ];
    for name in names {
        let id = peer.next_host_call();
        peer.send(&host_message(id, HostOp::NodeGet, name))?;
        peer.recv()?;
    }
    Some(())
}

/// More calls of the host than any runner has open, none of their answers read.
fn calls_at_once(peer: &mut Peer) -> Option<()> {
    for _ in 0..33 {
        let id = peer.next_host_call();
        peer.send(&host_message(id, HostOp::Log, b"again"))?;
    }
    // Only then: what it answers with must not be taken for the next call.
    (0..33).try_for_each(|_| peer.recv().map(|_| ()))
}

/// Three good frames with what nobody else may see.
fn secrets(peer: &mut Peer) -> Option<()> {
    (0..3).try_for_each(|_| {
        let id = peer.next_host_call();
        peer.send(&host_message(id, HostOp::Log, b"the secret of A"))?;
        peer.recv().map(|_| ())
    })
}

fn longer_argument(peer: &mut Peer) -> Option<()> {
    let bytes = b"text".to_vec();
    peer.send(&FromRunner::Host {
        id: 0,
        op: HostOp::Log,
        level: 2,
        first: 5000,
        more: false,
        bytes,
    })
}

/// Good frames, each with 64 descriptors.
fn descriptors(peer: &mut Peer) -> Option<()> {
    for _ in 0..200 {
        let id = peer.next_host_call();
        let frame = peer.frame(&host_message(id, HostOp::Log, b"take these"))?;
        peer.raw_with_descriptors(&frame)?;
        let _ = peer.recv()?;
    }
    Some(())
}

/// Asks for one task more than a plugin may have, and dies of the answer.
fn multiply() -> Option<()> {
    let second = std::thread::Builder::new().spawn(|| ());
    second.ok().map(|_| ())
}

/// Asks for what a filter answers with death.
fn forbidden_call() -> Option<()> {
    install_deadly_filter()?;
    let _ = rustix::net::shutdown(std::io::stdin(), rustix::net::Shutdown::Write);
    Some(())
}

/// Calls of 1 KiB without end, answers never read.
fn flood(peer: &mut Peer) -> Option<()> {
    let text = vec![b'x'; 1024];
    for id in 0.. {
        peer.send(&host_message(id, HostOp::Log, &text))?;
    }
    Some(())
}

/// A good frame now and then, for ever.
fn drips(peer: &mut Peer) -> Option<()> {
    for id in 0.. {
        peer.send(&host_message(id, HostOp::Log, b"soon"))?;
        let _ = peer.recv()?;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Some(())
}
