//! What a probe says of itself: a claim, that the harness compares with what it sees.

/// A probe's report: the last line of what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Of the probe.
    pub id: String,
    /// Whether it was the live form.
    pub live: bool,
    /// `ok`, an errno's name or a number.
    pub said: String,
    /// A number that goes with it.
    pub value: i64,
    /// Bytes that it got hold of, `%XX` for what isn't plain text.
    pub seen: Option<String>,
}

impl Said {
    /// Reads a report; none if there is no such line.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let line = text.lines().rfind(|line| line.starts_with("probe="))?;
        let word = |key: &str| {
            line.split(' ')
                .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
        };
        let seen = text
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("seen="));
        Some(Self {
            id: word("probe")?.to_owned(),
            live: match word("form")? {
                "live" => true,
                "harmless" => false,
                _ => return None,
            },
            said: word("said")?.to_owned(),
            value: word("value")?.parse().ok()?,
            seen: seen.map(str::to_owned),
        })
    }
}
