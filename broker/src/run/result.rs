//! What a run came to: fates of its plugins, exit code, results for people.

use std::collections::BTreeMap;

use gm_manifest::Code;

use crate::ending::EndingKind;
use crate::records::Recorder;
use crate::supervise::Said;

/// What one plugin of a run came to.
#[derive(Debug, Default)]
pub(super) struct Fate {
    pub(super) id: String,
    /// Exit codes that it asks for.
    pub(super) exits: Vec<u8>,
    /// `None`: it was refused.
    pub(super) ending: Option<EndingKind>,
    pub(super) report: Option<String>,
    /// What the command answered, if one was carried out.
    pub(super) command: Option<Said>,
}

impl Fate {
    pub(super) fn refused(id: &str, exit: u8) -> Self {
        Self {
            id: id.to_owned(),
            exits: vec![exit],
            ..Self::default()
        }
    }
}

/// The first that applies: a signal, an internal fault, a missing wall, a hard
/// limit, the first refusal in id order, an error, nothing. A fault of the
/// source counts behind the plugins' hard endings, as it is the caller's own.
pub(super) fn exit_of(
    signal: Option<u8>,
    launcher_died: bool,
    source: Option<u8>,
    fates: &[Fate],
) -> u8 {
    let internal = Code::InternalLauncher.exit();
    if let Some(signal) = signal {
        return signal;
    }
    if launcher_died {
        return internal;
    }
    let exits: Vec<u8> = fates
        .iter()
        .flat_map(|fate| fate.exits.iter().copied())
        .collect();
    let first = |wanted: &dyn Fn(u8) -> bool| exits.iter().copied().find(|exit| wanted(*exit));
    first(&|exit| exit == internal)
        .or_else(|| first(&|exit| exit == 30))
        .or_else(|| first(&|exit| exit == 20))
        .or_else(|| first(&|exit| (10..=18).contains(&exit)))
        .or(source)
        .or_else(|| first(&|exit| exit == 2))
        .or_else(|| first(&|exit| exit != 0))
        .unwrap_or(0)
}

/// How many plugins ended how.
pub(super) fn endings(fates: &[Fate]) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for kind in fates.iter().filter_map(|fate| fate.ending) {
        *counts.entry(kind.as_str()).or_insert(0) += 1;
    }
    counts
}

/// Prints what the plugins report at their end, each under its id: set in, so that no
/// report begins another one's.
pub(super) fn print_reports(recorder: &Recorder<'_>, fates: &[Fate]) {
    for fate in fates {
        let Some(report) = &fate.report else { continue };
        recorder.say(|output| {
            output.heading(&fate.id);
            for line in report.trim_end().lines() {
                output.line(&format!("  {line}"));
            }
            output.line("");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates(exits: &[u8]) -> Vec<Fate> {
        exits
            .iter()
            .map(|exit| Fate::refused("com.x.y", *exit))
            .collect()
    }

    #[test]
    fn the_gravest_outcome_gives_the_exit_code() {
        assert_eq!(exit_of(None, false, None, &fates(&[])), 0);
        assert_eq!(exit_of(None, false, None, &fates(&[0, 1])), 1);
        assert_eq!(
            exit_of(None, false, None, &fates(&[1, 14, 12])),
            14,
            "the first in id order"
        );
        assert_eq!(exit_of(None, false, None, &fates(&[14, 20])), 20);
        assert_eq!(exit_of(None, false, None, &fates(&[20, 30, 14])), 30);
        assert_eq!(exit_of(None, false, None, &fates(&[20, 70])), 70);
        assert_eq!(exit_of(None, true, None, &fates(&[30])), 70);
        assert_eq!(exit_of(Some(130), true, None, &fates(&[30])), 130);
        assert_eq!(exit_of(None, false, Some(2), &fates(&[1])), 2);
        assert_eq!(exit_of(None, false, Some(2), &fates(&[20])), 20);
    }
}
