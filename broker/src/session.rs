//! What every verb that starts walled processes holds: a live instance and
//! its launcher. Nothing is started here but the launcher.

use std::path::Path;

use gm_manifest::{Code, Refusal};
use gm_protocol::trials::Tried;
use rustix::process::Resource;

use crate::config::{Config, Level};
use crate::home::Home;
use crate::instance::{self, Instance};
use crate::spawn::{Launcher, privileges};

/// A live instance with its launcher.
#[derive(Debug)]
pub struct Session {
    instance: Instance,
    launcher: Launcher,
}

impl Session {
    /// Sweeps what a crash left, starts the launcher, then gives up every
    /// privilege: in this order, since the launcher needs what the broker then
    /// lacks. Call it from the main thread, before there is another.
    ///
    /// # Errors
    /// `wall/*` if the launcher or a wall is missing, `internal/*`, `store/*`.
    pub fn begin(home: &Home, config: &Config) -> Result<Self, Refusal> {
        let instance = begin_instance(home)?;
        let launcher = Launcher::start(home.path(), &instance.name)?;
        Self::with(instance, launcher, config)
    }

    /// The same, and what the launcher found when it tried each thing by itself: also
    /// where nothing can be started.
    pub fn examine(home: &Home, config: &Config) -> (Result<Self, Refusal>, Vec<Tried>) {
        let begun = begin_instance(home).and_then(|instance| {
            let (launcher, tried) = Launcher::examine(home.path(), &instance.name)?;
            Ok((instance, launcher, tried))
        });
        match begun {
            Ok((instance, launcher, tried)) => {
                let session = launcher.and_then(|it| Self::with(instance, it, config));
                (session, tried)
            }
            Err(refusal) => (Err(refusal), Vec::new()),
        }
    }

    fn with(instance: Instance, launcher: Launcher, config: &Config) -> Result<Self, Refusal> {
        instance.describe(launcher.host().groups.iter().map(Into::into).collect())?;
        privileges::drop_all(config.run_as)?;
        Ok(Self { instance, launcher })
    }

    /// The live instance.
    #[must_use]
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Starts and ends processes.
    #[must_use]
    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// The level that this machine gives.
    ///
    /// # Errors
    /// `wall/level` if it is below `isolation.min` or `at_least`.
    pub fn level(&self, config: &Config, at_least: Option<Level>) -> Result<Level, Refusal> {
        let host = self.launcher.host();
        let wanted = config.isolation.min.max(at_least.unwrap_or(Level::L2));
        if host.level >= wanted {
            return Ok(host.level);
        }
        let gaps = host.gaps.join("; ");
        let detail = format!(
            "this machine gives {}, but {wanted} is the least that may run: {gaps}",
            host.level
        );
        Err(Refusal::new(Code::WallLevel, detail).rule(format!("isolation.min = \"{wanted}\"")))
    }

    /// Ends the launcher, and with it all that it started. What a dead one could
    /// not remove is removed here.
    pub fn end(self) {
        let Self { instance, launcher } = self;
        if launcher.is_dead() {
            let groups = launcher.host().groups.iter();
            groups.for_each(|group| instance::remove_group(Path::new(group)));
        }
        launcher.stop();
        drop(instance);
    }
}

fn begin_instance(home: &Home) -> Result<Instance, Refusal> {
    raise_descriptors();
    for (resource, least, what, option) in LEAST {
        enough_of(resource, least, what, option)?;
    }
    Instance::begin(home)
}

/// With less than that the launcher can't say what is wrong: resource, least, its unit, and
/// the option of `ulimit`.
const LEAST: [(Resource, u64, &str, &str); 2] = [
    (Resource::Nofile, 64, "open files", "-n"),
    // Sealed files in memory count, too.
    (Resource::Fsize, 16 << 20, "bytes a file", "-f"),
];

/// As many open files as root lets this user have: each plugin takes about ten.
fn raise_descriptors() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With fewer the start of a plugin may be refused, and says so.
    let _ = rustix::process::setrlimit(Resource::Nofile, limit);
}

fn enough_of(resource: Resource, least: u64, what: &str, option: &str) -> Result<(), Refusal> {
    match rustix::process::getrlimit(resource).current {
        Some(own) if own < least => {
            let detail = format!("this process may have {own} {what}, and needs {least} at least");
            let remedy = format!("raise it before the start, with ulimit {option}");
            Err(Refusal::new(Code::InternalLauncher, detail).fix(remedy))
        }
        _ => Ok(()),
    }
}
