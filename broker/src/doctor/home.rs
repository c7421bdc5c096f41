//! The home, the binaries beside the broker, the trust store.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gm_manifest::{Code, Refusal};
use gm_protocol::plan::Engine;
use mind_gpg::TrustStore;
use rustix::fs::StatVfsMountFlags;

use super::check::Seen;
use super::facts::{Facts, Place, quoted};
use crate::args::Invocation;
use crate::config::Config;

/// Less room than this, and databases and cache soon can't be written.
const LEAST_BYTES: u64 = 256 << 20;
/// The same for files.
const LEAST_FILES: u64 = 1000;

impl Place {
    /// Opens the home that was named. Whatever is wrong with it is kept.
    pub(super) fn look(invocation: &Invocation) -> Self {
        let path = match invocation.home_path() {
            Ok(path) => path,
            Err(fault) => return Self::without(None, fault),
        };
        match invocation.open_home() {
            Ok((home, config)) => {
                let fault = readable_by_others(home.path());
                Self {
                    path: Some(home.path().to_owned()),
                    home: Some(home),
                    config,
                    fault,
                }
            }
            Err(fault) => Self::without(std::path::absolute(&path).ok(), fault),
        }
    }

    fn without(path: Option<PathBuf>, fault: Refusal) -> Self {
        Self {
            path,
            home: None,
            config: Config::default(),
            fault: Some(fault),
        }
    }
}

/// A run only asks whether others can write. But the layout is private.
fn readable_by_others(home: &Path) -> Option<Refusal> {
    let mode = std::fs::metadata(home).ok()?.mode() & 0o7777;
    (mode & 0o077 != 0).then(|| {
        let detail = format!("{}: its mode is {mode:04o}, not 0700", home.display());
        Refusal::new(Code::StoreUnsafePermissions, detail)
    })
}

/// The home itself.
pub(super) fn home(facts: &Facts) -> Seen {
    let Some(fault) = &facts.place.fault else {
        return Seen::ok(format!(
            "{}, 0700, of uid {}",
            facts.home_text(),
            owner(facts)
        ));
    };
    Seen::gap(
        format!("{} ({})", fault.detail, fault.code.as_str()),
        home_fix(facts, fault),
    )
}

fn owner(facts: &Facts) -> String {
    let path = facts.place.path.as_deref();
    let owner = path
        .and_then(|path| std::fs::metadata(path).ok())
        .map(|found| found.uid());
    owner.map_or_else(|| "?".into(), |owner| owner.to_string())
}

/// What the stat of the home says is wrong comes before the code's own remedy.
fn home_fix(facts: &Facts, fault: &Refusal) -> String {
    let Some(path) = &facts.place.path else {
        return "gm-broker --home DIR doctor".into();
    };
    let remedy = fault.remedy().to_owned();
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return remedy;
    };
    let (text, uid) = (quoted(path), facts.uid);
    let wanted = facts.place.config.run_as.filter(|_| facts.is_root());
    let wanted = wanted.map_or(uid, |user| user.uid);
    if found.is_dir() && found.uid() != wanted {
        return facts.as_root(&format!("chown -R {wanted} {text}"));
    }
    if fault.code != Code::StoreUnsafePermissions {
        return remedy;
    }
    if found.is_dir() && found.mode() & 0o077 != 0 {
        return format!("chmod 0700 {text}");
    }
    match found.is_dir() {
        true => format!("chmod -R go-rwx {text}"),
        false => remedy,
    }
}

/// Room where the home lies.
pub(super) fn room(facts: &Facts) -> Seen {
    let Some(path) = &facts.place.path else {
        return Seen::info("no home");
    };
    let found = match rustix::fs::statvfs(path) {
        Ok(found) => found,
        Err(error) => return Seen::info(format!("can't be asked: {error}")),
    };
    let bytes = found.f_bavail.saturating_mul(found.f_frsize);
    let text = format!("{} MiB, {} files", bytes >> 20, found.f_favail);
    // Some file systems make files as they are needed, and count none.
    let few = found.f_files > 0 && found.f_favail < LEAST_FILES;
    match bytes < LEAST_BYTES || few {
        false => Seen::ok(text),
        true => Seen::gap(text, format!("rm -rf {}/cache", quoted(path))),
    }
}

