//! Hooks, replies, errors, modules and calls of the host.

use gm_protocol::plan::HostOp;

use crate::script::{error, hook, refused, reply, script, start};

#[test]
fn a_hook_gets_its_document_and_gives_a_reply() {
    let mut plugin = hook("return {id = event.id, n = #event.files, list = gm.list()}");
    let called = plugin.call(br#"{"id":"a1","files":[{},{}]}"#);
    assert_eq!(called.status, 0);
    assert_eq!(called.document.unwrap(), br#"{"id":"a1","list":[],"n":2}"#);
    assert_eq!(plugin.call(br#"{"id":null,"files":[]}"#).status, 0);
    assert_eq!(plugin.stop(), (None, Some(0), None));
}

#[test]
fn nothing_returned_is_no_reply_and_an_error_is_the_hooks_error() {
    assert_eq!(hook("").call(b"{}").document, None);
    assert_eq!(hook("return gm.null").call(b"{}").document, None);
    assert_eq!(error("error('wrong', 0)"), "wrong");
    assert!(error("local x = nil + 1").starts_with("main.lua:2: "));
    assert!(error("return 5").contains("not a table"));
    assert!(error("return {1, 2}").contains("no object"));
    assert!(error("return {f = print}").contains("no JSON"));
    // The plugin goes on after an error.
    let mut plugin = hook("if event.bad then error('bad', 0) end return {ok = true}");
    assert_eq!(plugin.call(br#"{"bad":true}"#).status, 1);
    assert_eq!(plugin.call(b"{}").status, 0);
}

#[test]
fn the_text_of_an_error_is_whole_also_behind_a_nul() {
    assert_eq!(error("error('before\\0behind', 0)"), "before\0behind");
    assert_eq!(
        error("error('before\\0behind')"),
        "main.lua:2: before\0behind"
    );
    let own = "error(setmetatable({}, {__tostring = function() return 'a\\0b' end}))";
    assert_eq!(error(own), "a\0b");
    assert_eq!(refused("error('a\\0b')", &[]), "main.lua:1: a\0b");
    let files = [("a.lua", "error('a\\0b')")];
    assert_eq!(refused("require('a.lua')", &files), "a.lua:1: a\0b");
    // What raises itself while it is shown.
    let odd = "error(setmetatable({}, {__tostring = function() error('no') end}))";
    assert_eq!(error(odd), "an error that can't be shown");
    assert_eq!(error("error()"), "nil");
    assert_eq!(error("error('\\0' .. ('x'):rep(1e5), 0)").len(), 4096);
    assert!(error("gm.node_get({})").starts_with("node_get: invalid: "));
    // Lines that look like the way there are the script's own.
    assert_eq!(
        error("error('a\\nstack traceback:\\nb', 0)"),
        "a\nstack traceback:\nb"
    );
}

#[test]
fn calls_of_the_host_take_tables_and_give_tables() {
    let mut plugin = hook(
        "gm.log('warn', 'hello')
         gm.event_emit('a.b', {x = 1})
         local node = gm.node_put({id = 'n', kind = 'k', data = {list = gm.list{1}}})
         return {node = node}",
    );
    let called = plugin.call(b"{}");
    let asked: Vec<_> = called
        .asked
        .iter()
        .map(|(op, level, bytes)| (*op, *level, String::from_utf8_lossy(bytes).into_owned()))
        .collect();
    let expected = [
        (HostOp::Log, 3, "hello".to_owned()),
        (HostOp::EventEmit, 0, "a.b{\"x\":1}".to_owned()),
        (
            HostOp::NodePut,
            0,
            r#"{"data":{"list":[1]},"id":"n","kind":"k"}"#.to_owned(),
        ),
    ];
    assert_eq!(asked, expected);
    // The played host answers with the length of what it was asked.
    assert_eq!(called.document.unwrap(), br#"{"node":41}"#);
}

#[test]
fn a_wrong_argument_is_an_error_with_a_code() {
    for call in [
        "gm.log('loud', 'x')",
        "gm.log('info')",
        "gm.node_put(print)",
        "gm.node_get({})",
        "gm.file_read('$DATA/x', 'far')",
        "gm.node_put({a = 0/0})",
    ] {
        let body = format!(
            "local ok, e = pcall(function() {call} end) return {{code = e.code, call = e.call}}"
        );
        assert!(reply(&body).starts_with("{\"call\":\""), "{call}");
        assert!(reply(&body).ends_with("\"code\":\"invalid\"}"), "{call}");
    }
    // What no grant covers is the host's to deny, and it does so by its number.
    let body = "local ok, e = pcall(gm.asset_read, 'none') return {found = e}";
    assert_eq!(reply(body), "{}");
}

#[test]
fn what_is_printed_is_logged() {
    let called = hook("print('a', 1, nil, true)").call(b"{}");
    let (op, level, text) = &called.asked[0];
    assert_eq!((*op, *level), (HostOp::Log, 2));
    assert_eq!(text, b"a\t1\tnil\ttrue");
}

#[test]
fn modules_are_the_packages_files_by_their_very_path() {
    let files = [
        (
            "lib/add.lua",
            "local n = 0 return function(x) n = n + x return n end",
        ),
        ("words.txt", "not code"),
    ];
    let text = "local add = require('lib/add.lua')
        assert(add == require('lib/add.lua'))
        function on_commit_analyzed(e) return {n = add(2), words = gm.asset_read('words.txt'), part = gm.asset_read('words.txt', 4, 2)} end";
    let mut plugin = start(text, &files).loaded();
    plugin.call(b"{}");
    let called = plugin.call(b"{}");
    let expected = br#"{"n":4,"part":"co","words":"not code"}"#;
    assert_eq!(called.document.unwrap(), expected);
    for name in [
        "words.txt",
        "lib/add",
        "./lib/add.lua",
        "../lib/add.lua",
        "/etc/passwd",
        "nope.lua",
    ] {
        let why = refused(&format!("require('{name}')"), &files);
        assert!(why.contains("no module"), "{name}: {why}");
    }
    let ring = [
        ("a.lua", "return require('b.lua')"),
        ("b.lua", "return require('a.lua')"),
    ];
    assert!(refused("require('a.lua')", &ring).contains("requires itself"));
    let wrong = [("a.lua", "local = 1")];
    assert!(refused("require('a.lua')", &wrong).contains("a.lua:1: "));
}

#[test]
fn a_script_that_fails_at_its_top_level_is_not_loaded_and_says_where() {
    assert!(refused("local = 1", &[]).starts_with("main.lua:1: "));
    assert!(refused("\n\nerror('no')", &[]).starts_with("main.lua:3: no"));
    assert!(refused("gm.node_get('a')", &[]).contains("in a hook only"));
    // A log line is kept for the first hook.
    let mut plugin = script("gm.log('info', 'early') function on_commit_analyzed() end");
    assert_eq!(plugin.call(b"{}").asked[0].2, b"early");
}

#[test]
fn a_hook_that_the_manifest_names_and_the_script_lacks_is_told_at_load() {
    for text in [
        "",
        "on_commit_analyzed = 5",
        "local function on_commit_analyzed() end",
    ] {
        let why = "on_commit_analyzed: no function of this name (artifact/missing-export)";
        assert_eq!(refused(text, &[]), why, "{text}");
    }
}

#[test]
fn text_is_never_bytecode() {
    // Version bytes of Luau's own bytecode, and PUC Lua's signature.
    for code in ["\u{3}\u{1}\u{0}", "\u{6}\u{3}\u{0}\u{0}", "\u{1b}Lua"] {
        let why = refused(code, &[]);
        let right = why.contains("binary chunk") || why.starts_with("main.lua:1: ");
        assert!(right, "{code:?}: {why}");
    }
}

#[test]
fn storage_takes_and_gives_strings_of_any_bytes() {
    let mut plugin = hook(
        "gm.storage_set('key', '\\xff\\0')
         local value = gm.storage_get('kept')
         return {value = value, was = gm.storage_delete('key')}",
    );
    let called = plugin.call(b"{}");
    let asked: Vec<_> = called
        .asked
        .iter()
        .map(|(op, _, bytes)| (*op, &bytes[..]))
        .collect();
    let expected = [
        (HostOp::StorageSet, &b"key\xff\0"[..]),
        (HostOp::StorageGet, b"kept"),
        (HostOp::StorageDelete, b"key"),
    ];
    assert_eq!(asked, expected);
    // The played host answers with what it was asked, and with its length.
    assert_eq!(called.document.unwrap(), br#"{"value":"kept","was":3}"#);
    let wrong = "local ok, e = pcall(gm.storage_set, 'key', {}) return {code = e.code}";
    assert_eq!(reply(wrong), r#"{"code":"invalid"}"#);
}
