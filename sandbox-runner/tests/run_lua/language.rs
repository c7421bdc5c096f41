//! What the language has, and what it has not.

use crate::script::{reply, script};

/// All globals, and what the libraries hold: nothing is there by accident.
const GLOBALS: &str = "_G _VERSION assert bit32(12) buffer collectgarbage coroutine error gcinfo getfenv getmetatable gm ipairs math newproxy next pairs pcall print rawequal rawget rawlen rawset require select setfenv setmetatable string table tonumber tostring type typeof unpack utf8 vector xpcall";

#[test]
fn the_globals_are_those_that_are_listed() {
    let body = "local names = gm.list()
        for name in pairs(getmetatable(getfenv(0)) and getmetatable(getfenv(0)).__index or getfenv(0)) do table.insert(names, name) end
        table.sort(names) return {names = table.concat(names, ' ')}";
    let seen = reply(body);
    let expected: Vec<&str> = GLOBALS
        .split(' ')
        .map(|n| n.split('(').next().unwrap())
        .collect();
    assert_eq!(seen, format!("{{\"names\":\"{}\"}}", expected.join(" ")));
}

#[test]
fn nothing_loads_text_or_reaches_the_host() {
    for name in [
        "load",
        "loadstring",
        "loadfile",
        "dofile",
        "io",
        "os",
        "debug",
        "package",
        "module",
        "string.dump",
    ] {
        let (table, key) = name.split_once('.').unwrap_or(("_G", name));
        let body = format!("return {{there = {table}[\"{key}\"] ~= nil}}");
        assert_eq!(reply(&body), "{\"there\":false}", "{name}");
    }
}

#[test]
fn libraries_and_the_host_object_cannot_be_changed() {
    for change in [
        "string.upper = 1",
        "getmetatable('').__index = {}",
        "getmetatable('').x = 1",
        "gm.log = print",
        "gm.x = 1",
        "table.insert(gm, 1)",
        "rawset(gm, 'log', 1)",
        "rawset(string, 'upper', 1)",
        "setmetatable(gm, {})",
        "setmetatable(_G, {__index = gm})",
        "collectgarbage('stop')",
        "setmetatable(gm.list(), nil)",
        "getmetatable(gm.list()).x = 1",
        "getmetatable(select(2, pcall(gm.node_get, {}))).__tostring = print",
    ] {
        let body = format!("local ok = pcall(function() {change} end) return {{changed = ok}}");
        assert_eq!(reply(&body), "{\"changed\":false}", "{change}");
    }
}

#[test]
fn a_poisoned_global_of_the_plugin_is_its_own_affair() {
    let mut plugin = script(
        "string = nil tostring = nil pcall = nil error = nil setmetatable = nil
         function on_commit_analyzed() gm.log('info', 'still') return {ok = true} end",
    );
    let called = plugin.call(b"{}");
    assert_eq!(called.document.unwrap(), b"{\"ok\":true}");
    assert_eq!(called.asked.len(), 1);
}
