//! Counts how often files changed, alone and in pairs, in bounded memory.
//!
//! Bounds: [`PATH_BYTES`] for paths, and [`MOST_PAIRS`] pairs in one table of
//! 2^19 places of 13 bytes, half as much again while it grows. Together below
//! 40 MB, of the manifest's 64.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::rc::Rc;

/// New paths are not followed when the known ones take so many bytes.
const PATH_BYTES: usize = 16 << 20;

/// What a path takes beside its own bytes: two references to it, its count, its
/// place in a table that is half empty.
const BESIDE_A_PATH: usize = 64;

/// With more pairs than this, the weakest are forgotten. A table of 2^19 places
/// is full at 458,752, and one commit of 200 files adds at most 19,900.
const MOST_PAIRS: usize = 435_000;

/// A file's number, by order of appearance.
type Number = u32;

/// Two files, the lower path first.
type Key = (Number, Number);

/// How often a file changed.
struct Changed {
    path: Rc<str>,
    commits: u32,
}

/// A pair, for the report.
pub(crate) struct Strong<'a> {
    pub(crate) a: &'a str,
    pub(crate) b: &'a str,
    pub(crate) weight: u32,
    pub(crate) commits_a: u32,
    pub(crate) commits_b: u32,
}

/// All counts so far, and which of them the graph doesn't have yet.
pub(crate) struct Pairs {
    most_pairs: usize,
    room_for_paths: usize,
    numbers: HashMap<Rc<str>, Number>,
    files: Vec<Changed>,
    weights: HashMap<Key, u32>,
    waiting_files: BTreeSet<Number>,
    waiting_pairs: BTreeSet<Key>,
    forgotten: u64,
}

impl Default for Pairs {
    fn default() -> Self {
        Self::bounded(PATH_BYTES, MOST_PAIRS)
    }
}

impl Pairs {
    fn bounded(room_for_paths: usize, most_pairs: usize) -> Self {
        Self {
            most_pairs,
            room_for_paths,
            numbers: HashMap::new(),
            files: Vec::new(),
            weights: HashMap::new(),
            waiting_files: BTreeSet::new(),
            waiting_pairs: BTreeSet::new(),
            forgotten: 0,
        }
    }

    /// Counts a commit that changed `paths`; returns how many of them were left
    /// out because there is no room for more paths.
    pub(crate) fn add(&mut self, paths: &[&str]) -> usize {
        let mut sorted = paths.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let numbers: Vec<Number> = sorted.iter().filter_map(|path| self.number(path)).collect();
        for (position, &a) in numbers.iter().enumerate() {
            if let Some(file) = entry(&mut self.files, a) {
                file.commits = file.commits.saturating_add(1);
            }
            self.waiting_files.insert(a);
            for &b in numbers.iter().skip(position + 1) {
                let weight = self.weights.entry((a, b)).or_default();
                *weight = weight.saturating_add(1);
                self.waiting_pairs.insert((a, b));
            }
        }
        sorted.len() - numbers.len()
    }

    /// The number of a path; none for a new one without room.
    fn number(&mut self, path: &str) -> Option<Number> {
        if let Some(&number) = self.numbers.get(path) {
            return Some(number);
        }
        let number = Number::try_from(self.files.len()).ok()?;
        self.room_for_paths = self
            .room_for_paths
            .checked_sub(path.len() + BESIDE_A_PATH)?;
        let path: Rc<str> = path.into();
        self.numbers.insert(Rc::clone(&path), number);
        self.files.push(Changed { path, commits: 0 });
        Some(number)
    }

