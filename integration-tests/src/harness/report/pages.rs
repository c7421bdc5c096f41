//! The report for people: the machine, the matrix, what failed, what proves nothing.

use std::collections::BTreeMap;

use super::super::outcome::{Row, Standing};
use super::super::verdict::Class;
use super::{Block, Page, Whole};

/// The page of a run.
pub(super) fn page(whole: &Whole<'_>) -> Page {
    let mut blocks = vec![Block::Words(sum(whole)), facts(whole)];
    blocks.extend(failures(whole));
    if let Some(comparison) = whole.comparison {
        blocks.extend([heading("Side by side"), comparison.clone()]);
    }
    blocks.extend([heading("Probes and profiles"), matrix(whole)]);
    blocks.extend(ablations(whole));
    blocks.extend(listed(
        "Vacuous: the control does not work here",
        vacuous(whole),
    ));
    blocks.extend(listed(
        "Contained by evaluation: the filters were asked",
        by_evaluation(whole),
    ));
    Page {
        title: "gm-harness".to_owned(),
        blocks,
    }
}

fn heading(text: &str) -> Block {
    Block::Heading(text.to_owned())
}

/// What all rows come to, in words.
pub(super) fn sum(whole: &Whole<'_>) -> String {
    let it = whole.summary;
    let mut words = format!(
        "exit {}: {} contained ({} by evaluation), {} stopped elsewhere, {} escaped, {} vacuous ({} variants), {} degraded, {} not proved, {} twins failed, {} waived",
        it.exit,
        it.contained,
        it.by_evaluation,
        it.elsewhere,
        it.escaped,
        it.vacuous,
        it.vacuous_variants,
        it.degraded,
        it.error,
        it.twins_failed,
        it.waived
    );
    if let Some(score) = it.mutation_score {
        words.push_str(&format!("; mutation score {score:.3}"));
    }
    if let Some(why) = &it.mutation_error {
        words.push_str(&format!("; no mutation score: {why}"));
    }
    for missed in &it.missed {
        words.push_str("; missed: ");
        words.push_str(missed);
    }
    words
}

fn facts(whole: &Whole<'_>) -> Block {
    let facts = whole.facts;
    let known =
        |value: Option<bool>| value.map_or("not asked", |yes| if yes { "yes" } else { "no" });
    let lines = [
        ("kernel", facts.kernel.clone()),
        ("arch", facts.arch.to_owned()),
        (
            "Landlock",
            facts
                .landlock_abi
                .map_or("-".to_owned(), |abi| format!("ABI {abi}")),
        ),
        ("security modules", facts.lsm.join(", ")),
        ("cgroups", facts.cgroup.to_owned()),
        (
            "level",
            facts.level.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        ("i386 calls", known(facts.ia32).to_owned()),
        ("x32 calls", known(facts.x32).to_owned()),
    ];
    Block::Table {
        head: vec!["host".to_owned(), String::new()],
        lines: lines
            .map(|(name, value)| vec![name.to_owned(), value])
            .to_vec(),
    }
}

/// Rows that don't hold, escapes first.
pub(super) fn failed<'a>(whole: &Whole<'a>) -> Vec<&'a Row> {
    let failed = |row: &&Row| {
        let standing = row.standing(whole.strict);
        matches!(
            standing,
            Standing::Failure(_) | Standing::Error | Standing::Waived
        )
    };
    let mut rows: Vec<&Row> = whole.rows.iter().filter(failed).collect();
    rows.sort_by_key(|row| row.verdict != Class::Escaped);
    rows
}

fn failures(whole: &Whole<'_>) -> Vec<Block> {
    let rows = failed(whole);
    if rows.is_empty() {
        return Vec::new();
    }
    let lines = rows.into_iter().map(|row| {
        let why = match &row.twin.why {
            Some(twin) => format!("{}; twin {}: {twin}", row.why, row.twin.id),
            None => row.why.clone(),
        };
        let waiver = if row.waiver.is_some() {
            " (waived)"
        } else {
            ""
        };
        vec![
            format!("{}{waiver}", row.verdict.name()),
            row.title(),
            why,
            row.fix().to_owned(),
        ]
    });
    let table = Block::Table {
        head: ["verdict", "probe", "why", "fix"]
            .map(str::to_owned)
            .to_vec(),
        lines: lines.collect(),
    };
    vec![heading("Failures"), table]
}

fn matrix(whole: &Whole<'_>) -> Block {
    let profiles: std::collections::BTreeSet<&str> =
        whole.rows.iter().map(|row| &*row.profile).collect();
    let mut probes: Vec<&Row> = Vec::new();
    let mut cells: BTreeMap<(&str, &str), String> = BTreeMap::new();
    for row in whole.rows {
        if !probes.iter().any(|probe| probe.id == row.id) {
            probes.push(row);
        }
        let cell = match &row.layer {
            Some(layer) => format!("{} ({layer})", row.verdict.name()),
            None => row.verdict.name().to_owned(),
        };
        cells.insert((&row.id, &row.profile), cell);
    }
    let lines = probes.into_iter().map(|probe| {
        let named = [
            format!("GM-P-{:04}", probe.number),
            probe.id.clone(),
            probe.expected.clone(),
        ];
        let own = profiles.iter().map(|profile| {
            cells
                .get(&(&*probe.id, profile))
                .cloned()
                .unwrap_or_default()
        });
        named.into_iter().chain(own).collect()
    });
    let head = ["", "probe", "expected"]
        .into_iter()
        .chain(profiles.iter().copied());
    Block::Table {
        head: head.map(str::to_owned).collect(),
        lines: lines.collect(),
    }
}

fn ablations(whole: &Whole<'_>) -> Vec<Block> {
    let lines: Vec<Vec<String>> = whole
        .rows
        .iter()
        .flat_map(|row| {
            let line = |it: &super::super::outcome::Ablated| {
                vec![
                    row.title(),
                    it.variant.to_string(),
                    it.without.clone(),
                    it.verdict.to_owned(),
                    it.why.clone(),
                ]
            };
            row.ablated.iter().map(line)
        })
        .collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let head = ["probe", "variant", "without", "then", "why"]
        .map(str::to_owned)
        .to_vec();
    vec![
        heading("With a layer left out"),
        Block::Table { head, lines },
    ]
}

/// Each variant, also of rows whose others prove something.
pub(super) fn vacuous(whole: &Whole<'_>) -> Vec<String> {
    let each = |row: &Row| {
        let title = row.title();
        row.vacuous()
            .map(|(variant, why)| format!("{title} variant {variant}: {why}"))
            .collect::<Vec<_>>()
    };
    whole.rows.iter().flat_map(each).collect()
}

fn by_evaluation(whole: &Whole<'_>) -> Vec<String> {
    let rows = whole.rows.iter().filter(|row| row.by_evaluation);
    rows.map(|row| format!("{}: {}", row.title(), row.why))
        .collect()
}

fn listed(title: &str, items: Vec<String>) -> Vec<Block> {
    match items.is_empty() {
        true => Vec::new(),
        false => vec![heading(title), Block::List(items)],
    }
}
