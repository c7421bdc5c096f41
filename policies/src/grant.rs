//! Where each line of a plan comes from.
//!
//! Everything that a plan allows carries at least one reason; a reason is a
//! line of a file that a person can open, or a documented default.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// Who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The plugin's author, in the manifest.
    Manifest,
    /// The operator, in `broker.toml`.
    Operator,
    /// What the engine itself needs.
    Engine,
    /// What libc or the language runtime needs; changes with their updates.
    Glue,
    /// Absent, so the documented default.
    Default,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Operator => "operator",
            Self::Engine => "engine",
            Self::Glue => "glue",
            Self::Default => "default",
        }
    }
}

/// One reason: a line of a file, the key on it, and why it is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Because {
    /// Who asked.
    pub source: Source,
    /// The file; a default has none.
    pub file: Option<String>,
    /// Its line, from 1.
    pub line: Option<u32>,
    /// The key of a manifest or of `broker.toml`.
    pub key: Option<String>,
    /// For people.
    pub why: Option<String>,
}

impl Because {
    /// A key of the manifest; where the manifest lacks it, its default.
    #[must_use]
    pub fn manifest(key: &str, line: Option<u32>) -> Self {
        let file = line.map(|_| gm_manifest::MANIFEST_FILE.to_owned());
        let source = if line.is_some() {
            Source::Manifest
        } else {
            Source::Default
        };
        Self {
            source,
            file,
            line,
            key: Some(key.to_owned()),
            why: None,
        }
    }

    /// A key of `broker.toml`; where the file lacks it, its default.
    #[must_use]
    pub fn operator(key: &str, line: Option<u32>) -> Self {
        let file = line.map(|_| "broker.toml".to_owned());
        let source = if line.is_some() {
            Source::Operator
        } else {
            Source::Default
        };
        Self {
            source,
            file,
            line,
            key: Some(key.to_owned()),
            why: None,
        }
    }

    /// A line of an engine's profile.
    #[must_use]
    pub(crate) fn profile(source: Source, file: &str, line: u32, why: &str) -> Self {
        Self {
            source,
            file: Some(file.to_owned()),
            line: Some(line),
            key: None,
            why: Some(why.to_owned()),
        }
    }

    /// What every walled process has, whatever it is.
    #[must_use]
    pub(crate) fn always(why: &str) -> Self {
        Self {
            source: Source::Engine,
            file: None,
            line: None,
            key: None,
            why: Some(why.to_owned()),
        }
    }

    /// The manifest's line, if this is one.
    #[must_use]
    pub fn manifest_line(&self) -> Option<u32> {
        self.line.filter(|_| self.source == Source::Manifest)
    }

    /// `file:line  why`, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        match (&self.file, self.line) {
            (Some(file), Some(line)) => parts.push(format!("{file}:{line}")),
            (Some(file), None) => parts.push(file.clone()),
            (None, _) => parts.push(self.source.name().to_owned()),
        }
        parts.extend(self.key.clone());
        parts.extend(self.why.clone());
        parts.join("  ")
    }
}

/// The members that records print, in their documented order; absent ones are left out.
impl Serialize for Because {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("from", self.source.name())?;
        for (name, value) in [("file", &self.file), ("key", &self.key), ("why", &self.why)] {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
            if let (("file", Some(_)), Some(line)) = ((name, value), self.line) {
                map.serialize_entry("line", &line)?;
            }
        }
        map.end()
    }
}
