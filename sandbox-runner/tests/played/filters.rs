//! The shipped profiles, compiled anew from their files: what the binaries
//! meet here is what the product installs.

use std::collections::BTreeMap;
use std::path::Path;

use gm_policy::{Arch, Sysno, Width, width_of};
use gm_protocol::plan::{Filters, SockFilter};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Profile {
    mismatch: String,
    running: Vec<Line>,
    loading: Vec<Line>,
    soft: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    call: String,
    #[serde(default)]
    when: Vec<Condition>,
    errno: Option<String>,
}

#[derive(Deserialize)]
struct Condition {
    arg: u8,
    mask: Option<u64>,
    eq: Option<u64>,
    ge: Option<u64>,
}

#[derive(Deserialize)]
struct Veto {
    group: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    calls: Vec<String>,
    any_bit: Option<Bits>,
}

#[derive(Deserialize)]
struct Bits {
    arg: u8,
    bits: u64,
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The four layers of the profile `name`, with `left_out` missing from the
/// running layer (and the loading one): for the tests of minimality.
pub(crate) fn of_profile(name: &str, left_out: Option<&str>) -> Filters {
    let mut profile: Profile = read(&format!("{name}.toml"));
    profile
        .running
        .retain(|line| Some(line.call.as_str()) != left_out);
    let deny = match profile.mismatch.as_str() {
        "trap" => SeccompAction::Trap,
        "kill_process" => SeccompAction::KillProcess,
        other => panic!("unknown mismatch {other}"),
    };
    let soft: Vec<i64> = profile.soft.iter().map(|line| number(&line.call)).collect();
    let running = allowed(profile.running.iter(), &soft);
    let loading = allowed(profile.running.iter().chain(&profile.loading), &soft);
    Filters {
        soft: errnos(&profile.soft),
        veto: compile(
            veto(&soft),
            SeccompAction::Allow,
            SeccompAction::KillProcess,
        ),
        loading: compile(loading, deny.clone(), SeccompAction::Allow),
        running: compile(running, deny, SeccompAction::Allow),
    }
}

fn read<T: for<'a> Deserialize<'a>>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../policies/profiles")
        .join(file);
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn number(call: &str) -> i64 {
    i64::from(Sysno::by_name(Arch::X86_64, call).unwrap().number())
}

fn allowed<'a>(lines: impl Iterator<Item = &'a Line>, soft: &[i64]) -> Rules {
    let mut rules = Rules::new();
    let mut always: Vec<i64> = soft.to_vec();
    for line in lines {
        let nr = number(&line.call);
        match rule(&line.call, &line.when) {
            Some(rule) => rules.entry(nr).or_default().push(rule),
            None => always.push(nr),
        }
    }
    rules.extend(always.into_iter().map(|nr| (nr, vec![])));
    rules
}

fn rule(call: &str, when: &[Condition]) -> Option<SeccompRule> {
    let conditions: Vec<_> = when
        .iter()
        .map(|each| {
            let (op, value) = match (each.mask, each.eq, each.ge) {
                (Some(mask), Some(value), None) => (Op::MaskedEq(mask), value),
                (None, Some(value), None) => (Op::Eq, value),
                (None, None, Some(value)) => (Op::Ge, value),
                _ => panic!("a condition of another form"),
            };
            let width = match width_of(call, each.arg).unwrap() {
                Width::Low32 => Len::Dword,
                Width::Full64 => Len::Qword,
            };
            SeccompCondition::new(each.arg, width, op, value).unwrap()
        })
        .collect();
    (!conditions.is_empty()).then(|| SeccompRule::new(conditions).unwrap())
}

/// Several errnos can't be in one program of seccompiler; as all of a soft
/// layer are harmless, one after the other is chained here by its jumps: each
/// program ends in "allow", which is replaced by the next program.
fn errnos(soft: &[Line]) -> Vec<SockFilter> {
    let mut by_errno: BTreeMap<&str, Rules> = BTreeMap::new();
    for line in soft {
        let errno = line.errno.as_deref().unwrap();
        let rules = by_errno.entry(errno).or_default();
        rules.insert(
            number(&line.call),
            rule(&line.call, &line.when).into_iter().collect(),
        );
    }
    let mut whole: Vec<SockFilter> = Vec::new();
    for (errno, rules) in by_errno {
        let value = match errno {
            "ENOSYS" => libc::ENOSYS,
            "EPERM" => libc::EPERM,
            "EACCES" => libc::EACCES,
            "ENOMEM" => libc::ENOMEM,
            "ENOENT" => libc::ENOENT,
            "ENOTTY" => libc::ENOTTY,
            other => panic!("unknown errno {other}"),
        };
        let action = SeccompAction::Errno(u32::try_from(value).unwrap());
        let next = compile(rules, SeccompAction::Allow, action);
        // The last instruction is the mismatch's "return allow".
        whole.pop();
        whole.extend(next);
    }
    whole
}

fn veto(soft: &[i64]) -> Rules {
    let groups: Veto = read("veto.toml");
    let mut rules = Rules::new();
    for group in groups.group {
        for call in group.calls {
            let nr = number(&call);
            if soft.contains(&nr) {
                continue;
            }
            match &group.any_bit {
                None => drop(rules.insert(nr, vec![])),
                Some(bits) => {
                    let each = (0..64)
                        .map(|n| 1_u64 << n)
                        .filter(|bit| bit & bits.bits != 0);
                    let has = |bit| {
                        let condition =
                            SeccompCondition::new(bits.arg, Len::Dword, Op::MaskedEq(bit), bit);
                        SeccompRule::new(vec![condition.unwrap()]).unwrap()
                    };
                    rules.insert(nr, each.map(has).collect());
                }
            }
        }
    }
    rules
}

fn compile(rules: Rules, mismatch: SeccompAction, hit: SeccompAction) -> Vec<SockFilter> {
    let filter = SeccompFilter::new(rules, mismatch, hit, TargetArch::x86_64).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    let op = |op: &seccompiler::sock_filter| SockFilter {
        code: op.code,
        jt: op.jt,
        jf: op.jf,
        k: op.k,
    };
    program.iter().map(op).collect()
}
