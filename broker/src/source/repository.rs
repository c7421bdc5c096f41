//! Finds and opens a Git repository, and decides whether it may be read at all.
//!
//! Nothing of the environment, of the user's or the system's configuration is
//! used, and of the repository's own only its format and whether it is bare:
//! in particular `core.worktree` can't point `$REPO` at another place.

use super::commits::Commits;
use super::objects::{MAX_OBJECT_BYTES, Objects};
use super::range::Range;
use super::walk::Walk;
use super::{format, range};
use gix::discover::{self, upwards};
use gix::sec::Trust;
use gm_manifest::{Code, Refusal};
use serde::Serialize;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What `run_started` and `init` say about the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// `sha1` or `sha256`.
    pub object_format: &'static str,
    /// It has no work tree.
    pub bare: bool,
    /// Its history is cut off.
    pub shallow: bool,
    /// Id of the commit at HEAD; `None` before the first commit.
    pub head: Option<String>,
}

/// An opened repository, owned by somebody who may own it.
pub struct Repository {
    git: gix::Repository,
    facts: Facts,
    work_tree: Option<PathBuf>,
    git_dir: PathBuf,
    common_dir: PathBuf,
}

impl Repository {
    /// Opens the repository `start` (root of a work tree, or a Git directory),
    /// or without `start` the one round the current directory, as git finds it.
    /// Another owner than the caller's effective uid is accepted only if
    /// `trust` holds the path of its work tree or, if bare, of its Git directory.
    ///
    /// # Errors
    /// `source/not-a-repository`, `source/object-format`, `source/unsafe-owner`.
    pub fn discover(start: Option<&Path>, trust: &[PathBuf]) -> Result<Self, Refusal> {
        let dot_git = match start {
            Some(directory) => named(directory)?,
            None => surrounding(Path::new("."))?,
        };
        let Places {
            git_dir,
            common_dir,
        } = Places::of(&dot_git)?;
        // Before any other file of it is read.
        let root = dot_git
            .parent()
            .filter(|_| dot_git.ends_with(".git"))
            .map(Path::to_path_buf);
        owned(&dot_git, root.as_deref(), &git_dir, &common_dir, trust)?;
        format::plain_files(&common_dir)?;
        format::plain_references(&git_dir)?;
        format::plain_references(&common_dir)?;
        format::check(&common_dir)?;
        let git = open(&dot_git)?;
        let work_tree = git.workdir().map(canonical).transpose()?;
        let facts = Facts {
            object_format: if git.object_hash() == gix::hash::Kind::Sha1 {
                "sha1"
            } else {
                "sha256"
            },
            bare: work_tree.is_none(),
            shallow: git.is_shallow().unwrap_or(false),
            head: range::head(&git)?.map(|id| id.to_string()),
        };
        Ok(Self {
            git,
            facts,
            work_tree,
            git_dir,
            common_dir,
        })
    }

    /// What it is.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Canonical root of the work tree; `None` if bare.
    #[must_use]
    pub fn work_tree(&self) -> Option<&Path> {
        self.work_tree.as_deref()
    }

    /// Canonical Git directory, that of the work tree where there are several.
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Canonical Git directory that all its work trees share.
    #[must_use]
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// `<SHA-256 of the common Git directory's path>.db`: the graph's file
    /// name, the same from each work tree.
    #[must_use]
    pub fn graph_file_name(&self) -> String {
        use std::os::unix::ffi::OsStrExt as _;
        format!(
            "{}.db",
            gm_manifest::Digest::of(self.common_dir.as_os_str().as_bytes())
        )
    }

    /// The commits of a range, in order, each as the event that plugins get,
    /// of at most `event_limit` bytes.
    ///
    /// # Errors
    /// `source/bad-range`; `source/not-a-repository` if HEAD or the list of
    /// shallow commits can't be read.
    pub fn walk(&self, range: &Range, event_limit: usize) -> Result<Walk, Refusal> {
        let objects = Objects::of(&self.git);
        let boundary = self.boundary()?;
        let ends = range.resolve(&self.git)?;
        let commits = match range {
            Range::Last(count) => Commits::newest(&objects, &boundary, ends.tips, *count),
            Range::All | Range::Between(..) => {
                Commits::between(&objects, &boundary, ends.tips, ends.hidden)
            }
        };
        Ok(Walk::new(objects, commits, boundary, event_limit))
    }

