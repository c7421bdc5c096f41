//! Failures that somebody answers for until a day, and rows that are known to prove
//! nothing on a kernel.

use std::path::Path;

use jiff::Zoned;
use jiff::civil::Date;
use serde::Deserialize;

use super::Usage;
use super::outcome::Row;
use super::table::fits;

/// A file of waivers.
#[derive(Debug, Default)]
pub(super) struct Waivers(Vec<Waiver>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiver {
    /// The probe, `*` stands for any part.
    probe: String,
    /// The kind of plugin; absent: every one.
    profile: Option<String>,
    owner: String,
    reason: String,
    /// The last day on which it counts, as 2027-01-31.
    until: String,
    #[serde(skip)]
    day: Option<Date>,
}

impl Waivers {
    /// Reads a file.
    ///
    /// # Errors
    /// If it can't be read, or one of them lacks its owner, reason or last day.
    pub(super) fn read(file: &Path) -> Result<Self, Usage> {
        let text = super::plain_text(file).map_err(|error| bad(file, &error))?;
        Self::parse(&text).map_err(|why| bad(file, &why))
    }

    fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            waiver: Vec<Waiver>,
        }
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut all = file.waiver;
        for waiver in &mut all {
            let texts = [&waiver.probe, &waiver.owner, &waiver.reason];
            if texts.iter().any(|text| text.trim().is_empty()) {
                return Err("a waiver needs a probe, an owner and a reason".to_owned());
            }
            let day = waiver.until.parse();
            waiver.day = Some(day.map_err(|error| format!("until = {:?}: {error}", waiver.until))?);
        }
        Ok(Self(all))
    }

    /// Notes on each failing row who answers for it; what expired is a missed threshold.
    pub(super) fn apply(&self, rows: &mut [Row]) -> Vec<String> {
        self.apply_on(rows, Zoned::now().date())
    }

    fn apply_on(&self, rows: &mut [Row], today: Date) -> Vec<String> {
        let expired = |waiver: &&Waiver| waiver.day.is_none_or(|day| day < today);
        for row in rows.iter_mut() {
            let mut good = self.0.iter().filter(|waiver| !expired(waiver));
            let own = good.find(|waiver| waiver.covers(row));
            row.waiver = own.map(|waiver| {
                serde_json::json!({"owner": waiver.owner, "reason": waiver.reason, "until": waiver.until})
            });
        }
        let old = self.0.iter().filter(expired);
        old.map(|waiver| {
            format!(
                "the waiver of {} for {} expired on {}",
                waiver.owner, waiver.probe, waiver.until
            )
        })
        .collect()
    }
}

impl Waiver {
    fn covers(&self, row: &Row) -> bool {
        let profile = self.profile.as_ref().is_none_or(|own| *own == row.profile);
        profile && fits(&self.probe, &row.id)
    }
}

fn bad(file: &Path, why: &dyn std::fmt::Display) -> Usage {
    Usage(format!("{}: {why}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::outcome::Standing;
    use crate::harness::report::tests::row;
    use crate::harness::verdict::Class;

    const GOOD: &str = "[[waiver]]\nprobe = \"sc-*\"\nowner = \"ann\"\nreason = \"kernel 5.4\"\nuntil = \"2027-01-31\"\n";

    #[test]
    fn a_waiver_without_owner_reason_or_last_day_is_refused() {
        assert!(Waivers::parse(GOOD).is_ok() && Waivers::parse("").is_ok());
        for key in ["probe", "owner", "reason", "until"] {
            let without: String = GOOD
                .split_inclusive('\n')
                .filter(|line| !line.starts_with(key))
                .collect();
            assert!(Waivers::parse(&without).is_err(), "{key}");
        }
        for (from, to) in [("ann", " "), ("2027-01-31", "soon"), ("owner", "boss")] {
            assert!(Waivers::parse(&GOOD.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn it_covers_its_probe_until_its_day_and_then_fails_the_run() {
        let waivers = Waivers::parse(GOOD).unwrap();
        let mut rows = [row("sc-x32", Class::Escaped), row("fs-x", Class::Escaped)];
        let on = |day: &str, rows: &mut [Row]| waivers.apply_on(rows, day.parse().unwrap());
        assert_eq!(on("2027-01-31", &mut rows), [""; 0]);
        assert_eq!(rows[0].standing(false), Standing::Waived);
        assert_eq!(rows[1].standing(false), Standing::Failure("ESCAPED"));
        assert_eq!(on("2027-02-01", &mut rows).len(), 1);
        assert_eq!(rows[0].standing(false), Standing::Failure("ESCAPED"));
    }
}
