//! File systems of granted paths: as root each must know mounts that show its owner's
//! files as the plugin's.

use std::path::{Path, PathBuf};

use gm_manifest::GrantRoot;
use rustix::fs::{Mode, OFlags, fstat, open};

use super::check::Seen;
use super::facts::{Facts, quoted};
use crate::config::{Config, Level};
use crate::session::Session;
use crate::source::Repository;

/// More file systems than this are not tried.
const MOST: usize = 32;

/// What the configuration lets plugins be granted, one path for each file system, and
/// whether the launcher could make a mount of it.
pub(super) fn tried(config: &Config, session: &Session) -> Vec<(PathBuf, Result<(), String>)> {
    let mut seen = Vec::new();
    let mut tried = Vec::new();
    for path in paths(config) {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let opened = open(&path, flags, Mode::empty()).and_then(|fd| Ok((fstat(&fd)?.st_dev, fd)));
        let outcome = match opened {
            Ok((device, _)) if seen.contains(&device) => continue,
            Ok((device, file)) => {
                seen.push(device);
                session
                    .launcher()
                    .try_grant(std::os::fd::AsFd::as_fd(&file))
                    .map_err(|error| error.to_string())
            }
            Err(error) => Err(format!("can't be opened: {error}")),
        };
        tried.push((path, outcome));
        if tried.len() >= MOST {
            break;
        }
    }
    tried
}

/// Absolute paths of all grants; `$REPO` is the repository round the current directory.
fn paths(config: &Config) -> Vec<PathBuf> {
    let own = config
        .plugins
        .values()
        .filter_map(|one| one.rules.filesystem.as_ref());
    let grants = std::iter::once(&config.grants.filesystem).chain(own);
    let mut paths = Vec::new();
    let mut repository = None;
    for path in grants.flat_map(|told| &told.value.read) {
        match path.root() {
            GrantRoot::Host => paths.push(Path::new("/").join(path.below())),
            GrantRoot::Repo => {
                let found = repository.get_or_insert_with(|| work_tree(config));
                paths.extend(found.clone());
            }
            GrantRoot::Data | GrantRoot::Assets => {}
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

fn work_tree(config: &Config) -> Option<PathBuf> {
    let found = Repository::discover(None, &config.trusted_sources).ok()?;
    found.work_tree().map(Path::to_owned)
}

/// The line of it.
pub(super) fn idmapped(facts: &Facts) -> Seen {
    if !facts.is_root() {
        return Seen::info("not needed: a plugin's files are the user's own");
    }
    let level = facts.host.as_ref().map(|host| host.level);
    if !level.is_ok_and(|level| level >= Level::L3) {
        return Seen::info("not tried: nothing can be started here");
    }
    if facts.granted.is_empty() {
        return Seen::info("nothing is granted here but $DATA and $ASSETS");
    }
    let bad = facts.granted.iter().find_map(|(path, outcome)| {
        let why = outcome.as_ref().err()?;
        Some((path, why))
    });
    match bad {
        Some((path, why)) => Seen::gap(format!("{}: {why}", path.display()), fix(path, why)),
        None => {
            let paths: Vec<String> = facts
                .granted
                .iter()
                .map(|(path, _)| path.display().to_string())
                .collect();
            Seen::ok(format!("made for {}", paths.join(", ")))
        }
    }
}

fn fix(path: &Path, why: &str) -> String {
    let (path, remove) = (
        quoted(path),
        "take it out of [grants] filesystem in broker.toml",
    );
    match why.starts_with("mount_setattr") {
        true => format!(
            "cp -a {path} /srv/gm-grant # a file system that has such mounts (ext4, xfs, btrfs), and \
             grant that"
        ),
        false => format!("ls -ld {path} # it must be a file or directory, else {remove}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_grants_are_looked_at_and_data_is_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )
        .unwrap();
        let text =
            "schema = \"gm.broker/1\"\n[grants]\nfilesystem = { read = [\"/etc\", \"$DATA\"] }\n";
        std::fs::write(dir.path().join("broker.toml"), text).unwrap();
        let file = dir.path().join("broker.toml");
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let (_, config) = crate::home::open(dir.path()).unwrap();
        assert_eq!(paths(&config), [Path::new("/etc")]);
    }
}
