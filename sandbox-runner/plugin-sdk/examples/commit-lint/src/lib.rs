//! Checks commit messages and tells what breaks the usual rules.
//!
//! Each finding is an event `lint.finding`, each commit's findings are its
//! reply, and the report counts them; its command `check` tells an author before
//! the commit. Never judges the change itself, and never
//! stops a run: a finding is no error.

mod rules;
mod settings;

use std::collections::BTreeMap;
use std::fmt::Write;

use gm_plugin::{Code, Command, Commit, Error, Init, Reply, Shutdown, Value, host, json};

use rules::{Finding, check};
use settings::Settings;

/// How many of the last commits with findings the report shows.
const SHOWN: usize = 10;

/// A subject in an event is cut here, in characters.
const SUBJECT: usize = 200;

/// What is remembered from commit to commit.
#[derive(Default)]
struct Linter {
    settings: Settings,
    checked: u64,
    merges: u64,
    with_findings: u64,
    counts: BTreeMap<&'static str, u64>,
    unsent: u64,
    latest: Vec<String>,
}

gm_plugin::hooks! {
    state: Linter,
    init: Linter::configure,
    on_commit_analyzed: Linter::look,
    command: Linter::obey,
    shutdown: Linter::report,
}

impl Linter {
    fn configure(&mut self, _: Init) -> Result<Option<Reply>, Error> {
        self.settings = Settings::read()?;
        Ok(None)
    }

    fn look(&mut self, commit: Commit) -> Result<Option<Reply>, Error> {
        // git wrote a merge's message, or the forge did.
        if commit.merge {
            self.merges += 1;
            return Ok(None);
        }
        self.checked += 1;
        let findings = check(&commit.message, &self.settings);
        if findings.is_empty() {
            return Ok(None);
        }
        self.remember(&commit, &findings);
        for finding in &findings {
            self.emit(&commit, finding)?;
        }
        let findings: Vec<Value> = findings.iter().map(Finding::to_json).collect();
        Ok(Some(Reply::new().with("findings", findings)))
    }

    /// `check`: the findings about a message that isn't committed yet, each
    /// argument a paragraph as with `git commit -m`. Status 1 if there are any.
    fn obey(&mut self, command: Command) -> Result<Option<Reply>, Error> {
        if command.name != "check" {
            return Err(format!("no command {}", command.name).into());
        }
        let findings = check(&command.args.join("\n\n"), &self.settings);
        let lines: Vec<String> = findings.iter().map(Finding::to_line).collect();
        let text = match lines.is_empty() {
            true => "no findings".to_owned(),
            false => lines.join("\n"),
        };
        let findings: Vec<Value> = findings.iter().map(Finding::to_json).collect();
        let reply = Reply::status(i32::from(!findings.is_empty()));
        let data = json!({ "findings": findings });
        Ok(Some(reply.with("text", text).with("data", data)))
    }

    fn remember(&mut self, commit: &Commit, findings: &[Finding]) {
        self.with_findings += 1;
        for finding in findings {
            *self.counts.entry(finding.rule).or_default() += 1;
        }
        if self.latest.len() == SHOWN {
            self.latest.remove(0);
        }
        let rules: Vec<&str> = findings.iter().map(|finding| finding.rule).collect();
        self.latest.push(format!(
            "{}  {}  ({})",
            short(&commit.id),
            cut(commit.subject(), 60),
            rules.join(", ")
        ));
    }

    fn emit(&mut self, commit: &Commit, finding: &Finding) -> Result<(), Error> {
        let sent = host::event_emit(
            "lint.finding",
            &json!({
                "commit": commit.id,
                "rule": finding.rule,
                "line": finding.line,
                "subject": cut(commit.subject(), SUBJECT),
                "author": commit.author.email,
                "text": format!("{} {}: {}", short(&commit.id), finding.rule, finding.text),
            }),
        );
        match sent {
            // The host takes so many in a second; the report still counts them all.
            Err(error) if error.code() == Some(Code::Limit) => self.unsent += 1,
            other => other?,
        }
        Ok(())
    }

    fn report(&mut self, _: Shutdown) -> Result<Option<Reply>, Error> {
        let data = json!({
            "checked": self.checked,
            "merges": self.merges,
            "with_findings": self.with_findings,
            "findings": self.counts,
            "unsent": self.unsent,
            "max_subject": self.settings.max_subject,
        });
        Ok(Some(Reply::report(self.text()?).with("data", data)))
    }

    fn text(&self) -> Result<String, Error> {
        let mut text = String::new();
        self.write(&mut text)
            .map_err(|_| "the report could not be written")?;
        Ok(text)
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "{} of {} commits have findings ({} merges passed over)",
            self.with_findings, self.checked, self.merges
        )?;
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_by_key(|(rule, count)| (std::cmp::Reverse(**count), **rule));
        if !counts.is_empty() {
            writeln!(text, "\n  commits  rule")?;
        }
        for (rule, count) in counts {
            writeln!(text, "  {count:>7}  {rule}")?;
        }
        if !self.latest.is_empty() {
            writeln!(text, "\nThe latest:")?;
        }
        for line in self.latest.iter().rev() {
            writeln!(text, "  {line}")?;
        }
        if self.unsent > 0 {
            writeln!(
                text,
                "\n{} findings were not sent as events: too many at once",
                self.unsent
            )?;
        }
        Ok(())
    }
}

/// The beginning of an object id, as git shows it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// At most `most` characters of `text`, on one line.
fn cut(text: &str, most: usize) -> String {
    let mut cut: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most)
        .collect();
    if text.chars().nth(most).is_some() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_counts_findings_and_shows_the_latest_first() {
        let mut linter = Linter {
            checked: 12,
            ..Linter::default()
        };
        for number in 0..11 {
            let mut commit = Commit::default();
            commit.id = format!("{number:040}");
            commit.message = format!("WIP number {number}.");
            let findings = check(&commit.message, &linter.settings);
            linter.remember(&commit, &findings);
        }
        let text = linter.text().unwrap();
        assert!(text.starts_with("11 of 12 commits have findings"), "{text}");
        assert!(text.contains("       11  wip\n"), "{text}");
        assert!(
            text.contains("WIP number 10.  (trailing-period, wip)"),
            "{text}"
        );
        assert!(!text.contains("WIP number 0."), "{text}");
        assert!(text.find("number 10.") < text.find("number 9."), "{text}");
    }

    #[test]
    fn message_is_checked_before_it_is_committed() {
        let obey = |name: &str, args: &[&str]| {
            let mut command = Command::default();
            name.clone_into(&mut command.name);
            command.args = args.iter().map(|arg| (*arg).to_owned()).collect();
            Linter::default().obey(command)
        };
        let good = obey("check", &["Add a test", "It was missing."]).unwrap();
        let said = Reply::status(0).with("text", "no findings");
        let none = json!({ "findings": [] });
        assert_eq!(good, Some(said.with("data", none)));
        let bad = obey("check", &["WIP."]).unwrap().unwrap();
        assert_ne!(bad, Reply::status(0));
        assert!(obey("lint", &[]).is_err());
    }

    #[test]
    fn strangers_text_stays_on_its_line() {
        assert_eq!(cut("a\u{1b}[31m\tb", 60), "a [31m b");
        assert_eq!(cut("four", 4), "four");
        assert_eq!(cut("äöüß!", 4), "äöüß…");
    }
}
