//! Repositories for the tests of this module, made by git itself.

use super::{Facts, Range, Repository, SourceItem};
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A repository that is gone with the value.
pub(super) struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    /// An empty repository with a work tree.
    pub(super) fn new() -> Self {
        Self::with(&["init", "-q", "-b", "main"])
    }

    /// A repository as this git command makes it.
    pub(super) fn with(init: &[&str]) -> Self {
        let fixture = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fixture.git(init);
        fixture
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// What git prints, without the last newline.
    pub(super) fn git(&self, args: &[&str]) -> String {
        self.git_at(0, args, b"")
    }

    /// The same at a time, with something on its standard input.
    #[expect(
        clippy::disallowed_methods,
        reason = "git makes the repositories that these tests read"
    )]
    pub(super) fn git_at(&self, time: i64, args: &[&str], input: &[u8]) -> String {
        let mut git = std::process::Command::new("git");
        git.args(args)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        for (name, value) in [
            ("NAME", "A"),
            ("EMAIL", "a@b"),
            ("DATE", &format!("@{time} +0100")),
        ] {
            git.env(format!("GIT_AUTHOR_{name}"), value)
                .env(format!("GIT_COMMITTER_{name}"), value);
        }
        git.env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        let mut child = git.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    pub(super) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Commits all that is in the work tree.
    pub(super) fn commit(&self, time: i64) -> String {
        self.git(&["add", "-A"]);
        self.git_at(
            time,
            &["commit", "-q", "--allow-empty", "-m", "message"],
            b"",
        );
        self.git(&["rev-parse", "HEAD"])
    }

    /// Writes an object of these bytes, well formed or not.
    pub(super) fn object(&self, kind: &str, bytes: &[u8]) -> String {
        self.git_at(
            0,
            &["hash-object", "-w", "--literally", "-t", kind, "--stdin"],
            bytes,
        )
    }

    /// A commit of a tree, with these parents.
    pub(super) fn commit_tree(&self, time: i64, tree: &str, parents: &[&str]) -> String {
        let mut args = vec!["commit-tree", tree, "-m", "made"];
        parents
            .iter()
            .for_each(|parent| args.extend(["-p", parent]));
        self.git_at(time, &args, b"")
    }

    pub(super) fn remove_object(&self, id: &str) {
        std::fs::remove_file(self.object_file(id)).unwrap();
    }

    pub(super) fn object_file(&self, id: &str) -> PathBuf {
        self.path()
            .join(".git/objects")
            .join(&id[..2])
            .join(&id[2..])
    }

    pub(super) fn open(&self) -> Repository {
        Repository::discover(Some(self.path()), &[]).unwrap()
    }

    pub(super) fn facts(&self) -> Facts {
        self.open().facts().clone()
    }

    pub(super) fn items(&self, range: &Range) -> Vec<SourceItem> {
        self.open().walk(range, 1 << 20).unwrap().collect()
    }

    /// The ids of the events.
    pub(super) fn ids(&self, range: &Range) -> Vec<String> {
        self.documents(range)
            .iter()
            .map(|document| document["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The documents of the events.
    pub(super) fn documents(&self, range: &Range) -> Vec<Value> {
        let events = self.items(range).into_iter().filter_map(|item| match item {
            SourceItem::Commit(event) => Some(serde_json::from_str(&event.json).unwrap()),
            SourceItem::Skipped { .. } => None,
        });
        events.collect()
    }

    /// All that was passed over, and whether an object was not there; else one was
    /// broken or too large.
    pub(super) fn skipped(&self, range: &Range) -> Vec<(String, bool)> {
        let skipped = self.items(range).into_iter().filter_map(|item| match item {
            SourceItem::Skipped { object, detail } => {
                Some((object, detail.ends_with(" is not in the repository")))
            }
            SourceItem::Commit(_) => None,
        });
        skipped.collect()
    }

    /// The files of the last event.
    pub(super) fn files(&self) -> Vec<Value> {
        self.documents(&Range::All).last().unwrap()["files"]
            .as_array()
            .unwrap()
            .clone()
    }
}
