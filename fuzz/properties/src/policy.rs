//! Profiles, layers and programs: whatever they say, program and meaning are one
//! function, or there is no program.

use std::collections::BTreeMap;

use gm_policy::{
    Action, Arch, ArgCond, Because, CompileError, Errno, Layer, LayerName, LayerSpec, Op, Program,
    ProofError, Rule, SeccompData, SeccompSpec, Source, Stack, Sysno, When, disassemble, layers_of,
};
use gm_protocol::plan::{Engine, SockFilter};

use crate::bytes::Bytes;

/// Programs and layers are judged for this architecture.
const ARCH: Arch = Arch::X86_64;
/// The most instructions of a stranger's program here.
const INSTRUCTIONS: usize = 96;
/// The most nodes of its diagram: enough to be useful, little enough to be quick.
const NODES: usize = 20_000;

/// The text of a profile: its layers compile to proved programs, or it is refused
/// with a line of its file.
pub fn profile_toml(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else {
        return false;
    };
    let named = |engine: &&Engine| text.contains(&format!("engine = \"{engine}\""));
    let engine = Engine::ALL.iter().find(named).unwrap_or(&Engine::Wasm);
    match layers_of(text, *engine, ARCH) {
        Ok(spec) => proved(&spec) == LayerName::ALL.len(),
        Err(error) => {
            assert!(error.to_string().starts_with("profiles/"), "{error}");
            false
        }
    }
}

/// How many of the layers are proved.
fn proved(spec: &SeccompSpec) -> usize {
    let mut count = 0;
    for name in LayerName::ALL {
        let layer = spec.layer(name);
        assert!(layer.rules.values().all(|rule| !rule.because.is_empty()));
        match Layer::prove(name, layer, spec.arch) {
            Ok(proved) => {
                count += 1;
                agree(layer, &proved.program, &mut near(layer, 7));
            }
            Err(CompileError::Proof(error)) => undecided(&error),
            // Too long a jump, say: nothing is loaded then.
            Err(CompileError::Lower(_)) => {}
        }
    }
    count
}

/// Too large is an answer; unequal is a fault of the compiler or of the proof.
fn undecided(error: &ProofError) {
    assert!(matches!(error, ProofError::Undecided(_)), "{error}");
}

fn agree(layer: &LayerSpec, program: &Program, inputs: &mut dyn Iterator<Item = SeccompData>) {
    for data in inputs {
        assert_eq!(program.run(&data), layer.evaluate(ARCH, &data), "{data:x?}");
    }
}

/// A layer made of choices: it compiles, is proved, and means what it says.
pub fn spec_vs_program(data: &[u8]) -> bool {
    let mut from = Bytes::new(data);
    let layer = layer(&mut from);
    match Layer::prove(LayerName::Running, &layer, ARCH) {
        Ok(proved) => {
            let seed = from.word();
            agree(&layer, &proved.program, &mut near(&layer, seed));
            let again = Program::decode(proved.program.raw().to_vec()).unwrap();
            assert_eq!(again, proved.program);
            !layer.rules.is_empty()
        }
        Err(CompileError::Proof(error)) => {
            undecided(&error);
            false
        }
        Err(CompileError::Lower(error)) => panic!("a small layer: {error}"),
    }
}

/// Calls with an argument that may be compared, and one without.
const CALLS: [(&str, [u8; 3]); 10] = [
    ("mmap", [1, 2, 3]),
    ("mmap", [3, 4, 5]),
    ("ioctl", [0, 1, 1]),
    ("mprotect", [1, 2, 2]),
    ("fcntl", [0, 1, 1]),
    ("clone", [0, 0, 0]),
    ("socket", [0, 1, 2]),
    ("prctl", [0, 0, 1]),
    ("madvise", [1, 2, 2]),
    ("read", [0, 0, 0]),
];

fn action(from: &mut Bytes<'_>) -> Action {
    match from.byte() % 5 {
        0 => Action::KillProcess,
        1 => Action::Trap,
        2 => Action::Errno(Errno::by_name("ENOSYS").unwrap()),
        3 => Action::Errno(Errno::by_name("EPERM").unwrap()),
        _ => Action::Allow,
    }
}

fn layer(from: &mut Bytes<'_>) -> LayerSpec {
    let otherwise = action(from);
    let mut rules = BTreeMap::new();
    for _ in 0..from.byte() % 8 {
        let (name, args) = from.pick(&CALLS);
        let lists = (0..from.byte() % 4).map(|_| {
            let conds = (0..1 + from.byte() % 3).filter_map(|_| cond(from, name, args));
            conds.collect::<Vec<_>>()
        });
        let rule = Rule {
            when: When::any_of(lists.collect()),
            action: action(from),
            because: vec![Because {
                source: Source::Engine,
                file: None,
                line: None,
                key: None,
                why: None,
            }],
        };
        rules.insert(Sysno::by_name(ARCH, name).unwrap(), rule);
    }
    LayerSpec { otherwise, rules }
}

