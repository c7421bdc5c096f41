//! The proof: a compiled program and its meaning are the same function, over
//! all inputs, and the stack of layers keeps the theorems.
//!
//! The meaning is built from the specification alone, never from what the
//! compiler made. "Too large to decide" is a failure.

use std::collections::{BTreeSet, HashMap};

use crate::cbpf::{Instruction, Program, SeccompData, Test, Word, low};
use crate::mtbdd::{Diagrams, Id, Undecided};
use crate::spec::{Action, ArgCond, LayerSpec, Op, When, Width};
use crate::syscalls::{Arch, name_of};
use crate::theorems::Theorem;

/// Why a program may not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Too large to decide.
    #[error(transparent)]
    Undecided(#[from] Undecided),
    /// Program and specification differ; the interpreter confirmed it.
    #[error(
        "the {layer} program answers {got:#010x} where its specification says {wanted:#010x}: {witness}"
    )]
    NotEqual {
        /// Name of the layer.
        layer: &'static str,
        /// An input for which they differ.
        witness: Witness,
        /// What the specification says.
        wanted: u32,
        /// What the program returns.
        got: u32,
    },
    /// The diagram and the interpreter disagree: a mistake of the prover itself.
    #[error("the prover disagrees with the interpreter on {witness}")]
    Disagreement {
        /// The input.
        witness: Witness,
    },
    /// A property that every plan must have does not hold.
    #[error("theorem {theorem} does not hold for the {layer} layer{}", .witness.as_ref().map(|w| format!(": {w}")).unwrap_or_default())]
    Theorem {
        /// Which.
        theorem: Theorem,
        /// Name of the layer or stage.
        layer: &'static str,
        /// An input that breaks it, where one input can.
        witness: Option<Witness>,
    },
}

/// An input, printed as a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Names the numbers.
    pub arch: Arch,
    /// The input.
    pub data: SeccompData,
}

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let SeccompData { nr, arch, ip, args } = self.data;
        let name = name_of(self.arch, nr).filter(|_| arch == self.arch.audit_word());
        write!(
            f,
            "{}(",
            name.map_or_else(|| format!("call {nr:#x}"), str::to_owned)
        )?;
        for (at, arg) in args.iter().enumerate() {
            write!(f, "{}{arg:#x}", if at == 0 { "" } else { ", " })?;
        }
        write!(f, ") of architecture {arch:#x} at {ip:#x}")
    }
}

/// The meaning of a layer.
pub(crate) fn of_layer(d: &mut Diagrams, layer: &LayerSpec, arch: Arch) -> Result<Id, Undecided> {
    let otherwise = d.leaf(layer.otherwise.word())?;
    let mut meaning = otherwise;
    for (sysno, rule) in &layer.rules {
        let number = d.test(Word::NR, u32::MAX, Test::Eq, sysno.number())?;
        let when = of_when(d, &rule.when)?;
        let matches = d.and(number, when)?;
        let action = d.leaf(rule.action.word())?;
        meaning = d.choose(matches, action, meaning)?;
    }
    let native = d.test(Word::ARCH, u32::MAX, Test::Eq, arch.audit_word())?;
    let kill = d.leaf(Action::KillProcess.word())?;
    d.choose(native, meaning, kill)
}

fn of_when(d: &mut Diagrams, when: &When) -> Result<Id, Undecided> {
    let (yes, no) = (d.leaf(1)?, d.leaf(0)?);
    if when.is_always() {
        return Ok(yes);
    }
    let mut any = no;
    for list in when.lists() {
        let mut all = yes;
        for cond in list {
            let holds = of_cond(d, cond)?;
            all = d.and(all, holds)?;
        }
        any = d.choose(all, yes, any)?;
    }
    Ok(any)
}

/// A comparison of up to 64 bits out of comparisons of two halves.
fn of_cond(d: &mut Diagrams, cond: &ArgCond) -> Result<Id, Undecided> {
    let (low_word, high_word) = Word::arg(cond.arg());
    let (low_k, high_k) = (low(cond.value()), low(cond.value() >> 32));
    let mask = match cond.op() {
        Op::MaskedEq(mask) => mask,
        Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge => u64::MAX,
    };
    // Each operator is one of three tests, or its contrary.
    let (test, contrary) = match cond.op() {
        Op::Eq | Op::MaskedEq(_) => (Test::Eq, false),
        Op::Ne => (Test::Eq, true),
        Op::Gt => (Test::Gt, false),
        Op::Le => (Test::Gt, true),
        Op::Ge => (Test::Ge, false),
        Op::Lt => (Test::Ge, true),
    };
    let mut holds = d.test(low_word, low(mask), test, low_k)?;
    if cond.width() == Width::Full64 {
        let (no, yes) = (d.leaf(0)?, d.leaf(1)?);
        let equal = d.test(high_word, low(mask >> 32), Test::Eq, high_k)?;
        let unequal = match test {
            Test::Gt | Test::Ge => d.test(high_word, u32::MAX, Test::Gt, high_k)?,
            Test::Eq | Test::Set => no,
        };
        let lower = d.choose(holds, yes, no)?;
        holds = d.choose(equal, lower, unequal)?;
    }
    let (yes, no) = (d.leaf(1)?, d.leaf(0)?);
    if contrary {
        d.choose(holds, no, yes)
    } else {
        Ok(holds)
    }
}

