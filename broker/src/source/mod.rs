//! Where events come from: the commits of a Git repository, or a file of events.
//!
//! A repository is hostile input that is only read: no configuration of it can
//! start a program, reach the network or name another file, no object is
//! trusted to be well formed, and what can't be read is passed over and said.

mod changes;
mod commits;
mod compare;
mod describe;
mod document;
mod events;
mod format;
mod objects;
mod order;
mod range;
mod repository;
mod walk;

#[cfg(test)]
mod fixture;

pub use events::{Event, Events};
pub use range::Range;
pub use repository::{Facts, Repository};
pub use walk::{CommitEvent, SourceItem, Walk};

/// JSON numbers of payloads stay within this, so that a reader that knows
/// only doubles reads them exactly (RFC 8259, section 6).
pub(crate) const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;
