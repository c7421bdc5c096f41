//! Static executables below `gm-init`: lines, host calls, the log, and what they
//! try.

use gm_protocol::message::{Last, LineFault};
use gm_protocol::plan::{Hook, HostOp};

use crate::peer::{Called, Form, Peer, compiled, executable};

fn program() -> Peer {
    Peer::of(Form::Program, &executable(&[]))
}

fn said(text: &str) -> Called {
    Called {
        status: 0,
        text: Some(text.into()),
        asked: vec![],
    }
}

#[test]
fn lines_are_calls_and_answers() {
    let mut program = program();
    assert_eq!(program.call("reply"), said("{\"hello\":true}"));
    let error = program.call("error");
    assert_eq!(
        (error.status, error.text.as_deref()),
        (1, Some("not today"))
    );
    let none = program.call_hook(Hook::OnCommitAnalyzed, "{}");
    assert_eq!((none.status, none.text), (0, None));
    assert_eq!(program.plugin.stop(), (None, Some(0), None));
}

#[test]
fn a_static_pie_runs_as_well() {
    let mut program = Peer::of(
        Form::Program,
        &compiled("program.c", &["-static-pie", "-fPIE"]),
    );
    assert_eq!(program.call("reply"), said("{\"hello\":true}"));
}

#[test]
fn a_long_document_is_one_line() {
    let mut program = program();
    let document = format!("{{\"do\":\"length\",\"text\":\"{}\"}}", "x".repeat(900_000));
    let called = program.call_hook(Hook::OnCommitAnalyzed, &document);
    assert!(called.text.unwrap().starts_with("{\"bytes\":9000"));
}

#[test]
fn host_calls_are_lines_in_both_directions() {
    let mut program = program();
    let called = program.call("host");
    assert_eq!(called.asked, [(HostOp::NodeGet, 0, "file:a".to_owned())]);
    let text = called.text.unwrap();
    assert_eq!(text, "{\"got\":{\"id\":7,\"ok\":{\"id\":\"here\"}}}");
    // More of them than a pipe holds, before an answer is read.
    let many = program.call("many");
    assert_eq!(many.asked.len(), 1000);
    assert_eq!(many.text.as_deref(), Some("{\"lines\":1000}"));
}

#[test]
fn error_output_is_its_log() {
    let mut program = program();
    // All that came before the answer, with the answer.
    let asked = program.call("stderr").asked;
    let line = |text: &str| (HostOp::Log, 2, text.to_owned());
    assert_eq!(asked, [line("one line"), line("and another")]);
}

#[test]
fn files_of_the_package_are_read_and_no_others() {
    let mut program = program();
    let called = program.call("asset");
    assert_eq!(called.text.as_deref(), Some("{\"text\":{\"words\":1}}"));
}

#[test]
fn attempts_are_stopped_by_the_kernel() {
    let code = executable(&[]);
    for (what, errno) in [
        ("open", libc::EACCES),
        ("exec-again", libc::EBADF),
        ("exec-by-path", libc::EACCES),
        ("prctl", libc::EPERM),
    ] {
        assert_eq!(
            Peer::of(Form::Program, &code).call(what).errno(),
            errno,
            "{what}"
        );
    }
    let killed = (Some(Last::Child { signal: 31 }), Some(128 + 31), None);
    for what in [
        "open-to-write",
        "connect",
        "vfork",
        "exec",
        "kill",
        "ptrace",
        "unshare",
        "memfd",
        "map-code",
        "protect-code",
        "io_uring",
    ] {
        assert_eq!(Peer::of(Form::Program, &code).dies(what), killed, "{what}");
    }
}

#[test]
fn the_end_of_a_program_is_the_end_of_all() {
    let code = executable(&[]);
    for (what, signal) in [("segv", 11), ("stack", 11), ("abort", 6)] {
        let ending = Peer::of(Form::Program, &code).dies(what);
        let expected = (
            Some(Last::Child { signal }),
            Some(128 + i32::from(signal)),
            None,
        );
        assert_eq!(ending, expected, "{what}");
    }
    let ending = Peer::of(Form::Program, &code).dies("exit");
    assert_eq!(ending, (None, Some(7), None));
}

#[test]
fn a_line_that_is_none_of_the_forms_is_the_last() {
    let code = executable(&[]);
    for (what, fault) in [
        ("not-json", LineFault::Form),
        ("out-of-turn", LineFault::OutOfTurn),
        ("long-line", LineFault::TooLong),
    ] {
        let ending = Peer::of(Form::Program, &code).dies(what);
        assert_eq!(ending, (Some(Last::Line(fault)), Some(106), None), "{what}");
    }
}

#[test]
fn nothing_is_written_ahead_of_the_call_that_it_is_for() {
    let code = executable(&[]);
    for what in ["emit-ahead", "reply-ahead", "begun-ahead"] {
        let mut program = Peer::of(Form::Program, &code);
        let called = program.call(what);
        assert_eq!((called.status, called.asked), (0, vec![]), "{what}");
        let ending = program.dies("reply");
        let expected = (Some(Last::Line(LineFault::Ahead)), Some(106), None);
        assert_eq!(ending, expected, "{what}");
    }
}

#[test]
fn the_same_lines_are_taken_while_their_call_is_open() {
    let mut program = program();
    for _ in 0..2 {
        let called = program.call("emit");
        assert_eq!(called.status, 0);
        assert_eq!(called.asked, [(HostOp::EventEmit, 0, "t{}".to_owned())]);
    }
    assert_eq!(program.plugin.stop(), (None, Some(0), None));
}

#[test]
fn what_is_written_after_the_last_call_is_not_listened_to() {
    let mut program = program();
    assert_eq!(program.call("emit-ahead").status, 0);
    assert_eq!(program.plugin.stop(), (None, Some(0), None));
}

#[test]
fn a_program_may_have_processes_of_its_own() {
    let mut program = program();
    assert_eq!(program.call("child"), said("{\"status\":5}"));
}

#[test]
fn a_program_that_does_not_listen_gets_no_call() {
    let mut program = program();
    assert_eq!(program.call("deaf").status, 0);
    for _ in 0..2 {
        let called = program.call("reply");
        assert_eq!(called.status, -1);
        assert!(called.text.unwrap().contains("closed its input"));
    }
}
