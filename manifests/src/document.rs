//! A strict walk over a TOML document that keeps where everything stands.
//!
//! Typed deserialization would lose the places of keys and list items, and with
//! them the line that a refusal or a policy must name.

use crate::{Code, Refusal, Unfit};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A place in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub col: u32,
}

impl Span {
    /// Where the byte at `offset` stands.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).saturating_add(1);
        Self {
            line: count(before.bytes().filter(|b| *b == b'\n').count()),
            col: count(before.get(line_start..).unwrap_or("").chars().count()),
        }
    }
}

/// Parses a document whose bytes were checked already.
pub(crate) fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Refusal> {
    DeTable::parse(text).map_err(|error| {
        // The parser has one message for every kind of repetition, and no code.
        let code = match error.message().starts_with("duplicate key") {
            true => Code::ManifestDuplicate,
            false => Code::ManifestSyntax,
        };
        let offset = error.span().map_or(text.len(), |span| span.start);
        Refusal::new(code, error.message()).line(Span::of(text, offset).line)
    })
}

/// One table of the document, with its dotted name.
pub(crate) struct Table<'d, 'i> {
    pub(crate) text: &'i str,
    pub(crate) name: String,
    pub(crate) entries: &'d DeTable<'i>,
    /// Where the table's header or brace stands.
    pub(crate) at: Range<usize>,
}

impl<'d, 'i> Table<'d, 'i> {
    /// The document itself, as the table without a name.
    pub(crate) fn root(text: &'i str, root: &'d Spanned<DeTable<'i>>) -> Self {
        Self {
            text,
            name: String::new(),
            entries: root.get_ref(),
            at: root.span(),
        }
    }

    fn path(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }

    /// Refuses a key that isn't in the list.
    pub(crate) fn allow_only(&self, known: &[&str]) -> Result<(), Refusal> {
        for key in self.entries.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let what = format!("{} is not a key of the manifest", self.path(key.get_ref()));
                return Err(
                    Refusal::new(Code::ManifestUnknownKey, what).line(self.line(&key.span()))
                );
            }
        }
        Ok(())
    }

    pub(crate) fn line(&self, at: &Range<usize>) -> u32 {
        Span::of(self.text, at.start).line
    }

    /// The value of a key, if the key is there.
    pub(crate) fn value(&self, key: &str) -> Option<Value<'d, 'i>> {
        self.entries.get(key).map(|value| Value {
            text: self.text,
            name: self.path(key),
            value,
        })
    }

    /// The value of a key that has to be there.
    pub(crate) fn required(&self, key: &str) -> Result<Value<'d, 'i>, Refusal> {
        self.value(key).ok_or_else(|| {
            Refusal::new(
                Code::ManifestMissingKey,
                format!("{} is missing", self.path(key)),
            )
            .line(self.line(&self.at))
        })
    }

    /// Records the place of every key and list item below this table, by dotted
    /// name (`permissions.host_api`, `permissions.host_api[0]`).
    pub(crate) fn places(&self, into: &mut BTreeMap<String, Span>) {
        for (key, value) in self.entries {
            let name = self.path(key.get_ref());
            into.insert(name.clone(), Span::of(self.text, key.span().start));
            let value = Value {
                text: self.text,
                name,
                value,
            };
            if let Some(table) = value.as_table() {
                table.places(into);
            }
            for item in value.as_items().into_iter().flatten() {
                into.insert(item.name.clone(), item.span());
            }
        }
    }
}

/// One value, with its dotted name and its place.
pub(crate) struct Value<'d, 'i> {
    text: &'i str,
    pub(crate) name: String,
    pub(crate) value: &'d Spanned<DeValue<'i>>,
}

impl<'d, 'i> Value<'d, 'i> {
    pub(crate) fn span(&self) -> Span {
        Span::of(self.text, self.value.span().start)
    }

    /// A refusal of this value, at its line.
    pub(crate) fn refuse(&self, code: Code, rule: &str) -> Refusal {
        let shown = match self.value.get_ref() {
            DeValue::String(text) => format!("{} is {:?}", self.name, text.as_ref()),
            other => format!(
                "{} is {} {}",
                self.name,
                article(other.type_str()),
                other.type_str()
            ),
        };
        Refusal::new(code, shown).rule(rule).line(self.span().line)
    }