/// Every binary that may be executed can be.
pub(super) fn exec(facts: &Facts) -> Seen {
    let names = std::iter::once("gm-launcher").chain(Engine::ALL.iter().map(|one| file_name(*one)));
    for name in names {
        let path = facts.binaries.join(name);
        let Ok(found) = rustix::fs::statvfs(&path) else {
            continue;
        };
        if found.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            let point = mount_point(&facts.mounts, &path);
            return Seen::gap(
                format!("{} lies on a mount with noexec", path.display()),
                facts.as_root(&format!("mount -o remount,bind,exec {}", quoted(&point))),
            );
        }
    }
    Seen::ok(format!("no noexec below {}", facts.binaries.display()))
}

/// The binaries are there and safe, as the launcher vets them.
pub(super) fn engines(facts: &Facts) -> Seen {
    let host = match &facts.host {
        Ok(host) => host,
        Err(refusal) if refusal.code == Code::WallEngineMissing => {
            return Seen::gap(&*refusal.detail, binaries_fix(facts));
        }
        Err(_) => return Seen::info("not asked: the launcher could not begin"),
    };
    if host.missing.is_empty() {
        return Seen::ok(format!("{} of them", host.engines.len()));
    }
    let missing = host.missing.iter().map(|(_, why)| why.as_str());
    Seen::gap(missing.collect::<Vec<_>>().join("; "), binaries_fix(facts))
}

fn binaries_fix(facts: &Facts) -> String {
    let dir = quoted(&facts.binaries);
    facts.as_root(&format!(
        "chmod go-w {dir}/gm* {dir}/warm.artifact # what isn't there: install it again"
    ))
}

/// As scripts/build installs them.
fn file_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Wasm => "gm-run-wasm",
        Engine::Lua => "gm-run-lua",
        Engine::Js => "gm-run-js",
        Engine::Native => "gm-run-native",
        Engine::Program => "gm-init",
        Engine::CompileWasm => "gm-compile-wasm",
        Engine::Http => "gm-http",
    }
}

/// The longest mount point above a path; the last one covers those before it.
fn mount_point(mounts: &str, path: &Path) -> PathBuf {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    let above = points
        .map(Path::new)
        .filter(|point| path.starts_with(point));
    let longest = above.max_by_key(|point| point.components().count());
    longest.unwrap_or(Path::new("/")).to_owned()
}

/// Whom the home trusts.
pub(super) fn keys(facts: &Facts) -> Seen {
    let Some(home) = &facts.place.home else {
        return Seen::info("no home that can be read");
    };
    let read = home.trust().and_then(|dir| {
        let store = TrustStore::open(dir.path())?;
        Ok((store.keys(SystemTime::now())?, store.revocations()?.len()))
    });
    match read {
        Ok((keys, revoked)) => {
            let good = keys.iter().filter(|key| key.state.is_good()).count();
            Seen::info(match keys.len() {
                0 => "no key: nothing can be loaded yet (gm gpg trust add FILE --fingerprint FPR \
                      --namespace PAT)"
                    .to_owned(),
                all => format!("{all} keys, {good} of them good; {revoked} local revocations"),
            })
        }
        Err(fault) => Seen::gap(
            format!("{} ({})", fault.detail, fault.code.as_str()),
            fault.remedy(),
        ),
    }
}

/// Who else may say that something is bad.
pub(super) fn blacklist(facts: &Facts) -> Seen {
    let named = facts.place.config.blacklist_source.as_deref();
    let source = named.map_or(String::new(), |source| {
        format!(" ({source} is named, and not read)")
    });
    Seen::info(format!(
        "no blacklist and no roots{source}: this version knows keys that were trusted by hand and \
         local revocations"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_point_counts() {
        let mounts = "1 0 0:1 / / rw - x x rw\n2 1 0:2 / /opt rw - x x rw\n3 2 0:3 / /opt/gm/gm-run-wasm ro - x x rw\n";
        for (path, point) in [
            ("/opt/gm/gm-run-wasm", "/opt/gm/gm-run-wasm"),
            ("/opt/gm/gm-init", "/opt"),
            ("/optional", "/"),
        ] {
            assert_eq!(mount_point(mounts, Path::new(path)), Path::new(point));
        }
    }

    #[test]
    fn a_home_that_others_can_read_is_a_fault() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        for (mode, wrong) in [(0o700, false), (0o755, true), (0o710, true)] {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(readable_by_others(dir.path()).is_some(), wrong, "{mode:o}");
        }
    }
}
