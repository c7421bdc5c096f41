//! The command line.

use std::time::Duration;

use gm_sandbox_runner::apart::{Change, Layer, Without};

use super::walls::Profile;

/// The longest that a probe may take.
const MOST_S: u64 = 120;
const USUAL_S: u64 = 10;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) profile: Profile,
    pub(super) without: Without,
    pub(super) changes: Vec<Change>,
    /// Other filters than the profile's.
    pub(super) filters: Filters,
    pub(super) limit: Duration,
    /// Id and words of the probe; none = the twin: the engine itself with honest code.
    pub(super) words: Vec<String>,
}

/// Which filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filters {
    /// The profile's.
    Own,
    /// The profile's without granted paths, whatever the words say.
    Bare,
    /// A mutant of those, by its number.
    Mutant(usize),
    /// Those that report every call that they don't allow.
    Tracing,
}

impl Request {
    /// Reads it.
    pub(super) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut words = words.into_iter();
        let (mut profile, mut layers, mut changes) = (None, Vec::new(), Vec::new());
        let (mut filters, mut limit, mut twin) = (Filters::Own, USUAL_S, false);
        while let Some(word) = words.next().filter(|word| word != "--") {
            match word.as_str() {
                "--twin" => {
                    twin = true;
                    continue;
                }
                "--trace" => {
                    filters = Filters::Tracing;
                    continue;
                }
                "--bare" => {
                    filters = Filters::Bare;
                    continue;
                }
                _ => {}
            }
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            let wrong = || format!("{word} knows no {value:?}");
            match word.as_str() {
                "--profile" => profile = Some(Profile::from_name(&value).ok_or_else(wrong)?),
                "--without" => layers.push(Layer::from_name(&value).ok_or_else(wrong)?),
                "--change" => changes.push(Change::parse(&value).ok_or_else(wrong)?),
                "--mutant" => filters = Filters::Mutant(value.parse().map_err(|_| wrong())?),
                "--limit-s" => {
                    let seconds = value.parse().ok().filter(|s| (1..=MOST_S).contains(s));
                    limit = seconds.ok_or_else(wrong)?;
                }
                _ => return Err(format!("no such option: {word}")),
            }
        }
        let words: Vec<String> = words.collect();
        let named = words.first().is_some_and(|id| !id.is_empty());
        if named == twin || words.iter().any(|word| word.contains('\0')) {
            return Err("give `-- ID` of a probe, without a NUL, or --twin".into());
        }
        let together = |(one, other): (Layer, Layer)| {
            let (one, other) = (one.as_str(), other.as_str());
            format!("{one} and {other} can't both be left out: nothing would hold the probe")
        };
        let without = Without::of(layers).map_err(together)?;
        if without.has(Layer::Net) && profile == Some(Profile::Http) {
            return Err("http has the host's network: net can't be left out".into());
        }
        Ok(Self {
            profile: profile.ok_or("--profile is missing")?,
            without,
            changes,
            filters,
            limit: Duration::from_secs(limit),
            words,
        })
    }

    /// The value of one of the probe's words.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        let mut words = self.words.iter().skip(1);
        words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Request, String> {
        Request::parse(text.split(' ').map(str::to_owned))
    }

    #[test]
    fn a_command_line_says_profile_layers_and_probe() {
        let request = parse("--profile native --without net --without seccomp -- a b=c").unwrap();
        assert_eq!(request.profile, Profile::Native);
        assert!(request.without.has(Layer::Net) && request.without.has(Layer::Seccomp));
        assert_eq!(request.value("b"), Some("c"));
        assert_eq!(request.value("a"), None);
    }

    #[test]
    fn whatever_is_not_known_or_missing_is_refused() {
        for text in [
            "",
            "--profile native",
            "--profile native --",
            "--profile perl -- a",
            "-- a",
            "--profile native --without sekomp -- a",
            "--profile native --without pid --without cgroup -- a",
            "--profile native --limit-s 0 -- a",
            "--profile native --exec /bin/sh -- a",
            "--profile native --twin -- a",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
