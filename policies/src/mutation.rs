//! What a policy would be with one thing of it changed: mutants, for who wants to know
//! how much of it is guarded by tests.
//!
//! No plan can be made from a mutant: a plan takes proved filters, and these are proved
//! to be something else. The proof is used for the contrary here: a mutant that means
//! the same as the policy is no mutant.

mod changes;

use gm_protocol::plan::{Engine, Filters, SockFilter};

use crate::cbpf::{Program, RET_K, SeccompData};
use crate::compiled::CompileError;
use crate::lower::{LowerError, compile};
use crate::mtbdd::{Diagrams, Id, NODE_CAP, Undecided};
use crate::profile_file::{self, EngineProfile, FileCalls, ProfileError};
use crate::prove::of_program;
use crate::spec::{ALLOW, Action, LayerName, SeccompSpec, meet};
use crate::stack::Stack;
use crate::syscalls::Arch;

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutation {
    /// A condition of a rule is dropped.
    Condition,
    /// A bit of a condition's mask is not looked at.
    Mask,
    /// A call of a risk group is allowed.
    Call,
    /// What no rule names is allowed.
    Otherwise,
    /// A call that got an errno is made.
    Soft,
    /// The veto layer lets everything through.
    Veto,
    /// The architecture isn't looked at.
    Arch,
    /// A call that was allowed isn't any more.
    Narrow,
}

impl Mutation {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Condition,
        Self::Mask,
        Self::Call,
        Self::Otherwise,
        Self::Soft,
        Self::Veto,
        Self::Arch,
        Self::Narrow,
    ];

    /// As reports name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Mask => "mask",
            Self::Call => "call",
            Self::Otherwise => "otherwise",
            Self::Soft => "soft",
            Self::Veto => "veto",
            Self::Arch => "arch",
            Self::Narrow => "narrow",
        }
    }
}

/// What a mutant means beside the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The same, for every input, wherever code runs.
    Equal,
    /// The same where a stranger's code runs; only our own loader would notice.
    EqualToStrangers,
    /// Another one.
    Other,
}

/// A policy with one thing changed.
#[derive(Debug)]
pub struct Mutant {
    /// Its place in the list of its engine's.
    pub number: usize,
    /// What was changed.
    pub mutation: Mutation,
    /// The call that it is about, where it is about one.
    pub call: Option<&'static str>,
    /// What it is, in a few words.
    pub what: String,
    /// What it means.
    pub meaning: Meaning,
    /// An input that is answered otherwise.
    pub witness: Option<SeccompData>,
    layers: [Program; 4],
    wall: LayerName,
}

