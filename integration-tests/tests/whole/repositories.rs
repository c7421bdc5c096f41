//! Odd and hostile repositories: each is walked as git walks it, or refused by
//! code; nothing of it is run, and none ends the broker.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::records::{events, number, text};
use gm_integration_tests::skip::lacks;
use gm_integration_tests::{Ended, Home, Package, Repository, process};
use serde_json::{Value, json};

const OBSERVER: &str = "com.test.observer";

fn observed() -> Home {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home
}

fn run(home: &Home, repository: &Path) -> Ended {
    home.broker(&["run", "--repo", path_text(repository)])
}

fn commits(run: &Ended) -> Vec<&Value> {
    let replies = run.replies(OBSERVER, "on_commit_analyzed");
    replies.into_iter().map(|reply| &reply["reply"]).collect()
}

fn ids(run: &Ended) -> BTreeSet<String> {
    let commits = commits(run).into_iter();
    commits.map(|it| text(it, "id").to_owned()).collect()
}

/// Runs git in a directory beside the repository.
fn git_in(repository: &Repository, directory: &Path, words: &[&str]) -> String {
    repository.git(&[&["-C", path_text(directory)], words].concat())
}

/// The run saw exactly the commits of `git rev-list HEAD`, each once.
#[track_caller]
fn expect_as_git(run: &Ended, repository: &Repository, directory: &Path) {
    run.expect_exit(0);
    let listed = git_in(repository, directory, &["rev-list", "HEAD"]);
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    assert_eq!(ids(run), listed);
    assert_eq!(commits(run).len(), listed.len());
    assert_eq!(number(run.last(), "events"), listed.len() as u64);
}

/// Takes an object away; it must lie alone, as fresh ones do.
fn remove_object(repository: &Repository, name: &str) -> String {
    let id = repository.git(&["rev-parse", name]);
    let file = repository.path().join(".git/objects");
    std::fs::remove_file(file.join(&id[..2]).join(&id[2..])).unwrap();
    id
}

#[test]
fn repositories_of_every_shape_are_walked_as_git_walks_them() {
    let home = observed();
    let repository = Repository::of(5);
    let [bare, shallow, linked, other] =
        ["bare", "shallow", "linked", "sha256"].map(|name| home.beside(name));
    let from = format!("file://{}", repository.text());
    let _ = repository.git(&["clone", "--quiet", "--bare", &from, path_text(&bare)]);
    let _ = repository.git(&["clone", "--quiet", "--depth=2", &from, path_text(&shallow)]);
    let _ = repository.git(&["worktree", "add", "--quiet", path_text(&linked), "HEAD~1"]);
    let format = ["init", "--quiet", "--object-format=sha256"];
    let _ = repository.git(&[&format[..], &[path_text(&other)]].concat());
    for number in 0..3 {
        std::fs::write(other.join("file"), format!("{number}\n")).unwrap();
        let _ = git_in(&repository, &other, &["add", "file"]);
        let _ = git_in(&repository, &other, &["commit", "--quiet", "-m", "x"]);
    }

    for (directory, count, format, is_bare, is_shallow) in [
        (&bare, 5, "sha1", true, false),
        (&shallow, 2, "sha1", false, true),
        (&linked, 4, "sha1", false, false),
        (&other, 3, "sha256", false, false),
    ] {
        let run = run(&home, directory);
        expect_as_git(&run, &repository, directory);
        let begun = events(&run.records, "run_started")[0];
        assert_eq!(begun["total"], count);
        assert_eq!(begun["object_format"], format);
        assert_eq!(begun["bare"], is_bare);
        assert_eq!(begun["shallow"], is_shallow);
        let boundary = commits(&run)
            .iter()
            .filter(|it| it["boundary"] == true)
            .count();
        assert_eq!(boundary, usize::from(is_shallow));
    }
}

#[test]
fn an_octopus_is_one_commit_with_all_its_parents() {
    let home = observed();
    let mut repository = Repository::of(1);
    for arm in ["a", "b", "c"] {
        let _ = repository.git(&["checkout", "--quiet", "-b", arm, "main"]);
        repository.commit(&[(arm, "arm\n")]);
    }
    let _ = repository.git(&["checkout", "--quiet", "main"]);
    let merge = ["merge", "--quiet", "--no-ff", "-m", "octopus"];
    let _ = repository.git(&[&merge[..], &["a", "b", "c"]].concat());

    let run = run(&home, repository.path());

    expect_as_git(&run, &repository, repository.path());
    let last = *commits(&run).last().unwrap();
    let parents = repository.git(&["log", "-1", "--format=%P"]);
    assert_eq!(
        last["parents"],
        json!(parents.split(' ').collect::<Vec<_>>())
    );
    assert_eq!(last["merge"], true);
    // Its first parent is an arm if main could be moved forward to it.
    let changed = repository.git(&["diff", "--name-only", "HEAD^1", "HEAD"]);
    assert_eq!(number(last, "files_total"), changed.lines().count() as u64);
}

