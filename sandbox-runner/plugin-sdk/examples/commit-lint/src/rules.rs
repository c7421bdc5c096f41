//! The rules for a message, each with a stable name.
//!
//! A rule looks at text alone; it never guesses at what the author meant beyond
//! the words that are listed here.

use gm_plugin::{Value, json};

use crate::settings::Settings;

/// Verbs that begin a subject, and the forms that are no order to the code:
/// "Add", not "Added", "Adds" or "Adding".
const VERBS: [(&str, &[&str]); 32] = [
    ("add", &["added", "adds", "adding"]),
    ("allow", &["allowed", "allows", "allowing"]),
    ("avoid", &["avoided", "avoids", "avoiding"]),
    ("bump", &["bumped", "bumps", "bumping"]),
    ("change", &["changed", "changing"]), // "changes" may be a noun
    ("clean", &["cleaned", "cleans", "cleaning"]),
    ("correct", &["corrected", "corrects", "correcting"]),
    ("create", &["created", "creates", "creating"]),
    ("delete", &["deleted", "deletes", "deleting"]),
    ("disable", &["disabled", "disables", "disabling"]),
    ("document", &["documented", "documenting"]),
    ("drop", &["dropped", "drops", "dropping"]),
    ("enable", &["enabled", "enables", "enabling"]),
    ("extend", &["extended", "extends", "extending"]),
    ("fix", &["fixed", "fixes", "fixing"]),
    ("handle", &["handled", "handles", "handling"]),
    ("implement", &["implemented", "implements", "implementing"]),
    ("improve", &["improved", "improves", "improving"]),
    ("introduce", &["introduced", "introduces", "introducing"]),
    ("make", &["made", "makes", "making"]),
    ("merge", &["merged", "merges", "merging"]),
    ("move", &["moved", "moves", "moving"]),
    ("refactor", &["refactored", "refactors", "refactoring"]),
    ("remove", &["removed", "removes", "removing"]),
    ("rename", &["renamed", "renames", "renaming"]),
    ("replace", &["replaced", "replaces", "replacing"]),
    ("rewrite", &["rewrote", "rewrites", "rewriting"]),
    ("simplify", &["simplified", "simplifies", "simplifying"]),
    ("support", &["supported", "supporting"]),
    ("switch", &["switched", "switching"]),
    ("update", &["updated", "updating"]),
    ("use", &["used", "uses", "using"]),
];

/// Subjects that say nothing, as their only word.
const VAGUE: [&str; 12] = [
    "bugfix", "change", "changes", "cleanup", "fix", "fixes", "misc", "oops", "stuff", "temp",
    "typo", "update",
];

/// What `git commit --fixup` and the like write, to be squashed before a push.
const AUTOSQUASH: [&str; 3] = ["fixup!", "squash!", "amend!"];

/// Something about a message that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The rule's name; it doesn't change.
    pub(crate) rule: &'static str,
    /// Line of the message, from 1.
    pub(crate) line: usize,
    /// For people.
    pub(crate) text: String,
}

impl Finding {
    pub(crate) fn to_line(&self) -> String {
        format!("line {}: {} ({})", self.line, self.text, self.rule)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "rule": self.rule, "line": self.line, "text": self.text })
    }
}

/// All that breaks a rule, those that the operator ignores left out.
pub(crate) fn check(message: &str, settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut lines = message.lines();
    let subject = lines.next().unwrap_or_default();
    subject_rules(subject, settings, &mut findings);
    if lines.next().is_some_and(|line| !line.trim().is_empty()) {
        findings.push(finding(
            "no-blank-second-line",
            2,
            "the second line is not blank, so tools take it for subject",
        ));
    }
    body_rules(message, settings, &mut findings);
    findings.retain(|finding| !settings.ignore.iter().any(|name| name == finding.rule));
    findings
}

fn subject_rules(subject: &str, settings: &Settings, findings: &mut Vec<Finding>) {
    let words = subject.trim();
    if words.is_empty() {
        findings.push(finding("empty-subject", 1, "there is no subject"));
        return;
    }
    if let Some(mark) = AUTOSQUASH.iter().find(|mark| words.starts_with(**mark)) {
        findings.push(finding(
            "autosquash",
            1,
            format!("{mark} was to be squashed"),
        ));
        return;
    }
    if words.len() != subject.len() {
        findings.push(finding(
            "outer-space",
            1,
            "space before or after the subject",
        ));
    }
    let length = subject.chars().count();
    // A revert's subject quotes another one.
    let quotes = words.starts_with("Revert \"");
    if length > settings.max_subject && !quotes {
        findings.push(finding(
            "subject-too-long",
            1,
            format!("{length} characters, {} are allowed", settings.max_subject),
        ));
    }
    if words.ends_with('.') && !words.ends_with("...") {
        findings.push(finding(
            "trailing-period",
            1,
            "the subject ends with a period",
        ));
    }
    if is_unfinished(words) {
        findings.push(finding("wip", 1, "marked as work in progress"));
    }
    word_rules(words, findings);
}

