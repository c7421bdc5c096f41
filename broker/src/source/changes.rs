//! What differs between two trees, file by file, in the order of path bytes.
//!
//! Only trees that differ are read. Nothing recurses, so a tree of any depth
//! costs memory for its path alone, and every count is bounded: ten small
//! trees can stand for ten billion files.

use super::objects::{Objects, Unreadable};
use gix::ObjectId;
use gix::objs::tree::{EntryKind, name_order};
use gix::objs::{Kind, TreeRefIter};
use std::cmp::Ordering;

/// The most files and directories of one commit that are looked at.
const MAX_ENTRIES: u64 = 1 << 20;

/// The longest path that is followed.
const MAX_PATH_BYTES: usize = 32 << 10;

/// Kind and id of a file in a tree.
pub(super) type Entry = (EntryKind, ObjectId);

/// A path at which two trees differ; at least one side is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) path: Vec<u8>,
    pub(super) old: Option<Entry>,
    pub(super) new: Option<Entry>,
}

/// The differences, each read when it is asked for.
pub(super) struct Changes<'a> {
    objects: &'a Objects,
    levels: Vec<Level>,
    path: Vec<u8>,
    seen: u64,
}

/// A directory in both trees; the side that lacks it is empty.
struct Level {
    old: Side,
    new: Side,
    path_len: usize,
}

struct Side {
    id: ObjectId,
    bytes: Vec<u8>,
    at: usize,
}

/// The next entry of a side: what it is, and where the one after begins.
struct Head<'a> {
    name: &'a [u8],
    entry: Entry,
    end: usize,
}

impl<'a> Changes<'a> {
    /// Between two trees; without an `old` one everything is new.
    ///
    /// # Errors
    /// A tree can't be read.
    pub(super) fn between(
        objects: &'a Objects,
        old: Option<ObjectId>,
        new: ObjectId,
    ) -> Result<Self, Unreadable> {
        let mut changes = Self {
            objects,
            levels: Vec::new(),
            path: Vec::new(),
            seen: 0,
        };
        if old != Some(new) {
            changes.enter(old, Some(new))?;
        }
        Ok(changes)
    }

    /// The next difference.
    ///
    /// # Errors
    /// A tree can't be read, or there are too many entries or too long paths.
    pub(super) fn next(&mut self) -> Result<Option<Change>, Unreadable> {
        while let Some(level) = self.levels.last_mut() {
            self.path.truncate(level.path_len);
            let Some((old, new)) = level.step(self.objects.hash(), &mut self.path)? else {
                self.levels.pop();
                continue;
            };
            if old == new {
                continue;
            }
            self.count(old.or(new))?;
            if is_tree(old) || is_tree(new) {
                self.path.push(b'/');
                self.enter(old.map(|(_, id)| id), new.map(|(_, id)| id))?;
                continue;
            }
            return Ok(Some(Change {
                path: self.path.clone(),
                old,
                new,
            }));
        }
        Ok(None)
    }

    fn enter(&mut self, old: Option<ObjectId>, new: Option<ObjectId>) -> Result<(), Unreadable> {
        let level = Level {
            old: Side::read(self.objects, old)?,
            new: Side::read(self.objects, new)?,
            path_len: self.path.len(),
        };
        self.levels.push(level);
        Ok(())
    }

    fn count(&mut self, entry: Option<Entry>) -> Result<(), Unreadable> {
        self.seen += 1;
        let id = entry.map_or_else(|| ObjectId::empty_tree(self.objects.hash()), |(_, id)| id);
        if self.seen > MAX_ENTRIES {
            return Err(Unreadable::bad(
                id,
                format_args!("its commit changes over {MAX_ENTRIES} entries"),
            ));
        }
        if self.path.len() > MAX_PATH_BYTES {
            return Err(Unreadable::bad(
                id,
                format_args!("its path is over {MAX_PATH_BYTES} bytes"),
            ));
        }
        Ok(())
    }
}

impl Level {
    /// The next entry of either side, or both if they have the same name and
    /// are both directories or both not; its name is put behind `path`.
    #[expect(
        clippy::type_complexity,
        reason = "a pair of sides, named at once where it is used"
    )]
    fn step(
        &mut self,
        hash: gix::hash::Kind,
        path: &mut Vec<u8>,
    ) -> Result<Option<(Option<Entry>, Option<Entry>)>, Unreadable> {
        let (old, new) = (self.old.head(hash)?, self.new.head(hash)?);
        let order = match (&old, &new) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => name_order(
                old.name,
                is_tree(Some(old.entry)),
                new.name,
                is_tree(Some(new.entry)),
            ),
        };
        let old = old.filter(|_| order != Ordering::Greater);
        let new = new.filter(|_| order != Ordering::Less);
        if let Some(head) = old.as_ref().or(new.as_ref()) {
            path.extend_from_slice(head.name);
        }
        let pair = (
            old.as_ref().map(|head| head.entry),
            new.as_ref().map(|head| head.entry),
        );
        let ends = (old.map(|head| head.end), new.map(|head| head.end));
        self.old.at = ends.0.unwrap_or(self.old.at);
        self.new.at = ends.1.unwrap_or(self.new.at);
        Ok(Some(pair))
    }
}

impl Side {
    fn read(objects: &Objects, id: Option<ObjectId>) -> Result<Self, Unreadable> {
        let mut bytes = Vec::new();
        if let Some(id) = id {
            objects.read(id, Kind::Tree, &mut bytes)?;
        }
        Ok(Self {
            id: id.unwrap_or_else(|| ObjectId::empty_tree(objects.hash())),
            bytes,
            at: 0,
        })
    }

    fn head(&self, hash: gix::hash::Kind) -> Result<Option<Head<'_>>, Unreadable> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let mut entries = TreeRefIter::from_bytes(rest, hash);
        let Some(entry) = entries.next() else {
            return Ok(None);
        };
        let entry = entry.map_err(|error| Unreadable::bad(self.id, error))?;
        let end = self.at + entries.offset_to_next_entry(rest);
        Ok(Some(Head {
            name: entry.filename,
            entry: (entry.mode.kind(), entry.oid.to_owned()),
            end,
        }))
    }
}

fn is_tree(entry: Option<Entry>) -> bool {
    matches!(entry, Some((EntryKind::Tree, _)))
}

#[cfg(test)]
mod tests;
