//! The score as text for people and as JSON lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{ALL, Fate, Judged, SECCOMP, Score};

impl Score {
    /// For people: the scores, then every survivor with the reason.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (layer, part, least) in self.thresholds() {
            let (killed, all) = self.count(layer);
            let verdict = if part >= least { "ok" } else { "MISSED" };
            let what = layer.unwrap_or("all");
            let _ = writeln!(
                text,
                "{verdict:<7}{what:<10}{part:.3}  {killed} of {all}, at least {least}"
            );
        }
        for (key, (killed, all)) in self.table() {
            let _ = writeln!(text, "       {key:<28}{killed} of {all}");
        }
        let _ = writeln!(
            text,
            "left out: {} that mean the same, {} that no stranger could notice",
            self.equal, self.beyond_strangers
        );
        for judged in self.survivors() {
            if let Fate::Survived(why) = &judged.fate {
                let Judged { profile, what, .. } = judged;
                let _ = writeln!(text, "survived  {profile:<9}{what}: {why}");
            }
        }
        for wrong in &self.wrong {
            let _ = writeln!(text, "WRONG  {wrong}");
        }
        text
    }

    /// Killed and all, by profile and kind.
    fn table(&self) -> BTreeMap<String, (usize, usize)> {
        let mut table = BTreeMap::new();
        for judged in &self.mutants {
            let key = format!("{} {} {}", judged.profile, judged.layer, judged.kind);
            let (killed, all) = table.entry(key).or_insert((0, 0));
            *killed += usize::from(judged.is_killed());
            *all += 1;
        }
        table
    }

    /// One object a mutant, and a summary at the end.
    #[must_use]
    pub fn json(&self) -> Vec<Value> {
        let mutants = self.mutants.iter().map(|judged| {
            let (killed_by, why) = match &judged.fate {
                Fate::Killed(by) => (Some(by), None),
                Fate::Survived(why) => (None, Some(why)),
            };
            json!({
                "schema": "gm.harness/1",
                "kind": "mutant",
                "profile": judged.profile,
                "layer": judged.layer,
                "mutation": judged.kind,
                "what": judged.what,
                "killed_by": killed_by,
                "survived": why,
                "live": judged.live,
            })
        });
        let (killed, all) = self.count(None);
        let summary = json!({
            "schema": "gm.harness/1",
            "kind": "mutation",
            "killed": killed,
            "all": all,
            "equal": self.equal,
            "beyond_strangers": self.beyond_strangers,
            "score": self.part(None),
            "score_seccomp": self.part(Some("seccomp")),
            "least": ALL,
            "least_seccomp": SECCOMP,
            "wrong": self.wrong,
            "enough": self.is_enough(),
        });
        mutants.chain([summary]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(killed: usize, survived: usize) -> Score {
        let one = |fate| Judged {
            profile: "wasm".into(),
            layer: "seccomp",
            kind: "call".into(),
            what: "bpf allowed".into(),
            fate,
            live: false,
        };
        let killed = std::iter::repeat_n(one(Fate::Killed("ks-bpf".into())), killed);
        let survived = std::iter::repeat_n(one(Fate::Survived("nobody asks".into())), survived);
        Score {
            mutants: killed.chain(survived).collect(),
            equal: 3,
            ..Score::default()
        }
    }

    #[test]
    fn a_score_is_the_part_that_was_noticed_and_names_the_rest() {
        let good = score(19, 1);
        assert!(good.is_enough());
        assert!(
            good.text()
                .contains("survived  wasm     bpf allowed: nobody asks")
        );
        assert_eq!(good.json().last().unwrap()["all"], 20);
        assert!(!score(18, 2).is_enough());
    }

    #[test]
    fn nothing_tried_or_a_contradiction_is_not_enough() {
        assert!(!score(0, 0).is_enough());
        let mut score = score(20, 0);
        score.wrong.push("x".into());
        assert!(!score.is_enough());
    }
}
