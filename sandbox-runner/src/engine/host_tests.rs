//! What needs no link; the rest is tested with the shipped binary.

use super::*;

fn host() -> Host {
    let memory = Guest::reserve().unwrap();
    memory.grow_to(65536).unwrap();
    let mut host = Host::bare(Arc::new(memory));
    host.cap = 4096;
    host.in_hook = true;
    host
}

fn place(host: &Host, text: &[u8]) -> [u32; 2] {
    host.put(0, text);
    [0, u32::try_from(text.len()).unwrap()]
}

#[test]
fn only_a_json_object_is_a_reply() {
    for text in [
        "", "1", "[]", "{", "{}{}", "{\"a\":}", "null", "\"{}\"", "{\u{0}}",
    ] {
        let mut host = host();
        let at = place(&host, text.as_bytes());
        assert_eq!(host.reply(at), code::INVALID, "accepted {text:?}");
        assert_eq!(host.leave().reply, None);
    }
    let mut host = host();
    let at = place(&host, b" {\"a\":[1]} ");
    assert_eq!(host.reply(at), 0);
    assert_eq!(host.leave().reply.unwrap(), b" {\"a\":[1]} ");
}

#[test]
fn text_that_is_not_utf8_is_invalid() {
    let mut host = host();
    let at = place(&host, b"{\"a\":\"\xff\"}");
    assert_eq!(host.reply(at), code::INVALID);
    let at = place(&host, b"caf\xc3");
    assert_eq!(host.fail(at), code::INVALID);
}

#[test]
fn nesting_without_end_is_invalid_not_a_crash() {
    let mut host = host();
    let deep = format!("{{\"a\":{}", "[".repeat(4000));
    let at = place(&host, deep.as_bytes());
    assert_eq!(host.reply(at), code::INVALID);
}

#[test]
fn the_last_reply_counts_and_a_refused_one_does_not() {
    let mut host = host();
    let first = place(&host, b"{\"n\":1}");
    assert_eq!(host.reply(first), 0);
    let second = place(&host, b"{\"n\":2}");
    assert_eq!(host.reply(second), 0);
    let third = place(&host, b"{\"n\":");
    assert_eq!(host.reply(third), code::INVALID);
    assert_eq!(host.leave().reply.unwrap(), b"{\"n\":2}");
}

#[test]
fn an_errors_text_is_cut_between_characters() {
    let mut host = host();
    let at = place(&host, "ä".repeat(3000).as_bytes());
    assert_eq!(host.fail(at), 0);
    assert_eq!(host.leave().error.unwrap().len(), 4096);
    host.enter();
    let at = place(&host, format!("x{}", "ä".repeat(3000)).as_bytes());
    assert_eq!(host.fail(at), 0);
    assert_eq!(host.leave().error.unwrap().len(), 4095);
}

#[test]
fn a_reply_over_the_cap_is_too_big() {
    let mut host = host();
    let text = format!("{{\"a\":\"{}\"}}", "x".repeat(5000));
    let at = place(&host, text.as_bytes());
    assert_eq!(host.reply(at), code::TOO_BIG);
}

#[test]
fn what_a_module_logs_early_is_bounded() {
    let mut host = host();
    host.in_hook = false;
    let at = place(&host, &[b'x'; 10_000]);
    for _ in 0..1000 {
        assert_eq!(host.log(0, at), 0);
    }
    assert_eq!(host.early.len(), EARLY_LINES);
    assert!(host.early.iter().all(|(_, line)| line.len() == EARLY_BYTES));
}
