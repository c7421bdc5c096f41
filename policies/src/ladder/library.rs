//! A second opinion: the same layer compiled by the C library libseccomp, which
//! shares nothing with our compiler, must have the same diagram.
//!
//! Only `==` and masked `==`: before 2.6.1 the library merges 64-bit `<`, `<=`,
//! `>` and `>=` wrongly (GHSA-4q85-33p6-j5g6). That bug is the last test here:
//! a prover that is worth something finds it.

use std::io::{Read as _, Seek as _};

use libseccomp::{ScmpAction, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall};

use super::*;
use crate::cbpf::Program;
use crate::mtbdd::Id;
use crate::spec::Width;

fn to_library(action: Action) -> ScmpAction {
    match action {
        Action::KillProcess => ScmpAction::KillProcess,
        Action::Trap => ScmpAction::Trap,
        Action::Errno(_) => ScmpAction::Errno(i32::try_from(action.word() & 0xffff).unwrap()),
        Action::Allow => ScmpAction::Allow,
    }
}

/// The library compares all 64 bits, so a comparison of 32 becomes a masked one.
fn comparison(cond: &ArgCond) -> ScmpArgCompare {
    let op = match (cond.op(), cond.width()) {
        (Op::Eq, Width::Full64) => ScmpCompareOp::Equal,
        (Op::Eq, Width::Low32) => ScmpCompareOp::MaskedEqual(0xffff_ffff),
        (Op::MaskedEq(mask), _) => ScmpCompareOp::MaskedEqual(mask),
        (op, _) => panic!("{op:?} is not asked of the library"),
    };
    ScmpArgCompare::new(cond.arg().into(), op, cond.value())
}

/// `level` 1 is a list of the calls, 2 a binary tree.
fn by_library(layer: &LayerSpec, level: u32) -> Program {
    let mut context = ScmpFilterContext::new(to_library(layer.otherwise)).unwrap();
    context.set_act_badarch(ScmpAction::KillProcess).unwrap();
    context.set_ctl_optimize(level).unwrap();
    for (sysno, rule) in &layer.rules {
        let call = ScmpSyscall::from(i32::try_from(sysno.number()).unwrap());
        let action = to_library(rule.action);
        if rule.when.is_always() {
            context.add_rule_exact(action, call).unwrap();
        }
        for list in rule.when.lists() {
            let list: Vec<_> = list.iter().map(comparison).collect();
            context
                .add_rule_conditional_exact(action, call, &list)
                .unwrap();
        }
    }
    let (mut file, mut bytes) = (tempfile::tempfile().unwrap(), Vec::new());
    context.export_bpf(&file).unwrap();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    from_bytes(&bytes)
}

fn from_bytes(bytes: &[u8]) -> Program {
    let raw = bytes.chunks_exact(8).map(|b| SockFilter {
        code: u16::from_le_bytes([b[0], b[1]]),
        jt: b[2],
        jf: b[3],
        k: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
    });
    Program::decode(raw.collect()).unwrap()
}

/// The library has an opinion of its own on x32 numbers and on -1, which our
/// layers leave to their default; both are compared without those.
fn without_x32(d: &mut Diagrams, meaning: Id) -> Id {
    let x32 = d.test(Word::NR, u32::MAX, Test::Ge, 0x4000_0000).unwrap();
    let kill = d.leaf(Action::KillProcess.word()).unwrap();
    d.choose(x32, kill, meaning).unwrap()
}

fn both(d: &mut Diagrams, layer: &LayerSpec, level: u32) -> (Id, Id) {
    let ours = compile(layer, Arch::X86_64).unwrap();
    let ours = equal(d, "ours", layer, Arch::X86_64, &ours).unwrap();
    let theirs = of_program(d, &by_library(layer, level)).unwrap();
    (without_x32(d, ours), without_x32(d, theirs))
}

fn only_equality(layer: &LayerSpec) -> bool {
    let mut conds = layer
        .rules
        .values()
        .flat_map(|rule| rule.when.lists().iter().flatten());
    conds.all(|cond| matches!(cond.op(), Op::Eq | Op::MaskedEq(_)))
}

#[test]
fn c_library_makes_the_same_of_every_layer_that_it_can_express() {
    let mut compared = Vec::new();
    for engine in Engine::ALL {
        let profile = read(*engine, Arch::X86_64).unwrap();
        for name in LayerName::ALL {
            let layer = profile.seccomp.layer(name);
            if only_equality(layer) {
                for level in [1, 2] {
                    let mut d = Diagrams::new(NODE_CAP);
                    let (ours, theirs) = both(&mut d, layer, level);
                    assert_eq!(ours, theirs, "{engine} {}", name.name());
                }
                compared.push((engine.as_str(), name.name()));
            }
        }
    }
    // The allow lists of wasm compare a descriptor by `>=`.
    let all = Engine::ALL.iter().flat_map(|engine| {
        let names = LayerName::ALL
            .iter()
            .map(|name| (engine.as_str(), name.name()));
        names.collect::<Vec<_>>()
    });
    let expected: Vec<_> = all
        .filter(|layer| !matches!(layer, ("wasm", "loading" | "running")))
        .collect();
    assert_eq!(compared, expected);
}

