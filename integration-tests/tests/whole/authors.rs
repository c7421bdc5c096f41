//! The sessions of docs/plugin-authors.md, typed as they stand there.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use gm_integration_tests::home::text;
use gm_integration_tests::process::{builder, is_there, run};
use gm_integration_tests::{Home, Repository, binary, project, skip};

/// A command of the guide and what it prints; nothing is shown of what nobody reads.
struct Typed {
    command: String,
    shown: String,
}

/// The commands below a heading, in order.
fn session(heading: &str) -> Vec<Typed> {
    let guide = std::fs::read_to_string(project().join("docs/plugin-authors.md")).unwrap();
    let (_, section) = guide.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut typed: Vec<Typed> = Vec::new();
    for block in section.split("```console\n").skip(1) {
        let (lines, _) = block.split_once("```\n").unwrap();
        for line in lines.lines() {
            match line.strip_prefix("$ ") {
                Some(command) => typed.push(Typed {
                    command: command.to_owned(),
                    shown: String::new(),
                }),
                None => typed
                    .last_mut()
                    .unwrap()
                    .shown
                    .push_str(&format!("{line}\n")),
            }
        }
    }
    typed
}

/// What differs from machine to machine and from day to day, taken out.
fn plain(text: &str) -> String {
    let word = |word: &str| {
        let digits = word.trim_start_matches("sha256:");
        let long = digits.len() >= 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match long || word.contains('…') {
            true => "#".to_owned(),
            false => word.to_owned(),
        }
    };
    let line = |line: &str| {
        let mut words: Vec<String> = line.split(' ').map(word).collect();
        for at in 1..words.len() {
            if words[at].starts_with("bytes") {
                words[at - 1] = "#".to_owned();
            }
        }
        words.join(" ")
    };
    text.trim_end()
        .lines()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The product as the guide calls it, on this home.
fn write_words(home: &Home, directory: &Path) {
    for name in ["gm", "gm-broker"] {
        let file = directory.join(name);
        let line = format!(
            "#!/bin/sh\nexec {} --home {} \"$@\"\n",
            text(&binary(name)),
            text(&home.path())
        );
        std::fs::write(&file, line).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

fn repository() -> Repository {
    let repository = Repository::empty();
    for message in ["fix: a leak", "docs: how to fix it", "fix: a race"] {
        let _ = repository.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
    }
    repository
}

/// Types a section's commands one after the other, and compares what comes.
fn replay(heading: &str, home: &Home) {
    let words = home.beside("words");
    std::fs::create_dir(&words).unwrap();
    write_words(home, &words);
    let desk = home.beside("desk");
    std::fs::create_dir(&desk).unwrap();
    let repository = repository();
    std::os::unix::fs::symlink(repository.path(), desk.join("repo")).unwrap();
    if heading != "Rust" {
        std::os::unix::fs::symlink(home.beside("key"), desk.join("key")).unwrap();
        std::fs::write(desk.join("fingerprint"), home.fingerprint()).unwrap();
    }
    let typed = session(heading);
    assert!(typed.len() >= 4, "{heading}");
    for Typed { command, shown } in typed {
        let mut shell = builder("sh", &desk);
        let path = format!("{}:{}", text(&words), std::env::var("PATH").unwrap());
        shell.env("PATH", path);
        // A directory of builds for all of them, as nobody looks into it.
        shell.env("CARGO_TARGET_DIR", project().join("target/examples/guide"));
        let done = run(shell.args(["-c", &format!("{{ {command}\n}} 2>&1")]), b"");
        let is_refused = shown.starts_with("refused");
        assert_eq!(done.exit != 0, is_refused, "{command}: {done:#?}");
        if !shown.is_empty() {
            assert_eq!(plain(&done.stdout), plain(&shown), "{command}");
        }
    }
}

#[test]
fn the_guide_s_session_in_rust_is_as_it_stands() {
    replay("Rust", &Home::without_key());
}

#[test]
fn the_guide_s_session_in_c_is_as_it_stands() {
    if !skip::lacks("clang", is_there("clang") && is_there("wasm-ld")) {
        replay("C", &Home::new());
    }
}

#[test]
fn the_guide_s_session_in_assemblyscript_is_as_it_stands() {
    if !skip::lacks("npm", is_there("npm")) {
        replay("AssemblyScript", &Home::new());
    }
}

#[test]
fn the_guide_s_sessions_of_scripts_are_as_they_stand() {
    replay("Lua", &Home::new());
    replay("JavaScript", &Home::new());
}

#[test]
fn the_guide_s_session_of_native_code_is_as_it_stands() {
    let home = Home::new();
    home.name_native(&["com.example.fixes-native", "com.example.fixes-program"]);
    replay("Native code", &home);
}
