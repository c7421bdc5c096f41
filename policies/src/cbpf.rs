//! Classic BPF as seccomp runs it: decoder with the kernel's own checks,
//! interpreter, digest.
//!
//! It knows only the instructions that our compiled filters hold; a program
//! with any other is refused, never guessed at. It installs nothing.

use gm_protocol::plan::SockFilter;
use sha2::{Digest as _, Sha256};

/// Most instructions of one program (`BPF_MAXINSNS`).
pub(crate) const MAX_LEN: usize = 4096;

/// What the kernel shows a filter of one call (`struct seccomp_data`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeccompData {
    /// Number of the call.
    pub nr: u32,
    /// `AUDIT_ARCH_*` of the caller.
    pub arch: u32,
    /// Address of the calling instruction.
    pub ip: u64,
    /// Arguments, as 64-bit registers.
    pub args: [u64; 6],
}

/// A 32-bit word of [`SeccompData`], by its place 0 to 15 (byte offset / 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Word(pub(crate) u8);

impl Word {
    pub(crate) const NR: Self = Self(0);
    pub(crate) const ARCH: Self = Self(1);
    pub(crate) const IP: [Self; 2] = [Self(2), Self(3)];

    /// Lower and upper half of an argument.
    pub(crate) const fn arg(index: u8) -> (Self, Self) {
        (Self(4 + 2 * index), Self(5 + 2 * index))
    }

    /// The word's value; little-endian, as all our architectures are.
    pub(crate) fn of(self, data: &SeccompData) -> u32 {
        let half = |value: u64| {
            low(if self.0.is_multiple_of(2) {
                value
            } else {
                value >> 32
            })
        };
        match self.0 {
            0 => data.nr,
            1 => data.arch,
            2 | 3 => half(data.ip),
            _ => half(
                data.args
                    .get(usize::from(self.0 / 2 - 2))
                    .copied()
                    .unwrap_or_default(),
            ),
        }
    }

    /// Sets the word.
    pub(crate) fn set(self, data: &mut SeccompData, value: u32) {
        let into = match self.0 {
            0 => return data.nr = value,
            1 => return data.arch = value,
            2 | 3 => &mut data.ip,
            _ => match data.args.get_mut(usize::from(self.0 / 2 - 2)) {
                Some(arg) => arg,
                None => return,
            },
        };
        let (value, shift) = (
            u64::from(value),
            if self.0.is_multiple_of(2) { 0 } else { 32 },
        );
        *into = *into & !(0xffff_ffff << shift) | value << shift;
    }
}

/// The lower 32 bits.
pub(crate) fn low(value: u64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or_default()
}

/// How the accumulator is compared with the constant of a jump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Eq,
    Gt,
    Ge,
    Set,
}

impl Test {
    pub(crate) fn holds(self, value: u32, k: u32) -> bool {
        match self {
            Self::Eq => value == k,
            Self::Gt => value > k,
            Self::Ge => value >= k,
            Self::Set => value & k != 0,
        }
    }
}

/// One decoded instruction; jump targets are absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instruction {
    Load(Word),
    And(u32),
    Jump(usize),
    Branch {
        test: Test,
        k: u32,
        yes: usize,
        no: usize,
    },
    Return(u32),
}

/// Why bytes are no program that the kernel would take and we can judge.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProgramError {
    /// Empty, or longer than the kernel takes.
    #[error("a program of {0} instructions")]
    Length(usize),
    /// An operation that our compiled filters never hold.
    #[error("instruction {pc}: operation {code:#06x} is not known here")]
    Operation {
        /// Place of the instruction.
        pc: usize,
        /// Its operation.
        code: u16,
    },
    /// A load outside the data or not aligned.
    #[error("instruction {pc}: load from offset {offset}")]
    Load {
        /// Place of the instruction.
        pc: usize,
        /// The byte offset.
        offset: u32,
    },
    /// A jump beyond the end.
    #[error("instruction {pc}: jump out of the program")]
    Jump {
        /// Place of the instruction.
        pc: usize,
    },
    /// The last instruction isn't a return.
    #[error("the last instruction is not a return")]
    NoReturn,
}

/// A program that passed the kernel's checks: it always ends with a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    raw: Vec<SockFilter>,
    decoded: Vec<Instruction>,
}

impl Program {
    /// Decodes and checks as the kernel does at installation.
    ///
    /// # Errors
    /// Whatever the kernel would refuse, and any instruction not modelled here.
    pub fn decode(raw: Vec<SockFilter>) -> Result<Self, ProgramError> {
        if raw.is_empty() || raw.len() > MAX_LEN {
            return Err(ProgramError::Length(raw.len()));
        }
        let decoded = raw
            .iter()
            .enumerate()
            .map(|(pc, filter)| decode_one(pc, filter, raw.len()))
            .collect::<Result<Vec<_>, _>>()?;
        match decoded.last() {
            Some(Instruction::Return(_)) => Ok(Self { raw, decoded }),
            Some(_) | None => Err(ProgramError::NoReturn),
        }
    }

    /// The instructions as the kernel takes them.
    #[must_use]
    pub fn raw(&self) -> &[SockFilter] {
        &self.raw
    }

    pub(crate) fn instructions(&self) -> &[Instruction] {
        &self.decoded
    }

