//! The rows of the hostile-peer tests that an ipc-channel fails.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::attack::{bytes, claiming, message, packet, reach, send, send_with, send_with_socket};
use super::victim::{Kind, Victim, aborted, panicked};

/// How soon the link must have named what it was sent.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What an attacker sends, and keeps open.
type Attack = fn(&OwnedFd) -> Vec<OwnedFd>;

/// The victim behind an ipc-channel, after the attack, and what is kept open.
fn attacked(kind: Kind, first: &[u8], attack: Attack) -> (Victim, OwnedFd, Vec<OwnedFd>) {
    let victim = Victim::start(kind);
    let socket = victim.meet(first);
    let kept = attack(&socket);
    (victim, socket, kept)
}

/// An ipc-channel's owner dies of these packets; how.
fn kills(attack: Attack) -> (bool, String) {
    let (victim, _socket, _kept) = attacked(Kind::Channel, &bytes(3), attack);
    let (status, text) = victim.dies();
    assert!(panicked(status) || aborted(status), "{status}: {text}");
    (aborted(status), text)
}

/// The same packets end a link with a typed error, and leave nothing behind.
#[track_caller]
fn link_names(attack: Attack) {
    let victim = Victim::start(Kind::Link);
    let socket = victim.meet(&[]);
    let before = (victim.descriptors(), victim.resident_kb());
    let begun = Instant::now();
    let _kept = attack(&socket);
    let error = victim.waits_for("error ");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert!(error.contains("frame"), "{error}");
    assert_eq!(victim.descriptors(), before.0);
    let grown = victim.resident_kb().saturating_sub(before.1);
    assert!(grown < 1024, "the victim grew by {grown} KiB");
}

#[test]
fn an_honest_peer_is_served_and_a_silent_one_is_waited_for_no_longer_than_asked() {
    let victim = Victim::start(Kind::Channel);
    let socket = victim.meet(&bytes(3));
    victim.waits_for("timeout");
    assert!(send(&socket, &message(&bytes(1000))));
    assert_eq!(victim.waits_for("message "), "1000");
    drop(socket);
    victim.waits_for("error ");

    let victim = Victim::start(Kind::Link);
    let socket = victim.meet(&[]);
    victim.waits_for("timeout");
    let loaded = gm_protocol::message::FromRunner::Compiled { len: 7 };
    let mut frame = vec![0; gm_protocol::link::MAX_FRAME];
    let len = gm_protocol::link::encode_frame(&loaded, 0, &mut frame).unwrap();
    assert!(send(&socket, &frame[..len]));
    victim.waits_for("message ");
    drop(socket);
    victim.waits_for("error ");
}

/// Rows 1 and 2. Without overflow checks, which all our profiles have on, the
/// owner goes on with a `Vec` of 2^64 - 8 bytes over memory that held whatever
/// another peer had sent before.
#[test]
fn a_short_packet_with_a_socket_is_a_length_below_zero() {
    let short: Attack = |socket| vec![send_with_socket(socket, &8_u64.to_ne_bytes())];
    let (abort, text) = kills(short);
    assert!(!abort && text.contains("subtract with overflow"), "{text}");
    link_names(short);
}

/// Row 1.
#[test]
fn a_packet_shorter_than_its_head_holds_its_reader() {
    let cut: Attack = |socket| {
        assert!(send(socket, &[9; 5]));
        Vec::new()
    };
    let (victim, _socket, _kept) = attacked(Kind::Channel, &bytes(3), cut);
    assert!(victim.is_stuck());
    link_names(cut);
}

/// Row 3.
#[test]
fn a_size_that_is_only_claimed_is_allocated() {
    let huge: Attack = |socket| vec![send_with_socket(socket, &claiming(1 << 63, &[7; 8]))];
    let (_, text) = kills(huge);
    assert!(text.contains("capacity overflow"), "{text}");
    link_names(huge);

    // Too much for any machine, not for the type: nothing can catch that.
    let large: Attack = |socket| vec![send_with_socket(socket, &claiming(1 << 62, &[7; 8]))];
    let (abort, text) = kills(large);
    assert!(abort, "{text}");
    link_names(large);
}

/// Row 3.
#[test]
fn a_size_that_differs_is_a_panic() {
    let differs: Attack = |socket| {
        assert!(send(socket, &claiming(3, &[7; 8])));
        Vec::new()
    };
    let (abort, text) = kills(differs);
    assert!(!abort && text.contains("None"), "{text}");
    link_names(differs);
}

/// Row 4.
#[test]
fn a_message_of_any_size_is_taken() {
    let large: Attack = |socket| {
        assert!(send(socket, &message(&bytes(150_000))));
        Vec::new()
    };
    let (victim, _socket, _kept) = attacked(Kind::Channel, &bytes(3), large);
    assert_eq!(victim.waits_for("message "), "150000");
    link_names(large);
}

