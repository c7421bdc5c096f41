//! What must hold of every plan, whatever its profile says: twelve questions
//! to the diagram of the stacked layers.
//!
//! A theorem never consults the profile on what it is allowed to find.

use std::collections::BTreeMap;

use gm_protocol::plan::{Engine, FD_EXEC};

use crate::cbpf::{MAX_LEN, Program, Test, Word};
use crate::mtbdd::{Diagrams, Id, Undecided};
use crate::prove::{ProofError, Witness, unreachable};
use crate::spec::{Action, ArgCond, LayerName, LayerSpec, Op, Rule, SeccompSpec, Width, meet};
use crate::syscalls::{Arch, Sysno, width_of};

/// A property of every plan, T1 to T12.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Theorem {
    /// Nothing is allowed to another architecture.
    T1,
    /// No x32 number is allowed.
    T2,
    /// No memory that is writable and executable, and none made executable later.
    T3,
    /// Nothing of the veto groups is allowed.
    T4,
    /// Nothing depends on the address of the calling instruction.
    T5,
    /// Arguments are compared in the width in which the kernel reads them.
    T6,
    /// What no rule names is denied.
    T7,
    /// `clone3` is never allowed.
    T8,
    /// No equivalent of a call is more permissive than the call.
    T9,
    /// What runs is allowed while loading.
    T10,
    /// No unreachable instruction, and no program longer than the kernel takes.
    T11,
    /// Where a signal reports a forbidden call, its handler can't be replaced,
    /// left or raced.
    T12,
}

impl std::fmt::Display for Theorem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// How a stranger's code gets into a process, while it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadsCode {
    /// Not by any system call.
    Never,
    /// Mapped from a file, readable and executable.
    Mapped,
    /// By the exec of one descriptor, [`FD_EXEC`].
    Executed,
}

impl LoadsCode {
    pub(crate) const fn of(engine: Engine) -> Self {
        match engine {
            Engine::Wasm | Engine::Native => Self::Mapped,
            Engine::Program => Self::Executed,
            Engine::CompileWasm | Engine::Lua | Engine::Js | Engine::Http => Self::Never,
        }
    }
}

/// `AT_EMPTY_PATH` of linux/fcntl.h.
const EMPTY_PATH: u32 = 0x1000;

/// What the questions are about.
pub(crate) struct Subject<'a> {
    pub(crate) spec: &'a SeccompSpec,
    /// Every call that must never be allowed, and when.
    pub(crate) vetoed: &'a BTreeMap<Sysno, Rule>,
    /// How code gets into the process.
    pub(crate) loads: LoadsCode,
    /// Diagram of each layer, by index.
    pub(crate) layers: [Id; 4],
}

/// The theorems that a layer was asked, all answered yes.
pub(crate) fn hold(
    d: &mut Diagrams,
    subject: &Subject<'_>,
    name: LayerName,
    program: &Program,
) -> Result<Vec<Theorem>, ProofError> {
    let layer = subject.spec.layer(name);
    let ask = Ask {
        arch: subject.spec.arch,
        layer: name.name(),
    };
    let own = subject.diagram(name);
    let mut held = vec![
        ask.ignores_ip(d, own)?,
        ask.widths(d, own, layer)?,
        ask.tidy(program)?,
    ];
    let stage = match name {
        LayerName::Soft | LayerName::Veto => return Ok(held),
        LayerName::Loading => {
            subject.stack(d, &[LayerName::Soft, LayerName::Veto, LayerName::Loading])?
        }
        LayerName::Running => {
            let order = [
                LayerName::Soft,
                LayerName::Veto,
                LayerName::Loading,
                LayerName::Running,
            ];
            subject.stack(d, &order)?
        }
    };
    let allowed = permits(d, stage)?;
    let loads = match name {
        LayerName::Loading => subject.loads,
        _ => LoadsCode::Never,
    };
    // The one exec is all that T3 and T9 let pass.
    let others = match loads {
        LoadsCode::Executed => ask.but_one_exec(d, allowed)?,
        LoadsCode::Mapped | LoadsCode::Never => allowed,
    };
    held.extend([
        ask.foreign(d, allowed)?,
        ask.x32(d, allowed)?,
        ask.executable(d, others, loads == LoadsCode::Mapped)?,
        ask.veto(d, allowed, subject.vetoed)?,
        ask.default(d, allowed, layer)?,
        ask.clone3(d, allowed)?,
        ask.equivalents(d, others)?,
        ask.trap(d, allowed, layer.otherwise)?,
    ]);
    if name == LayerName::Running {
        held.push(ask.narrower(d, own, subject.diagram(LayerName::Loading))?);
    }
    held.sort_unstable();
    Ok(held)
}

