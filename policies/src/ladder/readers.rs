//! Three readers of one policy, compared on inputs that nobody chose: the
//! interpreter of the compiled program, the diagram of its meaning, and the
//! evaluator of the specification.

use std::collections::BTreeSet;

use super::*;
use crate::mtbdd::Id;

/// Inputs for each of two engines; both together are more than a million.
const INPUTS: usize = 520_000;

/// A small generator of its own, so that a failure can be repeated anywhere
/// (Vigna's SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.next() % u64::try_from(of.len()).unwrap();
        of[usize::try_from(at).unwrap()]
    }

    /// Half the inputs lie near what the layers tell apart, so that rules match.
    fn data(&mut self, numbers: &[u32], values: &[u64]) -> SeccompData {
        let word = |random: &mut Self| u32::try_from(random.next() >> 32).unwrap();
        let native = Arch::X86_64.audit_word();
        let nr = match self.next() % 8 {
            0 => word(self),
            1 => word(self) % 600,
            2 => self.one_of(numbers) | 0x4000_0000,
            _ => self.one_of(numbers),
        };
        let arch = match self.next() % 16 {
            0 => word(self),
            1 => 0x4000_0003,
            _ => native,
        };
        let args = std::array::from_fn(|_| {
            let near = self.one_of(values);
            match self.next() % 8 {
                0 => self.next(),
                1 => near ^ 1 << (self.next() % 64),
                2 => near.wrapping_add(1),
                3 => near.wrapping_sub(1),
                4 => near | self.next() << 32,
                _ => near,
            }
        });
        SeccompData {
            nr,
            arch,
            ip: self.next(),
            args,
        }
    }
}

struct Reading<'a> {
    spec: &'a LayerSpec,
    program: crate::cbpf::Program,
    meaning: Id,
}

fn three_readers_agree(engine: Engine, seed: u64) -> BTreeSet<u32> {
    let profile = read(engine, Arch::X86_64).unwrap();
    let mut d = Diagrams::new(NODE_CAP);
    let layers = LayerName::ALL.map(|name| {
        let spec = profile.seccomp.layer(name);
        let program = compile(spec, Arch::X86_64).unwrap();
        let meaning = of_program(&mut d, &program).unwrap();
        Reading {
            spec,
            program,
            meaning,
        }
    });
    let rules = || layers.iter().flat_map(|layer| &layer.spec.rules);
    let numbers: Vec<u32> = rules().map(|(sysno, _)| sysno.number()).collect();
    let conds = rules().flat_map(|(_, rule)| rule.when.lists().iter().flatten());
    let values: Vec<u64> = conds.map(ArgCond::value).chain([0, u64::MAX]).collect();
    let (mut random, mut answers) = (Random(seed), BTreeSet::new());
    for _ in 0..INPUTS {
        let data = random.data(&numbers, &values);
        for layer in &layers {
            let says = layer.spec.evaluate(Arch::X86_64, &data);
            assert_eq!(layer.program.run(&data), says, "{data:?}");
            assert_eq!(d.evaluate(layer.meaning, &data), says, "{data:?}");
            answers.insert(says);
        }
    }
    answers
}

#[test]
fn three_readers_agree_on_half_a_million_inputs_of_the_runner() {
    // Allowed, trapped, killed and ENOSYS: each answer was among them.
    assert_eq!(three_readers_agree(Engine::Wasm, 1).len(), 4);
}

#[test]
fn three_readers_agree_on_half_a_million_inputs_of_the_compiler() {
    // Allowed, killed, EPERM, EACCES and ENOSYS.
    assert_eq!(three_readers_agree(Engine::CompileWasm, 2).len(), 5);
}

#[test]
fn stack_of_programs_means_the_most_restrictive_of_their_answers() {
    let compiled = prove(
        &read(Engine::Wasm, Arch::X86_64).unwrap(),
        LoadsCode::Mapped,
    )
    .unwrap();
    let programs: Vec<_> = compiled
        .layers()
        .iter()
        .map(|l| l.program.clone())
        .collect();
    let numbers: Vec<u32> = Sysno::all(Arch::X86_64).map(|(_, n)| n.number()).collect();
    let stack = Stack::new(programs).unwrap();
    let mut random = Random(3);
    for _ in 0..20_000 {
        let data = random.data(&numbers, &[0, 1, 3, 4, 5, 1030, 0x3d0f00, u64::MAX]);
        assert_eq!(stack.answer(&data), stack.meaning(&data), "{data:?}");
    }
}
