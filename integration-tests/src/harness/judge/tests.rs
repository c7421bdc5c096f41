use serde_json::{Value, json};

use super::super::evidence::Ran;
use super::super::verdict::Class;
use super::*;
use crate::probes::{self, Kind};

const PLUGIN: &str = "com.test.probe";

fn case(id: &str) -> Case {
    let mut rows = probes::table().into_iter();
    let probe = rows.find(|probe| probe.id == id).unwrap();
    Case {
        kind: *probe.kinds.first().unwrap(),
        probe,
        variant: 0,
    }
}

/// A run with these records, and this report in its reply.
fn hosted(id: &str, records: &[Value], report: &str) -> Hosted {
    let mut lines: Vec<String> = records.iter().map(ToString::to_string).collect();
    lines.push(json!({"schema": "gm.result/1", "text": report}).to_string());
    let ran = Ran {
        exit: Some(0),
        stdout: lines.join("\n"),
        ..Ran::default()
    };
    Hosted::read(ran, PLUGIN, id)
}

fn started() -> Value {
    json!({
        "event": "started", "at": "2026-01-01T00:00:01Z", "plugin": PLUGIN, "level": "L4",
        "limits": {"memory_bytes": 100, "cpu_percent": 30}, "cgroup": {"cpu": "/g"},
    })
}

fn ended(ending: &str, call: Option<(&str, u64)>) -> Value {
    let (call, nr) = call.map_or((Value::Null, Value::Null), |(call, nr)| {
        (call.into(), nr.into())
    });
    json!({"event": "ended", "plugin": PLUGIN, "ending": ending, "seccomp": {"call": call, "nr": nr}})
}

fn worked() -> Control {
    Control::Worked(Worked::for_tests(&[]))
}

fn class(id: &str, hosted: &Hosted) -> Class {
    judge(&case(id), &worked(), hosted, &Filters::default()).class()
}

#[test]
fn a_forbidden_call_counts_only_by_its_own_name() {
    let of = |call| hosted("sc-sud", &[started(), ended("forbidden_syscall", call)], "");
    assert_eq!(class("sc-sud", &of(Some(("prctl", 157)))), Class::Contained);
    assert_eq!(
        class("sc-sud", &of(Some(("getpid", 39)))),
        Class::HarnessError
    );
    // Nobody knows which call, and no filter says that it kills this one in silence.
    assert_eq!(class("sc-sud", &of(None)), Class::HarnessError);
}

#[test]
fn what_said_nothing_or_crashed_or_was_never_loaded_is_not_contained() {
    let finished = ended("finished", None);
    let not_its_own = "probe=sc-x32 form=live said=EPERM value=0";
    for records in [
        hosted("sc-sud", &[], ""),
        hosted("sc-sud", &[started()], ""),
        hosted("sc-sud", &[started(), finished.clone()], ""),
        hosted("sc-sud", &[started(), finished.clone()], not_its_own),
        hosted("sc-sud", &[started(), ended("crashed", None)], ""),
        hosted("sc-sud", &[started(), ended("failed", None)], ""),
        hosted("sc-sud", &[started(), ended("wall_missing", None)], ""),
        hosted("sc-sud", &[ended("crashed", None)], ""),
        hosted(
            "sc-sud",
            &[json!({"event": "refused", "code": "policy/unsigned"})],
            "",
        ),
    ] {
        assert_eq!(
            class("sc-sud", &records),
            Class::HarnessError,
            "{records:#?}"
        );
    }
    let mut late = hosted(
        "sc-sud",
        &[started(), ended("forbidden_syscall", Some(("prctl", 157)))],
        "",
    );
    late.ran.timed_out = true;
    assert_eq!(class("sc-sud", &late), Class::HarnessError);
}

#[test]
fn what_reached_the_kernel_or_shows_outside_has_escaped() {
    let finished = ended("finished", None);
    let said = "probe=sc-sud form=live said=ok value=0";
    let done = hosted("sc-sud", &[started(), finished.clone()], said);
    assert_eq!(class("sc-sud", &done), Class::Escaped);

    // Also if its ending looks like a wall, and if its control is broken.
    let mut stopped = hosted(
        "sc-sud",
        &[started(), ended("forbidden_syscall", Some(("prctl", 157)))],
        "",
    );
    stopped.effects.push("listener-tcp: 1 came".to_owned());
    assert_eq!(class("sc-sud", &stopped), Class::Escaped);
    let broken = Control::Broken("no".to_owned());
    let verdict = judge(&case("sc-sud"), &broken, &stopped, &Filters::default());
    assert_eq!(verdict.class(), Class::Escaped);

    let more = json!({"event": "ended", "plugin": PLUGIN, "ending": "out_of_memory", "memory_peak_bytes": 101});
    assert_eq!(
        class("sc-sud", &hosted("sc-sud", &[started(), more], "")),
        Class::Escaped
    );
}