fn cond(from: &mut Bytes<'_>, call: &str, args: [u8; 3]) -> Option<ArgCond> {
    let arg = from.pick(&args);
    let mask = value(from);
    let ops = [Op::Eq, Op::Ne, Op::Lt, Op::Le, Op::Gt, Op::Ge];
    let op = match from.byte() % 7 {
        6 => Op::MaskedEq(mask),
        n => ops[usize::from(n)],
    };
    let written = match op {
        Op::MaskedEq(mask) => value(from) & mask,
        _ => value(from),
    };
    // Where the kernel reads 32 bits only, a wider value is refused.
    let narrow = |value| value & 0xffff_ffff;
    let narrow_op = match op {
        Op::MaskedEq(mask) => Op::MaskedEq(narrow(mask)),
        op => op,
    };
    let wide = ArgCond::new(call, arg, op, written);
    wide.or_else(|_| ArgCond::new(call, arg, narrow_op, narrow(written)))
        .ok()
}

/// On and beside the edges of a half, or anything.
fn value(from: &mut Bytes<'_>) -> u64 {
    match from.byte() % 6 {
        0 => u64::from(from.byte() % 4),
        1 => 0xffff_ffff,
        2 => u64::from(from.byte() % 4) << 32,
        3 => u64::from(from.byte() % 4) << 32 | u64::from(from.byte() % 4),
        4 => 1 << (from.byte() % 64),
        _ => from.word(),
    }
}

/// A row of numbers that nobody would call random, but that differ.
struct Row(u64);

impl Row {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.0 ^ self.0 >> 29
    }
}

/// Inputs near what a layer tells apart.
fn near(layer: &LayerSpec, seed: u64) -> impl Iterator<Item = SeccompData> {
    let numbers: Vec<u32> = layer.rules.keys().map(|call| call.number()).collect();
    let conds = layer.rules.values().flat_map(|rule| rule.when.lists());
    let mut values: Vec<u64> = conds.flatten().map(ArgCond::value).collect();
    values.truncate(64);
    values.extend([0, 1, 0xffff_ffff, 1 << 32, u64::MAX]);
    inputs(numbers, values, seed)
}

fn inputs(numbers: Vec<u32>, values: Vec<u64>, seed: u64) -> impl Iterator<Item = SeccompData> {
    let mut row = Row(seed);
    let small = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap();
    (0..64).map(move |_| {
        let value = |row: &mut Row| {
            let at = usize::try_from(row.next() % (values.len() as u64 + 1)).unwrap();
            let (other, beside) = (row.next(), row.next() % 3);
            let near = |value: &u64| value.wrapping_add(beside).wrapping_sub(1);
            values.get(at).map_or(other, near)
        };
        let args = std::array::from_fn(|_| value(&mut row));
        let at = usize::try_from(row.next() % (numbers.len() as u64 + 1)).unwrap();
        let nr = numbers.get(at).copied().unwrap_or(small(row.next()) % 500);
        let foreign = row.next().is_multiple_of(16);
        SeccompData {
            nr,
            arch: if foreign {
                small(row.next())
            } else {
                ARCH.audit_word()
            },
            ip: row.next(),
            args,
        }
    })
}

/// Eight bytes an instruction: what the decoder takes always ends, and its diagram
/// says what running it says, within its nodes.
pub fn foreign_bpf(data: &[u8]) -> bool {
    let raw: Vec<SockFilter> = data
        .chunks_exact(8)
        .take(INSTRUCTIONS)
        .map(filter)
        .collect();
    let Ok(program) = Program::decode(raw.clone()) else {
        return false;
    };
    assert_eq!(program.raw(), raw);
    assert_eq!(program.bytes().len(), 8 * raw.len());
    assert_eq!(disassemble(&program, ARCH).is_empty(), raw.is_empty());
    let Ok(stack) = Stack::within(vec![program.clone()], NODES) else {
        return false;
    };
    let constants: Vec<u64> = raw.iter().map(|filter| filter.k.into()).collect();
    let numbers: Vec<u32> = raw.iter().map(|filter| filter.k).collect();
    let seed = constants
        .iter()
        .fold(data.len() as u64, |seed, k| Row(seed ^ k).next());
    for data in inputs(numbers, constants, seed) {
        // One that answers nothing but "allow" is joined with nothing else.
        assert_eq!(stack.answer(&data), stack.meaning(&data), "{data:x?}");
    }
    if raw.len() <= 16
        && let Ok(inputs) = stack.inputs(ARCH.audit_word(), raw[0].k)
    {
        for data in inputs.iter().take(1000) {
            assert_eq!(stack.answer(data), stack.meaning(data), "{data:x?}");
        }
    }
    true
}

/// Operation, both jumps, how the constant is meant, and the constant. Most bytes
/// are known operations: the decoder's refusals are soon seen.
fn filter(bytes: &[u8]) -> SockFilter {
    const KNOWN: [u16; 8] = [0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06];
    let mut from = Bytes::new(bytes);
    let (op, jt, jf, how) = (from.byte(), from.byte(), from.byte(), from.byte());
    let k = u32::from_le_bytes(from.array());
    match op {
        0xf0.. => SockFilter {
            code: u16::from_le_bytes([jt, jf]),
            jt: how,
            jf: op,
            k,
        },
        _ => {
            let code = KNOWN[usize::from(op % 8)];
            let k = match (code, how % 4) {
                (0x20, 0..3) => k % 16 * 4,
                (0x05, 0..3) => k % 8,
                _ => k,
            };
            SockFilter { code, jt, jf, k }
        }
    }
}
