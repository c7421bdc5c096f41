//! The commits of a range and how they hang together, without their contents.
//!
//! Some 100 bytes a commit are kept; nothing else of a walk grows with the
//! length of the history. Parents are those of the objects themselves: replace
//! references and grafts are never looked at.

use super::MAX_SAFE_INTEGER;
use super::objects::Objects;
use gix::ObjectId;
use gix::objs::commit::ref_iter::Token;
use gix::objs::{CommitRefIter, Kind};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

/// Commits by place; places follow no order.
#[derive(Default)]
pub(super) struct Commits {
    ids: Vec<ObjectId>,
    times: Vec<i64>,
    trees: Vec<Option<ObjectId>>,
    /// Places of the parents that belong to the range.
    parents: Vec<Box<[u32]>>,
    places: HashMap<ObjectId, u32>,
}

/// What a walk needs of one commit. A commit that can't be read has no
/// parents and is of time 0; it is described as unreadable when its turn comes.
#[derive(Default)]
struct Links {
    time: i64,
    tree: Option<ObjectId>,
    parents: Vec<ObjectId>,
}

impl Commits {
    /// All that `tips` reach and `hidden` do not.
    pub(super) fn between(
        objects: &Objects,
        boundary: &HashSet<ObjectId>,
        tips: Vec<ObjectId>,
        hidden: Vec<ObjectId>,
    ) -> Self {
        let mut buffer = Vec::new();
        let mut left_out = HashSet::new();
        let mut open = hidden;
        while let Some(id) = open.pop() {
            if left_out.insert(id) {
                open.extend(links(objects, boundary, id, &mut buffer).parents);
            }
        }
        let mut found = Self::default();
        let mut edges = Vec::new();
        let mut open = tips;
        while let Some(id) = open.pop() {
            if left_out.contains(&id) || found.places.contains_key(&id) {
                continue;
            }
            let links = links(objects, boundary, id, &mut buffer);
            found.add(id, &links);
            open.extend_from_slice(&links.parents);
            edges.push(links.parents);
        }
        found.join(&edges);
        found
    }

    /// The first `count` of `git rev-list` from `tips`: always the newest of
    /// those seen, the one seen first if they are of the same time.
    pub(super) fn newest(
        objects: &Objects,
        boundary: &HashSet<ObjectId>,
        tips: Vec<ObjectId>,
        count: u64,
    ) -> Self {
        let mut buffer = Vec::new();
        let mut found = Self::default();
        let mut edges = Vec::new();
        let mut seen = HashSet::new();
        let mut waiting: BinaryHeap<(i64, Reverse<usize>, ObjectId)> = BinaryHeap::new();
        let mut details: HashMap<ObjectId, Links> = HashMap::new();
        let mut fresh = tips;
        loop {
            for id in fresh.drain(..) {
                if seen.insert(id) {
                    let links = links(objects, boundary, id, &mut buffer);
                    waiting.push((links.time, Reverse(seen.len()), id));
                    details.insert(id, links);
                }
            }
            if found.len() >= count {
                break;
            }
            let Some((_, _, id)) = waiting.pop() else {
                break;
            };
            let links = details.remove(&id).unwrap_or_default();
            found.add(id, &links);
            fresh.extend_from_slice(&links.parents);
            edges.push(links.parents);
        }
        found.join(&edges);
        found
    }

    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Committer time and id, the order among commits that wait for no parent.
    pub(super) fn key(&self, place: u32) -> (i64, ObjectId) {
        let place = place as usize;
        let time = self.times.get(place).copied().unwrap_or_default();
        let id = self.ids.get(place).copied();
        (
            time,
            id.unwrap_or_else(|| ObjectId::null(gix::hash::Kind::Sha1)),
        )
    }

    /// The parents of a commit, as far as they belong to the range.
    pub(super) fn parents(&self, place: u32) -> &[u32] {
        self.parents
            .get(place as usize)
            .map_or(&[], |parents| &**parents)
    }

    /// The tree of a commit of the range.
    pub(super) fn tree_of(&self, id: &ObjectId) -> Option<ObjectId> {
        let place = *self.places.get(id)?;
        *self.trees.get(place as usize)?
    }

    fn add(&mut self, id: ObjectId, links: &Links) {
        // More commits than u32 holds would not fit into memory either.
        let place = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.places.insert(id, place);
        self.ids.push(id);
        self.times.push(links.time);
        self.trees.push(links.tree);
    }

    /// Turns ids of parents into places, once all places are known.
    fn join(&mut self, edges: &[Vec<ObjectId>]) {
        let places = &self.places;
        let join = |ids: &Vec<ObjectId>| {
            ids.iter()
                .filter_map(|id| places.get(id).copied())
                .collect()
        };
        self.parents = edges.iter().map(join).collect();
    }
}

/// Reads the head of a commit. A part that can't be read ends it: what stands
/// before still counts, so a broken author does not cut off the history.
fn links(
    objects: &Objects,
    boundary: &HashSet<ObjectId>,
    id: ObjectId,
    buffer: &mut Vec<u8>,
) -> Links {
    let mut links = Links::default();
    if objects.read(id, Kind::Commit, buffer).is_err() {
        return links;
    }
    for token in CommitRefIter::from_bytes(buffer, objects.hash()).map_while(Result::ok) {
        match token {
            Token::Tree { id } => links.tree = Some(id),
            Token::Parent { id } => links.parents.push(id),
            Token::Committer { signature } => {
                links.time = signature
                    .seconds()
                    .clamp(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER);
                break;
            }
            _ => {}
        }
    }
    if boundary.contains(&id) {
        links.parents.clear();
    }
    links
}
