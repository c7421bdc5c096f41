//! What a plugin of machine code tries, in a hook and in its constructor, where
//! nothing but the *loading* filter stands.

use gm_protocol::message::Last;

use crate::filters::of_profile;
use crate::peer::{Ending, Form, Peer, shared};
use crate::played::soon;

/// SIGSYS
const BAD_CALL: i32 = 31;

/// Attempts and the call that each one is stopped at, named by the handler.
const NAMED: &[(&str, i32)] = &[
    ("open", 257),
    ("open-to-write", 257),
    ("connect", 41),
    ("fork", 56),
    ("vfork", 58),
    ("thread", 56),
    ("exec", 59),
    ("exec-again", 322),
    ("handler", 13),
    ("kill", 62),
    ("memfd", 319),
    ("prctl", 157),
    ("map-code", 9),
    ("abort", 14),
];

/// Those that the veto layer kills for, which reports nothing.
const VETOED: &[&str] = &["ptrace", "unshare", "io_uring"];

#[track_caller]
fn expect_named(what: &str, nr: i32, ending: &Ending) {
    match ending {
        (Some(Last::Forbidden { nr: seen, .. }), None, Some(BAD_CALL)) if *seen == nr => {}
        other => panic!("{what}: {other:?} instead of {nr}"),
    }
}

fn constructor(what: &str) -> Peer {
    let word = format!("-DCONSTRUCTOR=\"{what}\"");
    Peer::start(Form::Native, &shared(&[&word])).go(of_profile("native", None))
}

#[test]
fn what_a_hook_tries_is_stopped_and_named() {
    let code = shared(&[]);
    for (what, nr) in NAMED.iter().chain(&[("protect-code", 10)]) {
        expect_named(what, *nr, &Peer::of(Form::Native, &code).dies(what));
    }
    for what in VETOED {
        let ending = Peer::of(Form::Native, &code).dies(what);
        assert_eq!(ending, (None, None, Some(BAD_CALL)), "{what}");
    }
}

#[test]
fn what_a_constructor_tries_is_stopped_and_named() {
    for (what, nr) in NAMED.iter().chain(&[("protect-code", 10)]) {
        expect_named(what, *nr, &constructor(what).ending());
    }
    for what in VETOED {
        let ending = constructor(what).ending();
        assert_eq!(ending, (None, None, Some(BAD_CALL)), "{what}");
    }
}

#[test]
fn a_path_that_is_no_part_of_the_package_is_refused_by_landlock() {
    let mut plugin = Peer::of(Form::Native, &shared(&[]));
    assert_eq!(plugin.call("open-quietly").errno(), libc::EACCES);
    // The constructor gets the same, or it would have ended itself.
    let mut plugin = constructor("open-quietly").loaded();
    let init = plugin.call_hook(gm_protocol::plan::Hook::Init, "{}");
    assert_eq!(init.status, 0);
    assert_eq!(plugin.call("reply").status, 0);
}

#[test]
fn faults_end_the_process_by_their_signal() {
    let code = shared(&[]);
    for what in ["segv", "stack"] {
        let ending = Peer::of(Form::Native, &code).dies(what);
        assert_eq!(ending, (None, None, Some(11)), "{what}");
        assert_eq!(constructor(what).ending(), (None, None, Some(11)), "{what}");
    }
    let ending = Peer::of(Form::Native, &code).dies("exit");
    assert_eq!(ending, (None, Some(7), None));
}

#[test]
fn each_call_of_the_running_set_is_needed() {
    let code = shared(&[]);
    for (call, what) in [
        ("read", "reply"),
        ("write", "reply"),
        ("exit_group", "exit"),
        ("brk", "fill"),
        ("mmap", "reallocate"),
        ("munmap", "reallocate"),
        ("openat", "asset"),
        ("close", "asset"),
        ("newfstatat", "asset"),
    ] {
        let mut filters = of_profile("native", None);
        filters.running = of_profile("native", Some(call)).running;
        let mut peer = Peer::start(Form::Native, &code).go(filters);
        let document = format!("{{\"do\":\"{what}\"}}");
        for (call, hook) in (1..).zip([
            gm_protocol::plan::Hook::Init,
            gm_protocol::plan::Hook::OnCommitAnalyzed,
        ]) {
            let call = gm_protocol::message::ToRunner::Call {
                call,
                hook,
                more: false,
                bytes: document.clone().into_bytes(),
            };
            // Who lacks `write` can't even say that it's loaded.
            let _ = peer.plugin.peer.link.send(&call, soon());
        }
        // It would wait for more, if it could do without.
        let stop = gm_protocol::message::ToRunner::Stop;
        let _ = peer.plugin.peer.link.send(&stop, soon());
        let (_, _, signal) = peer.ending();
        assert_eq!(signal, Some(BAD_CALL), "{call}");
    }
}

#[test]
fn no_memory_of_a_running_plugin_is_writable_and_executable() {
    let mut plugin = Peer::of(Form::Native, &shared(&[]));
    assert_eq!(plugin.call("reply").status, 0);
    let maps =
        std::fs::read_to_string(format!("/proc/{}/maps", plugin.plugin.peer.child.id())).unwrap();
    let rights = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1));
    let executable: Vec<_> = rights.filter(|rights| rights.contains('x')).collect();
    assert!(executable.len() > 3, "{maps}");
    let fixed = |rights: &&str| ["r-xp", "--xp"].contains(rights);
    assert!(executable.iter().all(fixed), "{maps}");
}
