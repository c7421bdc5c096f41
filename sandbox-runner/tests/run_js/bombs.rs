//! What takes all time or memory. The deadline is the host's: here a killed
//! runner shows that nothing else stopped it, and that nothing else happened.

use std::time::{Duration, Instant};

use gm_protocol::link::{LinkError, Wait};
use gm_protocol::message::{FromRunner, Last, ToRunner, TrapClass};
use gm_protocol::plan::{Filters, Hook, SockFilter};

use crate::filters::of_profile;
use crate::played::{Plugin, soon};
use crate::script::{behind, error, hook, reply, start, task};

/// SIGSYS
const BAD_CALL: i32 = 31;

const OUT_OF_MEMORY: (Option<Last>, Option<i32>, Option<i32>) = (
    Some(Last::Trap {
        class: TrapClass::Other,
        refused_grow: true,
    }),
    Some(102),
    None,
);

/// Whether the plugin still runs after a while, and dies of a kill.
fn runs_on(mut plugin: Plugin, what: &str) {
    plugin.begin(Hook::OnCommitAnalyzed, b"{}");
    let wait = Wait {
        deadline: Instant::now() + Duration::from_millis(400),
        wake: None,
    };
    let silence = plugin.peer.link.recv(wait);
    assert!(
        matches!(silence, Err(LinkError::TimedOut)),
        "{what}: {silence:?}"
    );
    plugin.peer.child.kill().unwrap();
    assert_eq!(plugin.peer.ending(), (None, None, Some(9)), "{what}");
}

#[test]
fn endless_work_waits_for_the_hosts_kill() {
    for body in [
        "for (;;) {}",
        "for (;;) { try { for (;;) {} } catch {} finally { continue } }",
        "function* g() { try { yield } finally { for (;;) {} } } const i = g(); i.next(); i.return()",
        "return {m: /^(a+)+$/.test('a'.repeat(60) + 'b')}",
        "return {m: new RegExp('(x+x+)+y').test('x'.repeat(60))}",
        "Array.prototype.reverse.call({length: 2 ** 53 - 1})",
        "Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)",
        "Array.prototype.copyWithin.call({length: 2 ** 53 - 1}, 1, 0)",
        "const list = Array.from({length: 5000}, (_, n) => n); list.sort(() => { for (;;) {} })",
        "const list = Array.from({length: 5000}, (_, n) => n); for (;;) list.sort(() => Math.random() - 0.5)",
        "const again = () => Promise.resolve().then(again); again()",
        "const again = () => queueMicrotask(again); again()",
        "return {toJSON() { for (;;) {} }}",
        "return {get a() { for (;;) {} }}",
        "gm.node_put({toJSON() { for (;;) {} }})",
        "throw Object.defineProperty(new Error(), 'message', {get() { for (;;) {} }})",
        "return new Promise(() => { for (;;) {} })",
        "return {get then() { for (;;) {} }}, (async () => ({get then() { for (;;) {} }}))()",
    ] {
        runs_on(hook(body), body);
    }
}