    pub(crate) fn as_table(&self) -> Option<Table<'d, 'i>> {
        self.value.get_ref().as_table().map(|entries| Table {
            text: self.text,
            name: self.name.clone(),
            entries,
            at: self.value.span(),
        })
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        self.value.get_ref().as_bool()
    }

    fn as_items(&self) -> Option<impl Iterator<Item = Value<'d, 'i>>> {
        let items = self.value.get_ref().as_array()?;
        Some(items.iter().enumerate().map(|(index, value)| Value {
            text: self.text,
            name: format!("{}[{index}]", self.name),
            value,
        }))
    }

    pub(crate) fn table(&self) -> Result<Table<'d, 'i>, Refusal> {
        self.as_table()
            .ok_or_else(|| self.refuse(Code::ManifestBadValue, "it is a table"))
    }

    pub(crate) fn text(&self) -> Result<&'d str, Refusal> {
        self.value
            .get_ref()
            .as_str()
            .ok_or_else(|| self.refuse(Code::ManifestBadValue, "it is a text"))
    }

    /// The items of a list that may hold so many.
    pub(crate) fn items(&self, most: usize) -> Result<Vec<Value<'d, 'i>>, Refusal> {
        let items = self
            .as_items()
            .ok_or_else(|| self.refuse(Code::ManifestBadValue, "it is a list"))?;
        let items: Vec<_> = items.collect();
        if items.len() > most {
            return Err(self.refuse(
                Code::ManifestBadValue,
                &format!("it has at most {most} items"),
            ));
        }
        Ok(items)
    }

    /// The text as a value of some type; `code` if it isn't one.
    pub(crate) fn fit<T>(
        &self,
        code: Code,
        parse: impl Fn(&str) -> Result<T, Unfit>,
    ) -> Result<T, Refusal> {
        parse(self.text()?).map_err(|unfit| self.refuse(code, unfit.rule()))
    }

    /// A list of such texts in which none repeats.
    pub(crate) fn fit_each<T: PartialEq>(
        &self,
        most: usize,
        code: Code,
        parse: impl Fn(&str) -> Result<T, Unfit>,
    ) -> Result<Vec<T>, Refusal> {
        let mut fitted = Vec::new();
        for item in self.items(most)? {
            let value = item.fit(code, &parse)?;
            if fitted.contains(&value) {
                return Err(item.refuse(code, "it is listed twice"));
            }
            fitted.push(value);
        }
        Ok(fitted)
    }
}

fn article(noun: &str) -> &'static str {
    match noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        true => "an",
        false => "a",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_lines_and_characters_from_one() {
        let text = "a = 1\nä = 2\n";
        assert_eq!(Span::of(text, 0), Span { line: 1, col: 1 });
        assert_eq!(
            Span::of(text, text.find('2').unwrap()),
            Span { line: 2, col: 5 }
        );
        assert_eq!(Span::of(text, 9999), Span { line: 3, col: 1 });
    }

    #[test]
    fn every_key_and_list_item_has_its_place() {
        let text = "[a]\nb = [\n  \"x\",\n  \"y\",\n]\nc = { d = true }\n";
        let root = parse(text).unwrap();
        let mut places = BTreeMap::new();
        Table::root(text, &root).places(&mut places);
        assert_eq!(places["a.b"], Span { line: 2, col: 1 });
        assert_eq!(places["a.b[1]"], Span { line: 4, col: 3 });
        assert_eq!(places["a.c.d"], Span { line: 6, col: 7 });
    }

    #[test]
    fn repetition_is_told_from_bad_syntax() {
        let code = |text| parse(text).unwrap_err().code;
        for text in [
            "a = 1\na = 2\n",
            "[a]\n[a]\n",
            "a = { b = 1, b = 2 }\n",
            "[a]\nb = 1\n[a.b]\n",
            "a.b = 1\na.b = 2\n",
            "a = 1\n[a]\n",
        ] {
            assert_eq!(code(text), Code::ManifestDuplicate, "{text:?}");
        }
        for text in ["a", "a = \n", "[a", "a = \"x\ny\"\n", "= 1", "a = 1 b = 2"] {
            assert_eq!(code(text), Code::ManifestSyntax, "{text:?}");
        }
    }
}
