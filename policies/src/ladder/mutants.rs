//! The prover, tested by mutants: each field of each instruction of each
//! compiled program, changed one at a time, and every one of them judged.

use super::*;
use crate::cbpf::{ALU_AND_K, JMP_JEQ_K, JMP_JGE_K, JMP_JGT_K, JMP_JSET_K, LD_W_ABS, Program};
use crate::cbpf::{JMP_JA, RET_K};
use crate::mtbdd::Id;

const OPERATIONS: [u16; 8] = [
    LD_W_ABS, ALU_AND_K, JMP_JA, JMP_JEQ_K, JMP_JGT_K, JMP_JGE_K, JMP_JSET_K, RET_K,
];

/// What one instruction can become: every bit flipped of its constant, its
/// operation and, where it reads them, its two jumps; the constant's
/// neighbours; the jumps exchanged; and each other operation.
fn mutants(f: &SockFilter) -> Vec<SockFilter> {
    let conditional = f.code & 7 == 5 && f.code != JMP_JA;
    let with = |change: &dyn Fn(&mut SockFilter)| {
        let mut f = f.clone();
        change(&mut f);
        f
    };
    let mut all: Vec<SockFilter> = (0..32).map(|bit| with(&|f| f.k ^= 1 << bit)).collect();
    all.extend((0..16).map(|bit| with(&|f| f.code ^= 1 << bit)));
    all.extend(OPERATIONS.map(|code| with(&|f| f.code = code)));
    all.push(with(&|f| f.k = f.k.wrapping_add(1)));
    all.push(with(&|f| f.k = f.k.wrapping_sub(1)));
    if conditional {
        all.extend((0..8).map(|bit| with(&|f| f.jt ^= 1 << bit)));
        all.extend((0..8).map(|bit| with(&|f| f.jf ^= 1 << bit)));
        all.push(with(&|f| (f.jt, f.jf) = (f.jf, f.jt)));
    }
    all.retain(|mutant| mutant != f);
    all
}

/// Every boundary of the layer: of each call that it names, the numbers beside
/// it, its x32 twin and the same call of another architecture.
fn boundaries(d: &mut Diagrams, layer: &LayerSpec, meaning: Id) -> Vec<(SeccompData, u32)> {
    let native = Arch::X86_64.audit_word();
    let near = layer.rules.keys().flat_map(|sysno| {
        let nr = sysno.number();
        [nr, nr + 1, nr.saturating_sub(1), nr | 0x4000_0000].map(|nr| (native, nr))
    });
    let foreign = [(0x4000_0003, 0), (0, 1), (native ^ 1 << 31, 231)];
    let calls: Vec<_> = near.chain(foreign).collect();
    let inputs = calls
        .into_iter()
        .flat_map(|(arch, nr)| d.inputs(meaning, arch, nr).unwrap());
    inputs
        .map(|data| (data, layer.evaluate(Arch::X86_64, &data)))
        .collect()
}

/// Refused, proved equal, shown by an input.
#[derive(Debug, Default)]
struct Judged {
    refused: usize,
    equal: usize,
    shown: usize,
    instructions: usize,
}

impl Judged {
    /// A prover that calls everything equal, or a decoder that refuses
    /// everything, would be seen here.
    fn is_telling(&self) {
        let Self {
            refused,
            equal,
            shown,
            instructions,
        } = self;
        println!("{instructions} instructions: {refused} refused, {equal} equal, {shown} shown");
        assert!(refused + equal + shown >= 55 * instructions, "{self:?}");
        assert!(shown >= refused && *shown >= 10 * equal, "{self:?}");
    }
}

fn judge_all(engine: Engine) -> Judged {
    let profile = read(engine, Arch::X86_64).unwrap();
    let mut seen = Judged::default();
    for name in LayerName::ALL {
        let layer = profile.seccomp.layer(name);
        let right = compile(layer, Arch::X86_64).unwrap();
        seen.instructions += right.raw().len();
        for at in 0..right.raw().len() {
            judge(layer, right.raw(), at, &mut seen);
        }
    }
    seen
}

/// Judges all mutants of one instruction.
fn judge(layer: &LayerSpec, right: &[SockFilter], at: usize, seen: &mut Judged) {
    // New for each instruction: all mutants together would not fit the cap.
    let mut d = Diagrams::new(NODE_CAP);
    let meaning = of_layer(&mut d, layer, Arch::X86_64).unwrap();
    let boundaries = boundaries(&mut d, layer, meaning);
    for mutant in mutants(&right[at]) {
        let mut raw = right.to_vec();
        raw[at] = mutant;
        let Ok(program) = Program::decode(raw) else {
            seen.refused += 1;
            continue;
        };
        match equal(&mut d, "mutant", layer, Arch::X86_64, &program) {
            Ok(_) => {
                seen.equal += 1;
                for (data, wanted) in &boundaries {
                    assert_eq!(program.run(data), *wanted, "{at} {data:?}");
                }
            }
            Err(ProofError::NotEqual {
                witness,
                wanted,
                got,
                ..
            }) => {
                seen.shown += 1;
                assert_eq!(program.run(&witness.data), got);
                assert_eq!(layer.evaluate(Arch::X86_64, &witness.data), wanted);
                assert_ne!(wanted, got);
            }
            Err(other) => panic!("{at}: {other}"),
        }
    }
}

#[test]
fn every_mutant_of_the_runners_filters_is_refused_proved_equal_or_shown_by_an_input() {
    judge_all(Engine::Wasm).is_telling();
}

#[test]
fn every_mutant_of_the_compilers_filters_is_refused_proved_equal_or_shown_by_an_input() {
    judge_all(Engine::CompileWasm).is_telling();
}

/// The other direction: a program that differs in one input of 2^448 is not
/// taken for equal, wherever that input lies.
#[test]
fn one_wrong_input_is_found() {
    let layer = LayerSpec {
        otherwise: Action::Trap,
        rules: [(sysno("read"), allow(When::always()))].into(),
    };
    let hidden = SeccompData {
        nr: 0,
        arch: Arch::X86_64.audit_word(),
        ip: 0x1234_5678_9abc_def0,
        args: [1, u64::MAX, 3 << 40, 0, 5, 1 << 63],
    };
    let mut d = Diagrams::new(NODE_CAP);
    let meaning = of_layer(&mut d, &layer, Arch::X86_64).unwrap();
    let mut wrong = d.leaf(1).unwrap();
    for word in (0..16).map(Word) {
        let same = d.test(word, u32::MAX, Test::Eq, word.of(&hidden)).unwrap();
        wrong = d.and(wrong, same).unwrap();
    }
    let kill = d.leaf(Action::KillProcess.word()).unwrap();
    let other = d.choose(wrong, kill, meaning).unwrap();
    let differ = d.zip(meaning, other, |a, b| u32::from(a != b)).unwrap();
    assert_eq!(d.find(differ, |value| value != 0), Some(hidden));
}
