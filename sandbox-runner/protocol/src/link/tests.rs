//! A hostile peer writes raw bytes; every act has its typed end.

use super::*;
use crate::message::{Last, PART};

const LOADED: FromRunner = FromRunner::Loaded {
    init: true,
    shutdown: false,
};
const BUDGET: Budget = Budget {
    frames: 1000,
    bytes: 64 << 20,
};

fn soon() -> Wait<'static> {
    Wait {
        deadline: Instant::now() + Duration::from_millis(200),
        wake: None,
    }
}

fn ends() -> (Link, OwnedFd) {
    let (broker, runner) = pair().unwrap();
    (Link::new(broker, BUDGET), runner)
}

fn raw(peer: &OwnedFd, bytes: &[u8]) {
    rustix::net::send(peer, bytes, SendFlags::empty()).unwrap();
}

fn say(peer: &OwnedFd, seq: u32, message: &FromRunner) {
    let mut frame = vec![0; MAX_FRAME];
    let used = encode_frame(message, seq, &mut frame).unwrap();
    raw(peer, &frame[..used]);
}

#[test]
fn frames_arrive_in_order() {
    let (mut link, peer) = ends();
    say(&peer, 0, &LOADED);
    say(&peer, 1, &FromRunner::Compiled { len: 7 });
    assert_eq!(link.recv(soon()).unwrap(), LOADED);
    assert_eq!(link.recv(soon()).unwrap(), FromRunner::Compiled { len: 7 });
}

#[test]
fn a_closed_peer_is_told_apart_from_a_silent_one() {
    let (mut link, peer) = ends();
    let brief = Wait {
        deadline: Instant::now() + Duration::from_millis(5),
        wake: None,
    };
    assert!(matches!(link.recv(brief), Err(LinkError::TimedOut)));
    drop(peer);
    assert!(matches!(link.recv(soon()), Err(LinkError::Closed)));
}

#[test]
fn a_wrong_header_ends_the_link_by_name() {
    for (at, name) in [
        (0, "magic"),
        (4, "length"),
        (8, "sequence number"),
        (12, "flags"),
    ] {
        let (mut link, peer) = ends();
        let mut frame = vec![0; MAX_FRAME];
        let used = encode_frame(&LOADED, 0, &mut frame).unwrap();
        frame[at] ^= 1;
        raw(&peer, &frame[..used]);
        match link.recv(soon()) {
            Err(LinkError::BadHeader(what)) => assert_eq!(what, name),
            other => panic!("{name}: {other:?}"),
        }
        assert!(
            matches!(link.recv(soon()), Err(LinkError::Closed)),
            "read on after {name}"
        );
    }
}

#[test]
fn short_packets_are_refused() {
    for len in 1..HEADER {
        let (mut link, peer) = ends();
        raw(&peer, &vec![0x47; len]);
        assert!(
            matches!(link.recv(soon()), Err(LinkError::BadHeader(_))),
            "{len} bytes"
        );
    }
}

#[test]
fn a_packet_over_the_frame_size_is_refused_by_its_true_length() {
    let (mut link, peer) = ends();
    raw(&peer, &vec![0; MAX_FRAME + 1]);
    assert!(matches!(link.recv(soon()), Err(LinkError::TooBig(n)) if n == MAX_FRAME + 1));
}

#[test]
fn a_flood_runs_out_of_budget() {
    let (broker, peer) = pair().unwrap();
    let mut link = Link::new(
        broker,
        Budget {
            frames: 3,
            bytes: 1 << 20,
        },
    );
    for seq in 0..4 {
        say(&peer, seq, &LOADED);
    }
    for _ in 0..3 {
        link.recv(soon()).unwrap();
    }
    assert!(matches!(link.recv(soon()), Err(LinkError::OverBudget)));
}

#[test]
fn answers_to_calls_are_no_flood_but_what_comes_beside_them_is() {
    let (broker, peer) = pair().unwrap();
    let mut link = Link::new(
        broker,
        Budget {
            frames: 3,
            bytes: 1 << 20,
        },
    );
    let call = ToRunner::Call {
        call: 1,
        hook: crate::plan::Hook::Init,
        more: false,
        bytes: Vec::new(),
    };
    let mut seqs = 0..;
    for seq in seqs.by_ref().take(10) {
        link.send(&call, soon()).unwrap();
        say(&peer, seq, &LOADED);
        link.recv(soon()).unwrap();
    }
    for seq in seqs.by_ref().take(3) {
        say(&peer, seq, &LOADED);
        link.recv(soon()).unwrap();
    }
    say(&peer, 13, &LOADED);
    assert!(matches!(link.recv(soon()), Err(LinkError::OverBudget)));
}

