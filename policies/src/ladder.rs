//! The proof, tested: every way in which it could be fooled, tried.

use gm_protocol::plan::{Engine, SockFilter};
use proptest::prelude::*;

use crate::cbpf::{SeccompData, Test, Word};
use crate::compiled::Compiled;
use crate::lower::compile;
use crate::mtbdd::{Diagrams, NODE_CAP};
use crate::profile_file::{self, EngineProfile, FileCalls};
use crate::prove::{ProofError, equal, of_layer, of_program};
use crate::spec::{ALLOW, Action, ArgCond, Errno, LayerName, LayerSpec, Op, Rule, When};
use crate::stack::Stack;
use crate::syscalls::{Arch, Sysno};
use crate::theorems::LoadsCode;

mod library;
mod mutants;
mod readers;

fn read(engine: Engine, arch: Arch) -> Result<EngineProfile, profile_file::ProfileError> {
    profile_file::read(engine, arch, &FileCalls::default())
}

const ARCHES: [Arch; 3] = [Arch::X86_64, Arch::Aarch64, Arch::Riscv64];

fn prove(profile: &EngineProfile, loads: LoadsCode) -> Result<Compiled, crate::CompileError> {
    Compiled::prove(&profile.seccomp, &profile.vetoed, loads)
}

fn sysno(name: &str) -> Sysno {
    Sysno::by_name(Arch::X86_64, name).unwrap()
}

fn call(name: &str, args: [u64; 6]) -> SeccompData {
    SeccompData {
        nr: sysno(name).number(),
        arch: Arch::X86_64.audit_word(),
        ip: 0,
        args,
    }
}

fn allow(when: When) -> Rule {
    Rule {
        when,
        action: Action::Allow,
        because: vec![],
    }
}

#[test]
fn every_profile_is_proved_on_every_architecture() {
    for engine in Engine::ALL {
        for arch in ARCHES {
            let compiled = prove(&read(*engine, arch).unwrap(), LoadsCode::of(*engine));
            let compiled =
                compiled.unwrap_or_else(|error| panic!("{engine} {}: {error}", arch.name()));
            assert_eq!(compiled.layer(LayerName::Running).theorems.len(), 12);
            assert_eq!(compiled.layer(LayerName::Loading).theorems.len(), 11);
        }
    }
}

/// What the kernel answers a call in the running stage.
fn answer(compiled: &Compiled, data: &SeccompData) -> u32 {
    let order = [
        LayerName::Soft,
        LayerName::Veto,
        LayerName::Loading,
        LayerName::Running,
    ];
    let programs = order.map(|name| compiled.layer(name).program.clone());
    Stack::new(programs.to_vec()).unwrap().answer(data)
}

#[test]
fn process_that_makes_requests_gets_these_answers() {
    let compiled = prove(&read(Engine::Http, Arch::X86_64).unwrap(), LoadsCode::Never).unwrap();
    let (allow, kill) = (Action::Allow.word(), Action::KillProcess.word());
    let (stream, datagram) = (0x80801, 0x80802);
    for (data, expected) in [
        (call("socket", [2, stream, 0, 0, 0, 0]), allow),
        (call("socket", [10, stream, 0, 0, 0, 0]), allow),
        (call("socket", [2, datagram, 0, 0, 0, 0]), allow),
        (call("socket", [10, datagram, 0, 0, 0, 0]), allow),
        // The kernel reads 32 bits of each.
        (call("socket", [2 | 1 << 32, stream, 0, 0, 0, 0]), allow),
        // AF_UNIX, AF_NETLINK, AF_PACKET, AF_VSOCK.
        (call("socket", [1, stream, 0, 0, 0, 0]), kill),
        (call("socket", [16, datagram, 0, 0, 0, 0]), kill),
        (call("socket", [17, datagram, 0, 0, 0, 0]), kill),
        (call("socket", [40, stream, 0, 0, 0, 0]), kill),
        // Raw, MPTCP and SCTP; a socket that would block past every deadline.
        (call("socket", [2, 0x80803, 0, 0, 0, 0]), kill),
        (call("socket", [2, stream, 262, 0, 0, 0]), kill),
        (call("socket", [2, stream, 132, 0, 0, 0]), kill),
        (call("socket", [2, 1, 0, 0, 0, 0]), kill),
        (call("getsockopt", [4, 1, 4, 0, 0, 0]), allow),
        (call("getsockopt", [4, 1, 17, 0, 0, 0]), kill),
        (call("setsockopt", [4, 6, 30, 0, 0, 0]), kill),
        // MSG_FASTOPEN would connect past Landlock.
        (call("sendto", [4, 0, 0, 0x2000_0000, 0, 0]), kill),
        (call("sendmsg", [4, 0, 0, 0, 0, 0]), kill),
        (call("bind", [4, 0, 0, 0, 0, 0]), kill),
        (call("listen", [4, 0, 0, 0, 0, 0]), kill),
        (call("accept4", [4, 0, 0, 0, 0, 0]), kill),
        (call("openat", [0; 6]), kill),
        (call("execve", [0; 6]), kill),
        (call("mmap", [0, 4096, 3, 0x22, 0, 0]), kill),
    ] {
        assert_eq!(answer(&compiled, &data), expected, "{data:?}");
    }
}

