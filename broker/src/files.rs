//! Granted paths of the host: opened here once, and from then on only by
//! descriptor.
//!
//! What a grant never reaches, whatever the operator allows: a repository's own
//! files (`.git`, what a gitdir file points to) and the home.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use gm_manifest::{GrantPath, GrantRoot, Refusal};
use gm_policy::{FileRequest, Placed, Plan, Refused, RefusedBy, place};
use gm_protocol::plan::{MAX_GRANTS, MAX_HIDDEN};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use crate::source::Repository;

const GIT: &[u8] = b".git";

/// What grants are resolved against.
#[derive(Debug)]
pub struct Surroundings {
    /// `$REPO`; none for a bare repository, or without one.
    work_tree: Option<PathBuf>,
    /// Directories that no grant may show, canonical.
    hidden: Vec<PathBuf>,
}

/// Granted paths, open.
#[derive(Debug, Default)]
pub struct Opened {
    /// In the order of their numbers.
    pub reads: Vec<OwnedFd>,
    /// Directories that lie below a granted one and must not be seen.
    pub hidden: Vec<OwnedFd>,
}

impl Surroundings {
    /// Of a run on this repository, if there is one.
    #[must_use]
    pub fn of(repository: Option<&Repository>, home: &Path) -> Self {
        let canonical = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut hidden = vec![canonical(home)];
        if let Some(repository) = repository {
            hidden.push(canonical(repository.git_dir()));
            hidden.push(canonical(repository.common_dir()));
        }
        hidden.sort();
        hidden.dedup();
        Self {
            work_tree: repository
                .and_then(Repository::work_tree)
                .map(Path::to_owned),
            hidden,
        }
    }

    /// Of this work tree, and of canonical directories that no grant may show.
    #[must_use]
    pub fn new(work_tree: Option<PathBuf>, hidden: Vec<PathBuf>) -> Self {
        Self { work_tree, hidden }
    }

    /// Opens what a path of `$REPO` or of the host leads to: itself, its canonical
    /// path, and whether it is a directory.
    ///
    /// # Errors
    /// Why it is not granted.
    pub fn reach(&self, path: &GrantPath) -> Result<(OwnedFd, PathBuf, bool), String> {
        let (base, links) = match path.root() {
            GrantRoot::Data => return Err("$DATA is no path of the host".into()),
            GrantRoot::Assets => return Err("files of the package are read by asset_read".into()),
            GrantRoot::Host => (Path::new("/"), ResolveFlags::NO_SYMLINKS),
            // Its content is no more to be trusted than the plugin: a link that is
            // committed there must not be a way out.
            GrantRoot::Repo => {
                let tree = self.work_tree.as_deref();
                let tree = tree.ok_or("there is no work tree, so no $REPO")?;
                (tree, ResolveFlags::BENEATH)
            }
        };
        let (fd, led, directory) = open_below(base, Path::new(path.below()), links)?;
        self.check(&led)?;
        Ok((fd, led, directory))
    }

    /// Opens what the plan grants; what can't be granted is dropped from it with
    /// the reason.
    ///
    /// # Errors
    /// `internal/proof`.
    pub fn open(&self, plan: Plan) -> Result<(Plan, Opened), Refusal> {
        let requests = plan.effective().files.clone();
        let mut opened = Opened::default();
        let (mut files, mut dropped) = (Vec::new(), Vec::new());
        for request in &requests {
            if let Err(why) = self.open_one(request, &mut files, &mut opened) {
                dropped.push(refused(request, why));
            }
        }
        Ok((plan.placed(files, dropped)?, opened))
    }

    fn open_one(
        &self,
        request: &FileRequest,
        files: &mut Vec<Placed>,
        opened: &mut Opened,
    ) -> Result<(), String> {
        if request.path.root() == GrantRoot::Data {
            place(files, request, None, true);
            return Ok(());
        }
        let number = u8::try_from(opened.reads.len()).unwrap_or(u8::MAX);
        if usize::from(number) >= MAX_GRANTS {
            return Err(format!("at most {MAX_GRANTS} paths are granted"));
        }
        let (fd, path, directory) = self.reach(&request.path)?;
        if directory {
            self.hide_below(&path, opened)?;
        }
        place(files, request, Some(number), directory);
        opened.reads.push(fd);
        Ok(())
    }

    /// `path` is canonical: what it was reached by doesn't matter.
    fn check(&self, path: &Path) -> Result<(), String> {
        let git = |part: &std::ffi::OsStr| part.as_bytes().eq_ignore_ascii_case(GIT);
        if path.iter().any(git) {
            return Err("no grant reaches a .git".into());
        }
        if self.hidden.iter().any(|hidden| path.starts_with(hidden)) {
            return Err("no grant reaches the home or a repository's own files".into());
        }
        Ok(())
    }

