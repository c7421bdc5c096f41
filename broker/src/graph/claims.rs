//! Who is about to write what: keys that open calls have put and not yet
//! committed.
//!
//! Calls of several plugins are open at once and none waits for another, so
//! the second writer of a key must hear of the first before anything is in
//! the file.

use super::record::EdgeKey;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What can be claimed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ClaimKey {
    Node(String),
    Edge(EdgeKey),
}

impl From<String> for ClaimKey {
    fn from(id: String) -> Self {
        Self::Node(id)
    }
}

impl From<EdgeKey> for ClaimKey {
    fn from(key: EdgeKey) -> Self {
        Self::Edge(key)
    }
}

/// A writer, and how many of its open calls hold the key.
struct Claim {
    writer: Arc<str>,
    calls: u32,
}

/// The claims of all open calls of a graph.
#[derive(Default)]
pub(super) struct Claims(Mutex<HashMap<ClaimKey, Claim>>);

impl Claims {
    /// Claims all keys for a call of this writer, or none of them.
    pub(super) fn take(&self, writer: &Arc<str>, keys: &[ClaimKey]) -> bool {
        let mut claims = self.lock();
        let foreign = |key| claims.get(key).is_some_and(|claim| claim.writer != *writer);
        if keys.iter().any(foreign) {
            return false;
        }
        for key in keys {
            claims
                .entry(key.clone())
                .or_insert_with(|| Claim {
                    writer: writer.clone(),
                    calls: 0,
                })
                .calls += 1;
        }
        true
    }

    /// Gives claimed keys back, once each.
    pub(super) fn release(&self, keys: impl Iterator<Item = ClaimKey>) {
        let mut claims = self.lock();
        for key in keys {
            let Entry::Occupied(mut entry) = claims.entry(key) else {
                continue;
            };
            entry.get_mut().calls = entry.get().calls.saturating_sub(1);
            if entry.get().calls == 0 {
                entry.remove();
            }
        }
    }

    /// The map is whole between two statements, so a panic elsewhere spoils nothing.
    fn lock(&self) -> MutexGuard<'_, HashMap<ClaimKey, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_one_writer_until_its_last_call_gives_it_back() {
        let (claims, one, other) = (Claims::default(), Arc::from("one"), Arc::from("other"));
        let keys = [ClaimKey::Node("a".into()), ClaimKey::Node("b".into())];
        assert!(claims.take(&one, &keys) && claims.take(&one, &keys[..1]));
        assert!(!claims.take(&other, &keys));
        claims.release(keys.iter().cloned());
        assert!(claims.take(&other, &keys[1..]) && !claims.take(&other, &keys[..1]));
        claims.release(keys.iter().take(1).cloned());
        assert!(claims.take(&other, &keys[..1]));
    }

    #[test]
    fn a_refused_claim_claims_nothing() {
        let (claims, one, other) = (Claims::default(), Arc::from("one"), Arc::from("other"));
        let keys = [ClaimKey::Node("a".into()), ClaimKey::Node("b".into())];
        assert!(claims.take(&one, &keys[1..]) && !claims.take(&other, &keys));
        claims.release(keys.iter().skip(1).cloned());
        assert!(claims.lock().is_empty());
    }
}
