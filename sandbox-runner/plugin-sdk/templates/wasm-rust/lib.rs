//! Counts the commits that fix something.

use gm_plugin::{Commit, Error, Reply, Shutdown, host};

/// What is remembered from call to call. Every run starts anew.
#[derive(Default)]
struct Fixes(u64);

impl Fixes {
    fn look(&mut self, commit: Commit) -> Result<Option<Reply>, Error> {
        if !is_fix(&commit.message) {
            return Ok(None);
        }
        self.0 += 1;
        host::log(host::Level::Info, &format!("{} is a fix", commit.id));
        Ok(Some(Reply::new().with("fix", true)))
    }

    fn tell(&mut self, end: Shutdown) -> Result<Option<Reply>, Error> {
        let text = format!("{} of {} commits are fixes", self.0, end.events);
        Ok(Some(Reply::report(text)))
    }
}

fn is_fix(message: &str) -> bool {
    message.starts_with("fix")
}

gm_plugin::hooks! { state: Fixes, on_commit_analyzed: Fixes::look, shutdown: Fixes::tell }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_stands_at_the_start() {
        assert!(is_fix("fix: a bug\n"));
        assert!(!is_fix("docs: how to fix things\n"));
    }
}
