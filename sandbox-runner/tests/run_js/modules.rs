//! Modules: those of the package by their very path, and nothing else.

use crate::filters::of_profile;
use crate::script::{behind, refused, reply_of, start, task};

const FILES: [(&str, &str); 4] = [
    (
        "lib/add.js",
        "let n = 0; export default x => n += x; export const where = import.meta",
    ),
    (
        "lib/twice.js",
        "import add from 'lib/add.js'; export const twice = x => add(x) + add(x)",
    ),
    ("words.txt", "export default 1"),
    ("broken.js", "let a = ;"),
];

#[test]
fn modules_are_the_packages_files_by_their_very_path() {
    let text = "import add from 'lib/add.js'
        import * as more from 'lib/twice.js'
        export function on_commit_analyzed() {
          return {n: add(2), twice: more.twice(1), frozen: Object.isSealed(more)}
        }";
    let mut plugin = start(text, &FILES).loaded();
    assert_eq!(reply_of(&mut plugin), r#"{"n":2,"twice":7,"frozen":true}"#);
    assert_eq!(reply_of(&mut plugin), r#"{"n":6,"twice":15,"frozen":true}"#);
}

#[test]
fn modules_may_import_each_other_in_a_ring() {
    let files = [
        (
            "a.js",
            "import {b} from 'b.js'; export function a(n) { return n ? b(n - 1) : 'a' }",
        ),
        (
            "b.js",
            "import {a} from 'a.js'; export function b(n) { return n ? a(n - 1) : 'b' }",
        ),
    ];
    let text = "import {a} from 'a.js'; import {b} from 'b.js'
        export const on_commit_analyzed = () => ({end: [a(3), b(3), a(4)]})";
    let mut plugin = start(text, &files).loaded();
    assert_eq!(reply_of(&mut plugin), r#"{"end":["b","a","a"]}"#);
}

#[test]
fn nothing_else_is_a_module_by_any_name() {
    for name in [
        "words.txt",
        "lib/add",
        "./lib/add.js",
        "../lib/add.js",
        "lib/../lib/add.js",
        "lib//add.js",
        "LIB/add.js",
        "/lib/add.js",
        "/etc/passwd",
        "/proc/self/environ",
        "file:///etc/passwd",
        "data:text/javascript,export default 1",
        "https://example.org/a.js",
        "none.js",
        "<warm-up>",
        "gm",
        "std",
        "os",
        "",
    ] {
        let why = refused(&format!("import x from '{name}'"), &FILES);
        assert!(why.contains("resolving module"), "{name}: {why}");
        let text = format!(
            "export async function on_commit_analyzed() {{
               try {{ await import('{name}'); return {{ran: true}} }} catch (e) {{ return {{error: e.name}} }}
             }}"
        );
        let mut plugin = start(&text, &FILES).loaded();
        assert_eq!(
            reply_of(&mut plugin),
            r#"{"error":"ReferenceError"}"#,
            "{name}"
        );
    }
    let why = refused("import x from './lib/add.js'", &FILES);
    assert!(
        why.contains("never by a relative one") && why.contains("main.js"),
        "{why}"
    );
    let why = refused("import x from 'none.js'", &FILES);
    assert!(why.contains("no .js file of the manifest's files"), "{why}");
}

#[test]
fn a_module_of_the_package_may_be_imported_later() {
    let text = "export async function on_commit_analyzed() {
        const first = await import('lib/twice.js'); const again = await import('lib/twice.js')
        let broken; try { await import('broken.js') } catch (e) { broken = e.message }
        return {same: first === again, n: first.twice(2), broken}
      }";
    let mut plugin = start(text, &FILES).loaded();
    let reply = reply_of(&mut plugin);
    assert!(
        reply.starts_with(r#"{"same":true,"n":6,"broken":"#),
        "{reply}"
    );
    assert!(reply.contains("broken.js:1:9"), "{reply}");
}

#[test]
fn an_import_with_attributes_is_refused() {
    let files = [("a.js", "export default 1"), ("a.json", "{}")];
    for text in [
        "import a from 'a.js' with {type: 'json'}",
        "import a from 'a.json' with {type: 'json'}",
        "import a from 'a.js' with {type: 'text'}",
    ] {
        let why = refused(text, &files);
        assert!(why.contains("without attributes"), "{text}: {why}");
    }
}

#[test]
fn an_error_in_a_module_names_its_file_and_line() {
    let why = refused("import 'broken.js'", &FILES);
    assert!(
        why.starts_with("SyntaxError: ") && why.ends_with(" at broken.js:1:9"),
        "{why}"
    );
    let files = [
        ("a.js", "\n\nnull.x"),
        ("b.js", "import {nothing} from 'a.js'"),
    ];
    let why = refused("import 'a.js'", &files);
    assert!(
        why.starts_with("TypeError: ") && why.contains("a.js:3:"),
        "{why}"
    );
    let why = refused("import 'b.js'", &files);
    assert!(
        why.starts_with("SyntaxError: ") && why.contains("nothing"),
        "{why}"
    );
    let task = task();
    let not_text: [(&str, &[u8]); 1] = [("a.js", b"'\xff'")];
    let plugin = behind(task, b"import 'a.js'", &not_text, of_profile("js", None));
    let why = crate::refused::refused(plugin);
    assert!(why.contains("a.js") && why.contains("UTF-8"), "{why}");
}