#[test]
fn a_control_that_does_not_work_proves_nothing() {
    let stopped = hosted(
        "fs-read-outside",
        &[started(), ended("forbidden_syscall", Some(("openat", 257)))],
        "",
    );
    let of = |control| {
        judge(
            &case("fs-read-outside"),
            &control,
            &stopped,
            &Filters::default(),
        )
        .class()
    };
    assert_eq!(of(Control::Refused("ENOENT".to_owned())), Class::Vacuous);
    assert_eq!(
        of(Control::Broken("no report".to_owned())),
        Class::HarnessError
    );
    assert_eq!(of(worked()), Class::ContainedElsewhere);
}

#[test]
fn another_level_degrades_what_was_contained_and_nothing_else() {
    let stopped = hosted(
        "sc-sud",
        &[started(), ended("forbidden_syscall", Some(("prctl", 157)))],
        "",
    );
    let at = |given, asked| {
        judge(&case("sc-sud"), &worked(), &stopped, &Filters::default())
            .at_level(given, asked)
            .class()
    };
    assert_eq!(at(Some("L4"), "L4"), Class::Contained);
    assert_eq!(at(Some("L3"), "L4"), Class::Degraded);
    assert_eq!(at(None, "L2"), Class::Degraded);
    assert_eq!(at(Some("L4"), "L3"), Class::Contained);
    assert_eq!(
        Verdict::error("x").at_level(Some("L3"), "L4").class(),
        Class::HarnessError
    );
}

#[test]
fn rows_of_the_host_need_their_twin_and_their_evidence() {
    let case = Case {
        kind: Kind::Host,
        ..case("tr-tamper")
    };
    let refused = || Shown::Stopped(Stopped::by_refusal("trust", "a/b", &["a/b"]).unwrap());
    assert_eq!(Stopped::by_refusal("trust", "a/c", &["a/b"]), None);
    assert_eq!(
        judge_host(&case, &worked(), refused()).class(),
        Class::Contained
    );
    let broken = Control::Broken("its twin failed".to_owned());
    assert_eq!(
        judge_host(&case, &broken, refused()).class(),
        Class::HarnessError
    );
    let escaped = Shown::Escaped("it ran".to_owned());
    assert_eq!(judge_host(&case, &broken, escaped).class(), Class::Escaped);
}

/// One that finished, and said this.
fn said(id: &str, word: &str) -> Hosted {
    let report = format!("probe={id} form=live said={word} value=0");
    hosted(id, &[started(), ended("finished", None)], &report)
}

#[test]
fn a_word_that_the_row_does_not_know_proves_nothing() {
    for (id, word, is) in [
        ("ip-script-calls", "denied", Class::Contained),
        ("ip-script-calls", "error", Class::HarnessError),
        ("ip-script-calls", "ok", Class::Escaped),
        // Where an engine's own error is the wall.
        ("en-lua-escape", "error", Class::Contained),
        ("en-wasi", "other", Class::HarnessError),
        ("rb-sleep", "EINTR", Class::HarnessError),
    ] {
        assert_eq!(class(id, &said(id, word)), is, "{id} {word}");
    }
}

#[test]
fn an_errno_counts_only_where_a_wall_stands_behind_it() {
    for (id, word, is) in [
        ("pr-proc-mem", "ENOENT", Class::Contained),
        ("pr-proc-mem", "EPERM", Class::ContainedElsewhere),
        ("pr-proc-mem", "EBADF", Class::HarnessError),
        ("pr-proc-mem", "EFAULT", Class::HarnessError),
        // It has no backup.
        ("net-vsock", "EPERM", Class::HarnessError),
        ("ns-userns", "ENOSPC", Class::ContainedElsewhere),
        ("ns-userns", "EINVAL", Class::HarnessError),
    ] {
        assert_eq!(class(id, &said(id, word)), is, "{id} {word}");
    }
}

#[test]
fn a_filter_or_the_clock_counts_only_where_the_row_expects_it() {
    let at = |id: &str, call| {
        let end = ended("forbidden_syscall", Some(call));
        class(id, &hosted(id, &[started(), end], ""))
    };
    assert_eq!(at("fs-refer", ("linkat", 265)), Class::Contained);
    assert_eq!(at("fs-refer", ("getpid", 39)), Class::HarnessError);
    assert_eq!(at("rb-stop", ("tgkill", 234)), Class::Contained);
    assert_eq!(at("rb-stop", ("getpid", 39)), Class::HarnessError);
    assert_eq!(at("pr-proc-environ", ("openat", 257)), Class::HarnessError);
    let late = |id: &str| class(id, &hosted(id, &[started(), ended("timed_out", None)], ""));
    assert_eq!(late("fs-refer"), Class::HarnessError);
    assert_eq!(late("pr-proc-mem"), Class::HarnessError);
    assert_ne!(late("rb-stop"), Class::HarnessError);
    assert_ne!(late("sc-constructor-loop"), Class::HarnessError);
}

#[test]
fn only_a_constructor_is_stopped_before_it_is_loaded() {
    let of = |id: &str, end| class(id, &hosted(id, &[end], ""));
    let filtered = || ended("forbidden_syscall", Some(("prctl", 157)));
    assert_eq!(of("sc-sud", filtered()), Class::HarnessError);
    assert_eq!(of("rb-stop", ended("timed_out", None)), Class::HarnessError);
    assert_ne!(
        of("sc-constructor-loop", ended("timed_out", None)),
        Class::HarnessError
    );
}

