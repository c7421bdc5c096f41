//! The one place where a stranger could answer in the launcher's stead: the socket
//! that the broker listens on for its first message.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gm_integration_tests::home::{copy_binaries, text as path_text};
use gm_integration_tests::kernel::{Process, within};
use gm_integration_tests::process::{Live, command, run};
use gm_integration_tests::records::text;
use gm_integration_tests::skip::lacks;
use gm_integration_tests::{Home, Package, Stranger};
use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, send, socket_with,
};
use rustix::process::Signal;

/// A message in the form that the broker expects, with nothing of its content.
const FORGED: [u8; 24] = *b"\x18\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0impostor";

/// How long the broker waits for its launcher.
const PATIENCE: Duration = Duration::from_secs(5);

fn observed() -> Home {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home
}

/// A home whose launcher never answers: time enough to look.
fn silent() -> Home {
    let home = observed();
    let directory = home.beside("bin");
    copy_binaries(&directory);
    std::fs::copy("/bin/cat", directory.join("gm-launcher")).unwrap();
    home.with_binaries(&directory)
}

/// Starts a run with the widest umask, and looks for the socket that it listens on
/// until there is one.
fn start(home: &Home) -> (Live, PathBuf) {
    let wide = ["sh", "-c", "umask 0; exec \"$0\" \"$@\""];
    let mut command = home.through(&wide, "gm-broker");
    command.args(["--format", "json", "run", "--events", "/dev/null"]);
    let live = Live::start(&mut command);
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(place) = place(live.pid()) {
            return (live, place);
        }
        assert!(Instant::now() < until, "it listens nowhere");
    }
}

/// Where this process listens: of all named sockets the one that is its own.
fn place(pid: u32) -> Option<PathBuf> {
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    let own = Process::find(pid)?.descriptors();
    sockets.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(6);
        let (inode, path) = (words.next()?, words.next()?);
        let is_own = || {
            own.values()
                .any(|what| *what == format!("socket:[{inode}]"))
        };
        (path.contains("/gm-launch-") && is_own()).then(|| PathBuf::from(path))
    })
}

/// The broker's own directory, in which the socket's lies.
fn rendezvous(place: &Path) -> &Path {
    place.ancestors().nth(2).unwrap()
}

/// Connects as any process of the same user can; none if the launcher was there
/// already and the place is gone.
fn intrude(place: &Path, message: &[u8]) -> Option<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(place).unwrap()).ok()?;
    if !message.is_empty() {
        send(&socket, message, SendFlags::NOSIGNAL).ok()?;
    }
    Some(socket)
}

#[test]
fn nobody_else_reaches_the_place_where_the_launcher_answers() {
    let home = silent();
    let (live, place) = start(&home);
    let above = rendezvous(&place);
    let meta = above.metadata().unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o700, "{}", above.display());
    assert_eq!(meta.uid(), rustix::process::geteuid().as_raw());
    if !lacks("root", rustix::process::geteuid().is_root()) {
        let stranger = Stranger::new();
        let words = stranger.becoming();
        let mut look = command(&words[0], Path::new("/"));
        look.args(&words[1..]).args(["stat", path_text(&place)]);
        let seen = run(&mut look, b"");
        assert!(seen.stderr.contains("Permission denied"), "{seen:#?}");
    }

    let begun = Instant::now();
    let _socket = intrude(&place, &FORGED).unwrap();
    let run = live.finish();

    run.expect_refused(70, "internal/launcher");
    run.expect_nothing_started();
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(!above.exists());
}

#[test]
fn who_answers_before_the_launcher_ends_the_run_before_anything_starts() {
    const ROUNDS: u32 = 10;
    let home = observed();
    let mut won = 0;
    for _ in 0..ROUNDS {
        let (live, place) = start(&home);
        let socket = intrude(&place, &FORGED);
        let run = live.finish();
        match run.exit {
            // The launcher was quicker.
            0 => {
                run.expect_ending("com.test.observer", "finished");
            }
            _ => {
                assert!(socket.is_some(), "{run:#?}");
                run.expect_refused(70, "internal/launcher");
                run.expect_nothing_started();
                won += 1;
            }
        }
        assert!(!rendezvous(&place).exists());
    }
    assert!(won > 0, "the launcher was quicker in all {ROUNDS} rounds");
    home.run_events("", &[]).expect_exit(0);
}

#[test]
fn who_connects_and_says_nothing_holds_the_broker_up_for_its_patience_alone() {
    let home = observed();
    let (live, _socket) = loop {
        let (live, place) = start(&home);
        if let Some(socket) = intrude(&place, &[]) {
            break (live, socket);
        }
        live.finish().expect_exit(0);
    };
    let begun = Instant::now();
    let run = live.finish();
    let refused = run.expect_refused(70, "internal/launcher");
    assert!(text(refused, "detail").contains("5 s"), "{refused:#}");
    run.expect_nothing_started();
    assert!(begun.elapsed() < 3 * PATIENCE, "{:?}", begun.elapsed());
}

#[test]
fn what_a_killed_broker_left_there_is_swept_by_the_next() {
    let home = silent();
    let (live, killed) = start(&home);
    live.signal(Signal::KILL);
    live.finish().expect_exit(128 + 9);
    assert!(rendezvous(&killed).exists());
    let (live, other) = start(&home);
    assert!(!rendezvous(&killed).exists());
    // A third one leaves alone what belongs to one that lives.
    let (third, _) = start(&home);
    assert!(rendezvous(&other).exists());
    for live in [live, third] {
        live.finish().expect_refused(70, "internal/launcher");
    }
}

#[test]
fn a_plugin_finds_no_place_where_a_launcher_was_awaited() {
    let home = observed();
    let mut live = home.start_events(&[]);
    let started = live.wait_for("a start", |record| record["event"] == "started");
    let pid = u32::try_from(started["pid"].as_u64().unwrap()).unwrap();
    // Gone before the first plugin: its path is for the launcher alone.
    assert!(within(PATIENCE, || place(live.pid()).is_none()));
    for name in ["run", "tmp", "var", "proc"] {
        let path = format!("/proc/{pid}/root/{name}");
        assert!(!Path::new(&path).exists(), "{path}");
    }
    live.finish().expect_exit(0);
}
