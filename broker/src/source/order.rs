//! The order of events: parents before children, then time, then id.

use super::commits::Commits;
use gix::ObjectId;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Hands out the places of commits. A commit is ready when all its parents of
/// the range were handed out; of those that are ready the smallest
/// (committer time, id) is next.
pub(super) struct Order {
    ready: BinaryHeap<Reverse<(i64, ObjectId, u32)>>,
    /// How many parents each commit still waits for.
    waits: Vec<u32>,
    children: Vec<Vec<u32>>,
}

impl Order {
    pub(super) fn of(commits: &Commits) -> Self {
        let count = u32::try_from(commits.len()).unwrap_or(u32::MAX);
        let mut children = vec![Vec::new(); count as usize];
        let mut waits = Vec::with_capacity(count as usize);
        let mut ready = BinaryHeap::new();
        for place in 0..count {
            let parents = commits.parents(place);
            for parent in parents {
                // A commit may name the same parent twice; it then waits twice for it.
                if let Some(list) = children.get_mut(*parent as usize) {
                    list.push(place);
                }
            }
            waits.push(u32::try_from(parents.len()).unwrap_or(u32::MAX));
            if parents.is_empty() {
                ready.push(Reverse(entry(commits, place)));
            }
        }
        Self {
            ready,
            waits,
            children,
        }
    }

    /// The next commit; `None` after the last.
    pub(super) fn next(&mut self, commits: &Commits) -> Option<(ObjectId, u32)> {
        let Reverse((_, id, place)) = self.ready.pop()?;
        let children = self
            .children
            .get_mut(place as usize)
            .map(std::mem::take)
            .unwrap_or_default();
        for child in children {
            let Some(waits) = self.waits.get_mut(child as usize) else {
                continue;
            };
            *waits = waits.saturating_sub(1);
            if *waits == 0 {
                self.ready.push(Reverse(entry(commits, child)));
            }
        }
        Some((id, place))
    }
}

fn entry(commits: &Commits, place: u32) -> (i64, ObjectId, u32) {
    let (time, id) = commits.key(place);
    (time, id, place)
}