/// What the accumulator holds at an instruction, whatever the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Accumulator {
    Constant(u32),
    Masked(Word, u32),
}

/// Every content of the accumulator that can arrive at each instruction.
fn arrivals(program: &Program) -> Vec<BTreeSet<Accumulator>> {
    let code = program.instructions();
    let mut arrive = vec![BTreeSet::new(); code.len()];
    if let Some(first) = arrive.first_mut() {
        // The kernel clears the accumulator before the first instruction.
        first.insert(Accumulator::Constant(0));
    }
    for (pc, instruction) in code.iter().enumerate() {
        let here = arrive.get(pc).cloned().unwrap_or_default();
        for a in here {
            for (to, a) in steps(pc, instruction, a) {
                if let Some(there) = arrive.get_mut(to) {
                    there.insert(a);
                }
            }
        }
    }
    arrive
}

fn steps(pc: usize, instruction: &Instruction, a: Accumulator) -> Vec<(usize, Accumulator)> {
    match *instruction {
        Instruction::Return(_) => vec![],
        Instruction::Load(word) => vec![(pc + 1, Accumulator::Masked(word, u32::MAX))],
        Instruction::And(mask) => vec![(pc + 1, masked(a, mask))],
        Instruction::Jump(to) => vec![(to, a)],
        Instruction::Branch { yes, no, .. } => vec![(yes, a), (no, a)],
    }
}

fn masked(a: Accumulator, mask: u32) -> Accumulator {
    match a {
        Accumulator::Constant(value) => Accumulator::Constant(value & mask),
        Accumulator::Masked(word, before) => Accumulator::Masked(word, before & mask),
    }
}

/// Instructions that no path from the first one leads to.
pub(crate) fn unreachable(program: &Program) -> usize {
    arrivals(program)
        .iter()
        .filter(|contents| contents.is_empty())
        .count()
}

/// The meaning of a program: from the last instruction to the first, since
/// all jumps go forward.
pub(crate) fn of_program(d: &mut Diagrams, program: &Program) -> Result<Id, Undecided> {
    let arrive = arrivals(program);
    let mut known: HashMap<(usize, Accumulator), Id> = HashMap::new();
    let kill = d.leaf(Action::KillProcess.word())?;
    for (pc, instruction) in program.instructions().iter().enumerate().rev() {
        for a in arrive.get(pc).into_iter().flatten() {
            let next = |to: usize, a| known.get(&(to, a)).copied().unwrap_or(kill);
            let meaning = match *instruction {
                Instruction::Return(word) => d.leaf(word)?,
                Instruction::Load(word) => next(pc + 1, Accumulator::Masked(word, u32::MAX)),
                Instruction::And(mask) => next(pc + 1, masked(*a, mask)),
                Instruction::Jump(to) => next(to, *a),
                Instruction::Branch { test, k, yes, no } => {
                    let holds = of_test(d, *a, test, k)?;
                    d.choose(holds, next(yes, *a), next(no, *a))?
                }
            };
            known.insert((pc, *a), meaning);
        }
    }
    Ok(known
        .get(&(0, Accumulator::Constant(0)))
        .copied()
        .unwrap_or(kill))
}

fn of_test(d: &mut Diagrams, a: Accumulator, test: Test, k: u32) -> Result<Id, Undecided> {
    match a {
        Accumulator::Masked(word, mask) => d.test(word, mask, test, k),
        Accumulator::Constant(value) => d.leaf(u32::from(test.holds(value, k))),
    }
}

/// Proves that the program means the layer; its diagram.
///
/// # Errors
/// Any difference, with an input that shows it and that the interpreter confirmed.
pub(crate) fn equal(
    d: &mut Diagrams,
    name: &'static str,
    layer: &LayerSpec,
    arch: Arch,
    program: &Program,
) -> Result<Id, ProofError> {
    let wanted = of_layer(d, layer, arch)?;
    let got = of_program(d, program)?;
    if wanted == got {
        return Ok(wanted);
    }
    let differ = d.zip(wanted, got, |a, b| u32::from(a != b))?;
    let data = d.find(differ, |differs| differs != 0).unwrap_or_default();
    let witness = Witness { arch, data };
    let (says, does) = (layer.evaluate(arch, &data), program.run(&data));
    let confirmed =
        says == d.evaluate(wanted, &data) && does == d.evaluate(got, &data) && says != does;
    if !confirmed {
        return Err(ProofError::Disagreement { witness });
    }
    Err(ProofError::NotEqual {
        layer: name,
        witness,
        wanted: says,
        got: does,
    })
}
