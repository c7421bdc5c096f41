//! What is counted, in bounded memory.
//!
//! Bounds: [`MOST_AUTHORS`] and [`FILE_BYTES`]. What is beyond them is counted
//! in the totals alone, and the report says how much that is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gm_plugin::{Commit, File, Signature};

use crate::calendar::Date;

/// More authors than this are counted as one, [`OTHERS`].
const MOST_AUTHORS: usize = 20_000;

/// The author of what is beyond [`MOST_AUTHORS`].
const OTHERS: &str = "(others)";

/// New files are not followed when the known ones take so many bytes.
const FILE_BYTES: usize = 24 << 20;

/// What a file takes beside its path, and each author of it.
const BESIDE_A_PATH: usize = 120;
const AN_AUTHOR: usize = 16;

/// Names and addresses are cut here, in characters: below 512 bytes with the
/// rest of a node's id.
pub(crate) const LONGEST_NAME: usize = 100;

/// A number for an author, by order of appearance.
pub(crate) type Number = u32;

/// Sums of commits. Of merges, lines are not counted.
#[derive(Debug, Default)]
pub(crate) struct Total {
    /// All commits, merges too.
    pub(crate) commits: u64,
    pub(crate) merges: u64,
    pub(crate) added: u64,
    pub(crate) deleted: u64,
}

/// One author: all commits with one address.
pub(crate) struct Author {
    /// The address in lower case, or the name if there is none.
    pub(crate) key: String,
    /// As in the latest commit.
    pub(crate) name: String,
    pub(crate) total: Total,
    /// Author times, seconds since 1970.
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// Changed since it was put.
    pub(crate) waiting: bool,
}

/// One month, where the author's clock showed it.
#[derive(Default)]
pub(crate) struct Month {
    pub(crate) total: Total,
    pub(crate) authors: BTreeSet<Number>,
    /// Changed since it was put.
    pub(crate) waiting: bool,
}

/// One path.
#[derive(Default)]
pub(crate) struct Changes {
    /// Commits that changed it.
    pub(crate) commits: u64,
    pub(crate) added: u64,
    pub(crate) deleted: u64,
    /// How many of the commits each author made.
    pub(crate) by: Vec<(Number, u64)>,
    /// The last commit deleted it.
    pub(crate) gone: bool,
}

/// All that was counted.
pub(crate) struct History {
    pub(crate) total: Total,
    pub(crate) authors: Vec<Author>,
    numbers: HashMap<String, Number>,
    pub(crate) months: BTreeMap<String, Month>,
    pub(crate) files: HashMap<String, Changes>,
    room_for_files: usize,
    /// Changes of files that are not in `files`, or not in the commit's list.
    pub(crate) left_out: u64,
    /// Author times, seconds since 1970.
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            total: Total::default(),
            authors: Vec::new(),
            numbers: HashMap::new(),
            months: BTreeMap::new(),
            files: HashMap::new(),
            room_for_files: FILE_BYTES,
            left_out: 0,
            first: i64::MAX,
            last: i64::MIN,
        }
    }
}

impl History {
    /// Counts a commit.
    pub(crate) fn add(&mut self, commit: &Commit) {
        let files: &[File] = if commit.merge { &[] } else { &commit.files };
        let time = commit.author.time;
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.total.add(commit.merge, files);

        let number = self.author(&commit.author);
        if let Some(author) = at(&mut self.authors, number) {
            author.total.add(commit.merge, files);
            author.first = author.first.min(time);
            author.last = author.last.max(time);
            author.waiting = true;
        }
        let month = Date::at(time, commit.author.offset).month();
        let month = self.months.entry(month).or_default();
        month.total.add(commit.merge, files);
        month.authors.insert(number);
        month.waiting = true;

        for file in files {
            self.change(file, number);
        }
        if !commit.merge {
            let listed = u64::try_from(files.len()).unwrap_or(u64::MAX);
            self.left_out += commit.files_total.saturating_sub(listed);
        }
    }

    /// The number of who made the commit; the latest spelling of the name counts.
    fn author(&mut self, who: &Signature) -> Number {
        let name = clean(&who.name, LONGEST_NAME);
        let key = match clean(&who.email, LONGEST_NAME).to_lowercase() {
            email if email.is_empty() => name.clone(),
            email => email,
        };
        if let Some(&number) = self.numbers.get(&key) {
            if let Some(author) = at(&mut self.authors, number) {
                author.name = name;
            }
            return number;
        }
        let is_last = self.authors.len() >= MOST_AUTHORS;
        let (key, name) = match is_last {
            true => (OTHERS.to_owned(), OTHERS.to_owned()),
            false => (key, name),
        };
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        let number = Number::try_from(self.authors.len()).unwrap_or(Number::MAX);
        self.numbers.insert(key.clone(), number);
        self.authors.push(Author {
            key,
            name,
            total: Total::default(),
            first: i64::MAX,
            last: i64::MIN,
            waiting: false,
        });
        number
    }

