//! The table of system calls: numbers of three architectures and the width in
//! which the kernel reads an argument that a filter may compare.
//!
//! A call or an argument that is not in the tables can't be named in a rule.

use crate::spec::Width;

mod table;
#[cfg(all(test, target_arch = "x86_64"))]
mod table_test;

/// An architecture that filters are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arch {
    /// 64-bit x86; i386 and x32 calls are foreign to it.
    X86_64,
    /// 64-bit ARM, little endian.
    Aarch64,
    /// 64-bit RISC-V.
    Riscv64,
}

impl Arch {
    /// The architecture that this code was built for; `None` on any other.
    #[must_use]
    pub const fn native() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86_64)
        } else if cfg!(all(target_arch = "aarch64", target_endian = "little")) {
            Some(Self::Aarch64)
        } else if cfg!(target_arch = "riscv64") {
            Some(Self::Riscv64)
        } else {
            None
        }
    }

    /// As in `uname -m`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Riscv64 => "riscv64",
        }
    }

    /// `AUDIT_ARCH_*` of `linux/audit.h`: ELF machine, 64-bit bit, little-endian bit.
    #[must_use]
    pub const fn audit_word(self) -> u32 {
        let machine = match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
            Self::Riscv64 => 243,
        };
        0xc000_0000 | machine
    }

    /// Numbers that the kernel lets past every filter: on x86_64 `uretprobe`
    /// and `uprobe` (measured on 6.18). They end in SIGILL or ENXIO without a probe.
    #[must_use]
    pub const fn exempt(self) -> &'static [u32] {
        match self {
            Self::X86_64 => &[335, 336],
            Self::Aarch64 | Self::Riscv64 => &[],
        }
    }

    const fn column(self) -> usize {
        match self {
            Self::X86_64 => 0,
            Self::Aarch64 => 1,
            Self::Riscv64 => 2,
        }
    }
}

/// The number of a system call that exists on the architecture it was looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sysno(u32);

impl Sysno {
    /// Looks a call up by its kernel name.
    #[must_use]
    pub fn by_name(arch: Arch, name: &str) -> Option<Self> {
        let row = table::NUMBERS
            .binary_search_by(|(row, _)| row.cmp(&name))
            .ok()?;
        let (_, numbers) = table::NUMBERS.get(row)?;
        let number = *numbers.get(arch.column())?;
        (number != table::NONE).then_some(Self(number))
    }

    /// Every call of the architecture with its name, sorted by name.
    pub fn all(arch: Arch) -> impl Iterator<Item = (&'static str, Self)> {
        table::NUMBERS
            .iter()
            .filter_map(move |(name, _)| Some((*name, Self::by_name(arch, name)?)))
    }

    /// The number as the kernel has it; always below 0x4000_0000.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The name of the call; a number of another architecture has none here.
    #[must_use]
    pub fn name(self, arch: Arch) -> &'static str {
        name_of(arch, self.0).unwrap_or("?")
    }
}

/// The name of a raw number, for disassembly and witnesses.
#[must_use]
pub fn name_of(arch: Arch, number: u32) -> Option<&'static str> {
    let named = |row: &&(&str, [u32; 3])| row.1.get(arch.column()) == Some(&number);
    (number != table::NONE).then(|| table::NUMBERS.iter().find(named).map(|row| row.0))?
}

/// How the kernel reads each argument that a rule may compare, from the
/// declarations of the calls (`SYSCALL_DEFINE*`): `int`, `unsigned int` and
/// `umode_t` are 32 bits, `unsigned long`, `size_t` and `loff_t` are 64.
/// `clone` takes an `unsigned long`, of which it keeps the lower half.
static WIDTHS: &[(&str, &[(u8, Width)])] = {
    use Width::{Full64, Low32};
    &[
        ("clock_gettime", &[(0, Low32)]),
        ("clone", &[(0, Low32)]),
        ("close", &[(0, Low32)]),
        ("close_range", &[(0, Low32), (1, Low32), (2, Low32)]),
        ("execveat", &[(0, Low32), (4, Low32)]),
        ("fcntl", &[(0, Low32), (1, Low32)]),
        ("futex", &[(1, Low32), (2, Low32), (5, Low32)]),
        ("getrandom", &[(1, Full64), (2, Low32)]),
        ("getsockopt", &[(1, Low32), (2, Low32)]),
        ("ioctl", &[(0, Low32), (1, Low32)]),
        ("lseek", &[(0, Low32), (1, Full64), (2, Low32)]),
        ("madvise", &[(1, Full64), (2, Low32)]),
        (
            "mmap",
            &[(1, Full64), (2, Full64), (3, Full64), (5, Full64)],
        ),
        ("mprotect", &[(1, Full64), (2, Full64)]),
        ("mremap", &[(1, Full64), (2, Full64), (3, Full64)]),
        ("openat", &[(0, Low32), (2, Low32), (3, Low32)]),
        ("personality", &[(0, Low32)]),
        ("pkey_mprotect", &[(1, Full64), (2, Full64), (3, Low32)]),
        ("prctl", &[(0, Low32)]),
        ("pread64", &[(0, Low32)]),
        ("prlimit64", &[(0, Low32), (1, Low32)]),
        ("read", &[(0, Low32), (2, Full64)]),
        ("rt_sigprocmask", &[(0, Low32), (3, Full64)]),
        ("sched_getaffinity", &[(0, Low32), (1, Low32)]),
        ("seccomp", &[(0, Low32), (1, Low32)]),
        ("shmat", &[(0, Low32), (2, Low32)]),
        ("socket", &[(0, Low32), (1, Low32), (2, Low32)]),
        ("tgkill", &[(0, Low32), (1, Low32), (2, Low32)]),
        ("write", &[(0, Low32), (2, Full64)]),
    ]
};

/// The width in which the kernel reads this argument; `None` = no rule may compare it.
#[must_use]
pub fn width_of(call: &str, arg: u8) -> Option<Width> {
    let (_, args) = WIDTHS.iter().find(|(name, _)| *name == call)?;
    args.iter()
        .find(|(index, _)| *index == arg)
        .map(|(_, width)| *width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_so_that_the_search_finds_each() {
        assert!(table::NUMBERS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(WIDTHS.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn every_call_with_a_width_exists_on_every_architecture() {
        for (name, _) in WIDTHS {
            for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
                assert!(Sysno::by_name(arch, name).is_some(), "{name} {arch:?}");
            }
        }
    }

    #[test]
    fn numbers_are_unique_and_below_the_x32_bit() {
        for arch in [Arch::X86_64, Arch::Aarch64, Arch::Riscv64] {
            let mut seen = std::collections::BTreeSet::new();
            for (name, sysno) in Sysno::all(arch) {
                assert!(sysno.number() < 0x4000_0000, "{name}");
                assert!(seen.insert(sysno), "{name}");
                assert_eq!(name_of(arch, sysno.number()), Some(name));
            }
        }
    }

    #[test]
    fn calls_of_another_architecture_are_not_found() {
        assert_eq!(Sysno::by_name(Arch::Aarch64, "open"), None);
        assert_eq!(Sysno::by_name(Arch::X86_64, "riscv_hwprobe"), None);
        assert_eq!(Sysno::by_name(Arch::X86_64, "no_such_call"), None);
        assert_eq!(name_of(Arch::Aarch64, u32::MAX), None);
    }
}
