//! Dates out of seconds, in the proleptic Gregorian calendar.
//!
//! A plugin has no clock: all times are those of the commits.

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Days from 0000-03-01 to 1970-01-01.
const MARCH_OF_YEAR_0: i64 = 719_468;

/// Days in 400 years.
const ERA: i64 = 146_097;

/// A day where a clock showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    year: i64,
    month: i64,
    day: i64,
}

impl Date {
    /// The day at `time` (seconds since 1970, UTC) where the clock is `offset`
    /// minutes ahead.
    pub(crate) fn at(time: i64, offset: i32) -> Self {
        let local = time.saturating_add(i64::from(offset) * 60);
        let days = local.div_euclid(DAY) + MARCH_OF_YEAR_0;
        // Years begin in March here, so that a leap day is a year's last.
        let (era, day) = (days.div_euclid(ERA), days.rem_euclid(ERA));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        Self {
            year: era * 400 + year + i64::from(month >= 10),
            month: if month < 10 { month + 3 } else { month - 9 },
            day: day_of_year - (153 * month + 2) / 5 + 1,
        }
    }

    /// `2026-11`
    pub(crate) fn month(self) -> String {
        format!("{:04}-{:02}", self.year, self.month)
    }

    /// `2026-11-24`
    pub(crate) fn day(self) -> String {
        format!("{}-{:02}", self.month(), self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let table = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_700_000_000, "2023-11-14"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
        ];
        for (time, day) in table {
            assert_eq!(Date::at(time, 0).day(), day, "at {time}");
        }
    }

    #[test]
    fn offset_moves_the_day() {
        assert_eq!(Date::at(1_700_000_000, 60).day(), "2023-11-14");
        assert_eq!(Date::at(1_700_000_000, 120).day(), "2023-11-15");
        assert_eq!(Date::at(0, -1).month(), "1969-12");
    }

    #[test]
    fn absurd_times_are_no_panic() {
        for time in [i64::MIN, i64::MAX] {
            for offset in [i32::MIN, i32::MAX] {
                assert!(!Date::at(time, offset).day().is_empty());
            }
        }
    }
}
