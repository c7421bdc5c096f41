//! Attacks from outside, in Rust: what hostile peers, packages, operators' mistakes and
//! kills do to the installed broker. The helpers of tests that they are made of panic
//! when they can't set the scene; that is an error of the harness, never a pass.

mod lifecycle;
mod links;
mod logs;
mod orders;
mod places;
mod requests;
mod sources;
mod trust;

use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use super::judge::{Shown, Stopped};
use crate::{Ended, peer};

/// What attacks share.
#[derive(Default)]
pub(super) struct Host {
    runner: OnceLock<TempDir>,
}

/// One attack.
type Attack = Box<dyn Fn(&Host) -> Shown>;

impl Host {
    /// Does one attack of a row.
    pub(super) fn attack(&self, id: &str, variant: u32) -> Shown {
        let all = attacks(id);
        let one = usize::try_from(variant).ok().and_then(|at| all.get(at));
        match one {
            Some(attack) => attack(self),
            None => Shown::Unproved(format!("there is no attack {variant} of {id}")),
        }
    }

    /// The product's binaries, with the hostile peer in the place of `gm-run-wasm`.
    fn hostile_runner(&self) -> &Path {
        self.runner
            .get_or_init(|| peer::installed_as("gm-run-wasm"))
            .path()
    }
}

/// All attacks of a row; none if it is no row of the host.
fn attacks(id: &str) -> Vec<Attack> {
    let of = [
        links::attacks,
        trust::attacks,
        lifecycle::attacks,
        logs::attacks,
        places::attacks,
        requests::attacks,
        sources::attacks,
        orders::attacks,
    ];
    of.into_iter()
        .map(|of| of(id))
        .find(|all| !all.is_empty())
        .unwrap_or_default()
}

fn boxed(attack: impl Fn(&Host) -> Shown + 'static) -> Attack {
    Box::new(attack)
}

/// Several attacks that need nothing shared.
fn plain(all: &[fn() -> Shown]) -> Vec<Attack> {
    let each = all.iter().copied();
    each.map(|attack| boxed(move |_| attack())).collect()
}

/// An attack that only root can carry out, or see.
fn for_root(why: &str, attack: impl FnOnce() -> Shown) -> Shown {
    match rustix::process::geteuid().is_root() {
        true => attack(),
        false => Shown::NotHere(why.to_owned()),
    }
}

/// The first refusal of a run.
fn refusal(ended: &Ended) -> Option<&Value> {
    let mut records = ended.records.iter();
    records.find(|record| record["event"] == "refused" || record["result"] == "error")
}

/// A refusal by one of these codes, with nothing started.
fn refused(layer: &str, ended: &Ended, codes: &[&str]) -> Shown {
    if ended
        .records
        .iter()
        .any(|record| record["event"] == "started")
    {
        return Shown::Escaped("a plugin was started".to_owned());
    }
    refused_one(layer, ended, codes)
}

/// The same where others may run.
fn refused_one(layer: &str, ended: &Ended, codes: &[&str]) -> Shown {
    let Some(code) = refusal(ended).and_then(|it| it["code"].as_str()) else {
        return match ended.exit {
            0 => Shown::Escaped("it was accepted".to_owned()),
            exit => Shown::Unproved(format!(
                "exit {exit} without a refusal: {}{}",
                ended.stdout, ended.stderr
            )),
        };
    };
    match Stopped::by_refusal(layer, code, codes) {
        Some(stopped) => Shown::Stopped(stopped),
        None => Shown::Unproved(format!("refused by {code}, not by {codes:?}")),
    }
}

/// An ending in the records of a run.
fn ended(layer: &str, run: &Ended, id: &str, endings: &[&str]) -> Shown {
    let all = run.of(id, "ended");
    let Some(ending) = all.last().and_then(|it| it["ending"].as_str()) else {
        return Shown::Unproved(format!("no ending of {id}: {}{}", run.stdout, run.stderr));
    };
    match Stopped::by_ending(layer, ending, endings) {
        Some(stopped) => Shown::Stopped(stopped),
        None if ending == "finished" => {
            Shown::Escaped(format!("{id} finished, not one of {endings:?}"))
        }
        None => Shown::Unproved(format!("{id} ended: {ending}, not one of {endings:?}")),
    }
}

/// A state of the machine; `harm` is what was seen that must not be.
fn held(layer: &str, what: &str, harm: &[String]) -> Shown {
    match Stopped::by_state(layer, what, harm.is_empty()) {
        Some(stopped) => Shown::Stopped(stopped),
        None => Shown::Escaped(harm.join("; ")),
    }
}

/// The worst of them, the last of equals: what escaped, what is unproved, what can't be
/// tried here, what was stopped.
fn all(shown: impl IntoIterator<Item = Shown>) -> Shown {
    let rank = |shown: &Shown| match shown {
        Shown::Stopped(_) => 0,
        Shown::NotHere(_) => 1,
        Shown::Unproved(_) => 2,
        Shown::Escaped(_) => 3,
    };
    let worst = shown.into_iter().max_by_key(rank);
    worst.unwrap_or_else(|| Shown::Unproved("nothing was tried".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probes::{self, Kind};

    #[test]
    fn of_several_the_worst_counts() {
        let stopped = || held("trust", "a", &[]);
        let open = || Shown::Unproved("b".to_owned());
        let away = || Shown::NotHere("c".to_owned());
        let escaped = || Shown::Escaped("d".to_owned());
        let last = held("broker", "e", &[]);
        assert_eq!(all([open(), escaped(), stopped()]), escaped());
        assert_eq!(all([away(), open(), stopped()]), open());
        assert_eq!(all([stopped(), away(), stopped()]), away());
        assert_eq!(all([stopped(), held("broker", "e", &[])]), last);
        assert!(matches!(all([]), Shown::Unproved(_)));
    }

    #[test]
    fn each_row_of_the_host_has_as_many_attacks_as_it_says() {
        for probe in probes::table() {
            let own = attacks(&probe.id).len();
            let says = if probe.kinds == [Kind::Host] {
                probe.variants
            } else {
                0
            };
            assert_eq!(own, usize::try_from(says).unwrap(), "{}", probe.id);
        }
    }
}