/// Rules about the words after a prefix like `core: ` or `fix(parser): `.
fn word_rules(subject: &str, findings: &mut Vec<Finding>) {
    let rest = match subject.split_once(": ") {
        Some((prefix, rest)) if !prefix.contains(' ') => rest,
        _ => subject,
    };
    let mut words = rest.split_whitespace();
    let first = words.next().unwrap_or_default().to_lowercase();
    if words.next().is_none() && VAGUE.contains(&first.trim_end_matches('.')) {
        findings.push(finding("vague", 1, "the subject says nothing"));
        return;
    }
    if let Some((verb, _)) = VERBS.iter().find(|(_, forms)| forms.contains(&&*first)) {
        findings.push(finding(
            "not-imperative",
            1,
            format!("begins with \"{first}\", not with \"{verb}\""),
        ));
    }
}

/// Says so itself: `WIP`, `wip:`, `[WIP]`, `do not merge`.
fn is_unfinished(subject: &str) -> bool {
    let lower = subject.to_lowercase();
    let first = lower.split_whitespace().next().unwrap_or_default();
    first.trim_matches(|c: char| !c.is_alphanumeric()) == "wip"
        || lower.starts_with("do not merge")
        || lower.starts_with("[do not merge]")
}

fn body_rules(message: &str, settings: &Settings, findings: &mut Vec<Finding>) {
    for (number, line) in (1..).zip(message.lines()).skip(1) {
        let length = line.chars().count();
        // An address, a quotation or a listing can't be wrapped.
        let fixed = line.contains("://") || line.starts_with([' ', '\t', '>', '|']);
        if settings.max_body > 0 && length > settings.max_body && !fixed {
            findings.push(finding(
                "body-too-long",
                number,
                format!("{length} characters, {} are allowed", settings.max_body),
            ));
            return;
        }
    }
}

fn finding(rule: &'static str, line: usize, text: impl Into<String>) -> Finding {
    Finding {
        rule,
        line,
        text: text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(message: &str) -> Vec<&'static str> {
        let findings = check(message, &Settings::default());
        findings.iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn good_messages_have_no_finding() {
        for message in [
            "Add a table of contents\n",
            "Add a table of contents\n\nIt was missing.\n",
            "core: fix the parser\n",
            "fix(parser): accept an empty list\n",
            "Fix typo\n",
            "Changes to the parser\n",
            "Wipe the cache\n",
            "Wait for it...\n",
            "Revert \"A subject that was rather long already before git put this word in front of it\"\n",
        ] {
            assert!(
                names(message).is_empty(),
                "{message:?}: {:?}",
                names(message)
            );
        }
    }

    #[test]
    fn each_rule_finds_what_breaks_it() {
        let table = [
            ("", "empty-subject"),
            ("\n\nbody", "empty-subject"),
            ("fixup! Add a table", "autosquash"),
            ("squash! Add a table", "autosquash"),
            (" Add a table", "outer-space"),
            ("Add a table ", "outer-space"),
            ("Add a table.", "trailing-period"),
            ("WIP", "wip"),
            ("[wip] add a table", "wip"),
            ("wip: add a table", "wip"),
            ("Do not merge yet", "wip"),
            ("fix", "vague"),
            ("core: update", "vague"),
            ("Added a table", "not-imperative"),
            ("docs: fixes the table", "not-imperative"),
            ("Add a table\nand a list", "no-blank-second-line"),
        ];
        for (message, rule) in table {
            assert_eq!(names(message), [rule], "{message:?}");
        }
    }

    #[test]
    fn length_counts_characters_up_to_the_limit() {
        let settings = Settings {
            max_subject: 10,
            max_body: 5,
            ..Settings::default()
        };
        assert_eq!(check(&"ä".repeat(10), &settings), []);
        let long = check(&"ä".repeat(11), &settings);
        assert_eq!(long[0].text, "11 characters, 10 are allowed");
        let body = check("Add\n\nfive!\nsix by\n", &settings);
        assert_eq!((body[0].rule, body[0].line), ("body-too-long", 4));
        assert_eq!(
            check("Add\n\nhttps://example.com\n> quoted\n", &settings),
            []
        );
    }

    #[test]
    fn ignored_rule_finds_nothing() {
        let settings = Settings {
            ignore: vec!["wip".to_owned()],
            ..Settings::default()
        };
        assert_eq!(check("WIP on tables", &settings), []);
    }
}