    fn boundary(&self) -> Result<HashSet<gix::ObjectId>, Refusal> {
        let cut = self
            .git
            .shallow_commits()
            .map_err(|error| not_one(&self.git_dir, error))?;
        Ok(cut
            .map(|commits| commits.iter().copied().collect())
            .unwrap_or_default())
    }
}

/// The `.git` of a directory, or the directory itself if it is a Git directory.
fn named(directory: &Path) -> Result<PathBuf, Refusal> {
    let directory = canonical(directory)?;
    let dot_git = directory.join(".git");
    format::plain_files(&dot_git)?;
    if discover::is_git(&dot_git).is_ok() {
        return Ok(dot_git);
    }
    format::plain_files(&directory)?;
    discover::is_git(&directory).map_err(|error| not_one(&directory, error))?;
    Ok(directory)
}

/// The same, of the nearest directory upwards that has one.
fn surrounding(here: &Path) -> Result<PathBuf, Refusal> {
    let here = canonical(here)?;
    for above in here.ancestors() {
        format::plain_files(&above.join(".git"))?;
    }
    // Who owns it is judged below, by our own rule.
    let options = upwards::Options {
        trust: upwards::TrustPolicy::Assume(Trust::Reduced),
        ..Default::default()
    };
    let (found, _) =
        discover::upwards_opts(&here, options).map_err(|error| not_one(&here, error))?;
    Ok(match found {
        discover::repository::Path::LinkedWorkTree { work_dir, .. } => work_dir.join(".git"),
        discover::repository::Path::WorkTree(work_dir) => work_dir.join(".git"),
        discover::repository::Path::Repository(git_dir) => git_dir,
    })
}

/// Where a `.git` leads.
struct Places {
    git_dir: PathBuf,
    common_dir: PathBuf,
}

impl Places {
    fn of(dot_git: &Path) -> Result<Self, Refusal> {
        let git_dir = if dot_git.is_dir() {
            canonical(dot_git)?
        } else {
            canonical(
                &discover::path::from_gitdir_file(dot_git)
                    .map_err(|error| not_one(dot_git, error))?,
            )?
        };
        format::plain_files(&git_dir)?;
        let common_dir = match discover::path::from_plain_file(&git_dir.join("commondir")) {
            None => git_dir.clone(),
            Some(Ok(path)) => canonical(&git_dir.join(path))?,
            Some(Err(error)) => return Err(not_one(&git_dir, error)),
        };
        Ok(Self {
            git_dir,
            common_dir,
        })
    }
}

/// Refuses what another user could have laid out for the caller to run into.
fn owned(
    dot_git: &Path,
    root: Option<&Path>,
    git_dir: &Path,
    common_dir: &Path,
    trust: &[PathBuf],
) -> Result<(), Refusal> {
    let name = root.unwrap_or(git_dir);
    // Both sides canonical: a link to a trusted place is that place.
    if trust
        .iter()
        .filter_map(|path| path.canonicalize().ok())
        .any(|path| path == name)
    {
        return Ok(());
    }
    let caller = rustix::process::geteuid().as_raw();
    for path in [Some(dot_git), root, Some(git_dir), Some(common_dir)]
        .into_iter()
        .flatten()
    {
        let owner = std::fs::symlink_metadata(path)
            .map_err(|error| not_one(path, error))?
            .uid();
        if owner != caller {
            let detail = format!(
                "{} belongs to uid {owner}, the caller is uid {caller}",
                path.display()
            );
            return Err(Refusal::new(Code::SourceUnsafeOwner, detail));
        }
    }
    Ok(())
}

/// Isolated, and with reduced trust: gix then ignores the values of the
/// repository's own configuration, except those of its format.
fn open(dot_git: &Path) -> Result<gix::Repository, Refusal> {
    let options = gix::open::Options::isolated()
        .with(Trust::Reduced)
        .open_path_as_is(true)
        .lossy_config(true)
        .config_overrides([
            "core.useReplaceRefs=false".to_string(),
            format!("gitoxide.objects.allocLimit={MAX_OBJECT_BYTES}"),
        ]);
    let git = options
        .open(dot_git)
        .map_err(|error| not_one(dot_git, error))?;
    Ok(git.to_thread_local())
}

fn canonical(path: &Path) -> Result<PathBuf, Refusal> {
    path.canonicalize().map_err(|error| not_one(path, error))
}

fn not_one(path: &Path, error: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        Code::SourceNotARepository,
        format!("{}: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests;
