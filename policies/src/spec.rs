//! What a seccomp filter is meant to do, as plain data: the meaning that compiled
//! programs are proved against.
//!
//! It must never look at a compiled program, and nothing here allows a call
//! that no line of a profile names.

use std::collections::BTreeMap;

use crate::cbpf::SeccompData;
use crate::grant::Because;
use crate::syscalls::{Arch, Sysno, width_of};

/// How many bits of an argument the kernel reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// `int`, `unsigned int`, and the flags of `clone`: the upper half is ignored.
    Low32,
    /// `unsigned long`, `size_t`, `loff_t`.
    Full64,
}

impl Width {
    /// In bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Low32 => 32,
            Self::Full64 => 64,
        }
    }

    const fn mask(self) -> u64 {
        match self {
            Self::Low32 => 0xffff_ffff,
            Self::Full64 => u64::MAX,
        }
    }
}

/// How an argument is compared with the value of a condition, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// `(argument & mask) == value`
    MaskedEq(u64),
}

/// One comparison of one argument, in the width in which the kernel reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArgCond {
    arg: u8,
    width: Width,
    op: Op,
    value: u64,
}

/// Why a condition can't be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CondError {
    /// The table knows no width for it, so no comparison is known to be right.
    #[error("argument {arg} of {call} may not be compared")]
    NotComparable {
        /// The call.
        call: String,
        /// The argument, from 0.
        arg: u8,
    },
    /// It could never hold or always holds, so it is a mistake.
    #[error("{value:#x} does not fit the {bits} bits (and the mask) of argument {arg} of {call}")]
    Value {
        /// The call.
        call: String,
        /// The argument, from 0.
        arg: u8,
        /// The value written.
        value: u64,
        /// Bits that the kernel reads.
        bits: u8,
    },
}

impl ArgCond {
    /// A comparison of argument `arg` of `call`. The width comes from the table,
    /// never from the writer: a wrong one is a hole (CVE-2019-10063).
    ///
    /// # Errors
    /// An argument without a known width, or a value outside it or its mask.
    pub fn new(call: &str, arg: u8, op: Op, value: u64) -> Result<Self, CondError> {
        let width = width_of(call, arg).ok_or_else(|| CondError::NotComparable {
            call: call.to_owned(),
            arg,
        })?;
        let room = match op {
            Op::MaskedEq(mask) if mask == 0 || mask & !width.mask() != 0 => 0,
            Op::MaskedEq(mask) => mask,
            Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge => width.mask(),
        };
        if room == 0 || value & !room != 0 {
            return Err(CondError::Value {
                call: call.to_owned(),
                arg,
                value,
                bits: width.bits(),
            });
        }
        Ok(Self {
            arg,
            width,
            op,
            value,
        })
    }

    /// The argument compared, 0 to 5.
    #[must_use]
    pub fn arg(&self) -> u8 {
        self.arg
    }

    /// The bits compared.
    #[must_use]
    pub fn width(&self) -> Width {
        self.width
    }

    /// The comparison.
    #[must_use]
    pub fn op(&self) -> Op {
        self.op
    }

    /// What it is compared with.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.value
    }

    fn holds(&self, data: &SeccompData) -> bool {
        let Some(arg) = data.args.get(usize::from(self.arg)) else {
            return false;
        };
        let arg = arg & self.width.mask();
        match self.op {
            Op::Eq => arg == self.value,
            Op::Ne => arg != self.value,
            Op::Lt => arg < self.value,
            Op::Le => arg <= self.value,
            Op::Gt => arg > self.value,
            Op::Ge => arg >= self.value,
            Op::MaskedEq(mask) => arg & mask == self.value,
        }
    }
}

/// Conditions under which a rule matches: one of the lists, and in it all.
/// No list at all, or one empty list among them, means always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When(Vec<Vec<ArgCond>>);

impl When {
    /// Matches every call.
    #[must_use]
    pub fn always() -> Self {
        Self(Vec::new())
    }

    /// Matches where one of the lists holds as a whole.
    #[must_use]
    pub fn any_of(lists: Vec<Vec<ArgCond>>) -> Self {
        if lists.iter().any(Vec::is_empty) {
            Self::always()
        } else {
            Self(lists)
        }
    }

    /// True if no argument is looked at.
    #[must_use]
    pub fn is_always(&self) -> bool {
        self.0.is_empty()
    }

    /// The lists; empty = always.
    #[must_use]
    pub fn lists(&self) -> &[Vec<ArgCond>] {
        &self.0
    }

    /// Matches where this or the other does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.is_always() || other.is_always() {
            return Self::always();
        }
        let mut lists = self.0;
        lists.extend(other.0);
        Self(lists)
    }

    fn holds(&self, data: &SeccompData) -> bool {
        self.is_always()
            || self
                .0
                .iter()
                .any(|list| list.iter().all(|cond| cond.holds(data)))
    }
}

/// An error number that a filter may answer with, 1 to 4095: the kernel would
/// turn 0 into success and cut a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Errno(u16);

impl Errno {
    /// The names that a profile may use; the numbers are the same on all three architectures.
    const NAMES: [(&'static str, u16); 7] = [
        ("EPERM", 1),
        ("ENOENT", 2),
        ("ENOMEM", 12),
        ("EACCES", 13),
        ("EINVAL", 22),
        ("ENOTTY", 25),
        ("ENOSYS", 38),
    ];

    /// By its C name, out of the few that a filter answers with.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, number)| Self(*number))
    }

    /// Its C name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, number)| *number == self.0)
            .map_or("?", |(name, _)| name)
    }
}

