//! Objects of the repository by id, with every way to fail told apart.
//!
//! Sizes are bounded before anything is allocated; a packed object claims its
//! size itself.

use gix::objs::{Find as _, FindHeader as _, Kind};
use gix::{ObjectId, hash};

/// No object larger than this is decoded, nor any base of a delta: a pack of a
/// few KiB can claim terabytes. Trees and commits beyond it do not exist in
/// practice; larger blobs are never read, see `compare`.
pub(super) const MAX_OBJECT_BYTES: u64 = 256 << 20;

/// What decoded bases of deltas may hold in memory.
const DELTA_CACHE_BYTES: usize = 32 << 20;

/// What decoded objects may hold in memory. The tree and the blob that a
/// commit replaces were most often read a few commits ago.
const OBJECT_CACHE_BYTES: usize = 64 << 20;

/// An object that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unreadable {
    /// Its id.
    pub(super) id: ObjectId,
    /// Why, for people.
    pub(super) detail: String,
}

impl Unreadable {
    /// The object is not in the repository.
    pub(super) fn missing(id: ObjectId) -> Self {
        Self {
            id,
            detail: format!("object {id} is not in the repository"),
        }
    }

    /// The object is there, and is not what it must be or larger than an event
    /// can hold.
    pub(super) fn bad(id: ObjectId, what: impl std::fmt::Display) -> Self {
        Self {
            id,
            detail: format!("object {id}: {what}"),
        }
    }
}

/// The object database.
#[derive(Clone)]
pub(super) struct Objects {
    store: gix::OdbHandle,
    hash: hash::Kind,
}

impl Objects {
    /// The objects of an opened repository, with caches of their own.
    pub(super) fn of(repository: &gix::Repository) -> Self {
        let mut store = repository.objects.clone();
        store.set_pack_cache(|| {
            Box::new(gix::odb::pack::cache::lru::MemoryCappedHashmap::new(
                DELTA_CACHE_BYTES,
            ))
        });
        store.set_object_cache(|| {
            Box::new(gix::odb::pack::cache::object::MemoryCappedHashmap::new(
                OBJECT_CACHE_BYTES,
            ))
        });
        Self {
            store,
            hash: repository.object_hash(),
        }
    }

    /// How ids are made here.
    pub(super) fn hash(&self) -> hash::Kind {
        self.hash
    }

    /// Puts the object's bytes into `buffer`, if it is of this kind.
    ///
    /// # Errors
    /// It is missing, broken, too large or of another kind.
    pub(super) fn read(
        &self,
        id: ObjectId,
        kind: Kind,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        // Git knows this one without having it.
        if kind == Kind::Tree && id.is_empty_tree() {
            buffer.clear();
            return Ok(());
        }
        let found = self
            .store
            .try_find(&id, buffer)
            .map_err(|error| Unreadable::bad(id, error))?;
        let found = found.ok_or_else(|| Unreadable::missing(id))?;
        if found.kind != kind {
            return Err(Unreadable::bad(
                id,
                format_args!("is a {}, not a {kind}", found.kind),
            ));
        }
        Ok(())
    }

    /// The size of a blob, without decoding it.
    ///
    /// # Errors
    /// It is missing, broken or of another kind.
    pub(super) fn blob_size(&self, id: ObjectId) -> Result<u64, Unreadable> {
        let header = self
            .store
            .try_header(&id)
            .map_err(|error| Unreadable::bad(id, error))?;
        let header = header.ok_or_else(|| Unreadable::missing(id))?;
        if header.kind != Kind::Blob {
            return Err(Unreadable::bad(
                id,
                format_args!("is a {}, not a blob", header.kind),
            ));
        }
        Ok(header.size)
    }
}