#[test]
fn running_wasm_plugin_gets_these_answers() {
    let compiled = prove(
        &read(Engine::Wasm, Arch::X86_64).unwrap(),
        LoadsCode::Mapped,
    )
    .unwrap();
    let (allow, trap, kill) = (
        Action::Allow.word(),
        Action::Trap.word(),
        Action::KillProcess.word(),
    );
    for (data, expected) in [
        (call("read", [3, 0, 0, 0, 0, 0]), allow),
        (call("mprotect", [0, 0, 3, 0, 0, 0]), allow),
        (call("mprotect", [0, 0, 7, 0, 0, 0]), trap),
        (call("mprotect", [0, 0, 5, 0, 0, 0]), trap),
        (call("mprotect", [0, 0, 3 | 1 << 32, 0, 0, 0]), trap),
        (call("mmap", [0, 0, 1, 2, 0, 0]), trap),
        (call("openat", [0; 6]), trap),
        (call("socket", [0; 6]), trap),
        (call("execve", [0; 6]), trap),
        (call("seccomp", [1, 0, 0, 0, 0, 0]), trap),
        (
            call("clone3", [0; 6]),
            Action::Errno(Errno::by_name("ENOSYS").unwrap()).word(),
        ),
        (call("fcntl", [4, 1030, 0, 0, 0, 0]), allow),
        (call("fcntl", [3, 1030, 0, 0, 0, 0]), trap),
        (call("fcntl", [4, 2, 0, 0, 0, 0]), trap),
        (call("io_uring_setup", [0; 6]), kill),
        (call("clone", [0x1000_0000, 0, 0, 0, 0, 0]), kill),
        (call("clone", [0x3d0f00, 0, 0, 0, 0, 0]), trap),
        (
            SeccompData {
                nr: 0x4000_0000,
                ..call("read", [0; 6])
            },
            trap,
        ),
        (
            SeccompData {
                arch: 0x4000_0003,
                ..call("read", [0; 6])
            },
            kill,
        ),
    ] {
        assert_eq!(answer(&compiled, &data), expected, "{data:?}");
    }
}

#[test]
fn one_more_number_is_exactly_what_the_proof_reports() {
    let profile = read(Engine::Wasm, Arch::X86_64).unwrap();
    let mut wider = profile.seccomp.running.clone();
    wider.rules.insert(sysno("socket"), allow(When::always()));
    let program = compile(&wider, Arch::X86_64).unwrap();
    let mut d = Diagrams::new(NODE_CAP);
    let refused = equal(
        &mut d,
        "running",
        &profile.seccomp.running,
        Arch::X86_64,
        &program,
    );
    let Err(ProofError::NotEqual {
        witness,
        wanted,
        got,
        ..
    }) = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (witness.data.nr, witness.data.arch),
        (41, Arch::X86_64.audit_word())
    );
    assert_eq!((wanted, got), (Action::Trap.word(), Action::Allow.word()));
    assert_eq!(
        witness.to_string(),
        "socket(0x0, 0x0, 0x0, 0x0, 0x0, 0x0) of architecture 0xc000003e at 0x0"
    );
}

