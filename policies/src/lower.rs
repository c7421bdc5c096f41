//! From the meaning of one layer to a program, by seccompiler.
//!
//! What comes out is only a proposal: [`crate::prove`] decides whether it is
//! loaded. Nothing here is trusted to be right.

use std::collections::BTreeMap;

use gm_protocol::plan::SockFilter;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::cbpf::{Instruction, JMP_JA, Program, ProgramError, RET_K};
use crate::spec::{Action, ArgCond, LayerSpec, Op, When, Width};
use crate::syscalls::Arch;

/// Why no program could be made.
#[derive(Debug, thiserror::Error)]
pub enum LowerError {
    /// The compiler refused the layer.
    #[error("could not compile a layer")]
    Compile(#[from] seccompiler::BackendError),
    /// What it made is no program for the kernel.
    #[error("could not take the compiled layer")]
    Program(#[from] ProgramError),
    /// A jump became longer than an instruction can hold.
    #[error("a jump of {0} instructions does not fit")]
    Distance(usize),
}

/// Compiles one layer.
///
/// seccompiler knows one answer for all matches of a filter, so a layer with
/// several gets one filter each, in a row.
///
/// # Errors
/// See [`LowerError`].
pub(crate) fn compile(layer: &LayerSpec, arch: Arch) -> Result<Program, LowerError> {
    let mut by_action: BTreeMap<Action, BTreeMap<i64, Vec<SeccompRule>>> = BTreeMap::new();
    for (sysno, rule) in &layer.rules {
        // Widened from u32, so never negative: seccompiler panics on a negative number.
        let (number, rules) = (i64::from(sysno.number()), conditions(&rule.when)?);
        by_action
            .entry(rule.action)
            .or_default()
            .insert(number, rules);
    }
    // A rule that answers what the layer answers anyway needs no code.
    by_action.remove(&layer.otherwise);
    if by_action.is_empty() {
        by_action.insert(other_than(layer.otherwise), BTreeMap::new());
    }
    let parts = by_action
        .into_iter()
        .map(|(action, rules)| {
            let filter = SeccompFilter::new(
                rules,
                to_compiler(layer.otherwise),
                to_compiler(action),
                target(arch),
            )?;
            BpfProgram::try_from(filter)
        })
        .collect::<Result<Vec<_>, _>>()?;
    tidy(&Program::decode(in_a_row(parts, layer.otherwise.word()))?)
}

fn conditions(when: &When) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    when.lists()
        .iter()
        .map(|list| SeccompRule::new(list.iter().map(condition).collect::<Result<_, _>>()?))
        .collect()
}

fn condition(cond: &ArgCond) -> Result<SeccompCondition, seccompiler::BackendError> {
    let width = match cond.width() {
        Width::Low32 => SeccompCmpArgLen::Dword,
        Width::Full64 => SeccompCmpArgLen::Qword,
    };
    let op = match cond.op() {
        Op::Eq => SeccompCmpOp::Eq,
        Op::Ne => SeccompCmpOp::Ne,
        Op::Lt => SeccompCmpOp::Lt,
        Op::Le => SeccompCmpOp::Le,
        Op::Gt => SeccompCmpOp::Gt,
        Op::Ge => SeccompCmpOp::Ge,
        Op::MaskedEq(mask) => SeccompCmpOp::MaskedEq(mask),
    };
    SeccompCondition::new(cond.arg(), width, op, cond.value())
}

fn to_compiler(action: Action) -> SeccompAction {
    match action {
        Action::KillProcess => SeccompAction::KillProcess,
        Action::Trap => SeccompAction::Trap,
        Action::Errno(_) => SeccompAction::Errno(action.word() & 0xffff),
        Action::Allow => SeccompAction::Allow,
    }
}

/// seccompiler wants two different answers even where no rule is there to match.
fn other_than(action: Action) -> Action {
    if action == Action::Allow {
        Action::KillProcess
    } else {
        Action::Allow
    }
}

fn target(arch: Arch) -> TargetArch {
    match arch {
        Arch::X86_64 => TargetArch::x86_64,
        Arch::Aarch64 => TargetArch::aarch64,
        Arch::Riscv64 => TargetArch::riscv64,
    }
}

/// One program after the other: what a filter but the last would answer for
/// "no match" becomes a jump to the next one.
fn in_a_row(parts: Vec<BpfProgram>, otherwise: u32) -> Vec<SockFilter> {
    let last = parts.len().saturating_sub(1);
    let mut raw = Vec::new();
    for (at, part) in parts.into_iter().enumerate() {
        let len = part.len();
        raw.extend(part.into_iter().enumerate().map(|(pc, f)| {
            let no_match = f.code == RET_K && f.k == otherwise && at != last;
            match u32::try_from(len - pc - 1) {
                Ok(rest) if no_match => SockFilter {
                    code: JMP_JA,
                    jt: 0,
                    jf: 0,
                    k: rest,
                },
                Ok(_) | Err(_) => SockFilter {
                    code: f.code,
                    jt: f.jt,
                    jf: f.jf,
                    k: f.k,
                },
            }
        }));
    }
    raw
}

/// Follows jumps to jumps and drops what nothing reaches: seccompiler leaves
/// an unreachable return behind each call without conditions.
fn tidy(program: &Program) -> Result<Program, LowerError> {
    let code = program.instructions();
    let end = |mut to: usize| {
        while let Some(Instruction::Jump(next)) = code.get(to) {
            to = *next;
        }
        to
    };
    // The kernel gives a conditional jump one byte.
    let near = |pc: usize, to: usize| if end(to) - pc - 1 <= 255 { end(to) } else { to };
    let targets: Vec<Vec<usize>> = code
        .iter()
        .enumerate()
        .map(|(pc, instruction)| match *instruction {
            Instruction::Return(_) => vec![],
            Instruction::Load(_) | Instruction::And(_) => vec![pc + 1],
            Instruction::Jump(to) => vec![end(to)],
            Instruction::Branch { yes, no, .. } => vec![near(pc, yes), near(pc, no)],
        })
        .collect();
    Ok(Program::decode(renumber(program.raw(), &targets)?)?)
}

/// The reachable instructions, with their jumps measured anew.
fn renumber(raw: &[SockFilter], targets: &[Vec<usize>]) -> Result<Vec<SockFilter>, LowerError> {
    let mut kept = vec![false; raw.len()];
    let mut open = vec![0];
    while let Some(pc) = open.pop() {
        if let Some(kept) = kept.get_mut(pc).filter(|kept| !**kept) {
            *kept = true;
            open.extend(targets.get(pc).into_iter().flatten());
        }
    }
    let distance = |from: usize, to: usize| {
        kept.get(from + 1..to)
            .map_or(0, |span| span.iter().filter(|k| **k).count())
    };
    let byte = |n: usize| u8::try_from(n).map_err(|_| LowerError::Distance(n));
    let mut program = Vec::new();
    for (pc, filter) in raw
        .iter()
        .enumerate()
        .filter(|(pc, _)| kept.get(*pc) == Some(&true))
    {
        let mut filter = filter.clone();
        match (filter.code, targets.get(pc).map(Vec::as_slice)) {
            (JMP_JA, Some([to])) => {
                let jump = distance(pc, *to);
                filter.k = u32::try_from(jump).map_err(|_| LowerError::Distance(jump))?;
            }
            (_, Some([yes, no])) => {
                (filter.jt, filter.jf) = (byte(distance(pc, *yes))?, byte(distance(pc, *no))?)
            }
            (_, Some(_) | None) => {}
        }
        program.push(filter);
    }
    Ok(program)
}