/// A link that may send four frames a second, three of which are used up.
fn nearly_spent() -> (Link, OwnedFd, Instant) {
    let (broker, peer) = pair().unwrap();
    let budget = Budget {
        frames: 4,
        bytes: 1 << 20,
    };
    let mut link = Link::new(broker, budget);
    let begun = Instant::now();
    for seq in 0..3 {
        say(&peer, seq, &LOADED);
        link.recv(soon()).unwrap();
    }
    (link, peer, begun)
}

fn within(time: Duration) -> Wait<'static> {
    Wait {
        deadline: Instant::now() + time,
        wake: None,
    }
}

#[test]
fn who_waits_for_its_answer_is_slowed_down_and_never_over_its_budget() {
    let (mut link, peer, begun) = nearly_spent();
    let next = Budget::of_document(PART);
    assert_eq!(next.frames, 2);
    link.pace(next, within(SECOND * 2)).unwrap();
    let waited = begun.elapsed();
    assert!(waited >= SECOND, "waited {waited:?} only");
    for seq in 3..7 {
        say(&peer, seq, &LOADED);
        link.recv(soon()).unwrap();
    }
    // Beyond its deadline nobody waits.
    let late = link.pace(next, within(Duration::from_millis(20)));
    assert!(matches!(late, Err(LinkError::TimedOut)));
}

#[test]
fn who_sends_without_its_answer_is_not_waited_for() {
    let (mut link, peer, begun) = nearly_spent();
    for seq in 3..5 {
        say(&peer, seq, &LOADED);
        link.pace(Budget::of_document(PART), soon()).unwrap();
    }
    link.recv(soon()).unwrap();
    assert!(matches!(link.recv(soon()), Err(LinkError::OverBudget)));
    assert!(begun.elapsed() < SECOND);
}

#[test]
fn a_final_frame_is_valid_in_any_state_and_ends_the_link() {
    let (mut link, peer) = ends();
    say(&peer, LAST_SEQ, &FromRunner::Last(Last::Panic));
    say(&peer, 0, &LOADED);
    assert_eq!(link.recv(soon()).unwrap(), FromRunner::Last(Last::Panic));
    assert!(matches!(link.recv(soon()), Err(LinkError::Closed)));
}

#[test]
fn final_words_need_the_final_number_and_the_number_needs_final_words() {
    let (mut link, peer) = ends();
    say(&peer, 0, &FromRunner::Last(Last::Panic));
    assert!(matches!(link.recv(soon()), Err(LinkError::BadHeader(_))));
    let (mut link, peer) = ends();
    say(&peer, LAST_SEQ, &LOADED);
    assert!(matches!(link.recv(soon()), Err(LinkError::BadHeader(_))));
}

#[test]
fn parts_over_the_cap_end_before_the_buffer_grows() {
    let (mut link, peer) = ends();
    say(
        &peer,
        0,
        &FromRunner::Part {
            index: 1,
            last: false,
            bytes: vec![0; 1000],
        },
    );
    say(
        &peer,
        1,
        &FromRunner::Part {
            index: 2,
            last: true,
            bytes: vec![0; 1000],
        },
    );
    let whole = link.recv_parts(vec![0; 10], true, 1500, soon());
    assert!(matches!(
        whole,
        Err(LinkError::BadState("a document over its cap"))
    ));
}

#[test]
fn parts_out_of_order_are_refused() {
    let (mut link, peer) = ends();
    say(
        &peer,
        0,
        &FromRunner::Part {
            index: 2,
            last: true,
            bytes: vec![0; 10],
        },
    );
    let whole = link.recv_parts(vec![], true, PART, soon());
    assert!(matches!(
        whole,
        Err(LinkError::BadState("a part out of order"))
    ));
}

#[test]
fn a_part_that_breaks_the_rules_ends_the_link_like_a_bad_frame() {
    let (mut link, peer) = ends();
    say(&peer, 0, &LOADED);
    say(&peer, 1, &FromRunner::Compiled { len: 7 });
    assert!(matches!(
        link.recv_parts(vec![], true, PART, soon()),
        Err(LinkError::BadState("a part was due"))
    ));
    assert!(matches!(link.recv(soon()), Err(LinkError::Closed)));
    assert!(link.drain_last(4).is_none());
    // Its first error is the only one.
    assert!(matches!(
        link.recv_parts(vec![0; 2], true, 1, soon()),
        Err(LinkError::Closed)
    ));
}

