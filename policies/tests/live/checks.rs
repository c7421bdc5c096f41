//! Each check, and the model that the kernel is held against.

use std::process::ExitCode;
use std::time::Instant;

use gm_manifest::{Manifest, Network};
use gm_policy::{Arch, CompilePlan, Operator, Plan, Program, SeccompData, Stack, Told};
use gm_protocol::plan::{Filters as Layers, SockFilter};

use crate::ask::{Answer, Asker, Failed, Filters, Question};
use crate::sys::Door;

const NATIVE: Arch = Arch::X86_64;
/// `AUDIT_ARCH_I386`, what the kernel shows for a call by `int 0x80`.
const I386: u32 = 0x4000_0003;
const X32: u32 = 0x4000_0000;
/// Beyond the newest call of any kernel.
const LAST: u32 = 600;

/// The environment variable that names what may be missing, joined by commas.
const MAY_SKIP: &str = "GM_TEST_MAY_SKIP";

type Check = (&'static str, fn(&Asker));

const CHECKS: [Check; 13] = [
    (
        "probe_sees_every_call_as_allowed_where_no_layer_is",
        no_layers,
    ),
    (
        "kernel_answers_the_runners_loading_stage_as_the_model_does",
        |asker| same(asker, &runner(), Stage::Loading),
    ),
    (
        "kernel_answers_the_runners_running_stage_as_the_model_does",
        |asker| same(asker, &runner(), Stage::Running),
    ),
    (
        "kernel_answers_the_compilers_loading_stage_as_the_model_does",
        |asker| same(asker, &compiler(), Stage::Loading),
    ),
    (
        "kernel_answers_the_compilers_running_stage_as_the_model_does",
        |asker| same(asker, &compiler(), Stage::Running),
    ),
    (
        "kernel_answers_the_loading_stage_of_requests_as_the_model_does",
        |asker| same(asker, &requests(), Stage::Loading),
    ),
    (
        "kernel_answers_the_running_stage_of_requests_as_the_model_does",
        |asker| same(asker, &requests(), Stage::Running),
    ),
    (
        "kernel_answers_the_native_runners_loading_stage_as_the_model_does",
        |asker| same(asker, &of_kind("native", "gm-2"), Stage::Loading),
    ),
    (
        "kernel_answers_the_native_runners_running_stage_as_the_model_does",
        |asker| same(asker, &of_kind("native", "gm-2"), Stage::Running),
    ),
    ("kernel_answers_a_program_as_the_model_does", |asker| {
        same(asker, &of_kind("native", "program-1"), Stage::Loading)
    }),
    (
        "kernel_answers_a_programs_init_as_the_model_does",
        |asker| same(asker, &of_kind("native", "program-1"), Stage::Running),
    ),
    ("missing_layer_is_seen", missing_layer),
    ("call_more_than_the_model_has_is_seen", one_call_more),
];

pub(crate) fn all() -> ExitCode {
    // cargo test passes a filter, and options of a harness that isn't here.
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let wanted = |name: &str| filter.as_ref().is_none_or(|f| name.contains(f.as_str()));
    let asker = Asker::new();
    let (mut passed, mut failed) = (0, 0);
    if lacks("seccomp", answers(&asker, Door::Syscall)) {
        return ExitCode::SUCCESS;
    }
    for (name, check) in CHECKS.into_iter().filter(|(name, _)| wanted(name)) {
        let start = Instant::now();
        let check = std::panic::AssertUnwindSafe(|| check(&asker));
        let ok = std::panic::catch_unwind(check).is_ok();
        let said = if ok { "ok" } else { "FAILED" };
        println!(
            "test {name} ... {said} ({} ms)",
            start.elapsed().as_millis()
        );
        if ok {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    let said = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {said}. {passed} passed; {failed} failed; 0 ignored; 0 measured");
    ExitCode::from(failed)
}

/// As in the other tests: what is missing fails, unless it was named before.
fn lacks(feature: &str, there: bool) -> bool {
    if there {
        return false;
    }
    let named = std::env::var(MAY_SKIP).unwrap_or_default();
    assert!(
        named.split(',').any(|name| name == feature),
        "this machine lacks {feature}; {MAY_SKIP}={feature} would skip this test"
    );
    println!("skipped: this machine lacks {feature}");
    true
}

/// Whether the kernel can be asked by this door at all.
fn answers(asker: &Asker, door: Door) -> bool {
    let getpid = Question {
        door,
        nr: 39,
        args: [0; 6],
    };
    match asker.ask(&Filters::new([]), &[getpid]) {
        Ok(answers) => answers == [Answer::Allow],
        // Without calls of 32 bits `int 0x80` is a fault.
        Err(Failed::Signal(libc::SIGSEGV)) => false,
        Err(Failed::Install(number)) => {
            println!("filter {number} could not be installed");
            false
        }
        Err(Failed::Signal(signal)) => panic!("the child died of signal {signal}"),
    }
}

#[derive(Clone, Copy)]
enum Stage {
    Loading,
    Running,
}

/// What the broker sends a runner of a plugin that asks for nothing.
fn runner() -> Layers {
    of_kind("wasm", "gm-2")
}

fn of_kind(kind: &str, abi: &str) -> Layers {
    let manifest = format!(
        "[identity]\nplugin_id = \"com.example.a\"\npublic_key = \"\"\n[plugin]\nname = \"A\"\nversion = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"{kind}\"\nabi = \"{abi}\"\nentrypoint = \"a.bin\"\n"
    );
    let manifest = Manifest::parse(manifest.as_bytes()).unwrap();
    Plan::derive(&manifest, &Operator::default())
        .unwrap()
        .filters()
}

/// What the broker sends the process that makes a plugin's requests.
fn requests() -> Layers {
    let manifest = "[identity]\nplugin_id = \"com.example.a\"\npublic_key = \"\"\n[plugin]\nname = \"A\"\nversion = \"1.0.0\"\napi_version = \"2.0\"\nkind = \"wasm\"\nentrypoint = \"a.wasm\"\n[permissions]\nnetwork = true\n";
    let manifest = Manifest::parse(manifest.as_bytes()).unwrap();
    let mut operator = Operator::default();
    operator.grants.network = Told::at(Network::Public, 1);
    let plan = Plan::derive(&manifest, &operator).unwrap();
    plan.http().unwrap().filters()
}

fn compiler() -> Layers {
    CompilePlan::derive(&Operator::default()).unwrap().filters()
}

/// In the order in which a runner installs them.
fn of_stage(layers: &Layers, stage: Stage) -> Vec<&[SockFilter]> {
    let mut order = vec![
        layers.soft.as_slice(),
        layers.veto.as_slice(),
        layers.loading.as_slice(),
    ];
    if matches!(stage, Stage::Running) {
        order.push(layers.running.as_slice());
    }
    order
}

fn stack(layers: &[&[SockFilter]]) -> Stack {
    let programs = layers
        .iter()
        .map(|raw| Program::decode(raw.to_vec()).unwrap());
    Stack::new(programs.collect()).unwrap()
}

/// Every number by every door, with arguments on both sides of each boundary
/// of the model; the numbers that the kernel lets past every filter come last.
fn questions(stack: &Stack) -> Vec<Question> {
    let by_syscall = |nr: u32| {
        let inputs = stack.inputs(NATIVE.audit_word(), nr).unwrap();
        inputs.into_iter().map(|data| Question {
            door: Door::Syscall,
            nr: data.nr,
            args: data.args,
        })
    };
    let numbers = || (0..=LAST).filter(|nr| !NATIVE.exempt().contains(nr));
    let native = numbers().flat_map(by_syscall);
    let x32 = (0..=LAST).flat_map(|nr| by_syscall(nr | X32));
    let last = NATIVE.exempt().iter().map(|nr| Question {
        door: Door::Syscall,
        nr: *nr,
        args: [0; 6],
    });
    native.chain(x32).chain(last).collect()
}

fn by_int80() -> Vec<Question> {
    let ask = |nr| Question {
        door: Door::Int80,
        nr,
        args: [0; 6],
    };
    (0..=LAST).map(ask).collect()
}

fn model(stack: &Stack, question: &Question) -> Answer {
    let arch = match question.door {
        Door::Syscall => NATIVE.audit_word(),
        Door::Int80 => I386,
    };
    let data = SeccompData {
        nr: question.nr,
        arch,
        ip: 0,
        args: question.args,
    };
    let word = stack.answer(&data);
    assert_eq!(word, stack.meaning(&data), "{question:?}");
    match word & 0xffff_0000 {
        0x7fff_0000 => Answer::Allow,
        0x0005_0000 => Answer::Errno((word & 0xffff).into()),
        0x0003_0000 => Answer::Trap,
        0x8000_0000 => Answer::Kill,
        _ => panic!("{word:#x} is in none of our filters"),
    }
}

/// Questions on which kernel and model differ, with both answers. A number
/// that is exempt may also be made, which ends in ENXIO or SIGILL.
fn differences(
    stack: &Stack,
    questions: &[Question],
    answers: &[Answer],
) -> Vec<(Question, Answer, Answer)> {
    assert_eq!(questions.len(), answers.len());
    let both = questions.iter().zip(answers);
    both.filter_map(|(question, kernel)| {
        let exempt = question.door == Door::Syscall && NATIVE.exempt().contains(&question.nr);
        let made = *kernel == Answer::Made || *kernel == Answer::Errno(libc::ENXIO.into());
        let model = model(stack, question);
        (model != *kernel && !(exempt && made)).then_some((*question, model, *kernel))
    })
    .collect()
}

fn no_layers(asker: &Asker) {
    let mut questions: Vec<_> = (0..=LAST)
        .flat_map(|nr| [nr, nr | X32])
        .filter(|nr| !NATIVE.exempt().contains(nr))
        .map(|nr| Question {
            door: Door::Syscall,
            nr,
            args: [u64::MAX; 6],
        })
        .collect();
    if !lacks("ia32", self::answers(asker, Door::Int80)) {
        questions.extend(by_int80());
    }
    let answers = asker.ask(&Filters::new([]), &questions).unwrap();
    assert!(answers.iter().all(|answer| *answer == Answer::Allow));
}

fn same(asker: &Asker, layers: &Layers, stage: Stage) {
    let layers = of_stage(layers, stage);
    let (stack, filters) = (stack(&layers), Filters::new(layers));
    let mut questions = questions(&stack);
    if !lacks("ia32", self::answers(asker, Door::Int80)) {
        questions.extend(by_int80());
    }
    let answers = asker.ask(&filters, &questions).unwrap();
    let differ = differences(&stack, &questions, &answers);
    assert!(
        differ.is_empty(),
        "{} differ: {:#?}",
        differ.len(),
        differ.first()
    );
    let count = |wanted: fn(&Answer) -> bool| answers.iter().filter(|a| wanted(a)).count();
    println!(
        "{} questions: {} allow, {} errno, {} trap, {} kill, {} made",
        answers.len(),
        count(|a| *a == Answer::Allow),
        count(|a| matches!(a, Answer::Errno(_))),
        count(|a| *a == Answer::Trap),
        count(|a| *a == Answer::Kill),
        count(|a| *a == Answer::Made),
    );
}

/// The model of four layers, a kernel with three.
fn missing_layer(asker: &Asker) {
    let layers = runner();
    let model = stack(&of_stage(&layers, Stage::Running));
    let questions = questions(&model);
    let filters = Filters::new(of_stage(&layers, Stage::Loading));
    let answers = asker.ask(&filters, &questions).unwrap();
    let differ = differences(&model, &questions, &answers);
    let openat = 257;
    assert!(differ.iter().any(|(question, model, kernel)| {
        question.nr == openat && (*model, *kernel) == (Answer::Trap, Answer::Allow)
    }));
    // A layer that is missing never makes anything stricter.
    assert!(differ.iter().all(|(_, model, _)| *model == Answer::Trap));
}

/// The number of one allowed call changed, in the kernel's filters alone.
fn one_call_more(asker: &Asker) {
    let (getpid, exit_group) = (39, 231);
    let layers = runner();
    let model = stack(&of_stage(&layers, Stage::Running));
    let changed = |raw: &[SockFilter]| -> Vec<SockFilter> {
        let mut raw = raw.to_vec();
        // `write`, which the child itself doesn't need: the first test for 1.
        let write = raw.iter_mut().find(|op| (op.code, op.k) == (0x15, 1));
        write.unwrap().k = getpid;
        raw
    };
    let (loading, running) = (changed(&layers.loading), changed(&layers.running));
    let filters = Filters::new([
        layers.soft.as_slice(),
        layers.veto.as_slice(),
        loading.as_slice(),
        running.as_slice(),
    ]);
    let questions = [1, getpid, exit_group].map(|nr| Question {
        door: Door::Syscall,
        nr,
        args: [0; 6],
    });
    let answers = asker.ask(&filters, &questions).unwrap();
    assert_eq!(answers, [Answer::Trap, Answer::Allow, Answer::Allow]);
    let differ = differences(&model, &questions, &answers);
    let numbers: Vec<u32> = differ.iter().map(|(question, ..)| question.nr).collect();
    assert_eq!(numbers, [1, getpid]);
}