/// Row 5.
#[test]
fn half_a_message_holds_its_reader_for_as_long_as_the_peer_likes() {
    let half: Attack = |socket| {
        assert!(send(socket, &packet(1000, 984, &[7; 8])));
        Vec::new()
    };
    let (victim, socket, _kept) = attacked(Kind::Channel, &bytes(3), half);
    assert!(victim.is_stuck());
    // Then the peer leaves, and the reader dies of that.
    drop(socket);
    let (status, text) = victim.dies();
    assert!(panicked(status), "{text}");
    link_names(half);
}

/// Row 6.
#[test]
fn a_large_message_is_read_to_its_end_from_a_socket_of_the_peers_choice() {
    const SENT: usize = 32 << 20;
    let endless: Attack = |socket| {
        let rest = send_with_socket(socket, &claiming(1 << 30, &[7; 8]));
        let part = vec![7; 128 << 10];
        let mut sent = 0;
        // A victim that is gone, as the link's, ends it.
        while sent < SENT && send(&rest, &part) {
            sent += part.len();
        }
        vec![rest]
    };
    let (victim, _socket, _kept) = attacked(Kind::Channel, &bytes(3), endless);
    assert!(victim.is_stuck());
    let resident = victim.resident_kb();
    assert!(resident > (SENT as u64) >> 10, "{resident} KiB");
    link_names(endless);
}

/// Row 7.
#[test]
fn descriptors_that_nobody_asked_for_are_kept_for_ever() {
    const MESSAGES: usize = 5;
    const EACH: usize = 60;
    let many: Attack = |socket| {
        let (one, other) = gm_protocol::link::pair().unwrap();
        for _ in 0..MESSAGES {
            let fds = [one.as_fd(); EACH];
            assert!(send_with(socket, &message(&bytes(2)), &fds));
        }
        vec![one, other]
    };
    let victim = Victim::start(Kind::Channel);
    let socket = victim.meet(&bytes(3));
    let before = victim.descriptors();
    let _kept = many(&socket);
    for _ in 0..MESSAGES {
        victim.waits_for("message ");
    }
    assert_eq!(victim.descriptors(), before + MESSAGES * EACH);
    link_names(|socket| {
        let (one, other) = gm_protocol::link::pair().unwrap();
        let fds = [one.as_fd(); EACH];
        assert!(send_with(socket, &message(&bytes(2)), &fds));
        vec![one, other]
    });
}

/// Row 7.
#[test]
fn a_file_that_can_only_be_read_is_mapped_for_writing_and_kills() {
    let file: Attack = |socket| {
        let file = OwnedFd::from(File::open("/proc/self/exe").unwrap());
        assert!(send_with(socket, &message(&bytes(2)), &[file.as_fd()]));
        vec![file]
    };
    let (abort, text) = kills(file);
    assert!(!abort && text.contains("panicked"), "{text}");
    link_names(file);
}

/// Row 8.
#[test]
fn one_sender_keeps_a_call_of_a_set_busy_and_its_memory_growing() {
    /// Several times what a socket's queue holds.
    const MANY: usize = 2_000;
    let victim = Victim::start(Kind::Set);
    let socket = victim.meet(&bytes(3));
    let enough = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        scope.spawn(|| {
            let one = message(&bytes(1000));
            let mut goes_on = true;
            while goes_on {
                goes_on = send(&socket, &one) && !enough.load(Ordering::Relaxed);
            }
        });
        let until = Instant::now() + Duration::from_secs(60);
        let mut most = 0;
        // A call that comes back does it because the sender was not quick enough.
        while most < MANY && Instant::now() < until {
            match victim.says(Duration::from_secs(2)) {
                Some(said) => {
                    let count = said.strip_prefix("messages ").map(str::parse);
                    most = most.max(count.map_or(0, Result::unwrap_or_default));
                }
                // Two seconds inside a call of 200 ms.
                None => most = MANY,
            }
        }
        enough.store(true, Ordering::Relaxed);
        drop(victim);
        most
    });
    assert!(most >= MANY, "at most {most} messages in one call");
    link_names(|socket| {
        let one = message(&bytes(1000));
        (0..50).all(|_| send(socket, &one));
        Vec::new()
    });
}

/// Row 13.
#[test]
fn a_type_that_contains_itself_overflows_the_stack() {
    const DEEP: usize = 200_000;
    let deep: Attack = |socket| {
        let mut nested = vec![1; DEEP];
        nested.push(0);
        assert!(send(socket, &message(&nested)));
        Vec::new()
    };
    let victim = Victim::start(Kind::Nested);
    let socket = victim.meet(&[1, 1, 0]);
    let _kept = deep(&socket);
    let (status, text) = victim.dies();
    assert!(aborted(status), "{status}: {text}");
    link_names(deep);
}

/// Row 17. What the broker does about it: a directory of its own, and a nonce,
/// which it asks for only after these bytes were read.
#[test]
fn whoever_connects_first_is_taken_for_the_one_that_was_meant() {
    let victim = Victim::start(Kind::Channel);
    let impostor = reach(victim.place());
    let meant = reach(victim.place());
    assert!(send(&meant, &message(&bytes(5))));
    assert!(send(&impostor, &message(&bytes(6))));
    assert_eq!(victim.waits_for("first "), "6");
}