#[test]
fn large_numbers_take_time_or_all_of_the_memory_and_nothing_else() {
    for body in [
        "return {n: (7n ** 300000n).toString().length}",
        "return {n: new Array(4294967295).join('x').length}",
        "let n = 3n; for (;;) n *= n",
    ] {
        let mut plugin = hook(body);
        plugin.begin(Hook::OnCommitAnalyzed, b"{}");
        let wait = Wait {
            deadline: Instant::now() + Duration::from_millis(1500),
            wake: None,
        };
        match plugin.peer.link.recv(wait) {
            // A range that the engine has: the hook's error, or done.
            Ok(FromRunner::Done { .. }) => {
                assert_eq!(plugin.stop(), (None, Some(0), None), "{body}");
            }
            Ok(FromRunner::Last(last)) => {
                assert_eq!(Some(last), OUT_OF_MEMORY.0, "{body}");
                assert_eq!(plugin.peer.child.wait().unwrap().code(), Some(102));
            }
            Err(LinkError::TimedOut) => {
                plugin.peer.child.kill().unwrap();
                assert_eq!(plugin.peer.ending(), (None, None, Some(9)), "{body}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn endless_work_at_the_top_level_waits_for_the_hosts_kill() {
    for text in [
        "for (;;) {}",
        "const again = () => Promise.resolve().then(again); again()",
    ] {
        let mut plugin = start(text, &[]);
        let wait = Wait {
            deadline: Instant::now() + Duration::from_millis(400),
            wake: None,
        };
        assert!(matches!(
            plugin.peer.link.recv(wait),
            Err(LinkError::TimedOut)
        ));
        plugin.peer.child.kill().unwrap();
        assert_eq!(plugin.peer.ending(), (None, None, Some(9)), "{text}");
    }
}

#[test]
fn a_host_that_does_not_kill_is_not_waited_for_long() {
    for body in [
        "for (;;) {}",
        "const again = () => queueMicrotask(again); again()",
    ] {
        let mut task = task();
        task.time_ms = 50;
        let text = format!("export function on_commit_analyzed() {{ {body} }}");
        let plugin = behind(task, text.as_bytes(), &[], of_profile("js", None)).loaded();
        let began = Instant::now();
        let trap = Last::Trap {
            class: TrapClass::Other,
            refused_grow: false,
        };
        assert_eq!(plugin.dies(b"{}"), (Some(trap), Some(102), None), "{body}");
        assert!(
            began.elapsed() > Duration::from_secs(1),
            "before the host's own deadline"
        );
    }
}

#[test]
fn a_second_call_has_all_of_its_time_again() {
    let mut task = task();
    task.time_ms = 1;
    let text = b"export function on_commit_analyzed() { const until = Date.now() + 600; while (Date.now() < until); return {} }";
    let mut plugin = behind(task, text, &[], of_profile("js", None)).loaded();
    for _ in 0..3 {
        assert_eq!(plugin.call(b"{}").status, 0);
    }
}

#[test]
fn all_of_the_memory_ends_the_process_whatever_the_script_catches() {
    for body in [
        "const t = []; for (;;) t.push('x'.repeat(1e5) + t.length)",
        "try { const t = []; for (;;) t.push({}) } catch { return {caught: true} }",
        "for (;;) { try { 'x'.repeat(2 ** 29) } catch {} }",
        "let s = 'x'; for (;;) s = s.replaceAll('x', 'xx')",
        "let t = []; for (;;) t = [t]",
        "return {n: new Uint8Array(2 ** 30).length}",
        "const t = []; for (;;) t.push(new ArrayBuffer(1 << 20))",
        "const t = []; for (;;) t.push(function* () {}())",
        "const again = () => { Promise.resolve().then(again); Promise.resolve().then(again) }; again()",
        "const m = new Map(); for (let n = 0; ; n++) m.set(n, 'v' + n)",
        "return {list: new Array(1e8).fill(0)}",
        "const s = JSON.stringify(Array.from({length: 1e7}, () => 'x')); return {n: s.length}",
        "let r = ''; for (;;) r += '(' + 'a'.repeat(1000) + '|b)*'",
        "return {n: Array.from({length: 2 ** 31}).length}",
        "for (let n = 0, o = {}; ; n++) o['key' + n] = n",
        "let s = 'ab'; for (;;) s = (s + s).split('').reverse().join('')",
    ] {
        assert_eq!(hook(body).dies(b"{}"), OUT_OF_MEMORY, "{body}");
    }
}

#[test]
fn all_of_the_memory_while_loading_ends_the_process_too() {
    let plugin = start(
        "const t = []; for (;;) t.push('x'.repeat(1e5) + t.length)",
        &[],
    );
    assert_eq!(plugin.peer.ending(), OUT_OF_MEMORY);
    // Too much to parse.
    let text = "a.b.c.d(1, 2, 3, 'x');\n".repeat(1 << 20);
    assert_eq!(start(&text, &[]).peer.ending(), OUT_OF_MEMORY);
}

#[test]
fn garbage_is_no_use_of_memory() {
    let body =
        "for (let n = 0; n < 3e5; n++) { const a = {}, b = {a}; a.b = b } return {done: true}";
    assert_eq!(reply(body), "{\"done\":true}");
    let body = "for (let n = 0; n < 2000; n++) 'x'.repeat(1e5).toUpperCase(); return {done: true}";
    assert_eq!(reply(body), "{\"done\":true}");
}

#[test]
fn endless_recursion_is_a_trap_of_the_stack_unless_the_script_catches_it() {
    let trap = Last::Trap {
        class: TrapClass::Stack,
        refused_grow: false,
    };
    for body in [
        "const f = n => 1 + f(n + 1); f(0)",
        "const o = {get a() { return this.a }}; o.a",
        "const o = {toJSON() { return JSON.stringify(o) }}; return o",
        "const o = {toString() { return '' + o }}; '' + o",
        "class A { constructor() { new A() } } new A()",
        "const p = new Proxy({}, {get(t, k, r) { return r[k] }}); p.x",
        "const f = () => [1, 2].sort(f); f()",
        "const f = () => 'a'.replace(/a/, f); f()",
        "const f = () => gm.node_put({toJSON: f}); f()",
        "const a = []; a[0] = a; return {n: a.flat(Infinity).length}",
        "async function f() { await f() } return f()",
    ] {
        assert_eq!(
            hook(body).dies(b"{}"),
            (Some(trap), Some(102), None),
            "{body}"
        );
    }
    let body = "const f = n => 1 + f(n + 1); try { f(0) } catch (e) { return {caught: e.name} }";
    assert_eq!(reply(body), "{\"caught\":\"RangeError\"}");
}

#[test]
fn depth_is_an_error_or_a_trap_never_a_crash() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(400_000), "]".repeat(400_000));
    let mut plugin = hook("return {}");
    plugin.begin(Hook::OnCommitAnalyzed, deep.as_bytes());
    let trap = Last::Trap {
        class: TrapClass::Stack,
        refused_grow: false,
    };
    assert_eq!(plugin.peer.ending(), (Some(trap), Some(102), None));
    for (body, says) in [
        (
            "try { JSON.parse('['.repeat(1e6)) } catch (e) { return {e: e.name} }",
            "RangeError",
        ),
        (
            "let o = {}; for (let n = 0; n < 1e5; n++) o = {o}; try { JSON.stringify(o) } catch (e) { return {e: e.name} }",
            "RangeError",
        ),
        (
            "try { new RegExp('('.repeat(1e5)) } catch (e) { return {e: e.name} }",
            "Error",
        ),
        (
            "try { new RegExp('(?:'.repeat(1e5) + ')'.repeat(1e5)) } catch (e) { return {e: e.name} }",
            "Error",
        ),
    ] {
        let reply = reply(body);
        assert!(reply.contains(says), "{body}: {reply}");
    }
    // Text that is nested too deeply to be parsed.
    for text in [
        "(".repeat(200_000),
        "[".repeat(200_000),
        "{".repeat(200_000),
        "!".repeat(400_000) + "1",
        "a=>".repeat(100_000) + "1",
    ] {
        let plugin = start(&text, &[]);
        let (last, status, signal) = plugin.peer.ending();
        assert!(
            signal.is_none(),
            "{}: {last:?} {status:?} {signal:?}",
            &text[..3]
        );
        assert!(
            matches!(status, Some(102 | 104)),
            "{}: {status:?}",
            &text[..3]
        );
    }
}

#[test]
fn a_text_that_is_too_long_is_the_scripts_own_error() {
    assert!(error("return {n: 'x'.repeat(2 ** 30)}").starts_with("RangeError: "));
    assert!(error("return {n: new Array(-1)}").starts_with("RangeError: "));
    assert!(error("return {n: 2n ** (2n ** 40n)}").starts_with("RangeError: "));
}

/// The shipped filters, but the last one lacks a call.
fn without(call: &str) -> Filters {
    Filters {
        running: of_profile("js", Some(call)).running,
        ..of_profile("js", None)
    }
}

#[test]
fn each_call_of_the_filter_is_needed() {
    for call in ["read", "write", "exit_group"] {
        let text = b"export function on_commit_analyzed() { return {ok: true} }";
        let mut plugin = behind(task(), text, &[], without(call));
        let seen = match plugin.peer.link.recv(soon()) {
            Ok(FromRunner::Loaded { .. }) if call == "exit_group" => plugin.stop(),
            _ => plugin.peer.ending(),
        };
        assert_eq!(seen.2, Some(BAD_CALL), "{call}: {seen:?}");
    }
}

#[test]
fn an_empty_filter_is_a_missing_wall_not_an_open_one() {
    for layer in 0..4 {
        let mut filters = of_profile("js", None);
        let program: &mut Vec<SockFilter> = match layer {
            0 => &mut filters.soft,
            1 => &mut filters.veto,
            2 => &mut filters.loading,
            _ => &mut filters.running,
        };
        program.clear();
        let fds = [Some(crate::played::memfd(b"", true)), None];
        let mut peer = crate::played::Peer::start("gm-run-js", 32 << 20, &[], fds);
        let setup = gm_protocol::plan::Setup {
            protocol: gm_protocol::PROTOCOL,
            filters,
            landlock_abi: 7,
            landlock: vec![],
            role: gm_protocol::plan::Role::Plugin(task()),
        };
        peer.send(&ToRunner::Setup(Box::new(setup)));
        if layer == 3 {
            peer.recv();
            peer.send(&ToRunner::Go);
        }
        let wall = Last::Wall {
            control: 12,
            errno: libc::EINVAL,
        };
        assert_eq!(peer.ending(), (Some(wall), Some(103), None));
    }
}

#[test]
fn code_that_can_still_change_is_not_mapped() {
    let fds = [Some(crate::played::memfd(b"1", false)), None];
    let mut peer = crate::played::Peer::start("gm-run-js", 32 << 20, &[], fds);
    let setup = gm_protocol::plan::Setup {
        protocol: gm_protocol::PROTOCOL,
        filters: of_profile("js", None),
        landlock_abi: 7,
        landlock: vec![],
        role: gm_protocol::plan::Role::Plugin(task()),
    };
    peer.send(&ToRunner::Setup(Box::new(setup)));
    let (last, status, _) = peer.ending();
    assert!(matches!(last, Some(Last::Wall { .. })), "{last:?}");
    assert_eq!(status, Some(103));
}

#[test]
fn a_running_script_has_no_executable_memory_but_its_own_binary() {
    let mut plugin = hook("return {n: [3, 1, 2].sort()[0]}");
    assert_eq!(plugin.call(b"{}").status, 0);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", plugin.peer.child.id())).unwrap();
    let executable: Vec<_> = maps
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[1].contains('x'))
        .map(|fields| {
            (
                fields[1].to_owned(),
                fields.get(5).copied().unwrap_or("").to_owned(),
            )
        })
        // The kernel's own pages aside.
        .filter(|(_, name)| !name.starts_with("[v"))
        .collect();
    assert_eq!(executable.len(), 1, "{maps}");
    assert_eq!(executable[0].0, "r-xp");
    assert!(executable[0].1.ends_with("/bin"), "{maps}");
}
