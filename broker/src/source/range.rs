//! Which commits: what `--range` and `--last` say, and the ids that they mean.

use gix::ObjectId;
use gix::bstr::ByteSlice as _;
use gm_manifest::{Code, Refusal};

/// The commits that a run is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Range {
    /// All that HEAD reaches.
    #[default]
    All,
    /// `A..B`: what `B` reaches and `A` does not; an empty side is HEAD.
    Between(String, String),
    /// The newest ones, as many as this at most.
    Last(u64),
}

/// Where a walk begins and what it leaves out.
pub(super) struct Ends {
    pub(super) tips: Vec<ObjectId>,
    pub(super) hidden: Vec<ObjectId>,
}

impl Range {
    /// Takes `A..B`.
    ///
    /// # Errors
    /// `source/bad-range` for any other form, `A...B` included.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (from, to) = text
            .split_once("..")
            .ok_or_else(|| bad(text, "a range is A..B"))?;
        if to.starts_with('.') || to.contains("..") {
            return Err(bad(text, "a range is A..B, with two dots once"));
        }
        Ok(Self::Between(from.to_owned(), to.to_owned()))
    }

    /// The commits that the names stand for, here and now. No tips: an empty
    /// repository.
    pub(super) fn resolve(&self, git: &gix::Repository) -> Result<Ends, Refusal> {
        match self {
            Self::All | Self::Last(_) => Ok(Ends {
                tips: head(git)?.into_iter().collect(),
                hidden: Vec::new(),
            }),
            Self::Between(from, to) => Ok(Ends {
                tips: vec![commit(git, to)?],
                hidden: vec![commit(git, from)?],
            }),
        }
    }
}

/// The commit at HEAD; `None` before the first commit.
///
/// # Errors
/// `source/not-a-repository` if HEAD can't be read or is no commit.
pub(super) fn head(git: &gix::Repository) -> Result<Option<ObjectId>, Refusal> {
    let no = |error: &dyn std::fmt::Display| {
        Refusal::new(Code::SourceNotARepository, format!("HEAD: {error}"))
    };
    let mut head = git.head().map_err(|error| no(&error))?;
    match head.try_peel_to_id() {
        Ok(id) => Ok(id.map(gix::Id::detach)),
        // A commit that is not there is passed over by the walk, which says so.
        Err(error) => head
            .id()
            .map(|id| Some(id.detach()))
            .ok_or_else(|| no(&error)),
    }
}

/// The commit that a revision names.
fn commit(git: &gix::Repository, name: &str) -> Result<ObjectId, Refusal> {
    let name = if name.is_empty() { "HEAD" } else { name };
    let found = git
        .rev_parse_single(name.as_bytes().as_bstr())
        .map_err(|error| bad(name, error))?;
    let object = found.object().map_err(|error| bad(name, error))?;
    let commit = object
        .peel_to_kind(gix::object::Kind::Commit)
        .map_err(|error| bad(name, error))?;
    Ok(commit.id)
}

fn bad(name: &str, why: impl std::fmt::Display) -> Refusal {
    Refusal::new(Code::SourceBadRange, format!("{name:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_dots_make_a_range_and_an_empty_side_stays_open() {
        for (text, from, to) in [
            ("a..b", "a", "b"),
            ("v1.0..HEAD~2", "v1.0", "HEAD~2"),
            ("a..", "a", ""),
            ("..b", "", "b"),
        ] {
            assert_eq!(
                Range::parse(text),
                Ok(Range::Between(from.into(), to.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn anything_else_is_no_range() {
        for text in ["", "HEAD", "a...b", "a..b..c", "a....b"] {
            assert_eq!(
                Range::parse(text).unwrap_err().code,
                Code::SourceBadRange,
                "{text}"
            );
        }
    }
}
