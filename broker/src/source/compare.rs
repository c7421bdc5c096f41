//! How many lines of a file were added and deleted, and what it is.
//!
//! Files count as text by git's own rule for content; attributes of the
//! repository are not asked, so it can't choose how it is read.

use super::changes::{Change, Entry};
use super::objects::{Objects, Unreadable};
use gix::objs::Kind;
use gix::objs::tree::EntryKind;
use gix_imara_diff::{Algorithm, Diff, InternedInput, sources::byte_lines};

/// A larger file counts as binary and is not read.
const MAX_TEXT_BYTES: u64 = 8 << 20;

/// A NUL in the first bytes makes a file binary, as git has it.
const BINARY_LOOK: usize = 8000;

/// What a commit did to the content of one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Lines added and deleted; `None` for a binary, missing or foreign file.
    pub(super) lines: Option<(u32, u32)>,
    pub(super) binary: bool,
    /// Size after the commit.
    pub(super) bytes: Option<u64>,
    /// The objects that can't be read.
    pub(super) unreadable: Vec<Unreadable>,
}

/// Compares contents, in buffers that are kept from one file to the next.
#[derive(Default)]
pub(super) struct Comparer {
    old: Vec<u8>,
    new: Vec<u8>,
}

/// One side of a change.
enum Content {
    /// It isn't there; or it is another repository's commit.
    None,
    Text,
    Binary,
    Unreadable(Unreadable),
}

impl Comparer {
    /// What the change did to the content.
    pub(super) fn compare(&mut self, objects: &Objects, change: &Change) -> Comparison {
        if is_submodule(change.old) || is_submodule(change.new) {
            let bytes = change
                .new
                .filter(|_| !is_submodule(change.new))
                .map(|(_, id)| objects.blob_size(id));
            return Comparison {
                bytes: bytes.and_then(Result::ok),
                ..Comparison::default()
            };
        }
        let mut bytes = None;
        let new = content(objects, change.new, &mut self.new, &mut bytes);
        let same = change.old.map(|(_, id)| id) == change.new.map(|(_, id)| id);
        let old = if same {
            Content::None
        } else {
            content(objects, change.old, &mut self.old, &mut None)
        };
        let mut seen = Comparison {
            bytes,
            ..Comparison::default()
        };
        for side in [old, new] {
            match side {
                Content::None | Content::Text => {}
                Content::Binary => seen.binary = true,
                Content::Unreadable(why) => seen.unreadable.push(why),
            }
        }
        if !seen.binary && seen.unreadable.is_empty() {
            seen.lines = Some(if same { (0, 0) } else { self.lines() });
        }
        seen
    }

    /// Lines added and deleted between the two buffers. The whole texts are
    /// compared, common ends included: how often a line occurs guides Myers'
    /// heuristics, and so the counts are those that git shows.
    fn lines(&self) -> (u32, u32) {
        if self.old.is_empty() || self.new.is_empty() {
            return (count_lines(&self.new), count_lines(&self.old));
        }
        let input = InternedInput::new(byte_lines(&self.old), byte_lines(&self.new));
        let diff = Diff::compute(Algorithm::Myers, &input);
        (diff.count_additions(), diff.count_removals())
    }
}

fn content(
    objects: &Objects,
    entry: Option<Entry>,
    buffer: &mut Vec<u8>,
    bytes: &mut Option<u64>,
) -> Content {
    buffer.clear();
    let Some((_, id)) = entry else {
        return Content::None;
    };
    let size = match objects.blob_size(id) {
        Ok(size) => size,
        Err(why) => return Content::Unreadable(why),
    };
    *bytes = Some(size);
    if size > MAX_TEXT_BYTES {
        return Content::Binary;
    }
    if let Err(why) = objects.read(id, Kind::Blob, buffer) {
        buffer.clear();
        return Content::Unreadable(why);
    }
    let look = buffer.get(..BINARY_LOOK).unwrap_or(buffer);
    if look.contains(&0) {
        Content::Binary
    } else {
        Content::Text
    }
}

fn is_submodule(entry: Option<Entry>) -> bool {
    matches!(entry, Some((EntryKind::Commit, _)))
}

/// A last line without a newline is a line.
fn count_lines(text: &[u8]) -> u32 {
    let ended = gix::bstr::ByteSlice::find_iter(text, b"\n").count();
    let open = usize::from(text.last().is_some_and(|byte| *byte != b'\n'));
    u32::try_from(ended + open).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(old: &[u8], new: &[u8]) -> (u32, u32) {
        Comparer {
            old: old.to_vec(),
            new: new.to_vec(),
        }
        .lines()
    }

    #[test]
    fn a_last_line_without_newline_is_a_line_of_its_own() {
        for (old, new, expected) in [
            ("", "", (0, 0)),
            ("", "a", (1, 0)),
            ("a", "a\n", (1, 1)),
            ("a\n", "a\na\n", (1, 0)),
            ("a\nb\n", "b\n", (0, 1)),
            ("ab\n", "b\n", (1, 1)),
            ("x\nb", "y\nb", (1, 1)),
            ("\n\n\n", "\n", (0, 2)),
        ] {
            assert_eq!(
                lines(old.as_bytes(), new.as_bytes()),
                expected,
                "{old:?} {new:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn counts_balance_and_no_line_is_invented(old in "[ab\n]{0,40}", new in "[ab\n]{0,40}") {
            let (added, deleted) = lines(old.as_bytes(), new.as_bytes());
            let (before, after) = (count_lines(old.as_bytes()), count_lines(new.as_bytes()));
            prop_assert_eq!(i64::from(added) - i64::from(deleted), i64::from(after) - i64::from(before));
            prop_assert!(added <= after && deleted <= before);
            prop_assert_eq!(added == 0 && deleted == 0, old == new);
        }
    }
}