/// Why there are no mutants.
#[derive(Debug, thiserror::Error)]
pub enum MutationError {
    /// The profile can't be read.
    #[error(transparent)]
    Profile(#[from] Box<dyn std::error::Error + Send + Sync>),
    /// A layer can't be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// Too large to decide.
    #[error(transparent)]
    Undecided(#[from] Undecided),
}

impl From<ProfileError> for MutationError {
    fn from(error: ProfileError) -> Self {
        Self::Profile(Box::new(error))
    }
}

impl From<LowerError> for MutationError {
    fn from(error: LowerError) -> Self {
        Self::Compile(error.into())
    }
}

impl Mutant {
    /// The word on which the kernel acts where a stranger's code runs.
    #[must_use]
    pub fn answer(&self, data: &SeccompData) -> u32 {
        answer(stage(&self.layers, self.wall), data)
    }

    /// Whether a stranger's call is made.
    #[must_use]
    pub fn allows(&self, data: &SeccompData) -> bool {
        self.answer(data) == ALLOW
    }

    /// Programs for a process to install.
    #[must_use]
    pub fn filters(&self) -> Filters {
        filters(&self.layers)
    }
}

/// The policy of an engine without granted paths, and its mutants.
#[derive(Debug)]
pub struct Mutants {
    /// The architecture.
    pub arch: Arch,
    /// Every one, in an order that stays.
    pub list: Vec<Mutant>,
    original: [Program; 4],
    wall: LayerName,
}

impl Mutants {
    /// Makes them.
    ///
    /// # Errors
    /// The profile can't be read, compiled or decided.
    pub fn of(engine: Engine) -> Result<Self, MutationError> {
        let (arch, profile) = profile(engine)?;
        let original = programs(&profile.seccomp)?;
        let mut list = Vec::new();
        for change in changes::all(&profile) {
            let layers = match change.mutation {
                Mutation::Arch => changes::without_arch(&original),
                _ => programs(&change.spec)?,
            };
            let (meaning, witness) = compare(&original, &layers, profile.wall)?;
            list.push(Mutant {
                number: list.len(),
                mutation: change.mutation,
                call: change.call,
                what: change.what,
                meaning,
                witness,
                layers,
                wall: profile.wall,
            });
        }
        Ok(Self {
            arch,
            list,
            original,
            wall: profile.wall,
        })
    }

    /// The same by the name of a profile.
    ///
    /// # Errors
    /// As [`Mutants::of`], or there is no such profile.
    pub fn named(profile: &str) -> Result<Self, MutationError> {
        let none = || MutationError::Profile(format!("no profile {profile}").into());
        Self::of(Engine::from_name(profile).ok_or_else(none)?)
    }

    /// What the policy itself answers where a stranger's code runs.
    #[must_use]
    pub fn original(&self, data: &SeccompData) -> u32 {
        answer(stage(&self.original, self.wall), data)
    }

    /// Whether the policy itself lets a stranger's call through.
    #[must_use]
    pub fn allows(&self, data: &SeccompData) -> bool {
        self.original(data) == ALLOW
    }

    /// The policy as one function, to ask it for the inputs that matter.
    ///
    /// # Errors
    /// Too large to decide.
    pub fn stack(&self) -> Result<Stack, Undecided> {
        Stack::new(stage(&self.original, self.wall).cloned().collect())
    }
}

/// Filters that allow what the policy of an engine allows and report everything else by
/// SIGSYS, also what it kills for or answers with an errno: to see which call, with
/// which arguments, was meant to be denied. The last one is to be installed, whatever
/// the engine's wall is.
///
/// # Errors
/// As [`Mutants::of`].
pub fn tracing(engine: Engine) -> Result<Filters, MutationError> {
    let (_, profile) = profile(engine)?;
    let mut spec = profile.seccomp;
    let trapped = |action: Action| match action {
        Action::Allow => Action::Allow,
        Action::KillProcess | Action::Trap | Action::Errno(_) => Action::Trap,
    };
    if profile.wall == LayerName::Loading {
        spec.running = spec.loading.clone();
    }
    for (sysno, rule) in &spec.soft.rules {
        let mut rule = rule.clone();
        rule.action = Action::Trap;
        spec.running.rules.insert(*sysno, rule);
    }
    for layer in [&mut spec.loading, &mut spec.running, &mut spec.veto] {
        layer.otherwise = trapped(layer.otherwise);
        for rule in layer.rules.values_mut() {
            rule.action = trapped(rule.action);
        }
    }
    // What is left of kills is said of foreign architectures, by no rule.
    let Filters {
        soft,
        loading,
        running,
        veto,
    } = filters(&programs(&spec)?);
    let kills = |mut program: Vec<SockFilter>| {
        for op in &mut program {
            if op.code == RET_K && op.k == Action::KillProcess.word() {
                op.k = Action::Trap.word();
            }
        }
        program
    };
    Ok(Filters {
        soft: kills(soft),
        loading: kills(loading),
        running: kills(running),
        veto: kills(veto),
    })
}

fn profile(engine: Engine) -> Result<(Arch, EngineProfile), MutationError> {
    let none = || MutationError::Profile("no filters are made for this architecture".into());
    let arch = Arch::native().ok_or_else(none)?;
    let profile = profile_file::read(engine, arch, &FileCalls::default())?;
    Ok((arch, profile))
}

fn programs(spec: &SeccompSpec) -> Result<[Program; 4], LowerError> {
    let program = |name| compile(spec.layer(name), spec.arch);
    let [soft, loading, running, veto] = LayerName::ALL.map(program);
    Ok([soft?, loading?, running?, veto?])
}

fn filters(layers: &[Program; 4]) -> Filters {
    let [soft, loading, running, veto] = layers.each_ref().map(|layer| layer.raw().to_vec());
    Filters {
        soft,
        loading,
        running,
        veto,
    }
}

/// What is installed in a stage, in its order.
fn stage(layers: &[Program; 4], wall: LayerName) -> impl Iterator<Item = &Program> {
    let [soft, loading, running, veto] = layers;
    let last = (wall == LayerName::Running).then_some(running);
    [soft, veto, loading].into_iter().chain(last)
}

fn answer<'a>(programs: impl Iterator<Item = &'a Program>, data: &SeccompData) -> u32 {
    programs.fold(ALLOW, |older, program| meet(program.run(data), older))
}

fn meaning_of(d: &mut Diagrams, layers: &[Program; 4], wall: LayerName) -> Result<Id, Undecided> {
    let mut meaning = d.leaf(ALLOW)?;
    for program in stage(layers, wall) {
        let newer = of_program(d, program)?;
        meaning = d.zip(newer, meaning, meet)?;
    }
    Ok(meaning)
}

fn compare(
    original: &[Program; 4],
    mutant: &[Program; 4],
    wall: LayerName,
) -> Result<(Meaning, Option<SeccompData>), Undecided> {
    let mut d = Diagrams::new(NODE_CAP);
    let before = meaning_of(&mut d, original, wall)?;
    let after = meaning_of(&mut d, mutant, wall)?;
    if before != after {
        let differ = d.zip(before, after, |a, b| u32::from(a != b))?;
        return Ok((Meaning::Other, d.find(differ, |differs| differs != 0)));
    }
    let before = meaning_of(&mut d, original, LayerName::Loading)?;
    let after = meaning_of(&mut d, mutant, LayerName::Loading)?;
    if before != after {
        return Ok((Meaning::EqualToStrangers, None));
    }
    Ok((Meaning::Equal, None))
}

#[cfg(test)]
mod tests;
