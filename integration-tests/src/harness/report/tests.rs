use serde_json::{Map, Value, json};

use super::super::outcome::{Ablated, Beside, Twin, newly_vacuous, too_vacuous};
use super::super::verdict::Class;
use super::*;

/// A row that came to this.
pub(in super::super) fn row(id: &str, verdict: Class) -> Row {
    let mut evidence = Map::new();
    evidence.insert(
        "variant-0".to_owned(),
        json!({"said": "\u{1b}[2J & <b> ]]>", "verdict": verdict, "why": "it can't be done"}),
    );
    Row {
        schema: "gm.harness/1",
        kind: "probe",
        id: id.to_owned(),
        number: 7,
        group: "abi".to_owned(),
        profile: "native".to_owned(),
        form: Some("live".to_owned()),
        verdict,
        layer: (verdict == Class::Contained).then(|| "seccomp".to_owned()),
        expected: "seccomp".to_owned(),
        why: "a \"why\" with <angles>, #hash | pipe and \u{202e}".to_owned(),
        by_evaluation: false,
        control: "ok",
        control_said: "ok".to_owned(),
        ablated: Vec::new(),
        twin: Twin {
            id: "t-hello".to_owned(),
            verdict: "ok",
            why: None,
        },
        said: None,
        nr: Some(41),
        ending: Some("forbidden_syscall".to_owned()),
        contain_us: 1_500_000,
        profile_digest: Some("7c1e".to_owned()),
        manifest_line: None,
        waiver: None,
        evidence,
    }
}

/// One row of each class and standing.
pub(in super::super) fn rows() -> Vec<Row> {
    let classes = [
        Class::Contained,
        Class::ContainedElsewhere,
        Class::Escaped,
        Class::Vacuous,
        Class::Degraded,
        Class::HarnessError,
    ];
    let mut rows: Vec<Row> = classes
        .iter()
        .map(|class| row(&format!("sc-{class:?}").to_lowercase(), *class))
        .collect();
    let mut waived = row("sc-waived", Class::Escaped);
    waived.waiver = Some(json!({"owner": "ann", "reason": "old kernel", "until": "2027-01-31"}));
    let mut twinless = row("sc-twinless", Class::Contained);
    twinless.twin.verdict = "failed";
    twinless.twin.why = Some("it said\nnothing".to_owned());
    rows.extend([waived, twinless]);
    rows
}

fn missed(words: &[&str]) -> Beside {
    Beside {
        missed: words.iter().map(|word| (*word).to_owned()).collect(),
        ..Beside::default()
    }
}

#[track_caller]
fn assert_holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

/// All of them as one report.
pub(in super::super) fn written(format: Format) -> String {
    let rows = rows();
    let facts = Facts::read();
    let summary = Summary::of(&rows, missed(&["9 rows are vacuous"]), false);
    format.write(&Whole {
        facts: &facts,
        rows: &rows,
        summary: &summary,
        strict: false,
        comparison: None,
    })
}

#[test]
fn json_is_one_object_a_line_and_ends_with_the_exit_code() {
    let text = written(Format::Json);
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 10);
    assert!(lines.iter().all(|line| line["schema"] == "gm.harness/1"));
    assert_eq!(lines[0]["kind"], "host");
    assert_eq!(lines[3]["verdict"], "ESCAPED");
    let last = &lines[9];
    assert_eq!(
        (&last["kind"], &last["exit"]),
        (&json!("summary"), &json!(1))
    );
    assert_eq!(last["escaped"], 2);
}

