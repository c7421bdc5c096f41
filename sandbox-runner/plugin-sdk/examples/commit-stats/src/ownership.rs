//! What the counts say: which files change most, and who knows which area.
//!
//! Files that the last commit deleted are left out: nobody must know them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gm_plugin::{Value, json};

use crate::history::{Changes, History, LONGEST_NAME, Number, clean};

/// The area of files that lie in no directory.
const ROOT: &str = "(root)";

/// The area that holds all files.
const WHOLE: &str = "(all)";

/// A path in a table is cut here, in characters.
const LONGEST_PATH: usize = 500;

/// A file that changes often.
pub(crate) struct HotFile {
    pub(crate) path: String,
    pub(crate) commits: u64,
    pub(crate) added: u64,
    pub(crate) deleted: u64,
    pub(crate) authors: usize,
    pub(crate) owner: String,
    /// Percent of the commits that the owner made.
    pub(crate) share: u64,
}

/// A directory of the top level.
pub(crate) struct Area {
    pub(crate) name: String,
    /// Changes of its files: a commit that changed two counts twice.
    pub(crate) changes: u64,
    pub(crate) authors: usize,
    /// How few authors made more than half of the changes.
    pub(crate) bus_factor: usize,
    pub(crate) owner: String,
    /// Percent of the changes that the owner made.
    pub(crate) share: u64,
}

impl HotFile {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "path": self.path, "commits": self.commits, "added": self.added,
            "deleted": self.deleted, "authors": self.authors, "owner": self.owner,
            "share": self.share,
        })
    }
}

impl Area {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "area": self.name, "changes": self.changes, "authors": self.authors,
            "bus_factor": self.bus_factor, "owner": self.owner, "share": self.share,
        })
    }
}

/// The `most` files that changed in the most commits, then those with more
/// changed lines, then by path.
pub(crate) fn hot_files(history: &History, most: usize) -> Vec<HotFile> {
    let mut files: Vec<(&String, &Changes)> = present(history).collect();
    files.sort_by_key(|(path, file)| {
        let lines = file.added.saturating_add(file.deleted);
        (Reverse(file.commits), Reverse(lines), *path)
    });
    files.truncate(most);
    let hot = files.into_iter().map(|(path, file)| {
        let (owner, commits) = first_of(&file.by);
        HotFile {
            path: clean(path, LONGEST_PATH),
            commits: file.commits,
            added: file.added,
            deleted: file.deleted,
            authors: file.by.len(),
            owner: owner_name(history, owner),
            share: percent(commits, file.commits),
        }
    });
    hot.collect()
}

/// The whole, then the `most` areas with the most changes.
pub(crate) fn areas(history: &History, most: usize) -> Vec<Area> {
    let mut whole = BTreeMap::new();
    let mut by_area: BTreeMap<&str, BTreeMap<Number, u64>> = BTreeMap::new();
    for (path, file) in present(history) {
        let area = path
            .split_once('/')
            .map_or(ROOT, |(directory, _)| directory);
        let area = by_area.entry(area).or_default();
        for &(author, commits) in &file.by {
            *area.entry(author).or_default() += commits;
            *whole.entry(author).or_default() += commits;
        }
    }
    let mut areas: Vec<Area> = by_area
        .into_iter()
        .map(|(name, by)| area(history, name, &by))
        .collect();
    areas.sort_by_key(|area| Reverse(area.changes)); // stable: equal ones by name
    areas.truncate(most);
    if !whole.is_empty() {
        areas.insert(0, area(history, WHOLE, &whole));
    }
    areas
}

fn present(history: &History) -> impl Iterator<Item = (&String, &Changes)> {
    history.files.iter().filter(|(_, file)| !file.gone)
}

fn area(history: &History, name: &str, by: &BTreeMap<Number, u64>) -> Area {
    let mut shares: Vec<(Number, u64)> = by.iter().map(|(by, changes)| (*by, *changes)).collect();
    shares.sort_by_key(|(_, changes)| Reverse(*changes));
    let all: u64 = by.values().sum();
    let mut covered = 0;
    let needed = shares.iter().take_while(|(_, changes)| {
        let more = covered * 2 <= all;
        covered += changes;
        more
    });
    let bus_factor = needed.count();
    let (owner, changes) = first_of(&shares);
    Area {
        name: clean(name, LONGEST_NAME),
        changes: all,
        authors: by.len(),
        bus_factor,
        owner: owner_name(history, owner),
        share: percent(changes, all),
    }
}

/// Who did most; of equals, who came first.
fn first_of(by: &[(Number, u64)]) -> (Number, u64) {
    let most = by.iter().min_by_key(|(by, count)| (Reverse(*count), *by));
    most.copied().unwrap_or_default()
}

/// A name as short as a list of them needs.
fn owner_name(history: &History, number: Number) -> String {
    history.name(number).chars().take(40).collect()
}

/// `part` of `whole`, rounded down.
fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100) / whole.max(1)
}

#[cfg(test)]
mod tests {
    use gm_plugin::{Commit, File};

    use super::*;

    /// A history of commits, each `(author, status, paths)`.
    fn history(commits: &[(&str, &str, &[&str])]) -> History {
        let mut history = History::default();
        for (author, status, paths) in commits {
            let mut commit = Commit::default();
            (*author).clone_into(&mut commit.author.name);
            for path in *paths {
                let mut file = File::default();
                (*path).clone_into(&mut file.path);
                (*status).clone_into(&mut file.status);
                commit.files.push(file);
            }
            history.add(&commit);
        }
        history
    }

    #[test]
    fn hot_files_are_those_of_the_most_commits() {
        let history = history(&[
            ("ann", "M", &["a", "b"]),
            ("ben", "M", &["b"]),
            ("ben", "M", &["b", "gone"]),
            ("ben", "D", &["gone"]),
        ]);
        let hot = hot_files(&history, 9);
        let seen: Vec<_> = hot.iter().map(|f| (&*f.path, f.commits)).collect();
        assert_eq!(seen, [("b", 3), ("a", 1)]);
        assert_eq!(
            (&*hot[0].owner, hot[0].share, hot[0].authors),
            ("ben", 66, 2)
        );
    }

    #[test]
    fn bus_factor_is_how_few_made_more_than_half() {
        let history = history(&[
            ("ann", "M", &["src/a", "src/b", "doc"]),
            ("ben", "M", &["src/a"]),
            ("cem", "M", &["src/a"]),
        ]);
        let areas = areas(&history, 9);
        let seen: Vec<_> = areas
            .iter()
            .map(|a| (&*a.name, a.changes, a.bus_factor, &*a.owner, a.share))
            .collect();
        assert_eq!(
            seen,
            [
                ("(all)", 5, 1, "ann", 60),
                ("src", 4, 2, "ann", 50), // exactly half is not more than half
                ("(root)", 1, 1, "ann", 100),
            ]
        );
    }

    #[test]
    fn empty_history_has_no_area() {
        assert!(areas(&History::default(), 9).is_empty());
    }
}