    /// How many records the graph doesn't have yet.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_files.len().max(self.waiting_pairs.len())
    }

    /// At most `most` files that the graph doesn't have yet as they are, with
    /// their commits. They count as put from now on.
    pub(crate) fn take_files(&mut self, most: usize) -> Vec<(Rc<str>, u32)> {
        let taken = std::iter::from_fn(|| self.waiting_files.pop_first()).take(most);
        let numbers: Vec<Number> = taken.collect();
        let files = numbers.into_iter().filter_map(|number| self.file(number));
        files
            .map(|file| (Rc::clone(&file.path), file.commits))
            .collect()
    }

    /// At most `most` pairs that the graph doesn't have yet as they are, with
    /// their weights. They count as put from now on.
    pub(crate) fn take_pairs(&mut self, most: usize) -> Vec<(Rc<str>, Rc<str>, u32)> {
        let taken = std::iter::from_fn(|| self.waiting_pairs.pop_first()).take(most);
        let keys: Vec<Key> = taken.collect();
        let pairs = keys.into_iter().filter_map(|(a, b)| {
            let weight = *self.weights.get(&(a, b))?;
            let (a, b) = (self.file(a)?, self.file(b)?);
            Some((Rc::clone(&a.path), Rc::clone(&b.path), weight))
        });
        pairs.collect()
    }

    /// There are so many pairs that the weakest must go.
    pub(crate) fn is_full(&self) -> bool {
        self.weights.len() > self.most_pairs
    }

    /// Forgets the weakest pairs until a quarter of the room is free again. What
    /// was not taken before is lost to the graph.
    pub(crate) fn forget_the_weakest(&mut self) {
        let mut floor: u32 = 1;
        while self.weights.len() > self.most_pairs / 4 * 3 {
            let before = self.weights.len();
            self.weights.retain(|_, weight| *weight > floor);
            let gone = before - self.weights.len();
            self.forgotten += u64::try_from(gone).unwrap_or(u64::MAX);
            floor = floor.saturating_mul(2);
        }
    }

    /// The `most` heaviest pairs, the heaviest first, equal ones by path.
    pub(crate) fn strongest(&self, most: usize) -> Vec<Strong<'_>> {
        let mut heap = BinaryHeap::new();
        for (&key, &weight) in &self.weights {
            let Some(pair) = self.pair(key, weight) else {
                continue;
            };
            // The weakest on top, so that it is the one to go.
            heap.push((Reverse(weight), pair.a, pair.b, key));
            if heap.len() > most {
                heap.pop();
            }
        }
        heap.into_sorted_vec()
            .into_iter()
            .filter_map(|(Reverse(weight), _, _, key)| self.pair(key, weight))
            .collect()
    }

    fn pair(&self, (a, b): Key, weight: u32) -> Option<Strong<'_>> {
        let (a, b) = (self.file(a)?, self.file(b)?);
        Some(Strong {
            a: &a.path,
            b: &b.path,
            weight,
            commits_a: a.commits,
            commits_b: b.commits,
        })
    }

    fn file(&self, number: Number) -> Option<&Changed> {
        self.files.get(usize::try_from(number).ok()?)
    }

    /// How many paths were seen.
    pub(crate) fn files(&self) -> usize {
        self.files.len()
    }

    /// How many pairs are remembered.
    pub(crate) fn len(&self) -> usize {
        self.weights.len()
    }

    /// How many pairs were forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

fn entry(files: &mut [Changed], number: Number) -> Option<&mut Changed> {
    files.get_mut(usize::try_from(number).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(pairs: &Pairs) -> Vec<(&str, &str, u32)> {
        let strongest = pairs.strongest(usize::MAX);
        strongest.iter().map(|p| (p.a, p.b, p.weight)).collect()
    }

    #[test]
    fn pair_weighs_the_commits_that_changed_both() {
        let mut pairs = Pairs::default();
        pairs.add(&["b", "a", "c"]);
        pairs.add(&["c", "b"]);
        pairs.add(&["a"]);
        assert_eq!(
            weights(&pairs),
            [("b", "c", 2), ("a", "b", 1), ("a", "c", 1)]
        );
        let first = &pairs.strongest(1)[0];
        assert_eq!((first.commits_a, first.commits_b), (2, 2));
    }

    #[test]
    fn path_named_twice_in_a_commit_counts_once() {
        let mut pairs = Pairs::default();
        pairs.add(&["a", "a", "b"]);
        assert_eq!(weights(&pairs), [("a", "b", 1)]);
    }

    #[test]
    fn later_path_that_sorts_lower_makes_no_second_pair() {
        let mut pairs = Pairs::default();
        pairs.add(&["z"]);
        pairs.add(&["z", "a"]);
        pairs.add(&["a", "z"]);
        assert_eq!(weights(&pairs), [("a", "z", 2)]);
    }

    #[test]
    fn what_was_taken_waits_again_only_after_a_change() {
        let mut pairs = Pairs::default();
        pairs.add(&["a", "b"]);
        assert_eq!(pairs.waiting(), 2);
        assert_eq!(pairs.take_files(1), [("a".into(), 1)]);
        assert_eq!(pairs.take_files(9), [("b".into(), 1)]);
        assert_eq!(pairs.take_pairs(9), [("a".into(), "b".into(), 1)]);
        assert_eq!(pairs.waiting(), 0);
        pairs.add(&["a", "b"]);
        assert_eq!(pairs.take_pairs(9), [("a".into(), "b".into(), 2)]);
    }

    #[test]
    fn weakest_pairs_are_forgotten_first_and_counted() {
        let mut pairs = Pairs::bounded(1 << 20, 4);
        pairs.add(&["a", "b"]);
        pairs.add(&["a", "b"]);
        for other in ["c", "d", "e"] {
            pairs.add(&["a", other]);
            assert!(!pairs.is_full());
        }
        pairs.add(&["a", "f"]);
        assert!(pairs.is_full());
        pairs.forget_the_weakest();
        assert_eq!(weights(&pairs), [("a", "b", 2)]);
        assert_eq!(pairs.forgotten(), 4);
    }

    #[test]
    fn forgetting_ends_when_all_pairs_are_heavy() {
        let mut pairs = Pairs::bounded(1 << 20, 2);
        for _ in 0..5 {
            pairs.add(&["a", "b", "c"]);
        }
        pairs.forget_the_weakest();
        assert_eq!(pairs.len(), 0);
    }

    #[test]
    fn without_room_for_a_path_known_ones_are_still_counted() {
        let mut pairs = Pairs::bounded(2 * (BESIDE_A_PATH + 1), 100);
        assert_eq!(pairs.add(&["a", "b"]), 0);
        assert_eq!(pairs.add(&["a", "b", "c"]), 1);
        assert_eq!(weights(&pairs), [("a", "b", 2)]);
    }
}
