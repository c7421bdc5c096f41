//! The C headers of the SDK: what they read and write, and that every compiler's
//! strictest mode takes them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use gm_integration_tests::process::{command, is_there, run};
use gm_integration_tests::{project, skip};
use serde_json::{Value, json};

fn types() -> PathBuf {
    project().join("sandbox-runner/plugin-sdk/types")
}

/// Compiles `source` with all warnings as errors.
fn compile(compiler: &str, source: &Path, output: &Path, options: &[&str]) {
    let mut compile = command(compiler, &project());
    compile.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1"]);
    compile.arg("-I").arg(types()).args(options);
    run(compile.arg("-o").arg(output).arg(source), b"").expect_exit(0);
}

/// What the program that reads and writes with gm_json.h makes of a text; it is
/// built with the compiler's own checks of memory and arithmetic.
fn echoed(text: &str) -> String {
    static BUILT: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = BUILT.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("json-echo");
        let source = project().join("integration-tests/c/json-echo.c");
        let checks = [
            "-g",
            "-Wno-unused-function",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
        ];
        compile("cc", &source, &program, &checks);
        (dir, program)
    });
    let echo = run(&mut command(program, &project()), text.as_bytes());
    echo.expect_exit(0);
    echo.stdout.trim_end().to_owned()
}

#[test]
fn strings_numbers_and_members_come_through_as_they_are() {
    let list = json!([
        "", "plain", "\"\\/\u{8}\u{c}\n\r\t\u{1f}\u{7f}", "ä€😀", "\u{ffff}", 0, -1, 9_007_199_254_740_991_i64,
        true, null, [1, [2, {"a": "]}"}]], {}, {"other": {"wanted": 1}},
    ]);
    let got: Value = serde_json::from_str(&echoed(&list.to_string())).unwrap();
    assert_eq!(got, list);
    let wanted = json!([{"a": [1, "}"], "wanted": "x", "b": {}}]);
    assert_eq!(echoed(&wanted.to_string()), "[\"x\"]");
    assert_eq!(
        echoed(" [ 1 , \"a\" ,\n{ \"wanted\" : -5 } ] "),
        "[1,\"a\",-5]"
    );
}

#[test]
fn escapes_of_any_form_are_understood() {
    let text = r#"["\u00e4\u20AC\ud83d\ude00", "\ud83dx", "\/\b\f\n\r\t\"\\"]"#;
    let got: Value = serde_json::from_str(&echoed(text)).unwrap();
    assert_eq!(got, json!(["ä€😀", "\u{fffd}x", "/\u{8}\u{c}\n\r\t\"\\"]));
}

#[test]
fn text_that_is_no_json_is_not_read_beyond_its_end() {
    let whole = r#"[{"wanted":"a\u00e4\ud83d\ude00"},[1,{"x":[2]}],-12,"\\"]"#;
    for end in 0..=whole.len() {
        let _ = echoed(&whole[..end]);
    }
    for text in [
        "",
        "]",
        "[}",
        "[\"",
        "[\"\\",
        "[\"\\u",
        "[\"\\u12",
        "{",
        "[{\"wanted\"",
        "[-",
        "[,]",
        "[[[[",
    ] {
        let _ = echoed(text);
    }
}

#[test]
fn headers_compile_without_a_warning_for_both_targets() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("plugin.c");
    let text = "#ifdef __wasm__\n#include \"gm.h\"\n#else\n#include \"gm_native.h\"\n#endif\n#include \"gm_json.h\"\n\
        GM_HOOK(on_commit_analyzed)\n{\n    gm_log(GM_INFO, input, length);\n    return 0;\n}\n\
        GM_PLUGIN(\"com.test.plugin\", {\"on_commit_analyzed\", on_commit_analyzed})\n";
    std::fs::write(&source, text).unwrap();
    let shared = ["-fPIC", "-shared", "-fvisibility=hidden"];
    compile("cc", &source, &dir.path().join("plugin.so"), &shared);
    if skip::lacks("clang", is_there("clang") && is_there("wasm-ld")) {
        return;
    }
    let wasm = [
        "--target=wasm32",
        "-nostdlib",
        "-Wl,--no-entry",
        "-Wl,--stack-first",
    ];
    compile("clang", &source, &dir.path().join("plugin.wasm"), &wasm);
    compile("clang", &source, &dir.path().join("plugin.so"), &shared);
}
