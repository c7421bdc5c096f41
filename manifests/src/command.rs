//! Commands that a plugin offers to whoever types `gm plugin run`.

use crate::document::Table;
use crate::unfit::text_type;
use crate::{Code, Refusal, Unfit};

/// Most commands of a plugin.
pub(crate) const MAX_COMMANDS: usize = 32;
/// Longest description, in bytes.
const MAX_DESCRIPTION: usize = 256;
/// Longest name, in bytes.
const MAX_NAME: usize = 32;

/// A command's name: `[a-z][a-z0-9-]{0,31}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandName(String);

impl CommandName {
    /// Takes a name.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !begins || text.len() > MAX_NAME || !text.bytes().all(plain) {
            return Err(Unfit::new(
                "a command's name is a-z, then up to 31 of a-z, 0-9 and -",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(CommandName);

/// A table `[[plugin.command]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What is typed.
    pub name: CommandName,
    /// What it does: text of a stranger, to be escaped; empty if absent.
    pub description: String,
}

impl Command {
    /// The keys of its table.
    pub(crate) const KEYS: [&'static str; 2] = ["name", "description"];

    /// The commands of `[plugin]`, in the manifest's order; no name twice.
    pub(crate) fn all(plugin: &Table<'_, '_>) -> Result<Vec<Self>, Refusal> {
        let Some(list) = plugin.value("command") else {
            return Ok(Vec::new());
        };
        let mut commands: Vec<Self> = Vec::new();
        for item in list.items(MAX_COMMANDS)? {
            let table = item.table()?;
            let name = table.required("name")?;
            let command = Self {
                name: name.fit(Code::ManifestBadValue, CommandName::parse)?,
                description: match table.value("description") {
                    Some(text) => text.fit(Code::ManifestBadValue, description)?,
                    None => String::new(),
                },
            };
            if commands.iter().any(|other| other.name == command.name) {
                return Err(name.refuse(Code::ManifestBadValue, "each command is named once"));
            }
            commands.push(command);
        }
        Ok(commands)
    }
}

fn description(text: &str) -> Result<String, Unfit> {
    match text.len() <= MAX_DESCRIPTION {
        true => Ok(text.to_owned()),
        false => Err(Unfit::new("a command's description has at most 256 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_names_of_commands_are_refused() {
        for text in [
            "", "-", "-a", "1a", "A", "aB", "a_b", "a b", "a.b", "ä", "a\n", "--help",
        ] {
            assert!(CommandName::parse(text).is_err(), "accepted {text:?}");
        }
        assert!(CommandName::parse(&"a".repeat(33)).is_err());
        for text in ["a", "suggest", "a-", "a1-b2", &"a".repeat(32)] {
            assert_eq!(CommandName::parse(text).unwrap().as_str(), text);
        }
    }
}
