//! A program as text, for people who sign it off.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::cbpf::{Instruction, Program, Test, Word};
use crate::syscalls::{Arch, name_of};

/// One line an instruction: place, label if something jumps there, meaning.
#[must_use]
pub fn disassemble(program: &Program, arch: Arch) -> String {
    let targets: BTreeSet<usize> = program.instructions().iter().flat_map(targets).collect();
    let mut text = String::new();
    let mut loaded = None;
    for (pc, instruction) in program.instructions().iter().enumerate() {
        if let Instruction::Load(word) = instruction {
            loaded = Some(*word);
        }
        let label = if targets.contains(&pc) {
            format!("L{pc}:")
        } else {
            String::new()
        };
        // Writing to a String can't fail.
        let _ = writeln!(
            text,
            "{pc:4}  {label:<6} {}",
            line(instruction, pc, loaded, arch)
        );
    }
    text
}

fn targets(instruction: &Instruction) -> Vec<usize> {
    match *instruction {
        Instruction::Jump(to) => vec![to],
        Instruction::Branch { yes, no, .. } => vec![yes, no],
        Instruction::Load(_) | Instruction::And(_) | Instruction::Return(_) => vec![],
    }
}

fn line(instruction: &Instruction, pc: usize, loaded: Option<Word>, arch: Arch) -> String {
    match *instruction {
        Instruction::Load(word) => format!("load {}", word_name(word)),
        Instruction::And(mask) => format!("and  {mask:#x}"),
        Instruction::Jump(to) => format!("jump L{to}"),
        Instruction::Return(word) => format!("ret  {}", action_name(word)),
        Instruction::Branch { test, k, yes, no } => {
            let sign = match test {
                Test::Eq => "==",
                Test::Gt => ">",
                Test::Ge => ">=",
                Test::Set => "&",
            };
            let named = (loaded == Some(Word::NR) && test == Test::Eq)
                .then(|| name_of(arch, k))
                .flatten();
            let operand = named.map_or_else(|| format!("{k:#x}"), |name| format!("{k} ({name})"));
            let to = |to: usize| {
                if to == pc + 1 {
                    "next".to_owned()
                } else {
                    format!("L{to}")
                }
            };
            format!("if {sign} {operand} {} else {}", to(yes), to(no))
        }
    }
}

fn word_name(word: Word) -> String {
    match word.0 {
        0 => "nr".into(),
        1 => "arch".into(),
        2 => "ip.low".into(),
        3 => "ip.high".into(),
        n => format!(
            "arg{}.{}",
            n / 2 - 2,
            if n % 2 == 0 { "low" } else { "high" }
        ),
    }
}

/// The name of a returned word (`SECCOMP_RET_*`).
pub(crate) fn action_name(word: u32) -> String {
    match (word & 0xffff_0000, word & 0xffff) {
        (0x8000_0000, _) => "kill_process".into(),
        (0, _) => "kill_thread".into(),
        (0x0003_0000, _) => "trap".into(),
        (0x0005_0000, errno) => format!("errno {errno}"),
        (0x7fff_0000, _) => "allow".into(),
        _ => format!("{word:#010x}"),
    }
}
