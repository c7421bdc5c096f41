//! The list of changes: each as the whole specification that it gives.

use std::collections::BTreeMap;

use gm_protocol::plan::SockFilter;

use super::Mutation;
use crate::cbpf::{JMP_JEQ_K, LD_W_ABS, Program};
use crate::profile_file::EngineProfile;
use crate::spec::{Action, ArgCond, LayerSpec, Op, Rule, SeccompSpec, When};
use crate::syscalls::Sysno;

/// One call of each risk group: the one that stands for what the group can do.
const RISKS: &[(&str, &str)] = &[
    ("io_uring", "io_uring_setup"),
    ("namespaces", "unshare"),
    ("bpf", "bpf"),
    ("sockets", "socket"),
    ("mount", "mount"),
    ("modules and boot", "init_module"),
    ("keyring", "add_key"),
    ("perf", "perf_event_open"),
    ("others' memory", "ptrace"),
    ("handles", "name_to_handle_at"),
    ("userfaultfd", "userfaultfd"),
    ("splice", "vmsplice"),
    ("executable memory", "memfd_create"),
    ("execution", "execve"),
    ("queues", "shmget"),
    ("host's state", "syslog"),
    ("timers", "timer_create"),
    ("signals", "kill"),
    ("obsolete", "modify_ldt"),
];

/// A mask of more bits than this has two mutants instead of one for each bit.
const BITS: u32 = 8;

/// One change.
pub(super) struct Change {
    pub(super) mutation: Mutation,
    pub(super) call: Option<&'static str>,
    pub(super) what: String,
    pub(super) spec: SeccompSpec,
}

/// Every change of a profile.
pub(super) fn all(profile: &EngineProfile) -> Vec<Change> {
    let spec = &profile.seccomp;
    let mut list = conditions(spec);
    list.extend(calls(spec));
    list.extend(layers(spec));
    list.extend(narrowed(spec));
    list
}

/// Applies a change to both allow lists, since a call of one is also in the other.
fn in_both(spec: &SeccompSpec, change: impl Fn(&mut LayerSpec)) -> SeccompSpec {
    let mut spec = spec.clone();
    change(&mut spec.loading);
    change(&mut spec.running);
    spec
}

fn conditions(spec: &SeccompSpec) -> Vec<Change> {
    let mut list = Vec::new();
    // `loading` has every rule of `running`, too.
    for (sysno, rule) in &spec.loading.rules {
        for conds in rule.when.lists() {
            for cond in conds {
                let call = sysno.name(spec.arch);
                list.push(of_list(spec, *sysno, conds, cond, None));
                list.extend(wider(call, cond).map(|w| of_list(spec, *sysno, conds, cond, Some(w))));
            }
        }
    }
    list
}

/// The specification where `cond` of the list `conds` is `wider`, or is gone.
fn of_list(
    spec: &SeccompSpec,
    sysno: Sysno,
    conds: &[ArgCond],
    cond: &ArgCond,
    wider: Option<ArgCond>,
) -> Change {
    let changed: Vec<ArgCond> = conds
        .iter()
        .filter_map(|each| {
            if each == cond {
                wider.clone()
            } else {
                Some(each.clone())
            }
        })
        .collect();
    let swap = |layer: &mut LayerSpec| {
        let Some(rule) = layer.rules.get_mut(&sysno) else {
            return;
        };
        let lists = rule.when.lists().iter().map(|list| match list == conds {
            true => changed.clone(),
            false => list.clone(),
        });
        rule.when = When::any_of(lists.collect());
    };
    let call = sysno.name(spec.arch);
    let (mutation, what) = match &wider {
        None => (
            Mutation::Condition,
            format!("{call} without {}", told(cond)),
        ),
        Some(wider) => (
            Mutation::Mask,
            format!("{call} with {} for {}", told(wider), told(cond)),
        ),
    };
    let mut spec = in_both(spec, swap);
    // What the veto says of such a call is part of the condition: it must not hide it.
    spec.veto.rules.remove(&sysno);
    Change {
        mutation,
        call: Some(call),
        what,
        spec,
    }
}

fn told(cond: &ArgCond) -> String {
    let (arg, value) = (cond.arg(), cond.value());
    match cond.op() {
        Op::MaskedEq(mask) => format!("arg{arg} & {mask:#x} == {value:#x}"),
        op => format!("arg{arg} {op:?} {value:#x}"),
    }
}

