//! Counts the commits that fix something.

mod gm;

use gm::{Answer, Gm, Level};
use serde_json::{Value, json};

/// What is remembered from call to call. Every run starts anew.
#[derive(Default)]
struct Fixes(u64);

impl gm::Plugin for Fixes {
    fn call(&mut self, gm: &mut Gm, hook: &str, document: &Value) -> Answer {
        match hook {
            "on_commit_analyzed" => self.look(gm, document),
            "shutdown" => {
                let text = format!("{} of {} commits are fixes", self.0, document["events"]);
                Ok(Some(json!({ "report": text })))
            }
            _ => Ok(None),
        }
    }
}

impl Fixes {
    fn look(&mut self, gm: &mut Gm, commit: &Value) -> Answer {
        if !is_fix(commit["message"].as_str().unwrap_or_default()) {
            return Ok(None);
        }
        self.0 += 1;
        let id = commit["id"].as_str().unwrap_or_default();
        gm.log(Level::Info, &format!("{id} is a fix"));
        Ok(Some(json!({ "fix": true })))
    }
}

fn is_fix(message: &str) -> bool {
    message.starts_with("fix")
}

fn main() -> std::io::Result<()> {
    gm::serve(Fixes::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_stands_at_the_start() {
        assert!(is_fix("fix: a bug\n"));
        assert!(!is_fix("docs: how to fix things\n"));
    }
}