#[test]
fn a_peer_that_does_not_read_costs_no_more_than_the_deadline() {
    let (mut link, _peer) = ends();
    let message = ToRunner::Part {
        index: 1,
        last: true,
        bytes: vec![0; PART],
    };
    let begun = Instant::now();
    let ended = (0..100).find_map(|_| link.send(&message, soon()).err());
    assert!(matches!(ended, Some(LinkError::TimedOut)));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_number_after_the_last_ordinary_one_is_zero() {
    assert_eq!(next_seq(LAST_SEQ - 1), 0);
    assert_eq!(next_seq(7), 8);
}

proptest::proptest! {
    #[test]
    fn no_packet_makes_the_receiver_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..300)) {
        let (mut link, peer) = ends();
        raw(&peer, &bytes);
        let _ = link.recv(soon());
    }

    #[test]
    fn no_body_behind_a_right_header_makes_the_receiver_panic(body in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        let (mut link, peer) = ends();
        let mut frame = Vec::new();
        for word in [MAGIC, u32::try_from(body.len()).unwrap(), 0, 0] {
            frame.extend_from_slice(&word.to_le_bytes());
        }
        frame.extend_from_slice(&body);
        raw(&peer, &frame);
        let _ = link.recv(soon());
    }
}

/// One good frame of each kind, with documents of every size that matters.
fn good_frames() -> Vec<Vec<u8>> {
    let report = crate::message::Report {
        protocol: crate::PROTOCOL,
        uids: [1000; 3],
        gids: [1000; 3],
        caps: 0,
        no_new_privs: true,
        dumpable: false,
        landlock_abi: 7,
        root_refused: true,
        soft_refused: true,
        fds: 0b1111,
    };
    let host = |len| FromRunner::Host {
        id: 0,
        op: crate::plan::HostOp::NodePut,
        level: 0,
        first: 4,
        more: false,
        bytes: vec![b'x'; len],
    };
    let done = |len| FromRunner::Done {
        call: 1,
        status: 0,
        has: true,
        more: false,
        bytes: vec![b'{'; len],
    };
    let refused = FromRunner::Refused(crate::message::ModuleFault {
        kind: crate::message::ModuleFaultKind::ImportUnknown,
        name: "env".into(),
        detail: "abort".into(),
    });
    let part = FromRunner::Part {
        index: 1,
        last: true,
        bytes: vec![0; 100],
    };
    let last = FromRunner::Last(Last::Forbidden {
        nr: 41,
        args: [1; 6],
    });
    let all = [
        FromRunner::Report(report),
        LOADED,
        FromRunner::Compiled { len: 7 },
        refused,
        host(5),
        host(300),
        done(0),
        done(1000),
        part,
        last,
    ];
    let frames = all.iter().map(|message| {
        let mut frame = vec![0; MAX_FRAME];
        let used = encode_frame(message, 0, &mut frame).unwrap();
        frame.truncate(used);
        frame
    });
    frames.collect()
}

/// What a decoded message holds in bytes that its peer chose.
fn held(message: &FromRunner) -> usize {
    match message {
        FromRunner::Host { bytes, .. }
        | FromRunner::Part { bytes, .. }
        | FromRunner::Done { bytes, .. } => bytes.capacity(),
        FromRunner::Refused(fault) => fault.name.capacity() + fault.detail.capacity(),
        _ => 0,
    }
}

/// Opens and decodes as the broker does; what comes of it is never larger than
/// what was sent.
fn open_hostile(frame: &[u8]) {
    let Ok((_, body)) = open_frame(frame) else {
        return;
    };
    if let Ok(message) = wire::decode::<FromRunner>(body) {
        assert!(
            held(&message) <= body.len(),
            "{} bytes of {}",
            held(&message),
            body.len()
        );
    }
    let _ = wire::decode::<ToRunner>(body);
}

#[test]
fn a_million_spoiled_frames_are_opened_in_bounded_time_and_memory() {
    let frames = good_frames();
    let begun = Instant::now();
    // xorshift64: the same frames in each run.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let rounds = if cfg!(debug_assertions) {
        10_000
    } else {
        1_000_000
    };
    for _ in 0..rounds {
        let mut frame = frames[random(frames.len())].clone();
        for _ in 0..=random(4) {
            // Bodies more often than headers: a wrong header ends it at once.
            let at = if random(8) == 0 {
                random(frame.len())
            } else {
                HEADER + random(frame.len() - HEADER)
            };
            frame[at] = [0, 1, 0x7f, 0x80, 0xfb, 0xfc, 0xfd, 0xfe, 0xff][random(9)];
        }
        if random(4) == 0 {
            frame.truncate(HEADER + random(frame.len() - HEADER));
            let len = u32::try_from(frame.len() - HEADER).unwrap();
            frame[4..8].copy_from_slice(&len.to_le_bytes());
        }
        open_hostile(&frame);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_up_to_a_frame_make_the_decoder_panic_or_grow(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..=MAX_FRAME)) {
        open_hostile(&bytes);
        let mut frame = bytes;
        frame.resize(frame.len().max(HEADER), 0);
        let len = u32::try_from(frame.len() - HEADER).unwrap();
        for (at, word) in [MAGIC, len, 0, 0].into_iter().enumerate() {
            frame[at * 4..at * 4 + 4].copy_from_slice(&word.to_le_bytes());
        }
        open_hostile(&frame);
    }
}
