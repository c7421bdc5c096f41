//! What takes all time or memory. The deadline is the host's: here a killed
//! runner shows that nothing else stopped it, and that nothing else happened.

use std::time::Duration;

use gm_protocol::link::{LinkError, Wait};
use gm_protocol::message::{FromRunner, Last, ToRunner, TrapClass};
use gm_protocol::plan::{Hook, Role};

use crate::filters::of_profile;
use crate::played::soon;
use crate::script::{begin, error, hook, reply};

/// Whether the hook of this body still runs after a while, and dies of a kill.
fn runs_on(body: &str) {
    let mut plugin = hook(body);
    plugin.begin(Hook::OnCommitAnalyzed, b"{}");
    let wait = Wait {
        deadline: std::time::Instant::now() + Duration::from_millis(300),
        wake: None,
    };
    let silence = plugin.peer.link.recv(wait);
    assert!(
        matches!(silence, Err(LinkError::TimedOut)),
        "{body}: {silence:?}"
    );
    plugin.peer.child.kill().unwrap();
    assert_eq!(plugin.peer.ending(), (None, None, Some(9)), "{body}");
}

#[test]
fn endless_work_waits_for_the_hosts_kill() {
    for body in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "xpcall(function() error('x') end, function() while true do end end)",
        "coroutine.wrap(function() while true do end end)()",
        "return {s = (('a'):rep(30000) .. 'b'):match(('a*'):rep(30) .. 'c')}",
        "local t = {} for i = 1, 3e5 do t[i] = i end while true do table.sort(t, function(a, b) return a > b end) end",
    ] {
        runs_on(body);
    }
}

#[test]
fn all_of_the_memory_ends_the_process_whatever_the_script_catches() {
    let out = Some(Last::Trap {
        class: TrapClass::Other,
        refused_grow: true,
    });
    for body in [
        "local t = {} while true do t[#t + 1] = ('x'):rep(1e5) .. #t end",
        "return {s = #('x'):rep(1e9)}",
        "local s = 'x' while true do s = s .. s end",
        "pcall(function() local t = {} while true do t = {t} end end)",
        "while true do pcall(function() return ('x'):rep(5e8) end) end",
        "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
        "local s = ('a'):rep(1e4) while true do s = s:gsub('a', 'aa') end",
        "return {b = buffer.len(buffer.create(2^30 - 1))}",
    ] {
        let seen = hook(body).dies(b"{}");
        assert_eq!(seen, (out, Some(102), None), "{body}");
    }
}

#[test]
fn what_can_not_be_done_at_once_is_an_error() {
    assert!(error("local function f() return 1 + f() end return f()").contains("stack overflow"));
    let body = "return {n = #table.move({}, 1, 1e11, 2)}";
    assert_eq!(reply(body), "{\"n\":0}");
    assert!(error("local t = {} t.t = t return t").contains("nested too deeply"));
    assert!(error("setmetatable({}, {__index = function(t, k) return t[k] end}).x = nil; return setmetatable({}, {__index = function(t, k) return t[k] end}).x").contains("overflow"));
}

#[test]
fn each_call_of_the_filter_is_needed_and_no_other() {
    // The clock is there by policy: some builds have it without a call.
    for call in ["read", "write", "exit_group"] {
        let (mut peer, task) = begin("function on_commit_analyzed() end", &[]);
        peer.set_up(of_profile("lua", Some(call)), Role::Plugin(task));
        if let Ok(FromRunner::Report(_)) = peer.link.recv(soon()) {
            let _ = peer.link.send(&ToRunner::Go, soon());
            let _ = peer.link.send(&ToRunner::Stop, soon());
        }
        let seen = peer.ending();
        assert_eq!(seen.2, Some(31), "{call}: {seen:?}");
    }
}