    /// Counts a changed file.
    fn change(&mut self, file: &File, author: Number) {
        let known = self.files.get(&file.path);
        let known_author = known.is_some_and(|file| file.by.iter().any(|(by, _)| *by == author));
        let mut bytes = if known_author { 0 } else { AN_AUTHOR };
        if known.is_none() {
            bytes += file.path.len() + BESIDE_A_PATH;
        }
        let Some(room) = self.room_for_files.checked_sub(bytes) else {
            self.left_out += 1;
            return;
        };
        self.room_for_files = room;
        let changes = self.files.entry(file.path.clone()).or_default();
        changes.commits += 1;
        changes.added += file.added.unwrap_or(0);
        changes.deleted += file.deleted.unwrap_or(0);
        changes.gone = file.status == "D";
        match changes.by.iter_mut().find(|(by, _)| *by == author) {
            Some((_, commits)) => *commits += 1,
            None => changes.by.push((author, 1)),
        }
    }

    /// The name of an author.
    pub(crate) fn name(&self, number: Number) -> &str {
        let author = usize::try_from(number).ok();
        let author = author.and_then(|number| self.authors.get(number));
        author.map_or(OTHERS, |author| author.name.as_str())
    }
}

impl Total {
    fn add(&mut self, merge: bool, files: &[File]) {
        self.commits += 1;
        self.merges += u64::from(merge);
        self.added += files.iter().filter_map(|file| file.added).sum::<u64>();
        self.deleted += files.iter().filter_map(|file| file.deleted).sum::<u64>();
    }
}

/// A stranger's text on one line, at most `most` characters of it.
pub(crate) fn clean(text: &str, most: usize) -> String {
    let text = text.trim().chars().take(most);
    text.map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn at(authors: &mut [Author], number: Number) -> Option<&mut Author> {
    authors.get_mut(usize::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(email: &str, path: &str, added: u64) -> Commit {
        let mut commit = Commit::default();
        email.clone_into(&mut commit.author.email);
        commit.author.name = format!("name of {email}");
        let mut file = File::default();
        path.clone_into(&mut file.path);
        file.status = "M".to_owned();
        file.added = Some(added);
        commit.files = vec![file];
        commit.files_total = 1;
        commit
    }

    #[test]
    fn one_address_is_one_author_whatever_its_case() {
        let mut history = History::default();
        history.add(&commit("a@b", "x", 1));
        history.add(&commit("A@B", "x", 2));
        assert_eq!(history.authors.len(), 1);
        assert_eq!(history.authors[0].total.added, 3);
        assert_eq!(history.name(0), "name of A@B");
        assert_eq!(history.files["x"].by, [(0, 2)]);
    }

    #[test]
    fn author_without_an_address_is_known_by_name() {
        let mut history = History::default();
        history.add(&commit("", "x", 1));
        assert_eq!(history.authors[0].key, "name of");
    }

    #[test]
    fn merge_is_a_commit_without_lines() {
        let mut history = History::default();
        let mut merge = commit("a@b", "x", 7);
        merge.merge = true;
        history.add(&merge);
        let total = &history.total;
        assert_eq!((total.commits, total.merges, total.added), (1, 1, 0));
        assert!(history.files.is_empty());
        assert_eq!(history.left_out, 0);
    }

    #[test]
    fn binary_file_counts_as_changed_without_lines() {
        let mut history = History::default();
        let mut binary = commit("a@b", "x", 7);
        binary.files[0].added = None;
        history.add(&binary);
        assert_eq!(history.files["x"].commits, 1);
        assert_eq!(history.total.added, 0);
    }

    #[test]
    fn what_does_not_fit_is_counted_as_left_out() {
        let mut history = History {
            room_for_files: BESIDE_A_PATH + AN_AUTHOR + 1,
            ..History::default()
        };
        history.add(&commit("a@b", "x", 1));
        history.add(&commit("a@b", "x", 1));
        history.add(&commit("a@b", "y", 1));
        let mut cut = commit("a@b", "x", 1);
        cut.files_total = 11;
        history.add(&cut);
        assert_eq!((history.files.len(), history.left_out), (1, 11));
        assert_eq!(history.total.added, 4);
    }

    #[test]
    fn name_is_cut_and_keeps_to_its_line() {
        assert_eq!(clean(" a\u{1b}[1m\nb ", 9), "a\u{fffd}[1m\u{fffd}b");
        assert_eq!(clean("äöüß", 3), "äöü");
    }
}
