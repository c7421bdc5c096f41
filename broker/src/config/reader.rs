//! A strict walk over `broker.toml`: every key is taken once, what is left
//! over is refused, and every value keeps its place.

use gm_manifest::{Code, Refusal, Span, Unfit};
use gm_policy::Told;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table whose keys are taken one by one.
pub(super) struct Section<'i> {
    text: &'i str,
    name: String,
    entries: DeTable<'i>,
}

impl<'i> Section<'i> {
    /// The whole document.
    pub(super) fn document(text: &'i str) -> Result<Self, Refusal> {
        let entries = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(text.len(), |span| span.start);
            let line = place(text, offset).line;
            Refusal::new(
                Code::ConfigSyntax,
                format!("broker.toml line {line}: {}", error.message()),
            )
        })?;
        Ok(Self {
            text,
            name: String::new(),
            entries: entries.into_inner(),
        })
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// Takes the value of a key.
    pub(super) fn take(&mut self, key: &str) -> Option<Item<'i>> {
        let value = self.entries.remove(key)?;
        Some(Item {
            text: self.text,
            name: self.path(key),
            value,
        })
    }

    /// Takes a key's value as `read` understands it, if the key is there.
    pub(super) fn read<T>(
        &mut self,
        key: &str,
        to: &mut T,
        read: impl FnOnce(Item<'i>) -> Result<T, Refusal>,
    ) -> Result<(), Refusal> {
        if let Some(item) = self.take(key) {
            *to = read(item)?;
        }
        Ok(())
    }

    /// Takes a table and hands it to `read`, which must take all of it.
    pub(super) fn within(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Section<'i>) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let Some(item) = self.take(key) else {
            return Ok(());
        };
        let mut section = item.section()?;
        read(&mut section)?;
        section.finish()
    }

    /// Takes all that is left, with its keys.
    pub(super) fn drain(&mut self) -> Vec<(String, Item<'i>)> {
        let entries = std::mem::take(&mut self.entries);
        let item = |key: &str, value| Item {
            text: self.text,
            name: self.path(&format!("{key:?}")),
            value,
        };
        entries
            .into_iter()
            .map(|(key, value)| (key.get_ref().to_string(), item(key.get_ref(), value)))
            .collect()
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), Refusal> {
        let Some(key) = self.entries.keys().next() else {
            return Ok(());
        };
        let line = place(self.text, key.span().start).line;
        Err(Refusal::new(
            Code::ConfigUnknownKey,
            format!(
                "broker.toml line {line}: {} is no key",
                self.path(key.get_ref())
            ),
        ))
    }
}

/// One value with its dotted name.
pub(super) struct Item<'i> {
    text: &'i str,
    name: String,
    value: Spanned<DeValue<'i>>,
}

impl<'i> Item<'i> {
    pub(super) fn at(&self) -> Span {
        place(self.text, self.value.span().start)
    }

    /// A refusal of this value.
    pub(super) fn refuse(&self, rule: &str) -> Refusal {
        let shown = match self.value.get_ref() {
            DeValue::String(text) => format!("{:?}", text.as_ref()),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            other => format!("of type {}", other.type_str()),
        };
        Refusal::new(
            Code::ConfigBadValue,
            format!(
                "broker.toml line {}: {} is {shown}",
                self.at().line,
                self.name
            ),
        )
        .rule(rule)
    }

    pub(super) fn section(self) -> Result<Section<'i>, Refusal> {
        if !self.value.get_ref().is_table() {
            return Err(self.refuse("it must be a table"));
        }
        let DeValue::Table(entries) = self.value.into_inner() else {
            return Err(Refusal::new(Code::ConfigBadValue, "not a table"));
        };
        Ok(Section {
            text: self.text,
            name: self.name,
            entries,
        })
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.value.get_ref().as_bool()
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    pub(super) fn string(&self) -> Option<&str> {
        self.value.get_ref().as_str()
    }

    pub(super) fn integer(&self) -> Option<i64> {
        let number = self.value.get_ref().as_integer()?;
        i64::from_str_radix(number.as_str(), number.radix()).ok()
    }

    pub(super) fn text(&self) -> Result<&str, Refusal> {
        self.string()
            .ok_or_else(|| self.refuse("it must be a text"))
    }

    /// An integer within these bounds.
    pub(super) fn number<N>(&self, least: N, most: N) -> Result<N, Refusal>
    where
        N: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        self.integer()
            .and_then(|number| N::try_from(number).ok())
            .filter(|number| *number >= least && *number <= most)
            .ok_or_else(|| self.refuse(&format!("it must be an integer from {least} to {most}")))
    }

    /// A text as a value of some type.
    pub(super) fn fit<T>(&self, parse: impl Fn(&str) -> Result<T, Unfit>) -> Result<T, Refusal> {
        parse(self.text()?).map_err(|unfit| self.refuse(unfit.rule()))
    }

    /// The same, with its line.
    pub(super) fn fit_told<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, Unfit>,
    ) -> Result<Told<T>, Refusal> {
        Ok(Told::at(self.fit(parse)?, self.at().line))
    }

    pub(super) fn items(self) -> Result<Vec<Self>, Refusal> {
        if !self.value.get_ref().is_array() {
            return Err(self.refuse("it must be a list"));
        }
        let DeValue::Array(values) = self.value.into_inner() else {
            return Err(Refusal::new(Code::ConfigBadValue, "not a list"));
        };
        Ok(values
            .into_iter()
            .enumerate()
            .map(|(index, value)| Self {
                text: self.text,
                name: format!("{}[{index}]", self.name),
                value,
            })
            .collect())
    }

    /// A list in which nothing repeats.
    pub(super) fn fit_each<T: PartialEq>(
        self,
        parse: impl Fn(&str) -> Result<T, Unfit>,
    ) -> Result<Vec<T>, Refusal> {
        let mut values = Vec::new();
        for item in self.items()? {
            let value = item.fit(&parse)?;
            if values.contains(&value) {
                return Err(item.refuse("it is listed twice"));
            }
            values.push(value);
        }
        Ok(values)
    }
}

/// Line and column of a byte, both from 1.
fn place(text: &str, offset: usize) -> Span {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count();
    let col = before.chars().rev().take_while(|c| *c != '\n').count();
    let from_one = |count: usize| u32::try_from(count).map_or(u32::MAX, |n| n.saturating_add(1));
    Span {
        line: from_one(line),
        col: from_one(col),
    }
}
