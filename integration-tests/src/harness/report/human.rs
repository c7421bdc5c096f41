//! What somebody at a terminal, or in a CI server's log, wants to know in the end: what
//! failed and what to do, what proves nothing, and the sum.

use super::super::outcome::{Ablated, Row};
use super::pages::{failed, sum, vacuous};
use super::{Whole, plain};

/// A few lines, the sum last.
pub(super) fn write(whole: &Whole<'_>) -> String {
    let mut lines: Vec<String> = failed(whole).into_iter().flat_map(failure).collect();
    lines.extend(whole.rows.iter().flat_map(without));
    lines.extend(
        vacuous(whole)
            .iter()
            .map(|it| format!("VACUOUS {}", plain(it))),
    );
    lines.push(format!("{} rows, {}", whole.rows.len(), plain(&sum(whole))));
    lines.join("\n") + "\n"
}

/// What gets through with a layer left out is no failure: it shows that the layer did the
/// work.
fn without(row: &Row) -> Vec<String> {
    let through = row.ablated.iter().filter(|it| it.verdict == "ESCAPED");
    let line = |it: &Ablated| {
        let (title, variant, layer) = (row.title(), it.variant, &it.without);
        plain(&format!(
            "{title} variant {variant} gets through without {layer}: {}",
            it.why
        ))
    };
    through.map(line).collect()
}

fn failure(row: &Row) -> Vec<String> {
    let waived = row.waiver.as_ref().map_or("", |_| " (waived)");
    let mut lines = vec![format!(
        "{}{waived} {}: {}",
        row.verdict.name(),
        plain(&row.title()),
        plain(&row.why)
    )];
    if let Some(why) = &row.twin.why {
        lines.push(format!("  twin {}: {}", plain(&row.twin.id), plain(why)));
    }
    if !row.fix().is_empty() {
        lines.push(format!("  {}", row.fix()));
    }
    lines
}
