//! The home: where trust, plugins, state, cache and logs of one operator lie.
//!
//! Whoever can write here decides what runs, so nothing is read from a place
//! that somebody else could have written, and root uses only a home that was
//! named on its command line.

mod digest;
mod dir;
mod lock;

use std::path::{Path, PathBuf};

use gm_manifest::{PluginId, Refusal};

use crate::args::{Environment, usage};
use crate::config::{self, Config};
pub use dir::Dir;
use dir::unsafe_permissions;
pub use lock::Lock;

/// The home's own configuration file.
pub const CONFIG_FILE: &str = "broker.toml";
/// The home of its own that a plugin is tried in, below `state/try/<id>/`.
pub const TRY_HOME: &str = "home";

/// Names the home: `--home`, else `GM_HOME`, else the data directory.
///
/// # Errors
/// `usage/arguments` if nothing names one, and for root if `--home` doesn't
/// or the environment does: it survives `sudo`, and was set by another user.
pub fn resolve(
    option: Option<&Path>,
    environment: &Environment,
    root: bool,
) -> Result<PathBuf, Refusal> {
    if option.is_some_and(|path| path.as_os_str().is_empty()) {
        return Err(usage("--home is empty"));
    }
    if root {
        return match (option, &environment.gm_home) {
            (_, Some(_)) => Err(usage("GM_HOME is set; as root only --home names the home")),
            (None, None) => Err(usage("as root the home must be named with --home DIR")),
            (Some(path), None) => Ok(path.to_owned()),
        };
    }
    let below = |base: &std::ffi::OsString, rest: &str| Path::new(base).join(rest);
    option
        .map(Path::to_owned)
        .or_else(|| environment.gm_home.as_ref().map(PathBuf::from))
        .or_else(|| {
            environment
                .xdg_data_home
                .as_ref()
                .map(|base| below(base, "gm"))
        })
        .or_else(|| {
            environment
                .home
                .as_ref()
                .map(|base| below(base, ".local/share/gm"))
        })
        .ok_or_else(|| usage("no home: neither --home, GM_HOME, XDG_DATA_HOME nor HOME is set"))
}

/// A home that belongs to us, or to the user that its `run_as` names.
#[derive(Debug)]
pub struct Home {
    dir: Dir,
}

/// Opens the home, making it if it isn't there, with its configuration: who
/// must own it stands in `run_as`.
///
/// # Errors
/// Class `store`, class `config`.
pub fn open(path: &Path) -> Result<(Home, Config), Refusal> {
    let dir = Dir::root(path)?;
    let config = config::read(&dir)?;
    let me = rustix::process::geteuid();
    let expected = match config.run_as {
        Some(user) if me.is_root() => user.uid,
        _ => me.as_raw(),
    };
    if dir.owner().as_raw() != expected {
        return Err(unsafe_permissions(
            dir.path(),
            &format!("belongs to uid {}, not to uid {expected}", dir.owner()),
        ));
    }
    Ok((Home { dir }, config))
}

/// The same without broker.toml, if that can't be read; the home must belong to
/// the effective user then.
///
/// # Errors
/// As [`open`], but never class `config`.
pub fn open_to_stop(path: &Path) -> Result<Home, Refusal> {
    match open(path) {
        Ok((home, _)) => Ok(home),
        Err(refusal) if refusal.code.class() == "config" => {
            let dir = Dir::root(path)?;
            let me = rustix::process::geteuid();
            match dir.owner() == me {
                true => Ok(Home { dir }),
                false => Err(refusal),
            }
        }
        Err(refusal) => Err(refusal),
    }
}

