//! Hooks, replies, errors and calls of the host.

use gm_protocol::link::Wait;
use gm_protocol::message::{FromRunner, ToRunner};
use gm_protocol::plan::{Hook, HostOp};

use crate::filters::of_profile;
use crate::played::{Plugin, soon};
use crate::script::{behind, error, hook, refused, reply, reply_of, script, start, task};

/// The bytes of a document that a hook of this body replies, when the host
/// answers its one call so.
fn answered(body: &str, status: i64, result: &[u8]) -> (i32, String) {
    let mut plugin = hook(body);
    plugin.begin(Hook::OnCommitAnalyzed, b"{}");
    let FromRunner::Host { id, .. } = plugin.peer.recv() else {
        panic!("no call of the host")
    };
    let done = ToRunner::HostDone {
        id,
        status,
        more: false,
        bytes: result.to_vec(),
    };
    plugin.peer.send(&done);
    match plugin.peer.recv() {
        FromRunner::Done { status, bytes, .. } => (status, String::from_utf8(bytes).unwrap()),
        other => panic!("{other:?} instead of an answer"),
    }
}

/// The calls of the host that a call made, as text.
fn asked(plugin: &mut Plugin) -> Vec<(HostOp, u8, String)> {
    let called = plugin.call(b"{}");
    let text = String::from_utf8(called.document.unwrap_or_default()).unwrap();
    assert_eq!(called.status, 0, "{text}");
    let shown = |(op, level, bytes): (HostOp, u8, Vec<u8>)| {
        (op, level, String::from_utf8_lossy(&bytes).into_owned())
    };
    called.asked.into_iter().map(shown).collect()
}

