//! How much of the policies the probes guard: each rule of each profile is changed, one
//! at a time, and somebody must notice.
//!
//! What a filter lets through is computed: each probe is run once behind filters that
//! report the call that it makes, and the mutant is asked what it would answer. One
//! mutant of each kind is tried for real. Mutants that the prover finds equal to the
//! policy are none. A mutant that allows less must be noticed by the twin, which is the
//! shipped engine with honest code. Everything else that is not a filter is tried for
//! real, where no other layer would hide it.

mod report;
mod run;
mod seccomp;
mod walls;

pub(crate) use run::MOST_S;
pub use run::{Host, Outcome, Way, without};
pub use walls::BOUNDS;

use crate::probes::Probe;

/// The least part of the mutants of filters that must be noticed.
pub const SECCOMP: f64 = 0.95;
/// The least part of all mutants.
pub const ALL: f64 = 0.9;

/// The profiles, as `gm-probe-host` names them.
pub const PROFILES: [&str; 7] = ["wasm", "lua", "js", "native", "compile", "program", "http"];

/// What is scored.
#[derive(Debug, Clone)]
pub struct Options {
    /// What runs the probes.
    pub host: Host,
    /// Which of [`PROFILES`].
    pub profiles: Vec<String>,
    /// The probes that guard.
    pub probes: Vec<Probe>,
    /// Also what is no filter.
    pub walls: bool,
}

/// What became of one mutant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Who noticed it.
    Killed(String),
    /// Nobody did, and why.
    Survived(String),
}

/// A mutant that counts.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Of which profile.
    pub profile: String,
    /// `seccomp`, or what else it changes.
    pub layer: &'static str,
    /// The kind of change.
    pub kind: String,
    /// The change.
    pub what: String,
    /// What became of it.
    pub fate: Fate,
    /// Whether it was tried for real.
    pub live: bool,
}

impl Judged {
    /// Whether somebody noticed.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        matches!(self.fate, Fate::Killed(_))
    }
}

/// The whole result.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// All mutants that mean something else than the policy.
    pub mutants: Vec<Judged>,
    /// Mutants that the prover found equal to their policy.
    pub equal: usize,
    /// Mutants of what only our own loader meets: no stranger could notice.
    pub beyond_strangers: usize,
    /// Where what was computed and what was tried differ: a mistake of this score.
    pub wrong: Vec<String>,
}

impl Score {
    /// Killed of all, in one layer or (`None`) in all of them; 1 if there are none.
    #[must_use]
    pub fn part(&self, layer: Option<&str>) -> f64 {
        let (killed, all) = self.count(layer);
        match all {
            0 => 1.0,
            all => to_f64(killed) / to_f64(all),
        }
    }

    /// How many were killed, of how many.
    #[must_use]
    pub fn count(&self, layer: Option<&str>) -> (usize, usize) {
        let own = |judged: &&Judged| layer.is_none_or(|layer| judged.layer == layer);
        let all = self.mutants.iter().filter(own);
        let killed = self.mutants.iter().filter(own).filter(|m| m.is_killed());
        (killed.count(), all.count())
    }

    /// What must be noticed: of which layer (none = of all), its part, and the least that
    /// it may be.
    #[must_use]
    pub fn thresholds(&self) -> [(Option<&'static str>, f64, f64); 2] {
        let of = |layer, least| (layer, self.part(layer), least);
        [of(Some("seccomp"), SECCOMP), of(None, ALL)]
    }

    /// Whether the thresholds are kept, and nothing contradicts itself.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        let kept = self
            .thresholds()
            .iter()
            .all(|(_, part, least)| part >= least);
        kept && self.wrong.is_empty() && !self.mutants.is_empty()
    }

    /// With what another judge found.
    fn and(mut self, other: Self) -> Self {
        self.mutants.extend(other.mutants);
        self.equal += other.equal;
        self.beyond_strangers += other.beyond_strangers;
        self.wrong.extend(other.wrong);
        self
    }

    /// Those that nobody noticed.
    pub fn survivors(&self) -> impl Iterator<Item = &Judged> {
        self.mutants.iter().filter(|judged| !judged.is_killed())
    }
}

fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// Scores.
///
/// # Errors
/// Why nothing can be said: a profile without mutants, a probe or twin
/// that does not run behind the unchanged walls.
pub fn score(options: &Options) -> Result<Score, String> {
    let (host, probes) = (&options.host, &options.probes);
    let filters = || {
        let mut score = Score::default();
        for profile in &options.profiles {
            seccomp::judge(host, profile, probes, &mut score)?;
        }
        Ok::<_, String>(score)
    };
    let walls = || {
        let mut score = Score::default();
        if options.walls {
            walls::judge(host, probes, &mut score)?;
        }
        Ok::<_, String>(score)
    };
    // Side by side: most of either is waiting.
    let (filters, walls) = std::thread::scope(|scope| {
        let walls = scope.spawn(walls);
        (filters(), walls.join())
    });
    let walls = walls.map_err(|_| "the judge of the walls died".to_owned())?;
    Ok(filters?.and(walls?))
}