/// What the kernel does with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The process ends by SIGSYS; nothing of it runs again.
    KillProcess,
    /// SIGSYS to the process, whose handler reports the number and never returns.
    Trap,
    /// The call fails with this error and has no effect.
    Errno(Errno),
    /// The call is made.
    Allow,
}

impl Action {
    /// The word that a program returns for it (`SECCOMP_RET_*`).
    #[must_use]
    pub const fn word(self) -> u32 {
        match self {
            Self::KillProcess => 0x8000_0000,
            Self::Trap => 0x0003_0000,
            Self::Errno(errno) => 0x0005_0000 | errno.0 as u32,
            Self::Allow => ALLOW,
        }
    }

    /// As `policy show` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillProcess => "kill_process",
            Self::Trap => "trap",
            Self::Errno(_) => "errno",
            Self::Allow => "allow",
        }
    }
}

/// `SECCOMP_RET_ALLOW`.
pub(crate) const ALLOW: u32 = 0x7fff_0000;

/// The one of two layers' answers that the kernel acts on: the smaller action
/// as a signed number, the newer filter's where they are equal.
pub(crate) fn meet(newer: u32, older: u32) -> u32 {
    let rank = |word: u32| (word & 0xffff_0000).cast_signed();
    if rank(older) < rank(newer) {
        older
    } else {
        newer
    }
}

/// When a call of a layer matches, and who asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Conditions on the arguments.
    pub when: When,
    /// What the kernel does where they hold.
    pub action: Action,
    /// Never empty.
    pub because: Vec<Because>,
}

/// One program: what happens to the calls named, and to all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// What the kernel does with a call that no rule matches.
    pub otherwise: Action,
    /// At most one rule a call.
    pub rules: BTreeMap<Sysno, Rule>,
}

impl LayerSpec {
    /// The word that a right program returns for this input. Foreign
    /// architectures end the process whatever the rules say.
    #[must_use]
    pub fn evaluate(&self, arch: Arch, data: &SeccompData) -> u32 {
        if data.arch != arch.audit_word() {
            return Action::KillProcess.word();
        }
        let rule = self
            .rules
            .iter()
            .find(|(sysno, _)| sysno.number() == data.nr);
        match rule {
            Some((_, rule)) if rule.when.holds(data) => rule.action.word(),
            Some(_) | None => self.otherwise.word(),
        }
    }
}

/// The layer's place in the plan; the value is its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerName {
    /// Errnos for calls that a libc tries and can live without.
    Soft,
    /// Allow list while our own loader works.
    Loading,
    /// Allow list from the first plugin instruction on.
    Running,
    /// Kills for calls that no profile ever has.
    Veto,
}

impl LayerName {
    /// By index.
    pub const ALL: [Self; 4] = [Self::Soft, Self::Loading, Self::Running, Self::Veto];

    /// 0 to 3.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Soft => 0,
            Self::Loading => 1,
            Self::Running => 2,
            Self::Veto => 3,
        }
    }

    /// As in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Loading => "loading",
            Self::Running => "running",
            Self::Veto => "veto",
        }
    }
}

/// Four layers of one process; the kernel takes the most restrictive answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompSpec {
    /// The only architecture whose calls can be allowed.
    pub arch: Arch,
    /// Layer 0.
    pub soft: LayerSpec,
    /// Layer 1.
    pub loading: LayerSpec,
    /// Layer 2.
    pub running: LayerSpec,
    /// Layer 3.
    pub veto: LayerSpec,
}

impl SeccompSpec {
    /// The layer of this name.
    #[must_use]
    pub fn layer(&self, name: LayerName) -> &LayerSpec {
        match name {
            LayerName::Soft => &self.soft,
            LayerName::Loading => &self.loading,
            LayerName::Running => &self.running,
            LayerName::Veto => &self.veto,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_of_a_condition_is_the_kernels() {
        assert_eq!(
            ArgCond::new("ioctl", 1, Op::Eq, 0x5412).unwrap().width(),
            Width::Low32
        );
        assert_eq!(
            ArgCond::new("mprotect", 2, Op::Eq, 3).unwrap().width(),
            Width::Full64
        );
    }

    #[test]
    fn argument_without_a_known_width_can_not_be_compared() {
        let refused = ArgCond::new("mprotect", 0, Op::Eq, 0);
        assert_eq!(
            refused,
            Err(CondError::NotComparable {
                call: "mprotect".into(),
                arg: 0
            })
        );
    }

    #[test]
    fn value_beyond_the_width_or_mask_is_refused() {
        for (call, arg, op, value) in [
            ("ioctl", 1, Op::Eq, 0x1_0000_5412),
            ("ioctl", 1, Op::MaskedEq(0x1_0000_0000), 0),
            ("mmap", 2, Op::MaskedEq(4), 1),
            ("mmap", 2, Op::MaskedEq(0), 0),
        ] {
            let refused = ArgCond::new(call, arg, op, value);
            assert!(
                matches!(refused, Err(CondError::Value { .. })),
                "{call} {op:?} {value}"
            );
        }
    }

    #[test]
    fn empty_list_of_conditions_means_always() {
        assert!(When::any_of(vec![vec![]]).is_always());
        assert!(When::any_of(vec![]).is_always());
    }

    #[test]
    fn most_restrictive_layer_wins_and_the_newer_one_where_equal() {
        let order = [
            Action::KillProcess.word(),
            0,
            Action::Trap.word(),
            0x0005_0001,
            ALLOW,
        ];
        assert!(order.is_sorted_by(|a, b| meet(*a, *b) == *a && meet(*b, *a) == *a));
        assert_eq!(meet(0x0005_0001, 0x0005_0026), 0x0005_0001);
    }
}
