//! What takes all time or memory. The deadline is the host's: here a killed
//! runner shows that nothing else stopped it, and that nothing else happened.

use std::time::{Duration, Instant};

use gm_protocol::link::{LinkError, Wait};
use gm_protocol::message::{FromRunner, Last, TrapClass};
use gm_protocol::plan::Hook;

use crate::filters::of_profile;
use crate::played::{Plugin, soon};
use crate::script::{behind, error, hook, reply, start, task};

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
fn large_numbers_and_floods_take_time_or_all_of_the_memory_and_nothing_else() {
    for body in [
        "return {n: (7n ** 300000n).toString().length}",
        "return {n: new Array(4294967295).join('x').length}",
        "let n = 3n; for (;;) n *= n",
        // Each promise is garbage, but the engine may meet the limit before it sees it.
        "const again = () => Promise.resolve().then(again); again()",
        "const again = () => queueMicrotask(again); again()",
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
        "for (;;) { try { for (;;) {} } finally { continue } }",
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
        "let s = 'x'.repeat(1000); for (;;) s = s.repeat(2).toUpperCase()",
        "let t = []; for (;;) t = [t]",
        "return {n: new Uint8Array(2 ** 30).length}",
        "const t = []; for (;;) t.push(new ArrayBuffer(1 << 20))",
        "const t = []; for (;;) t.push(function* () {}())",
        "const again = () => { Promise.resolve().then(again); Promise.resolve().then(again) }; again()",
        "const m = new Map(); for (let n = 0; ; n++) m.set(n, 'v' + n)",
        "return {list: new Array(1e8).fill(0)}",
        "const s = JSON.stringify(Array.from({length: 1e7}, () => 'x')); return {n: s.length}",
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

#[test]
fn odd_text_is_loaded_or_refused_and_never_a_crash() {
    let many = |count: usize, each: &str| each.repeat(count);
    let texts: Vec<Vec<u8>> = vec![
        b"".into(),
        b"\0".into(),
        b"let a = 1;\0let b = 2".into(),
        b"\xef\xbb\xbflet a = 1".into(),
        b"#!/usr/bin/env node\n1".into(),
        b"'unfinished".into(),
        b"`unfinished ${".into(),
        b"/* unfinished".into(),
        b"/unfinished".into(),
        b"/(?<a>.)(?<a>.)/u".into(),
        b"/[\\u{110000}]/u".into(),
        b"\xff\xfe\x00".into(),
        b"\\u{64}\\u0061 = 1".into(),
        b"<!-- html".into(),
        b"export default export".into(),
        b"export {a}; export {a}; let a".into(),
        b"export * from 'main.js'".into(),
        b"import {x} from 'main.js'; export {x}".into(),
        b"import * as self from 'main.js'; self.self; export {self}".into(),
        b"await 0; for await (const x of [1]) {}".into(),
        b"using x = null; await using y = null".into(),
        b"label: for (;;) { break label }".into(),
        b"super()".into(),
        b"return 1".into(),
        b"with ({}) {}".into(),
        b"yield".into(),
        b"class A extends A {}".into(),
        b"let a = a".into(),
        b"import.meta.url; new.target".into(),
        format!("let {} = 1", many(1 << 20, "a")).into(),
        format!("f({})", many(70_000, "1,")).into(),
        format!("[{}]", many(300_000, "1,")).into(),
        format!("{{ {} }}", many(70_000, "let a;")).into(),
        (0..70_000)
            .map(|n| format!("let a{n};"))
            .collect::<String>()
            .into(),
        format!("switch (1) {{ {} }}", many(70_000, "case 1:")).into(),
        format!("1{}", many(300_000, "+1")).into(),
        format!("a{}", many(100_000, ".b")).into(),
        format!("a{}", many(100_000, "?.b")).into(),
        format!("if (0) {}", many(100_000, "{} else if (0) ")).into(),
        format!("`{}`", many(20_000, "${1}")).into(),
        format!("/{}/", many(50_000, "(a|")).into(),
        format!("/{}/", many(50_000, "a{1,2}")).into(),
        format!("/a{{{}}}/", many(400, "9")).into(),
    ];
    for text in texts {
        let shown = String::from_utf8_lossy(&text[..text.len().min(40)]).into_owned();
        let mut plugin = behind(task(), &text, &[], of_profile("js", None));
        let seen = match plugin.peer.link.recv(soon()) {
            Ok(FromRunner::Loaded { .. }) => plugin.stop(),
            _ => plugin.peer.ending(),
        };
        let (_, status, signal) = seen;
        assert_eq!(signal, None, "{shown}");
        assert!(matches!(status, Some(0 | 102 | 104)), "{shown}: {status:?}");
    }
}
