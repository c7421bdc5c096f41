//! The events of a walk, one at a time.

use super::commits::Commits;
use super::describe::Describer;
use super::objects::{Objects, Unreadable};
use super::order::Order;
use gix::ObjectId;
use std::collections::{HashSet, VecDeque};

/// What a walk yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceItem {
    /// A commit, for `on_commit_analyzed`.
    Commit(CommitEvent),
    /// An object that can't be read: a commit that is passed over, or a file's
    /// content of the commit that comes next. Each object is named once.
    Skipped {
        /// Its id.
        object: String,
        /// Why, for people.
        detail: String,
    },
}

/// A commit as plugins get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitEvent {
    /// Its id, in hex.
    pub id: String,
    /// Its number among the commits of the range, from 1; a commit that is
    /// passed over keeps its number.
    pub index: u64,
    /// The document `gm.commit/1`, at most the event limit in bytes.
    pub json: String,
}

/// The commits of a range, parents before children. Contents are read when an
/// item is asked for; only the shape of the history is held.
pub struct Walk {
    commits: Commits,
    order: Order,
    describer: Describer,
    index: u64,
    ready: VecDeque<SourceItem>,
    named: HashSet<ObjectId>,
}

impl Walk {
    pub(super) fn new(
        objects: Objects,
        commits: Commits,
        boundary: HashSet<ObjectId>,
        event_limit: usize,
    ) -> Self {
        Self {
            order: Order::of(&commits),
            commits,
            describer: Describer::new(objects, boundary, event_limit),
            index: 0,
            ready: VecDeque::new(),
            named: HashSet::new(),
        }
    }

    /// How many commits the range has, those that will be passed over included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.commits.len()
    }

    fn skip(&mut self, object: ObjectId, why: Unreadable) {
        if self.named.insert(object) {
            self.ready.push_back(SourceItem::Skipped {
                object: object.to_string(),
                detail: why.detail,
            });
        }
    }
}

impl Iterator for Walk {
    type Item = SourceItem;

    fn next(&mut self) -> Option<SourceItem> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            let (id, _) = self.order.next(&self.commits)?;
            self.index += 1;
            let place = (self.index, self.commits.len());
            match self
                .describer
                .describe(id, place, |parent| self.commits.tree_of(parent))
            {
                // Named by the commit: it is what the plugins miss.
                Err(why) => self.skip(id, why),
                Ok(described) => {
                    for why in described.unreadable {
                        self.skip(why.id, why);
                    }
                    let event = CommitEvent {
                        id: id.to_string(),
                        index: self.index,
                        json: described.json,
                    };
                    self.ready.push_back(SourceItem::Commit(event));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