#[test]
fn a_hook_gets_its_document_and_gives_a_reply() {
    let mut plugin = hook("return {id: event.id, n: event.files.length, list: []}");
    let called = plugin.call(br#"{"id":"a1","files":[{},{}]}"#);
    assert_eq!(called.status, 0);
    assert_eq!(called.document.unwrap(), br#"{"id":"a1","n":2,"list":[]}"#);
    assert_eq!(plugin.call(br#"{"id":null,"files":[]}"#).status, 0);
    assert_eq!(plugin.stop(), (None, Some(0), None));
}

#[test]
fn a_hook_is_an_export_or_a_global_function() {
    for text in [
        "export function on_commit_analyzed() { return {here: 1} }",
        "export const on_commit_analyzed = () => ({here: 1})",
        "const f = () => ({here: 1}); export {f as on_commit_analyzed}",
        "globalThis.on_commit_analyzed = () => ({here: 1})",
        "export async function on_commit_analyzed() { await null; return {here: 1} }",
        // The export comes first.
        "globalThis.on_commit_analyzed = () => ({here: 2}); export const on_commit_analyzed = () => ({here: 1})",
    ] {
        assert_eq!(reply_of(&mut script(text)), "{\"here\":1}", "{text}");
    }
}

#[test]
fn a_hook_that_the_manifest_names_and_the_script_lacks_is_told_at_load() {
    for text in [
        "",
        "export const on_commit_analyzed = 5",
        "function on_commit_analyzed() {}",
        "export function on_edge_created() {}",
    ] {
        let why = "on_commit_analyzed: no function of this name (artifact/missing-export)";
        assert_eq!(refused(text, &[]), why, "{text}");
    }
    // One that nobody named is not called.
    let called = hook("").call_hook(Hook::OnEdgeCreated, b"{}");
    assert_eq!(called.status, -1);
    let why = b"the module exports no function on_edge_created, and globalThis has none";
    assert_eq!(called.document.unwrap(), why);
}

#[test]
fn init_and_shutdown_are_told_and_called() {
    let text = "let seen = 0
        export function on_commit_analyzed() {}
        export function init(doc) { seen = doc.total }
        export function shutdown(doc) { return {report: `${doc.reason} ${seen}`} }";
    let mut plugin = start(text, &[]);
    let loaded = plugin.peer.recv();
    assert_eq!(
        loaded,
        FromRunner::Loaded {
            init: true,
            shutdown: true
        }
    );
    assert_eq!(
        plugin.call_hook(Hook::Init, br#"{"total":7}"#).document,
        None
    );
    let called = plugin.call_hook(Hook::Shutdown, br#"{"reason":"end"}"#);
    assert_eq!(called.document.unwrap(), br#"{"report":"end 7"}"#);
}

#[test]
fn nothing_returned_is_no_reply_and_what_is_thrown_is_the_hooks_error() {
    for body in [
        "",
        "return null",
        "return undefined",
        "return Promise.resolve()",
    ] {
        let called = hook(body).call(b"{}");
        assert_eq!((called.status, called.document), (0, None), "{body}");
    }
    assert_eq!(
        error("throw new Error('wrong')"),
        "Error: wrong at on_commit_analyzed (main.js:2:11)"
    );
    assert!(error("null.x").starts_with("TypeError: "));
    assert_eq!(error("throw 'a text'"), "a text");
    assert_eq!(error("throw {a: 1}"), "{\"a\":1}");
    assert_eq!(error("throw undefined"), "undefined");
    assert_eq!(error("return Promise.reject('no')"), "no");
    assert_eq!(
        error("return new Promise(() => {})"),
        "it waits for a promise that nothing settles"
    );
    for body in [
        "return 5",
        "return 'text'",
        "return [1]",
        "return true",
        "return () => 1, 7",
    ] {
        assert_eq!(error(body), "a reply is one object, or nothing", "{body}");
    }
    assert!(error("const ring = {}; ring.ring = ring; return ring").starts_with("TypeError: "));
    assert!(error("return {big: 1n}").starts_with("TypeError: "));
    // The plugin goes on after an error.
    let mut plugin = hook("if (event.bad) throw new Error('bad'); return {ok: true}");
    assert_eq!(plugin.call(br#"{"bad":true}"#).status, 1);
    assert_eq!(plugin.call(b"{}").status, 0);
}

#[test]
fn an_errors_own_getters_can_not_break_its_text() {
    assert_eq!(
        error("throw Object.defineProperty(new Error('a'), 'message', {get() { throw 1 }})")
            .split(' ')
            .next(),
        Some("Error")
    );
    let odd = "const e = new Error('a')
        for (const name of ['name', 'stack']) Object.defineProperty(e, name, {value: {}})
        throw e";
    assert_eq!(error(odd), "a");
    let huge = error("throw new Error('ä'.repeat(5000))");
    assert_eq!(huge.len(), 4095);
}

#[test]
fn a_reply_over_the_cap_is_an_error() {
    let text = error("return {a: 'x'.repeat(1 << 20)}");
    assert_eq!(
        text,
        "the reply has 1048584 bytes, and 1048576 are the most"
    );
}

#[test]
fn events_and_results_of_many_frames_arrive_whole() {
    let mut plugin = hook("return gm.node_put(event) > 900000 ? event : {}");
    let event = format!("{{\"a\":\"{}\"}}", "ä".repeat(450_000));
    let called = plugin.call(event.as_bytes());
    assert_eq!(called.status, 0);
    assert!(called.document.as_deref() == Some(event.as_bytes()));
}

#[test]
fn calls_of_the_host_take_objects_and_give_objects() {
    let mut plugin = hook(
        "gm.log('warn', 'hello')
         gm.event_emit('a.b', {x: 1})
         const node = gm.node_put({id: 'n', kind: 'k', data: {list: [1]}})
         gm.edge_put([])
         const found = gm.node_query({kind: 'k'})
         return {node, kind: found.kind, edge: gm.edge_get({src: 'a'}), e: gm.edge_query({})}",
    );
    let called = plugin.call(b"{}");
    let expected = [
        (HostOp::Log, 3, &b"hello"[..]),
        (HostOp::EventEmit, 0, br#"a.b{"x":1}"#),
        (
            HostOp::NodePut,
            0,
            br#"{"id":"n","kind":"k","data":{"list":[1]}}"#,
        ),
        (HostOp::EdgePut, 0, b"[]"),
        (HostOp::NodeQuery, 0, br#"{"kind":"k"}"#),
        (HostOp::EdgeGet, 0, br#"{"src":"a"}"#),
        (HostOp::EdgeQuery, 0, b"{}"),
    ];
    let asked: Vec<_> = called
        .asked
        .iter()
        .map(|(op, l, b)| (*op, *l, b.as_slice()))
        .collect();
    assert_eq!(asked, expected);
    // The played host answers with what it was asked, and its length.
    let document = String::from_utf8(called.document.unwrap()).unwrap();
    assert_eq!(
        document,
        r#"{"node":41,"kind":"k","edge":{"src":"a"},"e":{}}"#
    );
}

#[test]
fn the_hosts_refusals_are_errors_with_code_and_call_and_not_found_is_null() {
    let body = "try { return {got: gm.node_get('a')} }
        catch (e) { return {code: e.code, call: e.call, error: e instanceof Error, text: e.message} }";
    assert_eq!(answered(body, -2, b""), (0, "{\"got\":null}".into()));
    for (status, code) in [
        (-1, "denied"),
        (-3, "invalid"),
        (-4, "too_big"),
        (-5, "quota"),
        (-6, "limit"),
        (-7, "io"),
        (-9, "internal"),
        (-10, "stopping"),
        (-77, "internal"),
    ] {
        let (_, document) = answered(body, status, b"");
        let expected = format!(
            "{{\"code\":\"{code}\",\"call\":\"node_get\",\"error\":true,\"text\":\"gm.node_get: {code}: "
        );
        assert!(document.starts_with(&expected), "{document}");
    }
    // Uncaught, it is the hook's error, and says where.
    let (status, text) = answered("gm.node_get('a')", -1, b"");
    assert_eq!(status, 1);
    assert!(text.starts_with("Error: gm.node_get: denied: "), "{text}");
    assert!(
        text.contains(" at on_commit_analyzed (main.js:2:"),
        "{text}"
    );
}

#[test]
fn what_a_script_does_to_errors_does_not_change_those_of_the_host() {
    let text = "globalThis.Error = function () { throw 1 }
        Object.defineProperty(Object.prototype, 'code', {set() { throw 2 }, get() { return 3 }})
        export function on_commit_analyzed() {
          try { gm.log('loud', '') } catch (e) { return {code: e.code, call: e.call} }
        }";
    let reply = reply_of(&mut script(text));
    assert_eq!(reply, "{\"code\":\"invalid\",\"call\":\"log\"}");
}

#[test]
fn a_wrong_argument_is_invalid_and_never_reaches_the_host() {
    for call in [
        "gm.log('loud', 'x')",
        "gm.log('info')",
        "gm.log('info', 5)",
        "gm.log()",
        "gm.node_put()",
        "gm.node_put(() => {})",
        "gm.node_put(Symbol())",
        "gm.node_get({})",
        "gm.file_read('$DATA/x', 'far')",
        "gm.file_read('$DATA/x', -1)",
        "gm.file_read('$DATA/x', 0.5)",
        "gm.file_read('$DATA/x', 2 ** 60)",
        "gm.file_write('$DATA/x', 5)",
        "gm.file_write('$DATA/x', 'a', {create: 1})",
        "gm.file_write('$DATA/x', 'a', 'create')",
        "gm.event_emit('a.b')",
        "gm.asset_read(new String('words.txt'))",
    ] {
        let body =
            format!("try {{ {call} }} catch (e) {{ return {{code: e.code, call: e.call}} }}");
        let mut plugin = hook(&body);
        let called = plugin.call(b"{}");
        let document = String::from_utf8(called.document.unwrap()).unwrap();
        assert!(
            document.starts_with("{\"code\":\"invalid\",\"call\":\""),
            "{call}: {document}"
        );
        assert_eq!(called.asked, [], "{call}");
    }
}

#[test]
fn half_of_a_character_is_written_as_u_fffd_wherever_a_text_goes() {
    assert_eq!(
        reply("return {half: '😀'.slice(0, 1)}"),
        r#"{"half":"\ufffd"}"#
    );
    assert_eq!(
        reply("return {['😀'.slice(1)]: '\\\\ud83d'}"),
        r#"{"\ufffd":"\\ud83d"}"#
    );
    assert!(error("throw Error('at ' + '😀'.slice(0, 1))").starts_with("Error: at \u{fffd} at "));
    assert_eq!(error("throw '😀'.slice(1) + '!'"), "\u{fffd}!");
    assert_eq!(error("throw {half: '\\udfff'}"), r#"{"half":"\ufffd"}"#);
    let mut plugin = hook(
        "const half = '😀'.slice(0, 1)
         gm.log('info', half + '😀' + half)
         gm.node_put({id: 'n', kind: 'k', data: {half}})
         gm.storage_set('k' + half, half)
         gm.event_emit('t', {half})",
    );
    let expected = [
        (HostOp::Log, 2, "\u{fffd}😀\u{fffd}"),
        (
            HostOp::NodePut,
            0,
            r#"{"id":"n","kind":"k","data":{"half":"\ufffd"}}"#,
        ),
        (HostOp::StorageSet, 0, "k\u{fffd}\u{fffd}"),
        (HostOp::EventEmit, 0, r#"t{"half":"\ufffd"}"#),
    ];
    let expected = expected.map(|(op, level, text)| (op, level, text.to_owned()));
    assert_eq!(asked(&mut plugin), expected);
}

#[test]
fn a_text_that_was_put_together_is_a_text() {
    // Longer ones are kept as a tree until somebody reads them.
    let body = "let text = ''; for (let n = 0; n < 3000; n++) text += 'line ' + n
        gm.log('info', text + text); return {n: text.length * 2}";
    let called = hook(body).call(b"{}");
    let len = called.asked[0].2.len();
    assert_eq!(
        called.document.unwrap(),
        format!("{{\"n\":{len}}}").into_bytes()
    );
}

#[test]
fn a_call_may_come_from_within_the_reading_of_another() {
    let body = "const outer = {toJSON() { gm.log('info', 'inner'); return {id: 'a'} }}
        gm.node_put(outer)";
    let expected = [
        (HostOp::Log, 2, "inner".to_owned()),
        (HostOp::NodePut, 0, "{\"id\":\"a\"}".to_owned()),
    ];
    assert_eq!(asked(&mut hook(body)), expected);
}

#[test]
fn bytes_are_text_if_they_are_utf8_and_an_array_if_that_is_asked() {
    let files: [(&str, &[u8]); 2] = [("words.txt", "wörter".as_bytes()), ("raw", b"a\xffb")];
    let run = |body: &str| {
        let text = format!("export function on_commit_analyzed() {{ {body} }}");
        let filters = of_profile("js", None);
        reply_of(&mut behind(task(), text.as_bytes(), &files, filters).loaded())
    };
    let words = "return {a: gm.asset_read('words.txt'), b: gm.asset_read('words.txt', 3, 2), c: gm.asset_read('words.txt', 99)}";
    assert_eq!(run(words), r#"{"a":"wörter","b":"rt","c":""}"#);
    let raw =
        "const b = gm.asset_read_bytes('raw'); return {u8: b instanceof Uint8Array, list: [...b]}";
    assert_eq!(run(raw), r#"{"u8":true,"list":[97,255,98]}"#);
    let not_text = "try { gm.asset_read('raw') } catch (e) { return {code: e.code, call: e.call} }";
    assert_eq!(run(not_text), r#"{"code":"invalid","call":"asset_read"}"#);
    assert_eq!(
        run("return {none: gm.asset_read('none')}"),
        r#"{"none":null}"#
    );
}

#[test]
fn bytes_are_given_as_text_or_as_an_array() {
    // What no grant covers is asked of the host, by its path alone.
    let body = "gm.file_write('$DATA/a', new Uint8Array([1, 2]), {create: true, truncate: true, offset: 3})
        gm.file_write('$DATA/a', 'text'); gm.file_write('$DATA/a', new Uint8Array([1, 2, 3, 4]).subarray(1, 3))";
    let path = || (HostOp::FileWrite, 0, "$DATA/a".to_owned());
    assert_eq!(asked(&mut hook(body)), [path(), path(), path()]);
    let gone = "const a = new Uint8Array(4); a.buffer.transfer();
        try { gm.file_write('$DATA/a', a) } catch (e) { return {code: e.code} } return {}";
    let document = hook(gone).call(b"{}").document.unwrap();
    let text = String::from_utf8(document).unwrap();
    assert!(text == "{}" || text == "{\"code\":\"invalid\"}", "{text}");
}

#[test]
fn storage_takes_and_gives_text_or_bytes() {
    let body = "gm.storage_set('k', 'ä'); gm.storage_set('k', new Uint8Array([255, 0]))
        return {was: gm.storage_delete('k')}";
    let called = hook(body).call(b"{}");
    let asked: Vec<_> = called
        .asked
        .iter()
        .map(|(op, _, bytes)| (*op, &bytes[..]))
        .collect();
    let expected = [
        (HostOp::StorageSet, "kä".as_bytes()),
        (HostOp::StorageSet, b"k\xff\0"),
        (HostOp::StorageDelete, b"k"),
    ];
    assert_eq!(asked, expected);
    assert_eq!(called.document.unwrap(), br#"{"was":1}"#);

    let text = "return {value: gm.storage_get('k')}";
    assert_eq!(
        answered(text, 3, "äb".as_bytes()),
        (0, r#"{"value":"äb"}"#.into())
    );
    assert_eq!(answered(text, 0, b""), (0, r#"{"value":""}"#.into()));
    assert_eq!(answered(text, -2, b""), (0, r#"{"value":null}"#.into()));
    let (status, why) = answered(text, 1, b"\xff");
    assert_eq!(status, 1);
    assert!(why.starts_with("Error: gm.storage_get: invalid: "), "{why}");
    let raw = "return {value: [...gm.storage_get_bytes('k')]}";
    assert_eq!(answered(raw, 1, b"\xff"), (0, r#"{"value":[255]}"#.into()));
    let list = "return {keys: gm.storage_list('')}";
    assert_eq!(
        answered(list, 9, br#"["a","b"]"#),
        (0, r#"{"keys":["a","b"]}"#.into())
    );
}

#[test]
fn a_command_is_a_hook_like_the_others() {
    let text = "export function on_commit_analyzed() {}
        export function gm_command({name, args}) { return {status: 3, text: name + args.length} }";
    let called = script(text).call_hook(Hook::Command, br#"{"name":"say","args":["a","b"]}"#);
    assert_eq!(called.document.unwrap(), br#"{"status":3,"text":"say2"}"#);
}

#[test]
fn the_object_of_the_host_can_not_be_changed() {
    let body = "'use strict'
        const tries = [
          () => { gm.log = 1 }, () => { gm.more = 1 }, () => { delete gm.log }, () => { gm = 1 },
          () => { gm.log.more = 1 }, () => { globalThis.gm = 1 }, () => { delete globalThis.gm },
          () => { Object.setPrototypeOf(gm, null) }, () => { Object.setPrototypeOf(gm.log, null) },
          () => { Object.defineProperty(globalThis, 'gm', {value: 1}) },
          () => { Object.defineProperty(gm.log, 'name', {value: 'x'}) },
        ]
        const done = tries.filter(change => { try { change(); return true } catch { return false } })
        return {done: done.map(String), frozen: Object.isFrozen(gm) && Object.values(gm).every(Object.isFrozen)}";
    assert_eq!(reply(body), "{\"done\":[],\"frozen\":true}");
}

#[test]
fn every_call_of_the_host_is_there_by_its_name() {
    let body = "return {names: Object.keys(gm).sort()}";
    let mut names: Vec<&str> = HostOp::ALL.iter().map(|op| op.as_str()).collect();
    let bytes = ["asset_read_bytes", "file_read_bytes", "storage_get_bytes"];
    names.extend(bytes.iter().chain(&["asset_read"]));
    names.sort_unstable();
    let list = names
        .iter()
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(",");
    assert_eq!(reply(body), format!("{{\"names\":[{list}]}}"));
}

#[test]
fn jobs_run_until_nothing_is_left_before_the_hook_is_over() {
    let body =
        "Promise.resolve().then(() => gm.log('info', 'one')).then(() => gm.log('info', 'two'))
        queueMicrotask(() => gm.log('info', 'three'))";
    let mut lines: Vec<String> = asked(&mut hook(body))
        .into_iter()
        .map(|(_, _, l)| l)
        .collect();
    lines.sort();
    assert_eq!(lines, ["one", "three", "two"]);
}

#[test]
fn what_fails_at_the_top_level_is_not_loaded_and_says_where() {
    assert_eq!(
        refused("\n  let = 1", &[]).split(" at ").last(),
        Some("main.js:2:7")
    );
    assert!(refused("let a = ;", &[]).starts_with("SyntaxError: "));
    assert_eq!(
        refused("\n\nthrow new Error('no')", &[]),
        "Error: no at <anonymous> (main.js:3:11)"
    );
    assert_eq!(refused("await Promise.reject('late')", &[]), "late");
    assert_eq!(
        refused("await new Promise(() => {})", &[]),
        "it waits for a promise that nothing settles"
    );
    let filters = of_profile("js", None);
    let why = crate::refused::refused(behind(task(), b"let a = '\xff'", &[], filters));
    assert!(why.contains("main.js") && why.contains("UTF-8"), "{why}");
}

#[test]
fn the_top_level_may_log_and_do_nothing_else() {
    let why = refused("gm.node_get('a')", &[]);
    assert!(
        why.starts_with("Error: gm.node_get: invalid: only a hook may call it"),
        "{why}"
    );
    assert!(why.contains("(main.js:1:"), "{why}");
    let text = "let codes = []
        for (const name of Object.keys(gm)) {
          try { gm[name]('info', 'a'); codes.push(name) } catch (e) { if (e.code !== 'invalid') throw e }
        }
        export function on_commit_analyzed() { return {done: codes} }";
    let mut plugin = script(text);
    let called = plugin.call(b"{}");
    assert_eq!(called.document.unwrap(), br#"{"done":["log"]}"#);
    // A log line is kept for the first hook.
    assert_eq!(called.asked, [(HostOp::Log, 2, b"a".to_vec())]);
}

#[test]
fn a_runner_ends_when_the_host_is_gone() {
    let mut plugin = hook("");
    let (dead, _) = gm_protocol::link::pair().unwrap();
    let budget = gm_protocol::link::Budget {
        frames: 1,
        bytes: 1,
    };
    drop(std::mem::replace(
        &mut plugin.peer.link,
        gm_protocol::link::Link::new(dead, budget),
    ));
    assert_eq!(plugin.peer.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_broken_link_ends_the_runner_at_once() {
    let mut plugin = hook("");
    plugin.peer.send(&ToRunner::Go);
    let wait: Wait<'_> = soon();
    assert!(plugin.peer.link.recv(wait).is_err());
    assert_eq!(plugin.peer.child.wait().unwrap().code(), Some(105));
}
