//! All that the lines of the table look at, gathered once.

use std::path::{Path, PathBuf};

use gm_manifest::Refusal;
use gm_protocol::orders::HostReport;
use gm_protocol::trials::{Miss, Trial, Tried};

use super::around::Around;
use super::mend::System;
use crate::config::Config;
use crate::home::Home;

/// Where the broker's own files lie, and whether they can be used.
#[derive(Debug)]
pub(super) struct Place {
    /// As it was named, if it was.
    pub(super) path: Option<PathBuf>,
    /// The home itself.
    pub(super) home: Option<Home>,
    /// Its configuration; the defaults if it has none that can be read.
    pub(super) config: Config,
    /// Why it can't be used.
    pub(super) fault: Option<Refusal>,
}

/// What was found about this machine.
#[derive(Debug)]
pub(super) struct Facts {
    /// Effective uid.
    pub(super) uid: u32,
    /// What the launcher tried one by one.
    pub(super) tried: Vec<Tried>,
    /// The launcher's judgement, or why there is none.
    pub(super) host: Result<HostReport, Refusal>,
    /// The home.
    pub(super) place: Place,
    /// Where the binaries lie.
    pub(super) binaries: PathBuf,
    /// Container and outer filters.
    pub(super) around: Around,
    /// Which distribution.
    pub(super) system: System,
    /// `/proc/self/mountinfo`.
    pub(super) mounts: String,
    /// Granted paths, and whether a mount of each could be made.
    pub(super) granted: Vec<(PathBuf, Result<(), String>)>,
}

impl Facts {
    /// Started by root.
    pub(super) const fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// What came of a trial.
    pub(super) fn outcome(&self, what: Trial) -> Result<&str, Miss> {
        let found = self.tried.iter().find(|tried| tried.what == what);
        match found {
            Some(tried) => tried.outcome.as_deref().map_err(Clone::clone),
            None => Err(Miss {
                errno: 0,
                why: match &self.host {
                    Ok(_) => "not tried".into(),
                    Err(refusal) => format!("not tried: {}", refusal.detail),
                },
            }),
        }
    }

    /// `sudo ` for whoever isn't root.
    pub(super) const fn sudo(&self) -> &'static str {
        if self.is_root() { "" } else { "sudo " }
    }

    /// A command for root.
    pub(super) fn as_root(&self, command: &str) -> String {
        format!("{}{command}", self.sudo())
    }

    /// The home as a command line names it.
    pub(super) fn home_text(&self) -> String {
        let path = self.place.path.as_deref().unwrap_or(Path::new("DIR"));
        quoted(path)
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if text.chars().all(plain) && !text.is_empty() {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The text of a small file of the kernel, without its last newline.
pub(super) fn read(path: impl AsRef<Path>) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_one_word_of_a_command() {
        assert_eq!(quoted(Path::new("/a/b-c.d")), "/a/b-c.d");
        assert_eq!(quoted(Path::new("/a b/$c")), "'/a b/$c'");
        assert_eq!(quoted(Path::new("/it's")), "'/it'\\''s'");
    }
}