#[test]
fn people_read_what_failed_what_is_not_proved_and_the_sum() {
    let text = written(Format::Human);
    assert_holds(
        &text,
        &[
            "ESCAPED abi/sc-escaped (native): a \"why\" with",
            "\n  do not run plugins on this machine",
            "ESCAPED (waived) abi/sc-waived (native)",
            "\n  twin t-hello: it said\\u{a}nothing\n",
            "\nVACUOUS abi/sc-vacuous (native) variant 0: it can't be done\n",
            "\n8 rows, exit 1: 2 contained",
        ],
    );
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn tap_has_a_line_for_each_row_and_says_what_is_no_failure() {
    let text = written(Format::Tap);
    assert!(text.starts_with("TAP version 14\n1..9\n"), "{text}");
    assert_holds(
        &text,
        &[
            "ok 1 - abi/sc-contained (native) # layer=seccomp said=forbidden_syscall",
            "not ok 3 - abi/sc-escaped (native)\n  ---\n  verdict: \"ESCAPED\"",
            "ok 4 - abi/sc-vacuous (native) # SKIP vacuous: ",
            "not ok 7 - abi/sc-waived (native) # TODO waiver until 2027-01-31: old kernel",
            "not ok 8 - abi/sc-twinless (native)\n",
            "not ok 9 - harness/thresholds",
        ],
    );
    assert!(!text.contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn junit_counts_what_it_lists() {
    let text = written(Format::Junit);
    assert_holds(
        &text,
        &[
            "tests=\"8\" failures=\"3\" errors=\"1\" skipped=\"2\"",
            "<failure type=\"ESCAPED\"",
            "<failure type=\"DEGRADED\"",
            "<failure type=\"TWIN\"",
            "<error type=\"HARNESS_ERROR\"",
            "<skipped message=\"vacuous: a &quot;why&quot; with &lt;angles&gt;",
            "<failure type=\"THRESHOLD\"",
        ],
    );
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
}

#[test]
fn sarif_has_one_rule_a_probe_and_one_result_a_row() {
    let document: Value = serde_json::from_str(&written(Format::Sarif)).unwrap();
    let run = &document["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 8);
    let results = run["results"].as_array().unwrap();
    let kinds: Vec<_> = results
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    let expected = [
        "pass",
        "open",
        "fail",
        "notApplicable",
        "fail",
        "fail",
        "fail",
        "fail",
    ];
    assert_eq!(kinds, expected);
    assert!(
        results
            .iter()
            .all(|it| it["kind"] == "fail" || it["level"] == "none")
    );
    assert_eq!(results[6]["suppressions"][0]["kind"], "external");
}

#[test]
fn pages_name_escapes_first_and_hold_nothing_that_paints() {
    let markdown = written(Format::Markdown);
    let failures = markdown.split("## Failures").nth(1).unwrap();
    let first = failures.lines().nth(4).unwrap();
    assert!(first.starts_with("| ESCAPED"), "{first}");
    let html = written(Format::Html);
    assert!(html.contains("&lt;angles&gt;") && !html.contains("<angles>"));
    for text in [markdown, html] {
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
    }
}

#[test]
fn the_worst_thing_decides_the_exit_code() {
    let exit = |classes: &[Class], strict: bool| {
        let rows: Vec<Row> = classes.iter().map(|class| row("sc-a", *class)).collect();
        Summary::of(&rows, Beside::default(), strict).exit
    };
    use Class::*;
    assert_eq!(exit(&[Contained, ContainedElsewhere, Vacuous], false), 0);
    assert_eq!(exit(&[Contained, ContainedElsewhere], true), 1);
    assert_eq!(exit(&[Degraded, Contained], false), 30);
    assert_eq!(exit(&[Degraded, HarnessError], false), 70);
    assert_eq!(exit(&[HarnessError, Escaped, Degraded], false), 1);
}

fn ablated(verdict: &'static str) -> Row {
    let mut row = row("sc-a", Class::Contained);
    row.ablated.push(Ablated {
        variant: 0,
        without: "seccomp".to_owned(),
        verdict,
        why: "said EFAULT (0)".to_owned(),
    });
    row
}

#[test]
fn what_gets_through_without_its_layer_is_counted_and_no_failure() {
    let rows = ["ESCAPED", "CONTAINED", "VACUOUS", "ESCAPED"].map(ablated);
    let summary = Summary::of(&rows, Beside::default(), true);
    assert_eq!((summary.ablated_through, summary.ablated_held), (2, 1));
    assert_eq!((summary.escaped, summary.exit), (0, 0));
    // Where nobody knows, nothing was proved.
    let rows = ["ESCAPED", "HARNESS_ERROR"].map(ablated);
    let summary = Summary::of(&rows, Beside::default(), false);
    assert_eq!((summary.error, summary.exit), (1, 70));
}

#[test]
fn a_mutation_score_below_its_threshold_is_exit_1_and_none_at_all_is_70() {
    use crate::mutation::{Fate, Judged, Score};
    let mutant = |layer, noticed| Judged {
        profile: "lua".to_owned(),
        layer,
        kind: "right".to_owned(),
        what: "x".to_owned(),
        fate: match noticed {
            true => Fate::Killed("sc-a".to_owned()),
            false => Fate::Survived("no probe".to_owned()),
        },
        live: true,
    };
    let of = |mutants: Vec<Judged>| {
        let score = Score {
            mutants,
            ..Score::default()
        };
        let rows = [row("sc-a", Class::Contained)];
        Summary::of(&rows, Beside::of_score(Ok(score)), false)
    };
    let all = of(vec![mutant("seccomp", true), mutant("mount", true)]);
    assert_eq!((all.mutation_score, all.exit), (Some(1.0), 0));
    let half = of(vec![mutant("seccomp", true), mutant("mount", false)]);
    assert_eq!((half.mutation_score, half.exit), (Some(0.5), 1));
    assert_eq!(half.missed.len(), 1, "{:?}", half.missed);
    let none = of(vec![]);
    assert_eq!((none.mutation_score, none.exit), (None, 70));
    assert!(none.mutation_error.is_some());
}

#[test]
fn vacuous_variants_count_where_the_list_knows_the_kernel() {
    let mut row = row("net-inet", Class::Contained);
    for (name, verdict) in [("variant-1", Class::Vacuous), ("variant-4", Class::Vacuous)] {
        row.evidence.insert(
            name.to_owned(),
            json!({"verdict": verdict, "control": "refused"}),
        );
    }
    let evaluated = json!({"verdict": Class::Contained, "control": "refused"});
    row.evidence.insert("variant-2".to_owned(), evaluated);
    for profile in ["native", "lua"] {
        row.profile = profile.to_owned();
        let rows = [row.clone()];
        assert_eq!(
            Summary::of(&rows, Beside::default(), false).vacuous_variants,
            2
        );
        let new = newly_vacuous(&rows, "6.18.44");
        assert_eq!(
            new,
            [format!(
                "abi/net-inet ({profile}) variant 1 is vacuous here, and no list says so"
            )]
        );
        assert!(newly_vacuous(&rows, "5.15.0-generic").is_empty());
        assert_eq!(too_vacuous(&rows, 1).len(), 1);
        assert!(too_vacuous(&rows, 2).is_empty());
    }
    row.waiver = Some(json!({}));
    assert!(newly_vacuous(&[row], "6.18.44").is_empty());
}