#[test]
fn what_is_missing_is_passed_over_and_named() {
    let home = observed();
    let mut repository = Repository::of(1);
    repository.commit(&[("lost.txt", "lost\n"), ("kept.txt", "kept\n")]);
    repository.commit(&[("deep/file.txt", "deep\n")]);
    let blob = remove_object(&repository, "HEAD~1:lost.txt");

    let without_blob = run(&home, repository.path());
    let _ = remove_object(&repository, "HEAD:deep");
    let without_tree = run(&home, repository.path());

    for run in [&without_blob, &without_tree] {
        run.expect_exit(0);
        run.expect_ending(OBSERVER, "finished");
        for skipped in events(&run.records, "skipped") {
            assert_eq!(skipped["code"], "source/missing-object");
        }
    }
    let skipped = events(&without_blob.records, "skipped");
    assert_eq!(skipped.len(), 1);
    assert_eq!(skipped[0]["subject"], blob);
    assert_eq!(commits(&without_blob).len(), 3);
    let files = commits(&without_blob)[1]["files"].as_array().unwrap();
    let lost = files
        .iter()
        .find(|file| file["path"] == "lost.txt")
        .unwrap();
    assert_eq!(
        (&lost["missing"], &lost["added"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(commits(&without_tree).len(), 2);
    assert_eq!(number(without_tree.last(), "skipped"), 2);
}

#[test]
fn replacements_and_grafts_are_not_history() {
    let home = observed();
    let repository = Repository::of(3);
    let before = repository.ids(&["HEAD"]);
    let tree = format!("{}^{{tree}}", before[0]);
    let other = repository.git(&["commit-tree", "-m", "forged", &tree]);
    let _ = repository.git(&["replace", &before[1], &other]);
    let grafts = repository.path().join(".git/info/grafts");
    std::fs::write(grafts, format!("{}\n", before[2])).unwrap();
    assert_ne!(
        repository.ids(&["HEAD"]),
        before,
        "git itself believes them"
    );

    let run = run(&home, repository.path());

    run.expect_exit(0);
    let seen: Vec<_> = commits(&run)
        .iter()
        .map(|it| text(it, "id").to_owned())
        .collect();
    assert_eq!(seen, before);
    assert!(!run.stdout.contains("forged"));
    assert_eq!(commits(&run)[2]["parents"], json!([before[1]]));
}

#[test]
fn a_configuration_that_names_programs_and_places_changes_nothing() {
    let home = observed();
    let repository = Repository::of(2);
    let trace = home.beside("was-run");
    let program = format!("touch {}", path_text(&trace));
    let elsewhere = home.beside("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let more = home.beside("more.config");
    std::fs::write(
        &more,
        "[core]\n\tbare = true\n[extensions]\n\tobjectFormat = sha512\n",
    )
    .unwrap();
    for (key, value) in [
        ("core.fsmonitor", &*program),
        ("core.hooksPath", path_text(&elsewhere)),
        ("core.sshCommand", &program),
        ("core.attributesFile", path_text(&more)),
        ("alias.rev-list", &format!("!{program}")),
        ("filter.x.process", &program),
        ("include.path", path_text(&more)),
        ("includeIf.gitdir:/.path", "/dev/zero"),
        ("core.worktree", path_text(&elsewhere)),
        ("core.alternateRefsCommand", &program),
        ("gc.recentObjectsHook", &program),
    ] {
        let file = repository.path().join(".git/config");
        let words = ["config", "--file", path_text(&file), key, value];
        let _ = git_in(&repository, &elsewhere, &words);
    }
    std::fs::write(
        repository.path().join(".git/objects/info/alternates"),
        "/nowhere\n../..\n",
    )
    .unwrap();

    let run = run(&home, repository.path());

    run.expect_exit(0);
    assert_eq!(commits(&run).len(), 2);
    assert_eq!(events(&run.records, "run_started")[0]["bare"], false);
    assert!(!trace.exists(), "the repository's program was run");
}

#[test]
fn a_git_directory_elsewhere_counts_with_its_own_owner() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let home = observed();
    for by_link in [true, false] {
        let repository = Repository::of(2);
        let dot_git = repository.path().join(".git");
        let moved = home.beside(if by_link { "linked.git" } else { "named.git" });
        std::fs::rename(&dot_git, &moved).unwrap();
        if by_link {
            symlink(&moved, &dot_git).unwrap();
        } else {
            std::fs::write(&dot_git, format!("gitdir: {}\n", path_text(&moved))).unwrap();
        }

        let own = run(&home, repository.path());
        expect_as_git(&own, &repository, &moved);
        chown(&moved, Some(12_345), Some(12_345)).unwrap();
        let foreign = run(&home, repository.path());

        foreign.expect_refused(2, "source/unsafe-owner");
        foreign.expect_nothing_started();
    }
}

#[test]
fn a_git_file_that_leads_nowhere_or_round_is_refused() {
    let home = observed();
    let repository = Repository::of(1);
    let dot_git = repository.path().join(".git");
    std::fs::rename(&dot_git, home.beside("moved.git")).unwrap();
    for content in [
        "gitdir: .git\n",
        "gitdir: /nowhere\n",
        "gitdir: /dev/zero\n",
        "gitdir: \0\n",
        "gitdir:\n",
        "",
        "\u{fffd}",
    ] {
        std::fs::write(&dot_git, content).unwrap();
        let run = run(&home, repository.path());
        run.expect_refused(2, "source/not-a-repository");
        run.expect_nothing_started();
    }
    std::fs::remove_file(&dot_git).unwrap();
    symlink(".git", &dot_git).unwrap();
    run(&home, repository.path()).expect_refused(2, "source/not-a-repository");
}

#[test]
fn a_named_pipe_in_a_git_directory_holds_nobody_up() {
    let home = observed();
    for name in [
        "HEAD",
        "packed-refs",
        "shallow",
        "commondir",
        "objects/info/alternates",
        "refs/heads/odd",
    ] {
        let repository = Repository::of(1);
        let pipe = repository.path().join(".git").join(name);
        let _ = std::fs::remove_file(&pipe);
        let kind = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        let run = run(&home, repository.path());
        run.expect_refused(2, "source/not-a-repository");
        run.expect_nothing_started();
    }
}

#[test]
fn names_that_are_no_text_or_hold_marks_of_control_are_told_exactly() {
    let home = observed();
    let mut repository = Repository::empty();
    let names: [&[u8]; 4] = [
        b"a\xff\xfe",
        b"b\x1b[2J",
        b"c\nd\te",
        "f\u{202e}g".as_bytes(),
    ];
    for name in names {
        std::fs::write(repository.path().join(OsStr::from_bytes(name)), "x\n").unwrap();
    }
    repository.commit(&[]);

    let run = run(&home, repository.path());
    let human = process::run(
        home.plain("gm-broker")
            .args(["run", "--repo", repository.text()]),
        b"",
    );

    run.expect_exit(0);
    let files = commits(&run)[0]["files"].as_array().unwrap().clone();
    assert_eq!(files.len(), 4);
    assert_eq!(files[0]["path"], "a\u{fffd}\u{fffd}");
    assert_eq!(files[0]["path_base64"], "Yf/+");
    for (file, name) in files[1..].iter().zip(&names[1..]) {
        assert_eq!(text(file, "path").as_bytes(), *name);
        assert!(file["path_base64"].is_null(), "{file:#}");
    }
    // One object a line, whatever a name holds, and nothing that paints.
    assert!(
        run.stdout
            .lines()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
    for said in [&run.stdout, &human.stdout, &human.stderr] {
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said:?}");
    }
}

#[test]
fn a_commit_of_ten_thousand_files_is_cut_and_counted() {
    let home = observed();
    let mut repository = Repository::empty();
    for number in 0..10_000 {
        let directory = repository.path().join(format!("{}", number / 1000));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("file-{number}.txt")), "x\n").unwrap();
    }
    repository.commit(&[]);

    let run = run(&home, repository.path());

    run.expect_exit(0);
    run.expect_ending(OBSERVER, "finished");
    let commit = commits(&run)[0];
    assert_eq!(commit["files_total"], 10_000);
    let listed = commit["files"].as_array().unwrap().len();
    assert!((1000..10_000).contains(&listed), "{listed}");
}
