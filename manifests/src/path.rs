//! Paths as manifests write them: of a package's files, and of what may be granted.
//!
//! Nothing is normalised: a path is plain as it stands, or refused.

use crate::Unfit;
use crate::unfit::text_type;

/// Longest path, in bytes.
const MAX_PATH: usize = 255;

/// The path of a file inside the package: relative, plain ASCII segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackagePath(String);

impl PackagePath {
    /// Takes a path of the package.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        plain_segments(text)?;
        if text.eq_ignore_ascii_case(crate::MANIFEST_FILE) {
            return Err(Unfit::new("the manifest is no file of its own list"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The path, relative to the package.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(PackagePath);

/// What a granted path starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GrantRoot {
    /// The root of the repository's work tree.
    Repo,
    /// The plugin's private, empty, writable place.
    Data,
    /// The package's own files.
    Assets,
    /// The root of the host.
    Host,
}

/// A path that a manifest asks for: `$REPO`, `$DATA`, `$ASSETS`, or below one of
/// them, or absolute.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantPath {
    text: String,
    root: GrantRoot,
}

impl GrantPath {
    /// Takes a path that may be granted. None with a segment `.git` is: whoever
    /// reads or writes there has the repository, or runs its hooks.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let (root, rest) = split_root(text)?;
        if !rest.is_empty() {
            plain_segments(rest)?;
        }
        if rest
            .split('/')
            .any(|segment| segment.eq_ignore_ascii_case(".git"))
        {
            return Err(Unfit::new("no grant reaches a .git"));
        }
        Ok(Self {
            text: text.to_owned(),
            root,
        })
    }

    /// What the path starts from.
    #[must_use]
    pub fn root(&self) -> GrantRoot {
        self.root
    }

    /// What follows the root, without a leading slash; empty for the root itself.
    #[must_use]
    pub fn below(&self) -> &str {
        self.text.split_once('/').map_or("", |(_, rest)| rest)
    }

    /// The path as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

text_type!(GrantPath);

fn split_root(text: &str) -> Result<(GrantRoot, &str), Unfit> {
    let (head, rest) = match text.split_once('/') {
        Some((_, "")) => {
            return Err(Unfit::new(
                "a path has no empty segment, and / itself is never granted",
            ));
        }
        Some((head, rest)) => (head, rest),
        None if text.is_empty() => return Err(Unfit::new("a path is not empty")),
        None => (text, ""),
    };
    let root = match head {
        "$REPO" => GrantRoot::Repo,
        "$DATA" => GrantRoot::Data,
        "$ASSETS" => GrantRoot::Assets,
        "" => GrantRoot::Host,
        _ => return Err(Unfit::new("a grant starts with $REPO, $DATA, $ASSETS or /")),
    };
    Ok((root, rest))
}

fn plain_segments(text: &str) -> Result<(), Unfit> {
    if text.len() > MAX_PATH {
        return Err(Unfit::new("a path has at most 255 bytes"));
    }
    if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err(Unfit::new(
            "a path is printable ASCII without blanks and backslashes",
        ));
    }
    for segment in text.split('/') {
        if matches!(segment, "" | "." | "..") {
            return Err(Unfit::new("no segment of a path is empty, . or .."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_package_or_look_like_others_are_refused() {
        let long = "a".repeat(256);
        for text in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            ".",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "a b",
            "a\tb",
            "a\nb",
            "a\0b",
            "ä",
            "a\u{202e}b",
            "plugin.manifest.toml",
            "Plugin.Manifest.TOML",
            &long,
        ] {
            assert!(PackagePath::parse(text).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn plain_paths_are_taken_as_they_are() {
        for text in [
            "plugin.wasm",
            "lib/a.lua",
            "...",
            ".hidden",
            "a..b",
            "~",
            "$x",
        ] {
            assert_eq!(PackagePath::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn grants_that_reach_too_far_are_refused() {
        for text in [
            "",
            "/",
            "$REPO/",
            "$REPO/..",
            "$REPO//a",
            "$HOME/x",
            "$repo",
            "REPO",
            "docs",
            "~/x",
            "/etc/../root",
            "$REPO/.git",
            "$REPO/a/.GIT/b",
            "/srv/x/.git",
            "$DATAx",
            "$REPO/a b",
            "//",
        ] {
            assert!(GrantPath::parse(text).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn grants_tell_their_root_from_what_is_below() {
        let grant = GrantPath::parse("$REPO/docs/a").unwrap();
        assert_eq!((grant.root(), grant.below()), (GrantRoot::Repo, "docs/a"));
        let grant = GrantPath::parse("/srv/data").unwrap();
        assert_eq!((grant.root(), grant.below()), (GrantRoot::Host, "srv/data"));
        let grant = GrantPath::parse("$DATA").unwrap();
        assert_eq!((grant.root(), grant.below()), (GrantRoot::Data, ""));
    }
}