#[test]
fn memory_that_was_not_counted_is_not_bounded() {
    let of = |peak: Option<u64>| {
        let end = json!({"event": "ended", "plugin": PLUGIN, "ending": "finished", "memory_peak_bytes": peak});
        let report = "probe=rb-dentries form=live said=ok value=1";
        class(
            "rb-dentries",
            &hosted("rb-dentries", &[started(), end], report),
        )
    };
    assert_eq!(of(Some(50)), Class::Contained);
    assert_eq!(of(Some(0)), Class::HarnessError);
    assert_eq!(of(None), Class::HarnessError);
    assert_eq!(of(Some(101)), Class::Escaped);
}

#[test]
fn what_no_group_limits_shows_nothing_of_groups() {
    let mut start = started();
    start["cgroup"]["cpu"] = json!("");
    let of = |id: &str| {
        let report = format!("probe={id} form=live said=ok value=1");
        let end = json!({"event": "ended", "plugin": PLUGIN, "ending": "finished"});
        class(id, &hosted(id, &[start.clone(), end], &report))
    };
    for id in ["rb-anon", "rb-dentries", "rb-io"] {
        assert_eq!(of(id), Class::Vacuous, "{id}");
    }
    // Another wall's rows escape without groups, too.
    assert_eq!(of("rb-fork"), Class::Escaped);
}

#[test]
fn a_neighbour_counts_that_was_answered_during_the_attack() {
    let of = |answered: &str, cpu: u64| {
        let end = json!({
            "event": "ended", "at": "2026-01-01T00:00:03Z", "plugin": PLUGIN,
            "ending": "finished", "cpu_us": cpu, "wall_us": 2_000_000,
        });
        let report = "probe=rb-io form=live said=ok value=1";
        let ran = hosted("rb-io", &[started(), end], report);
        let neighbour = vec![answered.to_owned()];
        class("rb-io", &Hosted { neighbour, ..ran })
    };
    let during = "2026-01-01T00:00:02Z";
    assert_eq!(of(during, 600_000), Class::Contained);
    assert_eq!(of(during, 1_000_000), Class::Escaped);
    for beside in ["2026-01-01T00:00:00Z", "2026-01-01T00:00:04Z"] {
        assert_eq!(of(beside, 600_000), Class::HarnessError, "{beside}");
    }
}

#[test]
fn what_died_is_contained_only_with_a_limit_of_its_core() {
    let of = |core_limit| {
        let end = json!({"event": "ended", "plugin": PLUGIN, "ending": "crashed", "signal": 4});
        let dead = hosted("ks-core", &[started(), end], "");
        class("ks-core", &Hosted { core_limit, ..dead })
    };
    assert_eq!(of(Some(1)), Class::Contained);
    assert_eq!(of(None), Class::HarnessError);
    assert_eq!(of(Some(u64::MAX)), Class::Escaped);
}

#[test]
fn the_filters_are_asked_only_for_what_ran_behind_them() {
    // RET KILL_PROCESS, whatever is called.
    let layer = json!({"kind": "layer", "digest": "d", "program": [[6, 0, 0, 0x8000_0000_u32]]});
    let filters = Filters::read(&[layer]);
    let behind = |layers: Value, end: Value| {
        let start = json!({"event": "started", "plugin": PLUGIN, "layers": layers});
        let ran = hosted("sc-sud", &[start, end], "");
        let refused = Control::Refused("ENOSYS".to_owned());
        let verdict = judge(&case("sc-sud"), &refused, &ran, &filters);
        (verdict.class(), verdict.is_by_evaluation())
    };
    let stopped = || ended("forbidden_syscall", Some(("prctl", 157)));
    assert_eq!(behind(json!(["d"]), stopped()), (Class::Contained, true));
    assert_eq!(behind(json!(["e"]), stopped()), (Class::Vacuous, false));
    assert_eq!(behind(Value::Null, stopped()), (Class::Vacuous, false));
    let crashed = ended("crashed", None);
    assert_eq!(behind(json!(["d"]), crashed), (Class::HarnessError, false));
}

#[test]
fn filters_are_no_evidence_of_another_wall() {
    let layer = json!({"kind": "layer", "digest": "d", "program": [[6, 0, 0, 0x8000_0000_u32]]});
    let filters = Filters::read(&[layer]);
    let of = |id: &str, call| {
        let mut start = started();
        start["layers"] = json!(["d"]);
        let ran = hosted(id, &[start, ended("forbidden_syscall", Some(call))], "");
        let refused = Control::Refused("EACCES".to_owned());
        let verdict = judge(&case(id), &refused, &ran, &filters);
        (verdict.class(), verdict.is_by_evaluation())
    };
    assert_eq!(of("net-inet", ("socket", 41)), (Class::Contained, true));
    let elsewhere = (Class::ContainedElsewhere, true);
    assert_eq!(of("ns-host-root-uid", ("openat", 257)), elsewhere);
}
