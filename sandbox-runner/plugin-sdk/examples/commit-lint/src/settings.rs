//! What the operator may set: keys `lint.*` of the host's configuration.
//!
//! A value out of range is an error at `init`, never a silent default.

use gm_plugin::{Error, host};

/// Longest subject that is meant well; git itself cuts none.
const HIGHEST: usize = 1000;

/// The operator's wishes.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `lint.max_subject`: characters of a subject, 72 if absent.
    pub(crate) max_subject: usize,
    /// `lint.max_body`: characters of a line of the body; 0, the default: any.
    pub(crate) max_body: usize,
    /// `lint.ignore`: names of rules that don't count.
    pub(crate) ignore: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_subject: 72,
            max_body: 0,
            ignore: Vec::new(),
        }
    }
}

impl Settings {
    /// Asks the host for each key.
    pub(crate) fn read() -> Result<Self, Error> {
        let default = Self::default();
        Ok(Self {
            max_subject: length("lint.max_subject", 1)?.unwrap_or(default.max_subject),
            max_body: length("lint.max_body", 0)?.unwrap_or(default.max_body),
            ignore: host::config_get("lint.ignore")?.unwrap_or(default.ignore),
        })
    }
}

/// A number of characters, at least `least`.
fn length(key: &str, least: usize) -> Result<Option<usize>, Error> {
    match host::config_get::<usize>(key)? {
        Some(number) if !(least..=HIGHEST).contains(&number) => Err(Error::Plugin(format!(
            "{key} is {number}, but must be {least} to {HIGHEST}"
        ))),
        other => Ok(other),
    }
}
