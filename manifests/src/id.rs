//! Plugin ids: reverse-DNS names that look the same to every reader.

use crate::Unfit;
use crate::unfit::text_type;

/// Longest id, in bytes: it names directories and log files.
const MAX_ID: usize = 128;

/// A plugin's id: 2 to 10 segments of `[a-z0-9-]` joined by dots, no hyphen at
/// an end of a segment, at most 128 bytes. ASCII only, so that no two ids look alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PluginId(String);

impl PluginId {
    /// Takes a text that is an id.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let count = segments(text)?;
        if count < 2 {
            return Err(Unfit::new("an id has at least two segments"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The id as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(PluginId);

/// Counts the segments of a dotted name; the rules that ids and namespaces share.
pub(crate) fn segments(text: &str) -> Result<usize, Unfit> {
    if text.len() > MAX_ID {
        return Err(Unfit::new("an id has at most 128 bytes"));
    }
    for segment in text.split('.') {
        if segment.is_empty() {
            return Err(Unfit::new("no segment of an id is empty"));
        }
        if !segment
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            return Err(Unfit::new("segments of an id are made of a-z, 0-9 and -"));
        }
        if segment.starts_with('-') || segment.ends_with('-') {
            return Err(Unfit::new(
                "a segment of an id neither starts nor ends with -",
            ));
        }
    }
    let count = text.split('.').count();
    if count > 10 {
        return Err(Unfit::new("an id has at most ten segments"));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_ids_are_refused() {
        let long = format!("com.{}", "a".repeat(130));
        for text in [
            "",
            "com",
            ".",
            "com.",
            ".com",
            "com..x",
            "COM.gitmind.x",
            "com.gitmind.x.",
            "com.-x",
            "com.x-",
            "com.gitmіnd.x",
            "com.a_b",
            "com.a b",
            "com/x",
            "com.x\n",
            "com.\u{0}",
            "a.b.c.d.e.f.g.h.i.j.k",
            &long,
        ] {
            assert!(PluginId::parse(text).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn ordinary_ids_are_taken_as_they_are() {
        for text in [
            "com.x",
            "com.example.hello-bot",
            "0.1",
            "a.b.c.d.e.f.g.h.i.j",
        ] {
            assert_eq!(PluginId::parse(text).unwrap().as_str(), text);
        }
    }
}