/// Conditions of one call, each of its arguments at most once in a list: the
/// library takes no more.
fn lists(name: &'static str, args: &'static [u8]) -> impl Strategy<Value = When> {
    let value = prop_oneof![0u64..4, Just(0xffff_ffff), Just(1 << 32), any::<u64>()];
    let op = prop::sample::select(vec![Op::Eq, Op::MaskedEq(6), Op::MaskedEq(5 << 33 | 9)]);
    let cond = (op, value);
    let list = (
        prop::sample::subsequence(args, 1..=args.len()),
        prop::collection::vec(cond, args.len()),
    );
    let list = list.prop_map(move |(args, conds)| {
        let conds = args.into_iter().zip(conds).map(|(arg, (op, value))| {
            let room = if crate::width_of(name, arg) == Some(Width::Low32) {
                0xffff_ffff
            } else {
                u64::MAX
            };
            let (op, value) = match op {
                Op::MaskedEq(mask) => (Op::MaskedEq(mask & room), value & mask & room),
                op => (op, value & room),
            };
            ArgCond::new(name, arg, op, value).unwrap()
        });
        conds.collect()
    });
    prop::collection::vec(list, 1..4).prop_map(When::any_of)
}

fn expressible() -> impl Strategy<Value = LayerSpec> {
    let errno = Action::Errno(Errno::by_name("ENOSYS").unwrap());
    let default = prop::sample::select(vec![Action::Trap, Action::KillProcess]);
    let action = prop::sample::select(vec![Action::Allow, errno]);
    let always = Just(When::always()).boxed();
    let rules = (
        prop::collection::vec(action, 6),
        prop::sample::subsequence(vec!["read", "write", "futex"], 0..4),
        prop_oneof![always.clone(), lists("mmap", &[1, 2, 3, 5]).boxed()],
        prop_oneof![always.clone(), lists("close_range", &[0, 1, 2]).boxed()],
        prop_oneof![always, lists("lseek", &[0, 1, 2]).boxed()],
    );
    (default, rules).prop_map(|(otherwise, (actions, plain, mmap, close_range, lseek))| {
        let plain = plain.into_iter().map(|name| (name, When::always()));
        let conditional = [
            ("mmap", mmap),
            ("close_range", close_range),
            ("lseek", lseek),
        ];
        let named = plain.chain(conditional).zip(actions);
        let rules = named.map(|((name, when), action)| {
            let rule = Rule {
                action,
                ..allow(when)
            };
            (sysno(name), rule)
        });
        LayerSpec {
            otherwise,
            rules: rules.collect(),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn c_library_makes_the_same_of_any_layer(layer in expressible(), level in 1u32..=2) {
        let mut d = Diagrams::new(NODE_CAP);
        let (ours, theirs) = both(&mut d, &layer, level);
        prop_assert_eq!(ours, theirs);
    }
}

/// GHSA-4q85-33p6-j5g6: two rules of one call that share a 64-bit argument.
fn merged_wrongly_by_the_library() -> LayerSpec {
    let cond = |arg, op, value| ArgCond::new("mmap", arg, op, value).unwrap();
    let when = When::any_of(vec![
        vec![cond(1, Op::Le, 1), cond(2, Op::Ge, 0x5_0000_0000)],
        vec![cond(1, Op::Ge, 0x1_0000_0001)],
    ]);
    LayerSpec {
        otherwise: Action::KillProcess,
        rules: [(sysno("mmap"), allow(when))].into(),
    }
}

/// What libseccomp 2.5.4 made of it; kept, since later versions are repaired.
#[rustfmt::skip]
const WRONG: [(u16, u8, u8, u32); 22] = [
    (0x20, 0, 0, 0x4),
    (0x15, 0, 19, 0xc000003e),
    (0x20, 0, 0, 0x0),
    (0x35, 0, 1, 0x40000000),
    (0x15, 0, 16, 0xffffffff),
    (0x15, 0, 15, 0x9),
    (0x20, 0, 0, 0x1c),
    (0x25, 8, 0, 0x0),
    (0x15, 0, 2, 0x0),
    (0x20, 0, 0, 0x18),
    (0x25, 5, 0, 0x1),
    (0x20, 0, 0, 0x24),
    (0x25, 7, 0, 0x5),
    (0x15, 0, 2, 0x5),
    (0x20, 0, 0, 0x20),
    (0x35, 4, 0, 0x0),
    (0x25, 3, 0, 0x1),
    (0x15, 0, 3, 0x1),
    (0x20, 0, 0, 0x18),
    (0x35, 0, 1, 0x1),
    (0x06, 0, 0, 0x7fff0000),
    (0x06, 0, 0, 0x80000000),
];

#[test]
fn wrong_filter_of_the_c_library_is_caught_with_a_call_that_no_rule_allows() {
    let layer = merged_wrongly_by_the_library();
    let raw = WRONG.map(|(code, jt, jf, k)| SockFilter { code, jt, jf, k });
    let wrong = Program::decode(raw.to_vec()).unwrap();
    let mut d = Diagrams::new(NODE_CAP);
    let refused = equal(&mut d, "library", &layer, Arch::X86_64, &wrong);
    let Err(ProofError::NotEqual {
        witness,
        wanted,
        got,
        ..
    }) = refused
    else {
        panic!("{refused:?}")
    };
    let (kill, allow) = (Action::KillProcess.word(), Action::Allow.word());
    assert_eq!((wanted, got), (kill, allow));
    assert_eq!(wrong.run(&witness.data), allow);
    assert_eq!(layer.evaluate(Arch::X86_64, &witness.data), kill);
    // The call of the advisory.
    let known = call("mmap", [0, 0, 0x2_0000_0000, 0, 0, 0]);
    assert_eq!(
        (layer.evaluate(Arch::X86_64, &known), wrong.run(&known)),
        (kill, allow)
    );
}

#[test]
fn our_compiler_merges_the_same_rules_rightly() {
    let layer = merged_wrongly_by_the_library();
    let right = compile(&layer, Arch::X86_64).unwrap();
    let mut d = Diagrams::new(NODE_CAP);
    equal(&mut d, "ours", &layer, Arch::X86_64, &right).unwrap();
}