#[test]
fn one_more_number_of_the_table_is_the_whole_difference_whichever_it_is() {
    let profile = read(Engine::Wasm, Arch::X86_64).unwrap();
    let running = &profile.seccomp.running;
    for (name, sysno) in Sysno::all(Arch::X86_64) {
        let mut wider = running.clone();
        if wider.rules.insert(sysno, allow(When::always())).is_some() {
            continue;
        }
        let mut d = Diagrams::new(NODE_CAP);
        let narrow = of_layer(&mut d, running, Arch::X86_64).unwrap();
        let program = compile(&wider, Arch::X86_64).unwrap();
        let wide = of_program(&mut d, &program).unwrap();
        let newly = d.zip(narrow, wide, |narrow, wide| {
            u32::from(wide == ALLOW && narrow != ALLOW)
        });
        let native = d.test(Word::ARCH, u32::MAX, Test::Eq, Arch::X86_64.audit_word());
        let number = d.test(Word::NR, u32::MAX, Test::Eq, sysno.number());
        let exactly = d.and(native.unwrap(), number.unwrap());
        assert_eq!(newly, exactly, "{name}");
    }
}

/// A profile with one line more is refused by the theorem that speaks of it.
#[test]
fn each_dangerous_line_is_refused_by_its_theorem() {
    let eq = |name: &str, arg, value| {
        When::any_of(vec![vec![ArgCond::new(name, arg, Op::Eq, value).unwrap()]])
    };
    let masked = When::any_of(vec![vec![
        ArgCond::new("mmap", 2, Op::MaskedEq(2), 0).unwrap(),
    ]]);
    for (name, when, expected) in [
        ("mprotect", When::always(), "T3"),
        ("mmap", masked, "T3"),
        ("memfd_create", When::always(), "T3"),
        ("execve", When::always(), "T3"),
        ("pkey_mprotect", eq("pkey_mprotect", 2, 7), "T3"),
        ("shmat", When::always(), "T3"),
        ("preadv2", eq("read", 0, 3), ""),
        ("rt_sigaction", When::always(), "T12"),
        ("rt_sigreturn", When::always(), "T12"),
        ("clone", eq("clone", 0, 0x3d0f00), "T12"),
        ("vfork", When::always(), "T9"),
        ("sendmmsg", When::always(), "T9"),
    ] {
        let mut profile = read(Engine::Wasm, Arch::X86_64).unwrap();
        let when = if name == "preadv2" {
            When::always()
        } else {
            when
        };
        for layer in [&mut profile.seccomp.running, &mut profile.seccomp.loading] {
            layer.rules.insert(sysno(name), allow(when.clone()));
        }
        let said = prove(&profile, LoadsCode::Mapped)
            .map(|_| ())
            .map_err(|error| error.to_string());
        match expected {
            "" => assert_eq!(said, Ok(()), "{name}"),
            theorem => assert!(
                said.clone()
                    .is_err_and(|e| e.starts_with(&format!("theorem {theorem} "))),
                "{name}: {said:?}"
            ),
        }
    }
}

