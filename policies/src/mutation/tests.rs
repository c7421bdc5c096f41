use super::*;
use crate::syscalls::Sysno;

fn call(name: &str, args: [u64; 6]) -> SeccompData {
    SeccompData {
        nr: Sysno::by_name(Arch::X86_64, name).unwrap().number(),
        arch: Arch::X86_64.audit_word(),
        ip: 0,
        args,
    }
}

fn find<'a>(mutants: &'a Mutants, mutation: Mutation, name: Option<&str>) -> &'a Mutant {
    let list = mutants.list.iter();
    let mut list = list.filter(|m| m.mutation == mutation && m.call == name);
    list.next()
        .unwrap_or_else(|| panic!("no {mutation:?} of {name:?}"))
}

#[test]
fn every_engine_has_mutants_of_every_kind_that_it_can_have() {
    for engine in Engine::ALL {
        let mutants = Mutants::of(*engine).unwrap();
        for mutation in Mutation::ALL {
            let any = mutants.list.iter().any(|m| m.mutation == mutation);
            let masks = [Engine::Wasm, Engine::Native, Engine::Program];
            let can = mutation != Mutation::Mask || masks.contains(engine);
            assert!(any || !can, "{engine} {mutation:?}");
        }
    }
}

#[test]
fn a_mutant_answers_otherwise_at_its_witness_and_an_equal_one_has_none() {
    for engine in Engine::ALL {
        let mutants = Mutants::of(*engine).unwrap();
        for mutant in &mutants.list {
            let differs = mutant
                .witness
                .as_ref()
                .map(|at| mutant.answer(at) != mutants.original(at));
            let other = (mutant.meaning == Meaning::Other).then_some(true);
            assert_eq!(differs, other, "{engine} {}", mutant.what);
        }
    }
}

#[test]
fn an_added_call_is_let_through_although_it_was_vetoed() {
    let mutants = Mutants::of(Engine::Native).unwrap();
    let ring = call("io_uring_setup", [0; 6]);
    assert!(!mutants.allows(&ring));
    assert!(find(&mutants, Mutation::Call, Some("io_uring_setup")).allows(&ring));
    // Without the veto the allow lists still deny all of it: no mutant.
    assert_ne!(find(&mutants, Mutation::Veto, None).answer(&ring), ALLOW);
}

#[test]
fn a_dropped_condition_lets_an_argument_through_and_a_dropped_call_nothing() {
    let mutants = Mutants::of(Engine::Native).unwrap();
    let write = call("openat", [0, 0, 0o2_000_001, 0, 0, 0]);
    let read = call("openat", [0, 0, 0o2_000_000, 0, 0, 0]);
    assert!(mutants.allows(&read) && !mutants.allows(&write));
    assert!(find(&mutants, Mutation::Condition, Some("openat")).allows(&write));
    assert!(!find(&mutants, Mutation::Narrow, Some("openat")).allows(&read));
}

#[test]
fn a_foreign_call_passes_only_where_the_architecture_is_not_looked_at() {
    let mutants = Mutants::of(Engine::Wasm).unwrap();
    let read = SeccompData {
        arch: 0x4000_0003,
        ..call("read", [0; 6])
    };
    assert!(!mutants.allows(&read));
    assert!(find(&mutants, Mutation::Arch, None).allows(&read));
}

#[test]
fn traced_filters_report_what_is_killed_for_or_refused_and_allow_the_same() {
    for engine in Engine::ALL {
        let mutants = Mutants::of(*engine).unwrap();
        let filters = tracing(*engine).unwrap();
        let programs = [filters.soft, filters.veto, filters.loading, filters.running];
        let programs = programs.map(|raw| Program::decode(raw).unwrap());
        let trap = Action::Trap.word();
        let foreign = SeccompData {
            arch: 0x4000_0003,
            ..call("read", [0; 6])
        };
        assert_eq!(answer(programs.iter(), &foreign), trap, "{engine}");
        for name in ["io_uring_setup", "clone3", "socket", "read", "openat2"] {
            let data = call(name, [0; 6]);
            let wanted = if mutants.allows(&data) { ALLOW } else { trap };
            assert_eq!(answer(programs.iter(), &data), wanted, "{engine} {name}");
        }
    }
}