impl Subject<'_> {
    fn diagram(&self, name: LayerName) -> Id {
        let [soft, loading, running, veto] = self.layers;
        match name {
            LayerName::Soft => soft,
            LayerName::Loading => loading,
            LayerName::Running => running,
            LayerName::Veto => veto,
        }
    }

    /// Layers in the order of their installation, as the kernel joins them.
    fn stack(&self, d: &mut Diagrams, order: &[LayerName]) -> Result<Id, Undecided> {
        let mut stack = d.leaf(Action::Allow.word())?;
        for name in order {
            stack = d.zip(self.diagram(*name), stack, meet)?;
        }
        Ok(stack)
    }
}

/// Yes where the call would be made, in whatever manner: all but the answers
/// that are known to stop it.
fn permits(d: &mut Diagrams, stage: Id) -> Result<Id, Undecided> {
    d.zip(stage, stage, |word, _| {
        let stops = matches!(
            word & 0xffff_0000,
            0x8000_0000 | 0 | 0x0003_0000 | 0x0005_0000
        );
        u32::from(!stops)
    })
}

/// One layer or stage being asked.
struct Ask {
    arch: Arch,
    layer: &'static str,
}

type Answer = Result<Theorem, ProofError>;

/// Pairs of a call and an equivalent that must not be more permissive.
const EQUIVALENTS: [(&str, &str); 8] = [
    ("openat", "openat2"),
    ("execve", "execveat"),
    ("read", "preadv2"),
    ("write", "pwritev2"),
    ("sendmsg", "sendmmsg"),
    ("recvmsg", "recvmmsg"),
    ("clone", "vfork"),
    ("clone", "fork"),
];

/// Calls by which memory or a process becomes executable without `mmap`.
const EXECUTE: [&str; 6] = [
    "memfd_create",
    "execve",
    "execveat",
    "personality",
    "uselib",
    "modify_ldt",
];

/// Calls that would break the report of a forbidden call.
const BREAK_TRAP: [&str; 8] = [
    "rt_sigaction",
    "rt_sigreturn",
    "rt_sigprocmask",
    "clone",
    "clone3",
    "fork",
    "vfork",
    "sigaltstack",
];

impl Ask {
    /// Holds if no input satisfies all conditions.
    fn never(&self, d: &mut Diagrams, theorem: Theorem, all: &[Id]) -> Result<(), ProofError> {
        let mut both = d.leaf(1)?;
        for condition in all {
            both = d.and(both, *condition)?;
        }
        match d.find(both, |value| value != 0) {
            None => Ok(()),
            Some(data) => {
                let witness = Some(Witness {
                    arch: self.arch,
                    data,
                });
                Err(ProofError::Theorem {
                    theorem,
                    layer: self.layer,
                    witness,
                })
            }
        }
    }

    fn broken<T>(&self, theorem: Theorem) -> Result<T, ProofError> {
        Err(ProofError::Theorem {
            theorem,
            layer: self.layer,
            witness: None,
        })
    }

    fn not(d: &mut Diagrams, condition: Id) -> Result<Id, Undecided> {
        d.zip(condition, condition, |value, _| u32::from(value == 0))
    }

    fn is(d: &mut Diagrams, sysno: Sysno) -> Result<Id, Undecided> {
        d.test(Word::NR, u32::MAX, Test::Eq, sysno.number())
    }

    /// A call by name; `None` where the architecture has no such call.
    fn call(&self, d: &mut Diagrams, name: &str) -> Result<Option<Id>, Undecided> {
        Sysno::by_name(self.arch, name)
            .map(|sysno| Self::is(d, sysno))
            .transpose()
    }

