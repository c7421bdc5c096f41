//! Limits with their units: bytes, milliseconds, percent of a core.
//!
//! No bare number crosses a module: what was written and what is meant can't differ.

use crate::Unfit;
use std::time::Duration;

/// A size in bytes, written `[1-9][0-9]*(kb|mb|gb)`, powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(u64);

impl Bytes {
    /// A size that the host itself gives.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of so many megabytes (of 1024 × 1024).
    #[must_use]
    pub const fn mb(count: u32) -> Self {
        Self((count as u64) << 20)
    }

    /// Takes a SIZE. At most 2^53 − 1 bytes, so that every JSON reader keeps it exact.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        const RULE: Unfit =
            Unfit::new("a size is a whole number and kb, mb or gb, such as \"32mb\"");
        let (count, unit) = number_and_unit(text).ok_or(RULE)?;
        let shift = match unit {
            "kb" => 10,
            "mb" => 20,
            "gb" => 30,
            _ => return Err(RULE),
        };
        count
            .checked_mul(1 << shift)
            .filter(|bytes| *bytes < 1 << 53)
            .map(Self)
            .ok_or(Unfit::new("a size is below 2^53 bytes"))
    }

    /// The number of bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// As it would be written, in the largest unit that divides it.
impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
            if self.0 != 0 && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}

/// A time in milliseconds, written `[1-9][0-9]*(ms|s|m)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Millis(u64);

impl Millis {
    /// A time that the host itself gives.
    #[must_use]
    pub const fn new(millis: u64) -> Self {
        Self(millis)
    }

    /// Takes a TIME. At most 2^53 − 1 milliseconds.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        const RULE: Unfit = Unfit::new("a time is a whole number and ms, s or m, such as \"2s\"");
        let (count, unit) = number_and_unit(text).ok_or(RULE)?;
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => return Err(RULE),
        };
        count
            .checked_mul(factor)
            .filter(|millis| *millis < 1 << 53)
            .map(Self)
            .ok_or(Unfit::new("a time is below 2^53 ms"))
    }

    /// The number of milliseconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same as the standard library's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// As it would be written, in the largest unit that divides it.
impl std::fmt::Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (factor, unit) in [(60_000, "m"), (1_000, "s")] {
            if self.0 != 0 && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}ms", self.0)
    }
}

/// A share of one core, 5 to 100, written `50%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// A whole core.
    pub const FULL: Self = Self(100);

    /// Takes a share.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        const RULE: Unfit = Unfit::new("a share of a core is written \"5%\" to \"100%\"");
        match number_and_unit(text) {
            Some((count, "%")) => u8::try_from(count)
                .ok()
                .filter(|share| (5..=100).contains(share))
                .map(Self)
                .ok_or(RULE),
            _ => Err(RULE),
        }
    }

    /// The number, 5 to 100.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// Splits `[1-9][0-9]*` from what follows.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    if number.starts_with('0') {
        return None;
    }
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_sizes_are_refused() {
        for text in [
            "",
            "mb",
            "32",
            "32 mb",
            " 32mb",
            "32mb ",
            "-1mb",
            "+1mb",
            "32MB",
            "32Mb",
            "0mb",
            "032mb",
            "1.5mb",
            "32mib",
            "32b",
            "1tb",
            "32mb32mb",
            "99999999999gb",
            "99999999999999999999mb",
            "٣mb",
        ] {
            assert!(Bytes::parse(text).is_err(), "accepted {text:?}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(Bytes::parse("32mb").unwrap().get(), 33_554_432);
        assert_eq!(Bytes::parse("1kb").unwrap().get(), 1024);
        assert_eq!(Bytes::parse("2gb").unwrap().to_string(), "2gb");
        assert_eq!(Bytes::parse("1536kb").unwrap().to_string(), "1536kb");
    }

    #[test]
    fn texts_that_are_no_times_are_refused() {
        for text in [
            "",
            "s",
            "2",
            "2 s",
            "0s",
            "02s",
            "2S",
            "2h",
            "2.5s",
            "-2s",
            "2sec",
            "18446744073709551616ms",
        ] {
            assert!(Millis::parse(text).is_err(), "accepted {text:?}");
        }
        assert_eq!(
            Millis::parse("10m").unwrap().duration(),
            Duration::from_secs(600)
        );
        assert_eq!(Millis::parse("1500ms").unwrap().to_string(), "1500ms");
    }

    #[test]
    fn texts_that_are_no_shares_are_refused() {
        for text in [
            "", "%", "4%", "0%", "101%", "050%", "50", "50 %", "50.5%", "-5%", "300%",
        ] {
            assert!(Percent::parse(text).is_err(), "accepted {text:?}");
        }
        assert_eq!(Percent::parse("5%").unwrap().get(), 5);
        assert_eq!(Percent::parse("100%").unwrap(), Percent::FULL);
    }
}
