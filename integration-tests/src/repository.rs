//! A small Git repository, made by git itself, with the same object ids always.

use std::path::Path;

use tempfile::TempDir;

use crate::process::{command, run};

/// A repository with a work tree. Gone when dropped.
pub struct Repository {
    dir: TempDir,
    commits: u32,
}

impl Repository {
    /// An empty one.
    ///
    /// # Panics
    /// If git can't make it.
    #[must_use]
    pub fn empty() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("gm-test-repo-")
            .tempdir()
            .unwrap();
        let repository = Self { dir, commits: 0 };
        let _ = repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repository
    }

    /// One with `count` commits in a row; each changes two files, one of them
    /// the same in all.
    ///
    /// # Panics
    /// If git can't make it.
    #[must_use]
    pub fn of(count: u32) -> Self {
        let mut repository = Self::empty();
        for number in 1..=count {
            let log = format!("{}\n", "line\n".repeat(number as usize));
            let own = format!("src/{}.txt", number % 3);
            repository.commit(&[("log.txt", &log), (&own, &format!("{number}\n"))]);
        }
        repository
    }

    /// Adds a commit that writes these files; returns its id.
    ///
    /// # Panics
    /// If git can't make it.
    pub fn commit(&mut self, files: &[(&str, &str)]) -> String {
        self.commits += 1;
        for (name, text) in files {
            let path = self.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let message = format!("change {}\n\nThe body.\n", self.commits);
        let _ = self.git(&["add", "--all"]);
        let _ = self.git(&["commit", "--quiet", "--message", &message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commit ids as `git rev-list` gives them for these arguments, oldest first.
    #[must_use]
    pub fn ids(&self, words: &[&str]) -> Vec<String> {
        let listed = self.git(&[&["rev-list", "--reverse"], words].concat());
        listed.lines().map(str::to_owned).collect()
    }

    /// The root of the work tree.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The root of the work tree as an argument.
    ///
    /// # Panics
    /// If it isn't UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        self.path().to_str().unwrap()
    }

    /// What git answers to these words, with fixed names and dates and nobody's
    /// configuration.
    ///
    /// # Panics
    /// If git fails.
    #[must_use]
    pub fn git(&self, words: &[&str]) -> String {
        let date = format!("{} +0100", 1_700_000_000 + 60 * i64::from(self.commits));
        let mut git = command("git", self.path());
        git.args(words)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{who}_NAME"), "Ann Author")
                .env(format!("GIT_{who}_EMAIL"), "ann@test.example")
                .env(format!("GIT_{who}_DATE"), &date);
        }
        let done = run(&mut git, b"");
        done.expect_exit(0);
        done.stdout.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_history_has_the_same_ids_always() {
        let (one, other) = (Repository::of(3), Repository::of(3));
        assert_eq!(one.ids(&["HEAD"]).len(), 3);
        assert_eq!(one.ids(&["HEAD"]), other.ids(&["HEAD"]));
    }
}