    fn never_called(
        &self,
        d: &mut Diagrams,
        theorem: Theorem,
        allowed: Id,
        names: &[&str],
    ) -> Answer {
        for name in names {
            if let Some(call) = self.call(d, name)? {
                self.never(d, theorem, &[allowed, call])?;
            }
        }
        Ok(theorem)
    }

    fn foreign(&self, d: &mut Diagrams, allowed: Id) -> Answer {
        let native = d.test(Word::ARCH, u32::MAX, Test::Eq, self.arch.audit_word())?;
        let foreign = Self::not(d, native)?;
        self.never(d, Theorem::T1, &[allowed, foreign])?;
        Ok(Theorem::T1)
    }

    fn x32(&self, d: &mut Diagrams, allowed: Id) -> Answer {
        let x32 = d.test(Word::NR, u32::MAX, Test::Ge, 0x4000_0000)?;
        self.never(d, Theorem::T2, &[allowed, x32])?;
        Ok(Theorem::T2)
    }

    /// What is allowed besides the exec of descriptor [`FD_EXEC`].
    fn but_one_exec(&self, d: &mut Diagrams, allowed: Id) -> Result<Id, Undecided> {
        let Some(exec) = self.call(d, "execveat")? else {
            return Ok(allowed);
        };
        let fd = d.test(Word::arg(0).0, u32::MAX, Test::Eq, FD_EXEC.unsigned_abs())?;
        let flags = d.test(Word::arg(4).0, u32::MAX, Test::Eq, EMPTY_PATH)?;
        let exact = d.and(fd, flags)?;
        let once = d.and(exec, exact)?;
        let not_once = Self::not(d, once)?;
        d.and(allowed, not_once)
    }

    /// `PROT_EXEC` is 4, of any 32-bit half's lower bits; `SHM_EXEC` is 0o100000.
    fn executable(&self, d: &mut Diagrams, allowed: Id, maps_code: bool) -> Answer {
        let exec = d.test(Word::arg(2).0, u32::MAX, Test::Set, 4)?;
        for name in ["mprotect", "pkey_mprotect"] {
            if let Some(call) = self.call(d, name)? {
                self.never(d, Theorem::T3, &[allowed, call, exec])?;
            }
        }
        if let Some(mmap) = self.call(d, "mmap")? {
            // Readable and executable, private, and of a file; else not at all.
            let from_file = d.test(Word::arg(3).0, 0x2f, Test::Eq, 2)?;
            let read_only = d.test(Word::arg(2).0, 7, Test::Eq, 5)?;
            let as_code = d.and(from_file, read_only)?;
            let other = if maps_code {
                Self::not(d, as_code)?
            } else {
                d.leaf(1)?
            };
            self.never(d, Theorem::T3, &[allowed, mmap, exec, other])?;
        }
        if let Some(shmat) = self.call(d, "shmat")? {
            let exec = d.test(Word::arg(2).0, u32::MAX, Test::Set, 0o100_000)?;
            self.never(d, Theorem::T3, &[allowed, shmat, exec])?;
        }
        self.never_called(d, Theorem::T3, allowed, &EXECUTE)
    }

    fn veto(&self, d: &mut Diagrams, allowed: Id, vetoed: &BTreeMap<Sysno, Rule>) -> Answer {
        let layer = LayerSpec {
            otherwise: Action::Allow,
            rules: vetoed.clone(),
        };
        let meaning = crate::prove::of_layer(d, &layer, self.arch)?;
        let kills = d.zip(meaning, meaning, |word, _| {
            u32::from(word != Action::Allow.word())
        })?;
        self.never(d, Theorem::T4, &[allowed, kills])?;
        Ok(Theorem::T4)
    }

    fn ignores_ip(&self, d: &mut Diagrams, own: Id) -> Answer {
        let words = d.words(own);
        if Word::IP.iter().any(|half| words.contains(half)) {
            self.broken(Theorem::T5)
        } else {
            Ok(Theorem::T5)
        }
    }

