//! Repositories and ranges that a run refuses, and what it never does with one.

use gm_integration_tests::home::text as path_text;
use gm_integration_tests::records::number;
use gm_integration_tests::skip::lacks;
use gm_integration_tests::{Home, Package, Repository};

const OBSERVER: &str = "com.test.observer";

fn observed() -> Home {
    let home = Home::new();
    home.load(&Package::of("observer"));
    home
}

#[test]
fn a_range_that_git_does_not_know_is_refused() {
    let home = observed();
    let repository = Repository::of(2);
    for range in ["nobody..HEAD", "HEAD~9..HEAD", "--all"] {
        let option = format!("--range={range}");
        let run = home.run(&repository, &[&option]);
        run.expect_refused(2, "source/bad-range");
        run.expect_nothing_started();
    }
}

#[test]
fn sources_exclude_each_other() {
    let home = observed();
    let run = home.run(&Repository::of(1), &["--last", "1", "--events", "-"]);
    run.expect_refused(2, "usage/arguments");
}

#[test]
fn what_is_no_repository_is_refused() {
    let home = observed();
    let nowhere = home.beside("nowhere");
    std::fs::create_dir(&nowhere).unwrap();
    let broken = Repository::of(1);
    std::fs::write(broken.path().join(".git/HEAD"), "nonsense\n").unwrap();

    for repository in [path_text(&nowhere), broken.text(), "/dev/null"] {
        let run = home.broker(&["run", "--repo", repository]);
        run.expect_refused(2, "source/not-a-repository");
        run.expect_nothing_started();
    }
}

#[test]
fn an_empty_repository_has_no_events() {
    let home = observed();
    let run = home.run(&Repository::empty(), &[]);
    run.expect_exit(0);
    assert_eq!(number(run.last(), "events"), 0);
    run.expect_ending(OBSERVER, "finished");
}

#[test]
fn nothing_of_a_repositorys_configuration_is_run() {
    let home = observed();
    let repository = Repository::of(2);
    let trace = home.beside("was-run");
    let program = home.beside("program");
    let script = format!("#!/bin/sh\ntouch '{}'\ncat\n", path_text(&trace));
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    for key in [
        "core.fsmonitor",
        "diff.external",
        "filter.x.clean",
        "core.pager",
    ] {
        let _ = repository.git(&["config", key, path_text(&program)]);
    }
    std::fs::write(
        repository.path().join(".git/info/attributes"),
        "* filter=x diff=x\n",
    )
    .unwrap();

    let run = home.run(&repository, &[]);

    run.expect_exit(0);
    assert_eq!(run.replies(OBSERVER, "on_commit_analyzed").len(), 2);
    assert!(!trace.exists(), "the repository's program was run");
}

#[test]
fn a_repository_of_another_owner_is_refused_unless_it_is_named() {
    if lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let home = observed();
    let repository = Repository::of(1);
    for path in [
        repository.path().to_path_buf(),
        repository.path().join(".git"),
    ] {
        std::os::unix::fs::chown(path, Some(12_345), Some(12_345)).unwrap();
    }

    let refused = home.run(&repository, &[]);
    home.configure(&format!("[source]\ntrust = [\"{}\"]\n", repository.text()));
    let allowed = home.run(&repository, &[]);

    refused.expect_refused(2, "source/unsafe-owner");
    refused.expect_nothing_started();
    allowed.expect_exit(0);
    assert_eq!(allowed.replies(OBSERVER, "on_commit_analyzed").len(), 1);
}