    fn hide_below(&self, path: &Path, opened: &mut Opened) -> Result<(), String> {
        for hidden in self.hidden.iter().filter(|hidden| hidden.starts_with(path)) {
            // Gone by now: nothing to hide.
            if matches!(hidden.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
            {
                continue;
            }
            let (fd, ..) = open_below(
                Path::new("/"),
                below_root(hidden),
                ResolveFlags::NO_SYMLINKS,
            )?;
            if opened.hidden.len() >= MAX_HIDDEN {
                return Err("it holds too much that no grant may show".into());
            }
            opened.hidden.push(fd);
        }
        Ok(())
    }
}

/// A canonical path as seen from `/`.
fn below_root(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

/// Opens what is `below` a directory of ours, and says where it led and whether it
/// is a directory. `links` says which links may lead where (openat2(2)).
fn open_below(
    base: &Path,
    below: &Path,
    links: ResolveFlags,
) -> Result<(OwnedFd, PathBuf, bool), String> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let why = |error| match error {
        Errno::XDEV => "a link in it leads out of the repository".to_owned(),
        Errno::LOOP => "there is a symbolic link in it: name where that leads".to_owned(),
        error => format!("it can't be opened: {error}"),
    };
    let no_magic = ResolveFlags::NO_MAGICLINKS;
    let base = openat2(
        CWD,
        base,
        flags | OFlags::DIRECTORY,
        Mode::empty(),
        no_magic,
    );
    let base = base.map_err(why)?;
    let below = match below.as_os_str().is_empty() {
        true => Path::new("."),
        false => below,
    };
    let fd = openat2(&base, below, flags, Mode::empty(), links | no_magic).map_err(why)?;
    let stat = fstat(&fd).map_err(|error| error.to_string())?;
    let directory = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => true,
        FileType::RegularFile => false,
        _ => return Err("it is neither a plain file nor a directory".into()),
    };
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let led = std::fs::read_link(link).map_err(|error| error.to_string())?;
    Ok((fd, led, directory))
}

fn refused(request: &FileRequest, why: String) -> Refused {
    Refused {
        asked: if request.write {
            "filesystem.write"
        } else {
            "filesystem.read"
        },
        value: request.path.as_str().to_owned(),
        by: RefusedBy::Host,
        why,
        because: vec![request.because.clone()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(work_tree: &Path, hidden: &[&Path]) -> Surroundings {
        Surroundings {
            work_tree: Some(work_tree.to_owned()),
            hidden: hidden.iter().map(|path| (*path).to_owned()).collect(),
        }
    }

    #[test]
    fn links_lead_to_where_they_lead_and_never_into_a_git_directory() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/.git")).unwrap();
        std::fs::create_dir(root.join("home")).unwrap();
        std::os::unix::fs::symlink("a/.git", root.join("link")).unwrap();
        let around = surroundings(&root, &[&root.join("home")]);
        let led = |name: &str| {
            let opened = open_below(&root, Path::new(name), ResolveFlags::BENEATH);
            opened.unwrap().1
        };
        assert_eq!(led("link"), root.join("a/.git"));
        assert!(around.check(&led("link")).is_err());
        assert!(around.check(&led("home")).is_err());
        assert!(around.check(&led("a")).is_ok());
        assert!(around.check(&root.join("a/.GIT/x")).is_err());
    }

    #[test]
    fn what_is_neither_file_nor_directory_is_not_granted() {
        let host = |path| open_below(Path::new("/"), Path::new(path), ResolveFlags::NO_SYMLINKS);
        assert!(host("dev/null").is_err());
        assert!(host("no/such/path").is_err());
    }

    #[test]
    fn no_link_leads_out_of_the_repository_and_none_is_followed_on_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("repo/docs")).unwrap();
        for (to, name) in [("/etc", "etc"), ("..", "up"), ("/", "all"), ("docs", "in")] {
            std::os::unix::fs::symlink(to, root.join("repo").join(name)).unwrap();
        }
        let tree = root.join("repo");
        let repo = |below: &str| open_below(&tree, Path::new(below), ResolveFlags::BENEATH);
        for out in ["etc", "etc/passwd", "up", "all"] {
            assert!(
                repo(out).unwrap_err().contains("out of the repository"),
                "{out}"
            );
        }
        assert_eq!(repo("in").unwrap().1, tree.join("docs"));
        assert_eq!(repo("").unwrap().1, tree);
        let link = below_root(&tree).join("in");
        let host = open_below(Path::new("/"), &link, ResolveFlags::NO_SYMLINKS);
        assert!(host.unwrap_err().contains("symbolic link"));
    }

    #[test]
    fn home_below_a_granted_directory_is_hidden() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("home")).unwrap();
        let around = surroundings(&root, &[&root.join("home")]);
        let mut opened = Opened::default();
        around.hide_below(&root, &mut opened).unwrap();
        assert_eq!(opened.hidden.len(), 1);
    }
}
