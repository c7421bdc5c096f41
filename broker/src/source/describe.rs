//! One commit, as plugins get it.

use super::changes::{Change, Changes, Entry};
use super::compare::{Comparer, Comparison};
use super::document::{CommitHead, Document, File};
use super::objects::{Objects, Unreadable};
use gix::ObjectId;
use gix::objs::tree::EntryKind;
use gix::objs::{CommitRef, CommitRefIter, Kind};
use std::collections::HashSet;

/// Makes documents out of commits.
pub(super) struct Describer {
    pub(super) objects: Objects,
    /// Commits whose parents were cut off.
    pub(super) boundary: HashSet<ObjectId>,
    /// The most bytes of one document.
    pub(super) limit: usize,
    comparer: Comparer,
}

/// A document, and the files' objects that could not be read for it.
pub(super) struct Described {
    pub(super) json: String,
    pub(super) unreadable: Vec<Unreadable>,
}

impl Describer {
    pub(super) fn new(objects: Objects, boundary: HashSet<ObjectId>, limit: usize) -> Self {
        Self {
            objects,
            boundary,
            limit,
            comparer: Comparer::default(),
        }
    }

    /// The document of commit `id`, event `index` of `total`. `tree_of` knows
    /// the trees of commits that were already read.
    ///
    /// # Errors
    /// The commit, its first parent, or a tree that is needed can't be read, or
    /// it can't fit into an event.
    pub(super) fn describe(
        &mut self,
        id: ObjectId,
        (index, total): (u64, u64),
        tree_of: impl Fn(&ObjectId) -> Option<ObjectId>,
    ) -> Result<Described, Unreadable> {
        let mut buffer = Vec::new();
        self.objects.read(id, Kind::Commit, &mut buffer)?;
        let commit = CommitRef::from_bytes(&buffer, self.objects.hash())
            .map_err(|error| Unreadable::bad(id, error))?;
        let head = self.head(id, &commit)?;
        let document = Document::begin(&head, index, total, self.limit)
            .ok_or_else(|| Unreadable::bad(id, "it does not fit into an event"))?;
        let old = match commit.parents().next().filter(|_| !head.boundary) {
            Some(parent) => Some(tree_of(&parent).map_or_else(|| self.tree(parent), Ok)?),
            None => None,
        };
        self.fill(document, old, commit.tree())
    }

    fn head<'a>(&self, id: ObjectId, commit: &CommitRef<'a>) -> Result<CommitHead<'a>, Unreadable> {
        let boundary = self.boundary.contains(&id);
        let parents = commit
            .parents()
            .filter(|_| !boundary)
            .map(|id| id.to_string())
            .collect();
        let broken = |error| Unreadable::bad(id, error);
        Ok(CommitHead {
            id: id.to_string(),
            parents,
            tree: commit.tree().to_string(),
            boundary,
            author: commit.author().map_err(broken)?,
            committer: commit.committer().map_err(broken)?,
            message: commit.message,
        })
    }

    /// The tree of a commit outside the range.
    fn tree(&self, commit: ObjectId) -> Result<ObjectId, Unreadable> {
        let mut buffer = Vec::new();
        self.objects.read(commit, Kind::Commit, &mut buffer)?;
        let tree = CommitRefIter::from_bytes(&buffer, self.objects.hash()).tree_id();
        tree.map_err(|error| Unreadable::bad(commit, error))
    }

    fn fill(
        &mut self,
        document: Document,
        old: Option<ObjectId>,
        new: ObjectId,
    ) -> Result<Described, Unreadable> {
        let mut document = document;
        let mut changes = Changes::between(&self.objects, old, new)?;
        let (mut total, mut room, mut unreadable) = (0, true, Vec::new());
        while let Some(change) = changes.next()? {
            total += 1;
            // Behind the cut files are only counted: reading them costs most.
            if room {
                let seen = self.comparer.compare(&self.objects, &change);
                room = document.add(&file(&change, &seen));
                unreadable.extend(seen.unreadable);
            }
        }
        Ok(Described {
            json: document.end(total),
            unreadable,
        })
    }
}

fn file(change: &Change, seen: &Comparison) -> File {
    let mut file = File::at(&change.path);
    file.status = status(change);
    file.mode = change.new.map(|(kind, _)| mode(kind));
    file.old_mode = change.old.map(|(kind, _)| mode(kind));
    file.added = seen.lines.map(|(added, _)| added);
    file.deleted = seen.lines.map(|(_, deleted)| deleted);
    file.binary = seen.binary;
    file.bytes = seen.bytes;
    file.missing = !seen.unreadable.is_empty();
    file
}

fn status(change: &Change) -> &'static str {
    match (change.old, change.new) {
        (None, _) => "A",
        (_, None) => "D",
        (Some(old), Some(new)) if class(old) != class(new) => "T",
        _ => "M",
    }
}

/// Whether it is a file, a link or a submodule.
fn class((kind, _): Entry) -> EntryKind {
    if kind == EntryKind::BlobExecutable {
        EntryKind::Blob
    } else {
        kind
    }
}

fn mode(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Tree => "040000",
        EntryKind::Blob => "100644",
        EntryKind::BlobExecutable => "100755",
        EntryKind::Link => "120000",
        EntryKind::Commit => "160000",
    }
}