#[test]
fn one_exec_is_that_of_one_descriptor_and_of_one_profile() {
    let one = |fd, flags| {
        let fd = ArgCond::new("execveat", 0, Op::Eq, fd).unwrap();
        let flags = ArgCond::new("execveat", 4, Op::Eq, flags).unwrap();
        When::any_of(vec![vec![fd, flags]])
    };
    for (engine, stage, name, when, expected) in [
        (
            Engine::Program,
            "loading",
            "execveat",
            one(63, 0x1000),
            None,
        ),
        (
            Engine::Program,
            "loading",
            "execveat",
            one(62, 0x1000),
            Some("T3"),
        ),
        (
            Engine::Program,
            "loading",
            "execveat",
            one(63, 0),
            Some("T3"),
        ),
        (
            Engine::Program,
            "loading",
            "execveat",
            When::always(),
            Some("T3"),
        ),
        (
            Engine::Program,
            "loading",
            "execve",
            When::always(),
            Some("T3"),
        ),
        (
            Engine::Program,
            "running",
            "execveat",
            one(63, 0x1000),
            Some("T3"),
        ),
        (
            Engine::Native,
            "loading",
            "execveat",
            one(63, 0x1000),
            Some("T3"),
        ),
    ] {
        let mut profile = read(engine, Arch::X86_64).unwrap();
        let layers = match stage {
            "running" => vec![&mut profile.seccomp.running, &mut profile.seccomp.loading],
            _ => vec![&mut profile.seccomp.loading],
        };
        for layer in layers {
            layer.rules.insert(sysno(name), allow(when.clone()));
        }
        let said = prove(&profile, LoadsCode::of(engine)).map(|_| ());
        let said = said.map_err(|error| error.to_string()).err();
        match (&said, expected) {
            (None, None) => {}
            (Some(said), Some(theorem)) => {
                assert!(said.starts_with(&format!("theorem {theorem} ")), "{said}");
            }
            _ => panic!("{engine} {stage} {name} {when:?}: {said:?}"),
        }
    }
}

#[test]
fn running_call_that_loading_lacks_breaks_the_tenth_theorem() {
    let mut profile = read(Engine::Wasm, Arch::X86_64).unwrap();
    profile
        .seccomp
        .running
        .rules
        .insert(sysno("getpid"), allow(When::always()));
    let error = prove(&profile, LoadsCode::Mapped).unwrap_err().to_string();
    assert!(error.starts_with("theorem T10 "), "{error}");
}

#[test]
fn layer_that_allows_what_it_does_not_name_breaks_the_seventh_theorem() {
    let mut profile = read(Engine::CompileWasm, Arch::X86_64).unwrap();
    profile.seccomp.loading.otherwise = Action::Allow;
    profile.seccomp.loading.rules.clear();
    let error = prove(&profile, LoadsCode::Never).unwrap_err().to_string();
    assert!(error.starts_with("theorem T"), "{error}");
}

#[test]
fn veto_layer_that_is_empty_does_not_hide_an_allowed_call() {
    let mut profile = read(Engine::CompileWasm, Arch::X86_64).unwrap();
    profile.seccomp.veto.rules.clear();
    for layer in [&mut profile.seccomp.running, &mut profile.seccomp.loading] {
        layer.rules.insert(sysno("ptrace"), allow(When::always()));
    }
    let error = prove(&profile, LoadsCode::Never).unwrap_err().to_string();
    assert!(error.starts_with("theorem T4 does not hold"), "{error}");
}

fn op() -> impl Strategy<Value = Op> {
    let ops = [
        Op::Eq,
        Op::Ne,
        Op::Lt,
        Op::Le,
        Op::Gt,
        Op::Ge,
        Op::MaskedEq(6),
        Op::MaskedEq(5 << 33 | 9),
    ];
    prop::sample::select(ops.to_vec())
}

/// Both widths, values on and beside the edges of a half.
fn cond() -> impl Strategy<Value = (&'static str, ArgCond)> {
    let value = prop_oneof![
        0u64..4,
        Just(0xffff_ffff),
        (0u64..3).prop_map(|n| n << 32),
        any::<u64>()
    ];
    let args = prop::sample::select(vec![
        ("mmap", 1),
        ("mmap", 2),
        ("mmap", 5),
        ("ioctl", 0),
        ("ioctl", 1),
    ]);
    (args, op(), value).prop_filter_map("value outside its width", |((name, arg), op, value)| {
        let value = if let Op::MaskedEq(mask) = op {
            value & mask
        } else {
            value
        };
        Some((
            name,
            ArgCond::new(name, arg, op, value)
                .or_else(|_| ArgCond::new(name, arg, op, value & 0xffff_ffff))
                .ok()?,
        ))
    })
}