/// The same condition with one bit of its mask less.
fn wider(call: &'static str, cond: &ArgCond) -> impl Iterator<Item = ArgCond> {
    let (mask, cond) = match cond.op() {
        Op::MaskedEq(mask) if mask.count_ones() > 1 => (mask, cond.clone()),
        _ => (0, cond.clone()),
    };
    let all: Vec<u32> = (0..64).filter(|bit| mask >> bit & 1 == 1).collect();
    let bits: Vec<u32> = match (all.first(), all.last()) {
        (Some(first), Some(last)) if mask.count_ones() > BITS => vec![*first, *last],
        _ => all,
    };
    bits.into_iter().filter_map(move |bit| {
        let mask = mask & !(1 << bit);
        ArgCond::new(call, cond.arg(), Op::MaskedEq(mask), cond.value() & mask).ok()
    })
}

fn calls(spec: &SeccompSpec) -> Vec<Change> {
    let one = |(group, call): &(&str, &'static str)| {
        let sysno = Sysno::by_name(spec.arch, call)?;
        let always = |rules: &BTreeMap<Sysno, Rule>| {
            rules.get(&sysno).is_some_and(|rule| rule.when.is_always())
        };
        // An allowed one is no risk that a mutant could add.
        if always(&spec.loading.rules) && !spec.soft.rules.contains_key(&sysno) {
            return None;
        }
        let mut open = in_both(spec, |layer| {
            layer.rules.insert(sysno, allowed());
        });
        open.soft.rules.remove(&sysno);
        open.veto.rules.remove(&sysno);
        Some(Change {
            mutation: Mutation::Call,
            call: Some(call),
            what: format!("{call} of {group} allowed"),
            spec: open,
        })
    };
    RISKS.iter().filter_map(one).collect()
}

fn allowed() -> Rule {
    Rule {
        when: When::always(),
        action: Action::Allow,
        because: Vec::new(),
    }
}

fn layers(spec: &SeccompSpec) -> Vec<Change> {
    let mut list = vec![
        Change {
            mutation: Mutation::Otherwise,
            call: None,
            what: "whatever no rule names is allowed".into(),
            spec: in_both(spec, |layer| layer.otherwise = Action::Allow),
        },
        Change {
            mutation: Mutation::Arch,
            call: None,
            what: "calls of another architecture are taken for our own".into(),
            spec: spec.clone(),
        },
    ];
    let mut open = spec.clone();
    open.veto.rules.clear();
    list.push(Change {
        mutation: Mutation::Veto,
        call: None,
        what: "nothing is vetoed".into(),
        spec: open,
    });
    list.extend(spec.soft.rules.keys().map(|sysno| {
        let mut open = spec.clone();
        open.soft.rules.remove(sysno);
        let call = sysno.name(spec.arch);
        Change {
            mutation: Mutation::Soft,
            call: Some(call),
            what: format!("{call} is made instead of refused with an errno"),
            spec: open,
        }
    }));
    list
}

fn narrowed(spec: &SeccompSpec) -> Vec<Change> {
    let own = spec.loading.rules.keys();
    let own = own.filter(|sysno| !spec.soft.rules.contains_key(sysno));
    own.map(|sysno| {
        let call = sysno.name(spec.arch);
        Change {
            mutation: Mutation::Narrow,
            call: Some(call),
            what: format!("{call} not allowed"),
            spec: in_both(spec, |layer| {
                layer.rules.remove(sysno);
            }),
        }
    })
    .collect()
}

/// The programs with both ways of the architecture's check leading on: no
/// specification can say this.
pub(super) fn without_arch(layers: &[Program; 4]) -> [Program; 4] {
    const ARCH: u32 = 4;
    layers.each_ref().map(|program| {
        let raw = program.raw().iter().enumerate();
        let after_arch = |at: usize| {
            let before = at.checked_sub(1).and_then(|at| program.raw().get(at));
            before.is_some_and(|f| f.code == LD_W_ABS && f.k == ARCH)
        };
        let open = raw.map(|(at, f)| match f.code == JMP_JEQ_K && after_arch(at) {
            true => SockFilter {
                jf: f.jt,
                ..f.clone()
            },
            false => f.clone(),
        });
        // The jumps stay inside, so it decodes; if not, it is no mutant.
        Program::decode(open.collect()).unwrap_or_else(|_| program.clone())
    })
}
