//! What needs no link; the rest is tested with the shipped binaries.

use super::*;

fn host() -> Host {
    let mut host = Host::bare();
    host.cap = 4096;
    host.in_hook = true;
    host
}

fn call(host: &mut Host, call: Import, first: &[u8]) -> i64 {
    let args = Args {
        first,
        ..Args::default()
    };
    host.call(call, args).unwrap()
}

#[test]
fn only_a_json_object_is_a_reply() {
    for text in [
        "", "1", "[]", "{", "{}{}", "{\"a\":}", "null", "\"{}\"", "{\u{0}}",
    ] {
        let mut host = host();
        let status = call(&mut host, Import::Reply, text.as_bytes());
        assert_eq!(status, CallError::Invalid.status(), "accepted {text:?}");
        assert_eq!(host.leave().reply, None);
    }
    let mut host = host();
    assert_eq!(call(&mut host, Import::Reply, b" {\"a\":[1]} "), 0);
    assert_eq!(host.leave().reply.unwrap(), b" {\"a\":[1]} ");
}

#[test]
fn text_that_is_not_utf8_is_invalid() {
    let mut host = host();
    let invalid = CallError::Invalid.status();
    assert_eq!(call(&mut host, Import::Reply, b"{\"a\":\"\xff\"}"), invalid);
    assert_eq!(call(&mut host, Import::Fail, b"caf\xc3"), invalid);
}

#[test]
fn nesting_without_end_is_invalid_not_a_crash() {
    let deep = format!("{{\"a\":{}", "[".repeat(4000));
    let status = call(&mut host(), Import::Reply, deep.as_bytes());
    assert_eq!(status, CallError::Invalid.status());
}

#[test]
fn the_last_reply_counts_and_a_refused_one_does_not() {
    let mut host = host();
    assert_eq!(call(&mut host, Import::Reply, b"{\"n\":1}"), 0);
    assert_eq!(call(&mut host, Import::Reply, b"{\"n\":2}"), 0);
    let refused = call(&mut host, Import::Reply, b"{\"n\":");
    assert_eq!(refused, CallError::Invalid.status());
    assert_eq!(host.leave().reply.unwrap(), b"{\"n\":2}");
}

#[test]
fn an_errors_text_is_cut_between_characters() {
    let mut host = host();
    let text = "ä".repeat(3000);
    assert_eq!(call(&mut host, Import::Fail, text.as_bytes()), 0);
    assert_eq!(host.leave().error.unwrap().len(), 4096);
    host.enter();
    let text = format!("x{}", "ä".repeat(3000));
    assert_eq!(call(&mut host, Import::Fail, text.as_bytes()), 0);
    assert_eq!(host.leave().error.unwrap().len(), 4095);
}

#[test]
fn a_reply_over_the_cap_is_too_big() {
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(5000));
    let status = call(&mut host(), Import::Reply, text.as_bytes());
    assert_eq!(status, CallError::TooBig.status());
}

#[test]
fn what_a_plugin_logs_early_is_bounded_and_nothing_else_is_done_early() {
    let mut host = host();
    host.in_hook = false;
    for _ in 0..1000 {
        let logged = call(&mut host, Import::Op(HostOp::Log), &[b'x'; 10_000]);
        assert_eq!(logged, 0);
    }
    assert_eq!(host.early.len(), EARLY_LINES);
    assert!(host.early.iter().all(|(_, line)| line.len() == EARLY_BYTES));
    let early = host.call(Import::Reply, Args::default());
    assert_eq!(early, Err(Breach::OutsideOfHook));
}

#[test]
fn a_level_or_flag_that_does_not_exist_breaks_the_contract() {
    let args = Args {
        x: 5,
        ..Args::default()
    };
    let level = host().call(Import::Op(HostOp::Log), args);
    assert_eq!(level, Err(Breach::UnknownValue));
    let args = Args {
        y: 4,
        ..Args::default()
    };
    let flag = host().call(Import::Op(HostOp::FileWrite), args);
    assert_eq!(flag, Err(Breach::UnknownValue));
}
