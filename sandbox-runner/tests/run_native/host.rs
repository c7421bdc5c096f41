//! Hooks, replies, errors and host calls of a shared object.

use gm_protocol::plan::{Hook, HostOp};

use crate::filters::of_profile;
use crate::peer::{Called, Form, Peer, shared};

fn plugin() -> Peer {
    Peer::of(Form::Native, &shared(&[]))
}

fn said(text: &str) -> Called {
    Called {
        status: 0,
        text: Some(text.into()),
        asked: vec![],
    }
}

#[test]
fn hooks_are_called_with_their_document_and_answer() {
    let mut plugin = plugin();
    assert_eq!(plugin.call("reply"), said("{\"hello\":true}"));
    assert_eq!(plugin.call("echo"), said("{\"do\":\"echo\"}"));
    assert_eq!(plugin.call("say-by-name"), said("{\"by\":\"name\"}"));
    let nothing = plugin.call_hook(Hook::OnEdgeCreated, "{}");
    assert_eq!((nothing.status, nothing.text), (0, None));
    let shutdown = plugin.call_hook(Hook::Shutdown, "{}");
    assert_eq!(shutdown, said("{\"report\":\"5 calls\"}"));
    assert_eq!(plugin.plugin.stop(), (None, Some(0), None));
}

#[test]
fn a_long_document_comes_and_goes_in_whole() {
    let mut plugin = plugin();
    let document = format!("{{\"do\":\"echo\",\"text\":\"{}\"}}", "x".repeat(900_000));
    let called = plugin.call_hook(Hook::OnCommitAnalyzed, &document);
    assert_eq!((called.status, called.text), (0, Some(document)));
}

#[test]
fn an_error_has_its_text_and_the_plugin_goes_on() {
    let mut plugin = plugin();
    let error = plugin.call("error");
    assert_eq!(
        (error.status, error.text.as_deref()),
        (5, Some("not today"))
    );
    let too_long = plugin.call("too-long");
    assert_eq!(too_long.status, -1);
    assert!(too_long.text.unwrap().contains("at most 1048576 bytes"));
    assert_eq!(plugin.call("reply").status, 0);
}

#[test]
fn init_gets_its_document_as_a_result_and_may_say_no() {
    let mut plugin = plugin();
    assert_eq!(
        plugin.call("init-document"),
        said("{\"schema\":\"gm.init/1\"}")
    );
    let code = shared(&["-DINIT_FAILS"]);
    let mut failing = Peer::start(Form::Native, &code)
        .go(of_profile("native", None))
        .loaded();
    let init = failing.call_hook(Hook::Init, "{}");
    assert_eq!((init.status, init.text.as_deref()), (3, Some("no lamp")));
}

#[test]
fn host_calls_are_made_by_name_and_answered_by_code_and_result() {
    let mut plugin = plugin();
    let mut ask = |name: &str| {
        let called = plugin.call(&format!("host:{name}"));
        (called.text.unwrap(), called.asked)
    };
    let asked = |op, level, text: &str| vec![(op, level, text.to_owned())];
    assert_eq!(
        ask("node_get"),
        (
            "{\"status\":13,\"result\":\"{'id':'here'}\"}".into(),
            asked(HostOp::NodeGet, 0, "file:a")
        )
    );
    assert_eq!(ask("log").1, asked(HostOp::Log, 3, "a line"));
    assert_eq!(
        ask("event_emit").1,
        asked(HostOp::EventEmit, 0, "topic{\"n\":1}")
    );
    // Answered in the runner; then what the host must hear of, and deny.
    assert!(
        ask("asset_read")
            .0
            .starts_with("{\"status\":3,\"result\":\"'wo")
    );
    assert!(ask("file_read").0.starts_with("{\"status\":-1,"));
    for name in ["socket", "bad-level"] {
        let (text, asked) = ask(name);
        assert!(text.starts_with("{\"status\":-3,"), "{name}: {text}");
        assert!(asked.is_empty());
    }
}

#[test]
fn the_c_library_works_within_what_is_allowed() {
    let mut plugin = plugin();
    assert_eq!(plugin.call("print").status, 0);
    assert_eq!(plugin.call("reallocate").status, 0);
    assert_eq!(plugin.call("asset"), said("{\"words\":1}"));
}