    /// Eight bytes an instruction, as `struct sock_filter` lies in memory.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let one = |f: &SockFilter| {
            let [c0, c1] = f.code.to_le_bytes();
            let [k0, k1, k2, k3] = f.k.to_le_bytes();
            [c0, c1, f.jt, f.jf, k0, k1, k2, k3]
        };
        self.raw.iter().flat_map(one).collect()
    }

    /// SHA-256 of [`Program::bytes`], as records print it.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("sha256:{:x}", Sha256::digest(self.bytes()))
    }

    /// Runs the program; the word that it returns.
    #[must_use]
    pub fn run(&self, data: &SeccompData) -> u32 {
        let (mut pc, mut a) = (0, 0);
        // Every jump goes forward and the last instruction returns, so this ends.
        while let Some(instruction) = self.decoded.get(pc) {
            pc += 1;
            match *instruction {
                Instruction::Load(word) => a = word.of(data),
                Instruction::And(mask) => a &= mask,
                Instruction::Jump(to) => pc = to,
                Instruction::Branch { test, k, yes, no } => {
                    pc = if test.holds(a, k) { yes } else { no }
                }
                Instruction::Return(word) => return word,
            }
        }
        crate::spec::Action::KillProcess.word()
    }
}

// Operations of linux/bpf_common.h, joined as the kernel's checker admits them.
pub(crate) const LD_W_ABS: u16 = 0x20;
pub(crate) const ALU_AND_K: u16 = 0x54;
pub(crate) const JMP_JA: u16 = 0x05;
pub(crate) const JMP_JEQ_K: u16 = 0x15;
pub(crate) const JMP_JGT_K: u16 = 0x25;
pub(crate) const JMP_JGE_K: u16 = 0x35;
pub(crate) const JMP_JSET_K: u16 = 0x45;
pub(crate) const RET_K: u16 = 0x06;

fn decode_one(pc: usize, filter: &SockFilter, len: usize) -> Result<Instruction, ProgramError> {
    let k = filter.k;
    let target = |offset: u32| {
        let to = usize::try_from(offset)
            .ok()
            .and_then(|offset| (pc + 1).checked_add(offset));
        to.filter(|to| *to < len).ok_or(ProgramError::Jump { pc })
    };
    let branch = |test| {
        Ok(Instruction::Branch {
            test,
            k,
            yes: target(filter.jt.into())?,
            no: target(filter.jf.into())?,
        })
    };
    match filter.code {
        LD_W_ABS => match u8::try_from(k / 4) {
            Ok(word) if k.is_multiple_of(4) && word < 16 => Ok(Instruction::Load(Word(word))),
            Ok(_) | Err(_) => Err(ProgramError::Load { pc, offset: k }),
        },
        ALU_AND_K => Ok(Instruction::And(k)),
        JMP_JA => Ok(Instruction::Jump(target(k)?)),
        JMP_JEQ_K => branch(Test::Eq),
        JMP_JGT_K => branch(Test::Gt),
        JMP_JGE_K => branch(Test::Ge),
        JMP_JSET_K => branch(Test::Set),
        RET_K => Ok(Instruction::Return(k)),
        code => Err(ProgramError::Operation { pc, code }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn op(code: u16, jt: u8, jf: u8, k: u32) -> SockFilter {
        SockFilter { code, jt, jf, k }
    }

    #[test]
    fn program_that_the_kernel_would_refuse_is_refused_for_that_reason() {
        let ret = || op(RET_K, 0, 0, 0);
        for (raw, why) in [
            (vec![], ProgramError::Length(0)),
            (vec![ret(); MAX_LEN + 1], ProgramError::Length(MAX_LEN + 1)),
            (
                vec![op(LD_W_ABS, 0, 0, 2), ret()],
                ProgramError::Load { pc: 0, offset: 2 },
            ),
            (
                vec![op(LD_W_ABS, 0, 0, 64), ret()],
                ProgramError::Load { pc: 0, offset: 64 },
            ),
            (
                vec![op(JMP_JEQ_K, 0, 1, 0), ret()],
                ProgramError::Jump { pc: 0 },
            ),
            (
                vec![op(JMP_JA, 0, 0, u32::MAX), ret()],
                ProgramError::Jump { pc: 0 },
            ),
            (vec![op(LD_W_ABS, 0, 0, 0)], ProgramError::NoReturn),
            (
                vec![op(0x16, 0, 0, 0)],
                ProgramError::Operation { pc: 0, code: 0x16 },
            ),
        ] {
            assert_eq!(Program::decode(raw), Err(why));
        }
    }

    #[test]
    fn interpreter_masks_and_branches_as_written() {
        let program = Program::decode(vec![
            op(LD_W_ABS, 0, 0, 16),
            op(ALU_AND_K, 0, 0, 4),
            op(JMP_JEQ_K, 0, 1, 4),
            op(RET_K, 0, 0, 1),
            op(RET_K, 0, 0, 2),
        ])
        .unwrap();
        let with = |arg| SeccompData {
            args: [arg, 0, 0, 0, 0, 0],
            ..SeccompData::default()
        };
        assert_eq!(program.run(&with(7)), 1);
        assert_eq!(program.run(&with(3 | 4 << 32)), 2);
    }

    proptest! {
        #[test]
        fn word_that_was_set_is_read_back_and_no_other_changes(word in 0u8..16, other in 0u8..16, value: u32) {
            let mut data = SeccompData { nr: 1, arch: 2, ip: 3 << 32 | 4, args: [5, 6, 7 << 40, 8, 9, 10] };
            let before = Word(other).of(&data);
            Word(word).set(&mut data, value);
            prop_assert_eq!(Word(word).of(&data), value);
            prop_assert!(word == other || Word(other).of(&data) == before);
        }

        #[test]
        fn no_bytes_make_the_decoder_or_interpreter_fail(raw in prop::collection::vec((any::<u16>(), any::<u8>(), any::<u8>(), any::<u32>()), 0..40)) {
            let raw = raw.into_iter().map(|(c, t, f, k)| op(c % 0x50, t % 8, f % 8, k % 70)).collect();
            if let Ok(program) = Program::decode(raw) {
                let _ = program.run(&SeccompData::default());
            }
        }
    }
}
