//! The environment variables that count, read once.
//!
//! No other variable is read anywhere, and none of these changes a wall.

use std::ffi::{OsStr, OsString};

/// Every environment variable that gm reads, as the process was given them.
#[derive(Debug, Default, Clone)]
pub struct Environment {
    /// `GM_HOME`: the home, for every user but root.
    pub gm_home: Option<OsString>,
    /// `GM_PLUGINS`: `disabled` means safe mode.
    pub gm_plugins: Option<OsString>,
    /// `XDG_DATA_HOME`.
    pub xdg_data_home: Option<OsString>,
    /// `HOME`.
    pub home: Option<OsString>,
    /// `NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `TERM` names a terminal that can do more than print.
    pub capable_terminal: bool,
}

impl Environment {
    /// Reads them. An empty variable counts as one that isn't set.
    pub fn read() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            gm_home: set("GM_HOME"),
            gm_plugins: set("GM_PLUGINS"),
            xdg_data_home: set("XDG_DATA_HOME"),
            home: set("HOME"),
            no_color: set("NO_COLOR").is_some(),
            capable_terminal: set("TERM").is_some_and(|term| term != OsStr::new("dumb")),
        }
    }

    /// Whether text on a terminal may carry colour and be overwritten.
    pub fn wants_colour(&self) -> bool {
        self.capable_terminal && !self.no_color
    }
}
