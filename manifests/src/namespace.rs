//! Which ids a key may sign for.

use crate::id::segments;
use crate::unfit::text_type;
use crate::{PluginId, Unfit};

/// An exact id, or two or more segments and `.*`, matched segment by segment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespacePattern(String);

impl NamespacePattern {
    /// Takes a text that is a pattern.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let stem = text.strip_suffix(".*").unwrap_or(text);
        if segments(stem)? < 2 {
            return Err(Unfit::new(
                "a namespace has at least two segments before .*",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether the id lies in this namespace. `com.a.*` holds `com.a.b` and
    /// `com.a.b.c`, but neither `com.a` nor `com.ab.c`.
    #[must_use]
    pub fn matches(&self, id: &PluginId) -> bool {
        match self.0.strip_suffix(".*") {
            None => self.0 == id.as_str(),
            Some(stem) => id
                .as_str()
                .strip_prefix(stem)
                .is_some_and(|rest| rest.starts_with('.')),
        }
    }

    /// Orders patterns that match the same id: the longest wins, and the exact
    /// id is longer than any `.*`.
    #[must_use]
    pub fn specificity(&self) -> usize {
        match self.0.strip_suffix(".*") {
            None => usize::MAX,
            Some(stem) => stem.split('.').count(),
        }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(NamespacePattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, id: &str) -> bool {
        NamespacePattern::parse(pattern)
            .unwrap()
            .matches(&PluginId::parse(id).unwrap())
    }

    #[test]
    fn a_namespace_holds_whole_segments_only() {
        assert!(matches("com.gitmind.*", "com.gitmind.bot"));
        assert!(matches("com.gitmind.*", "com.gitmind.bot.eu"));
        assert!(!matches("com.gitmind.*", "com.gitmindx.y"));
        assert!(!matches("com.gitmind.*", "com.gitmind"));
        assert!(matches("com.gitmind.bot", "com.gitmind.bot"));
        assert!(!matches("com.gitmind.bot", "com.gitmind.bot.x"));
    }

    #[test]
    fn the_exact_id_is_the_most_specific() {
        let weight = |text| NamespacePattern::parse(text).unwrap().specificity();
        assert!(weight("com.a.b") > weight("com.a.b.*"));
        assert!(weight("com.a.b.*") > weight("com.a.*"));
    }

    #[test]
    fn texts_that_are_no_patterns_are_refused() {
        for text in [
            "",
            "*",
            "com.*",
            "com",
            "com.a*",
            "com.*.b",
            "com.a.*.*",
            "com.a..*",
            "Com.a.*",
            "com.a.?",
        ] {
            assert!(NamespacePattern::parse(text).is_err(), "accepted {text:?}");
        }
    }
}