    fn widths(&self, d: &mut Diagrams, own: Id, layer: &LayerSpec) -> Answer {
        // Only named calls can look at arguments: the layer is proved equal to its rules.
        for sysno in layer.rules.keys().copied() {
            let name = sysno.name(self.arch);
            let is = Self::is(d, sysno)?;
            let kill = d.leaf(Action::KillProcess.word())?;
            let here = d.choose(is, own, kill)?;
            let words = d.words(here);
            for arg in 0..6 {
                let (low, high) = Word::arg(arg);
                let right = match (
                    width_of(name, arg),
                    words.contains(&low),
                    words.contains(&high),
                ) {
                    (_, false, false) => true,
                    (None, _, _) | (Some(Width::Low32), _, true) => false,
                    (Some(Width::Low32), _, false) | (Some(Width::Full64), _, true) => true,
                    (Some(Width::Full64), true, false) => asks_low_bits(layer, sysno, arg),
                };
                if !right {
                    return self.broken(Theorem::T6);
                }
            }
        }
        Ok(Theorem::T6)
    }

    fn default(&self, d: &mut Diagrams, allowed: Id, layer: &LayerSpec) -> Answer {
        let mut unnamed = d.leaf(1)?;
        for sysno in layer.rules.keys() {
            let is = Self::is(d, *sysno)?;
            let not = Self::not(d, is)?;
            unnamed = d.and(unnamed, not)?;
        }
        self.never(d, Theorem::T7, &[allowed, unnamed])?;
        Ok(Theorem::T7)
    }

    fn clone3(&self, d: &mut Diagrams, allowed: Id) -> Answer {
        self.never_called(d, Theorem::T8, allowed, &["clone3"])
    }

    fn equivalents(&self, d: &mut Diagrams, allowed: Id) -> Answer {
        for (base, equivalent) in EQUIVALENTS {
            let Some(other) = self.call(d, equivalent)? else {
                continue;
            };
            let can = d.and(allowed, other)?;
            if d.find(can, |value| value != 0).is_none() {
                continue;
            }
            // The equivalent is allowed somewhere: then the base must be everywhere.
            let Some(base) = self.call(d, base)? else {
                return self.broken(Theorem::T9);
            };
            let native = d.test(Word::ARCH, u32::MAX, Test::Eq, self.arch.audit_word())?;
            let denied = Self::not(d, allowed)?;
            self.never(d, Theorem::T9, &[native, base, denied])?;
        }
        Ok(Theorem::T9)
    }

    fn narrower(&self, d: &mut Diagrams, running: Id, loading: Id) -> Answer {
        let (running, loading) = (permits(d, running)?, permits(d, loading)?);
        let not_loading = Self::not(d, loading)?;
        self.never(d, Theorem::T10, &[running, not_loading])?;
        Ok(Theorem::T10)
    }

    fn tidy(&self, program: &Program) -> Answer {
        let fits = program.raw().len() <= MAX_LEN;
        if fits && unreachable(program) == 0 {
            Ok(Theorem::T11)
        } else {
            self.broken(Theorem::T11)
        }
    }

    fn trap(&self, d: &mut Diagrams, allowed: Id, otherwise: Action) -> Answer {
        match otherwise {
            Action::Trap => self.never_called(d, Theorem::T12, allowed, &BREAK_TRAP),
            Action::KillProcess => Ok(Theorem::T12),
            Action::Errno(_) | Action::Allow => self.broken(Theorem::T12),
        }
    }
}

/// A 64-bit argument whose upper half is not looked at is right only where
/// the rule asks for bits of the lower half alone. (A full comparison beside
/// it can then only be one that it covers: else the upper half would be seen.)
fn asks_low_bits(layer: &LayerSpec, sysno: Sysno, arg: u8) -> bool {
    let low_mask = |cond: &ArgCond| matches!(cond.op(), Op::MaskedEq(mask) if mask >> 32 == 0);
    let mut conds = layer
        .rules
        .get(&sysno)
        .into_iter()
        .flat_map(|rule| rule.when.lists().iter().flatten());
    conds.any(|cond| cond.arg() == arg && low_mask(cond))
}
