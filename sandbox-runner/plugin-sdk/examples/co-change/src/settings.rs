//! What the operator may set: keys `cochange.*` of the host's configuration.
//!
//! A value out of range is an error at `init`, never a silent default.

use std::ops::RangeInclusive;

use gm_plugin::{Error, host};

/// The operator's wishes.
#[derive(Debug)]
pub(crate) struct Settings {
    /// `cochange.max_files`: a commit of more files tells nothing about pairs
    /// (a rename of a directory, a new licence header). 30 if absent.
    pub(crate) max_files: u64,
    /// `cochange.min_weight`: lighter edges are not put. 1 if absent.
    pub(crate) min_weight: u32,
    /// `cochange.top`: pairs that the report shows. 20 if absent.
    pub(crate) top: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_files: 30,
            min_weight: 1,
            top: 20,
        }
    }
}

impl Settings {
    /// Asks the host for each key.
    pub(crate) fn read() -> Result<Self, Error> {
        let default = Self::default();
        Ok(Self {
            // 200 files are 19,900 pairs, which one call counts and puts in its time.
            max_files: number("cochange.max_files", 2..=200)?.unwrap_or(default.max_files),
            min_weight: number("cochange.min_weight", 1..=1_000_000)?
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(default.min_weight),
            top: number("cochange.top", 0..=200)?
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(default.top),
        })
    }
}

/// A number within `range`.
fn number(key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Error> {
    match host::config_get::<u64>(key)? {
        Some(number) if !range.contains(&number) => Err(Error::Plugin(format!(
            "{key} is {number}, but must be {} to {}",
            range.start(),
            range.end()
        ))),
        other => Ok(other),
    }
}
