//! Libraries of JavaScript and Lua.

use gm_integration_tests::records::text;
use gm_integration_tests::{Ended, Home, Package};
use serde_json::{Value, json};

use super::{EVENT, ID, bytes, registries_lacking};

/// What a published script of this kind answers, asked by a script of ours that
/// has it beside itself, unchanged, as `lib`.
fn scripted(kind: &str, library: &str, main: &str) -> Ended {
    let home = Home::new();
    home.configure("[restart]\nmax = 0\n");
    let package = Package::script("third-party", kind, main)
        .asset(&format!("lib.{kind}"), &bytes(library))
        .permission("time_limit", "\"10s\"");
    home.load(&package);
    home.run_events(EVENT, &[])
}

fn answer(kind: &str, library: &str, main: &str) -> Value {
    let run = scripted(kind, library, main);
    run.expect_exit(0);
    run.replies(ID, "on_commit_analyzed")[0]["reply"].clone()
}

fn js(library: &str, import: &str, expression: &str) -> Value {
    let main = format!(
        "import {import} from 'lib.js'\nexport function on_commit_analyzed() {{ return {{is: {expression}}} }}"
    );
    answer("js", library, &main)["is"].clone()
}

fn lua(library: &str, expression: &str) -> Value {
    let main = format!(
        "local lib = require('lib.lua')\nfunction on_commit_analyzed() return {{is = {expression}}} end"
    );
    answer("lua", library, &main)["is"].clone()
}

#[test]
fn a_distance_is_measured_in_javascript() {
    if registries_lacking() {
        return;
    }
    assert_eq!(js("leven.js", "leven", "leven('kitten', 'sitting')"), 3);
}

#[test]
fn markdown_is_rendered_in_javascript() {
    if registries_lacking() {
        return;
    }
    let html = js(
        "marked.js",
        "{ marked }",
        "marked.parse('# Hi *you*\\n\\n- a\\n- b')",
    );
    assert_eq!(
        html,
        "<h1>Hi <em>you</em></h1>\n<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"
    );
}

#[test]
fn javascript_is_parsed_in_javascript() {
    if registries_lacking() {
        return;
    }
    let parse =
        "parse('let a = 1 + 2n; class B { #c }', {ecmaVersion: 2022}).body.map(node => node.type)";
    let types = js("acorn.js", "{ parse }", parse);
    assert_eq!(types, json!(["VariableDeclaration", "ClassDeclaration"]));
}

#[test]
fn yaml_is_read_in_javascript() {
    if registries_lacking() {
        return;
    }
    let read = js("js-yaml.js", "{ load }", "load('a: [1, 2]\\nb: {c: d}\\n')");
    assert_eq!(read, json!({"a": [1, 2], "b": {"c": "d"}}));
}

#[test]
fn colors_are_turned_in_javascript() {
    if registries_lacking() {
        return;
    }
    let turned = js(
        "tinycolor.js",
        "color",
        "color('hsl(0, 100%, 50%)').spin(120).toHexString()",
    );
    assert_eq!(turned, "#00ff00");
}

#[test]
fn base64_is_written_in_lua() {
    if registries_lacking() {
        return;
    }
    let both = lua(
        "basexx.lua",
        "{lib.to_base64('hello'), lib.from_hex('6869')}",
    );
    assert_eq!(both, json!(["aGVsbG8=", "hi"]));
}

#[test]
fn json_is_written_and_read_in_lua() {
    if registries_lacking() {
        return;
    }
    let both = lua(
        "dkjson.lua",
        "{lib.encode({1, 2, {a = 'ä'}}), lib.decode('{\"b\": [true, 2.5]}').b[2]}",
    );
    assert_eq!(both, json!(["[1,2,{\"a\":\"ä\"}]", 2.5]));
}

#[test]
fn a_table_is_shown_in_lua() {
    if registries_lacking() {
        return;
    }
    let shown = lua("inspect.lua", "lib({1, 'b', c = {d = true}})");
    assert_eq!(shown, "{ 1, \"b\",\n  c = {\n    d = true\n  }\n}");
}

#[test]
fn a_command_line_is_parsed_in_lua() {
    if registries_lacking() {
        return;
    }
    let parse = "(function()
        local parser = lib('x'):add_help(false)
        parser:argument('file'); parser:option('-l --level'); parser:flag('-v')
        return parser:parse({'-v', 'a.txt', '--level', '3'}) end)()";
    let parsed = lua("argparse.lua", parse);
    assert_eq!(parsed, json!({"file": "a.txt", "level": "3", "v": true}));
}

#[test]
fn a_script_that_needs_files_fails_by_the_name_of_what_is_not_there() {
    if registries_lacking() {
        return;
    }
    let main = "import { locatePathSync } from 'lib.js'
        export function on_commit_analyzed() { return {is: locatePathSync(['a'])} }";
    for (kind, library, main, missing) in [
        ("js", "locate-path.js", main, "node:process"),
        ("lua", "penlight-file.lua", "require('lib.lua')", "pl.utils"),
    ] {
        let run = scripted(kind, library, main);
        run.expect_exit(1);
        let ended = run.expect_ending(ID, "failed");
        assert!(text(ended, "detail").contains(missing), "{ended:#}");
    }
}
