//! The report: tables for people, the same as data.
//!
//! Numbers stand before names, so that no name can break a column.

use std::cmp::Reverse;
use std::fmt::Write;

use gm_plugin::{Error, Value, json};

use crate::calendar::Date;
use crate::history::{Author, History};
use crate::ownership::{Area, HotFile};

/// Lines of each table.
const LINES: usize = 10;

/// Months that the report shows, the latest.
const MONTHS: usize = 12;

/// The report's text.
pub(crate) fn text(history: &History, hot: &[HotFile], areas: &[Area]) -> Result<String, Error> {
    let mut text = String::new();
    write(&mut text, history, hot, areas).map_err(|_| "the report could not be written")?;
    Ok(text)
}

fn write(
    text: &mut String,
    history: &History,
    hot: &[HotFile],
    areas: &[Area],
) -> std::fmt::Result {
    let total = &history.total;
    if total.commits == 0 {
        return writeln!(text, "no commits");
    }
    writeln!(
        text,
        "{} commits, {} of them merges, by {} authors, {} to {}",
        total.commits,
        total.merges,
        history.authors.len(),
        Date::at(history.first, 0).day(),
        Date::at(history.last, 0).day()
    )?;
    writeln!(
        text,
        "{} lines added, {} deleted, {} paths changed",
        total.added,
        total.deleted,
        history.files.len()
    )?;
    write_authors(text, history)?;
    write_months(text, history)?;
    write_hot_files(text, hot)?;
    write_areas(text, areas)?;
    if history.left_out > 0 {
        writeln!(
            text,
            "\n{} changes of files are not in the tables of files: too many",
            history.left_out
        )?;
    }
    Ok(())
}

fn write_authors(text: &mut String, history: &History) -> std::fmt::Result {
    writeln!(text, "\n  commits     added   deleted  last        author")?;
    let authors = busiest(history);
    for author in authors.iter().take(LINES) {
        writeln!(
            text,
            "  {:>7} {:>9} {:>9}  {}  {} <{}>",
            author.total.commits,
            author.total.added,
            author.total.deleted,
            Date::at(author.last, 0).day(),
            author.name,
            author.key
        )?;
    }
    more(text, authors.len().saturating_sub(LINES), "authors")
}

fn write_months(text: &mut String, history: &History) -> std::fmt::Result {
    writeln!(text, "\n  commits     added   deleted  authors  month")?;
    for (name, month) in history.months.iter().rev().take(MONTHS) {
        writeln!(
            text,
            "  {:>7} {:>9} {:>9} {:>8}  {name}",
            month.total.commits,
            month.total.added,
            month.total.deleted,
            month.authors.len()
        )?;
    }
    more(text, history.months.len().saturating_sub(MONTHS), "months")
}

fn write_hot_files(text: &mut String, hot: &[HotFile]) -> std::fmt::Result {
    if hot.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "\n  commits     added   deleted  authors  most changed files"
    )?;
    for file in hot.iter().take(LINES) {
        writeln!(
            text,
            "  {:>7} {:>9} {:>9} {:>8}  {} ({} {}%)",
            file.commits, file.added, file.deleted, file.authors, file.path, file.owner, file.share
        )?;
    }
    Ok(())
}

fn write_areas(text: &mut String, areas: &[Area]) -> std::fmt::Result {
    if areas.is_empty() {
        return Ok(());
    }
    writeln!(
        text,
        "\n  bus factor  authors   changes  area (who changed most)"
    )?;
    for area in areas.iter().take(LINES) {
        writeln!(
            text,
            "  {:>10} {:>8} {:>9}  {} ({} {}%)",
            area.bus_factor, area.authors, area.changes, area.name, area.owner, area.share
        )?;
    }
    writeln!(
        text,
        "  (bus factor: how few authors made more than half of the changes)"
    )
}

fn more(text: &mut String, count: usize, what: &str) -> std::fmt::Result {
    match count {
        0 => Ok(()),
        _ => writeln!(text, "  and {count} more {what}"),
    }
}

/// The authors, those with the most commits first.
fn busiest(history: &History) -> Vec<&Author> {
    let mut authors: Vec<&Author> = history.authors.iter().collect();
    authors.sort_by_key(|author| (Reverse(author.total.commits), &author.key));
    authors
}

/// The report as data.
pub(crate) fn data(history: &History, hot: &[HotFile], areas: &[Area]) -> Value {
    let authors: Vec<Value> = busiest(history)
        .into_iter()
        .take(LINES)
        .map(|author| {
            json!({
                "author": author.key, "name": author.name, "commits": author.total.commits,
                "added": author.total.added, "deleted": author.total.deleted,
            })
        })
        .collect();
    json!({
        "commits": history.total.commits,
        "merges": history.total.merges,
        "added": history.total.added,
        "deleted": history.total.deleted,
        "authors": history.authors.len(),
        "months": history.months.len(),
        "paths": history.files.len(),
        "left_out": history.left_out,
        "busiest": authors,
        "hot_files": hot.iter().map(HotFile::to_json).collect::<Vec<_>>(),
        "areas": areas.iter().map(Area::to_json).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use gm_plugin::{Commit, File};

    use super::*;
    use crate::ownership;

    #[test]
    fn report_of_nothing_says_so() {
        assert_eq!(text(&History::default(), &[], &[]).unwrap(), "no commits\n");
    }

    #[test]
    fn report_has_a_table_for_each_question() {
        let mut history = History::default();
        for number in 0..12 {
            let mut commit = Commit::default();
            commit.author.name = format!("Author {number:02}");
            commit.author.email = format!("{number:02}@example.com");
            commit.author.time = 1_700_000_000;
            let mut file = File::default();
            file.path = "src/lib.rs".to_owned();
            file.added = Some(3);
            commit.files = vec![file];
            commit.files_total = 1;
            history.add(&commit);
        }
        let hot = ownership::hot_files(&history, 5);
        let areas = ownership::areas(&history, 5);
        let text = text(&history, &hot, &areas).unwrap();
        for line in [
            "12 commits, 0 of them merges, by 12 authors, 2023-11-14 to 2023-11-14\n",
            "        1         3         0  2023-11-14  Author 00 <00@example.com>\n",
            "  and 2 more authors\n",
            "       12        36         0       12  2023-11\n",
            "       12        36         0       12  src/lib.rs (Author 00 8%)\n",
            "           7       12        12  src (Author 00 8%)\n",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
    }
}