fn layer() -> impl Strategy<Value = LayerSpec> {
    let errno = Action::Errno(Errno::by_name("ENOSYS").unwrap());
    let action = prop::sample::select(vec![Action::Allow, errno, Action::Trap]);
    let conds = prop::collection::vec(prop::collection::vec(cond(), 1..4), 0..4);
    (
        conds,
        prop::collection::vec(
            (
                prop::sample::select(vec!["read", "write", "fcntl"]),
                action.clone(),
            ),
            0..4,
        ),
        action,
    )
        .prop_map(|(lists, plain, otherwise)| {
            let mut rules = std::collections::BTreeMap::new();
            for (name, action) in plain {
                rules.insert(
                    sysno(name),
                    Rule {
                        action,
                        ..allow(When::always())
                    },
                );
            }
            for name in ["mmap", "ioctl"] {
                let lists: Vec<Vec<ArgCond>> = lists
                    .iter()
                    .map(|list| {
                        list.iter()
                            .filter(|(of, _)| *of == name)
                            .map(|(_, cond)| cond.clone())
                            .collect()
                    })
                    .filter(|list: &Vec<ArgCond>| !list.is_empty())
                    .collect();
                if !lists.is_empty() {
                    rules.insert(sysno(name), allow(When::any_of(lists)));
                }
            }
            LayerSpec { otherwise, rules }
        })
}

/// Inputs near the ones that a layer tells apart.
fn data() -> impl Strategy<Value = SeccompData> {
    let nr = prop_oneof![
        prop::sample::select(vec![0u32, 1, 9, 16, 72]),
        0u32..600,
        any::<u32>()
    ];
    let arch = prop_oneof![9 => Just(Arch::X86_64.audit_word()), 1 => any::<u32>()];
    let arg = prop_oneof![
        0u64..8,
        Just(0xffff_ffff),
        (0u64..4).prop_map(|n| n << 32),
        (0u64..4, 0u64..4).prop_map(|(h, l)| h << 32 | l),
        any::<u64>()
    ];
    (nr, arch, any::<u64>(), prop::array::uniform6(arg))
        .prop_map(|(nr, arch, ip, args)| SeccompData { nr, arch, ip, args })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn compiled_layer_is_proved_and_three_readers_agree_on_every_input(
        layer in layer(), inputs in prop::collection::vec(data(), 250),
    ) {
        let program = compile(&layer, Arch::X86_64).unwrap();
        let mut d = Diagrams::new(NODE_CAP);
        let meaning = equal(&mut d, "test", &layer, Arch::X86_64, &program).unwrap();
        for data in inputs {
            let expected = layer.evaluate(Arch::X86_64, &data);
            prop_assert_eq!(program.run(&data), expected, "{:?}", data);
            prop_assert_eq!(d.evaluate(meaning, &data), expected, "{:?}", data);
        }
    }

    #[test]
    fn layers_of_different_meaning_have_different_diagrams(a in layer(), b in layer(), inputs in prop::collection::vec(data(), 20)) {
        let mut d = Diagrams::new(NODE_CAP);
        let (x, y) = (of_layer(&mut d, &a, Arch::X86_64).unwrap(), of_layer(&mut d, &b, Arch::X86_64).unwrap());
        let differ = inputs.iter().any(|data| a.evaluate(Arch::X86_64, data) != b.evaluate(Arch::X86_64, data));
        prop_assert!(!differ || x != y);
    }
}

#[test]
fn long_program_is_decided() {
    let mut rules: std::collections::BTreeMap<_, _> = Sysno::all(Arch::X86_64)
        .map(|(_, sysno)| (sysno, allow(When::always())))
        .collect();
    rules.remove(&sysno("ptrace"));
    let layer = LayerSpec {
        otherwise: Action::KillProcess,
        rules,
    };
    let program = compile(&layer, Arch::X86_64).unwrap();
    let mut d = Diagrams::new(NODE_CAP);
    equal(&mut d, "test", &layer, Arch::X86_64, &program).unwrap();
    let mut small = Diagrams::new(40);
    assert!(of_program(&mut small, &program).is_err());
}