/// The layout. Every method that returns a [`Dir`] makes it if it isn't there,
/// and refuses what others could have written.
impl Home {
    /// Where it lies, absolute.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The home's own directory.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    fn below(&self, names: &[&str]) -> Result<Dir, Refusal> {
        let (first, rest) = names.split_first().unwrap_or((&".", &[]));
        rest.iter()
            .try_fold(self.dir.make(first)?, |dir, name| dir.make(name))
    }

    /// `trust/`: keys, pins, revocations.
    ///
    /// # Errors
    /// Class `store`; so for all below.
    pub fn trust(&self) -> Result<Dir, Refusal> {
        self.below(&["trust"])
    }

    /// `plugins/`: a directory for each loaded plugin.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn plugins(&self) -> Result<Dir, Refusal> {
        self.below(&["plugins"])
    }

    /// `state/storage/`: one database for each plugin that stores.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn storage(&self) -> Result<Dir, Refusal> {
        self.below(&["state", "storage"])
    }

    /// `state/graph/`: one database for each repository.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn graph(&self) -> Result<Dir, Refusal> {
        self.below(&["state", "graph"])
    }

    /// `state/run/`: a directory for each live instance.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn run(&self) -> Result<Dir, Refusal> {
        self.below(&["state", "run"])
    }

    /// `state/try/<id>/`: key and signed copy of `gm plugin try`.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn try_out(&self, id: &PluginId) -> Result<Dir, Refusal> {
        self.below(&["state", "try", id.as_str()])
    }

    /// `state/run/` of this home and of each home below `state/try/`: wherever
    /// an instance of ours may live.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn all_runs(&self) -> Result<Vec<Dir>, Refusal> {
        let mut all = vec![self.run()?];
        let Some(tried) = self.state()?.child("try")? else {
            return Ok(all);
        };
        for name in tried.names()? {
            let below = [TRY_HOME, "state", "run"];
            let runs = below
                .iter()
                .try_fold(tried.child(&name)?, |dir, name| match dir {
                    Some(dir) => dir.child(name),
                    None => Ok(None),
                });
            all.extend(runs?);
        }
        Ok(all)
    }

    /// `state/`: also holds `cache.key`, which authenticates `cache/`.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn state(&self) -> Result<Dir, Refusal> {
        self.below(&["state"])
    }

    /// `cache/`: compiled code; safe to delete at any time.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn cache(&self) -> Result<Dir, Refusal> {
        self.below(&["cache"])
    }

    /// `logs/`: `broker.jsonl` with the records of all runs.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn logs(&self) -> Result<Dir, Refusal> {
        self.below(&["logs"])
    }

    /// `logs/plugins/`: `<id>.jsonl` with what one plugin logged.
    ///
    /// # Errors
    /// As [`Self::trust`].
    pub fn plugin_logs(&self) -> Result<Dir, Refusal> {
        self.below(&["logs", "plugins"])
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use gm_manifest::Code;

    use super::*;

    fn environment(gm_home: Option<&str>, xdg: Option<&str>, home: Option<&str>) -> Environment {
        Environment {
            gm_home: gm_home.map(OsString::from),
            xdg_data_home: xdg.map(OsString::from),
            home: home.map(OsString::from),
            ..Environment::default()
        }
    }

    #[test]
    fn the_home_is_named_by_option_then_gm_home_then_xdg_then_home() {
        let all = environment(Some("/g"), Some("/x"), Some("/h"));
        let named = |option: Option<&str>, environment| {
            resolve(option.map(Path::new), environment, false).unwrap()
        };
        assert_eq!(named(Some("/o"), &all), Path::new("/o"));
        assert_eq!(named(None, &all), Path::new("/g"));
        let rest = environment(None, Some("/x"), Some("/h"));
        assert_eq!(named(None, &rest), Path::new("/x/gm"));
        let rest = environment(None, None, Some("/h"));
        assert_eq!(named(None, &rest), Path::new("/h/.local/share/gm"));
        let nothing = environment(None, None, None);
        let refusal = resolve(None, &nothing, false).unwrap_err();
        assert_eq!(refusal.code, Code::UsageArguments);
    }

    #[test]
    fn root_uses_no_home_that_the_environment_names() {
        let set = environment(Some("/g"), None, Some("/root"));
        let unset = environment(None, Some("/x"), Some("/root"));
        for (option, environment) in [(None, &set), (Some("/o"), &set), (None, &unset)] {
            let refusal = resolve(option.map(Path::new), environment, true).unwrap_err();
            assert_eq!(refusal.code, Code::UsageArguments);
        }
        let named = resolve(Some(Path::new("/o")), &unset, true).unwrap();
        assert_eq!(named, Path::new("/o"));
    }

    #[test]
    fn an_absent_home_is_made_private_with_all_defaults() {
        let temp = tempfile::tempdir().unwrap();
        let (home, config) = open(&temp.path().join("a/b")).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(
            home.plugin_logs().unwrap().path(),
            home.path().join("logs/plugins")
        );
    }

    #[test]
    fn a_home_of_another_user_is_refused_unless_run_as_names_that_user() {
        let temp = tempfile::tempdir().unwrap();
        if !rustix::process::geteuid().is_root() {
            return; // Only root can make such a home.
        }
        let path = temp.path().join("home");
        std::fs::create_dir(&path).unwrap();
        let config = path.join(CONFIG_FILE);
        std::fs::write(&config, "schema = \"gm.broker/1\"\nrun_as = \"4242\"\n").unwrap();
        let refused = |path: &Path| open(path).map(|_| ()).unwrap_err().code;
        assert_eq!(refused(&path), Code::StoreUnsafePermissions);
        for owned in [&path, &config] {
            std::os::unix::fs::chown(owned, Some(4242), Some(4242)).unwrap();
        }
        let (home, _) = open(&path).unwrap();
        let made = home.logs().unwrap();
        made.append("broker.jsonl").unwrap();
        made.write("x", b"y").unwrap();
        for path in [
            made.path().to_owned(),
            made.path().join("broker.jsonl"),
            made.path().join("x"),
        ] {
            let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).unwrap());
            assert_eq!(owner, 4242);
        }
        std::fs::write(&config, "schema = \"gm.broker/1\"\n").unwrap();
        assert_eq!(refused(&path), Code::StoreUnsafePermissions);
    }
}
