//! The controls that can't work: each that `vacuous.toml` lists for this kernel is
//! refused. That all others work is what a run of the harness shows.

use std::path::Path;

use gm_integration_tests::harness::control::{self, Control, Executable};
use gm_integration_tests::harness::table::Case;
use gm_integration_tests::probes::{self, ControlClass, Kind, Probe};
use gm_integration_tests::process::command;
use gm_integration_tests::skip;

fn release() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    text.trim().to_owned()
}

#[test]
fn what_is_listed_as_vacuous_is_refused_unconfined() {
    if skip::lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let executable = Executable::put(probes::ELF).unwrap();
    let (release, listed) = (release(), probes::vacuous());
    let is_listed = |case: &Case| {
        let (id, variant) = (&case.probe.id, case.variant);
        listed
            .iter()
            .any(|list| list.covers(&release, id, variant, true))
    };
    // Of all else the twin is the control.
    let has_control = |row: &Probe| {
        let outside = matches!(row.control, ControlClass::N | ControlClass::U);
        outside && row.kinds.contains(&Kind::Native)
    };
    let rows = probes::table().into_iter().filter(has_control);
    let cases = rows.flat_map(|row| Case::all(&row, Kind::Native));
    for case in cases.filter(is_listed) {
        let control = control::run(&executable, &case);
        let (id, variant) = (&case.probe.id, case.variant);
        assert!(
            matches!(control, Control::Refused(_)),
            "{id}.{variant}: {control:?}"
        );
    }
}

#[test]
fn probe_of_itself_answers_and_an_unknown_one_does_not() {
    let executable = Executable::put(probes::ELF).unwrap();
    let run = |words: &[&str]| {
        let mut probe = command(executable.path(), Path::new("/"));
        let done = probe.args(words).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    assert_eq!(
        run(&["self", "n0nce"]),
        (Some(0), "self=n0nce\n".to_owned())
    );
    assert_eq!(run(&["no-such"]), (Some(64), String::new()));
    assert_eq!(run(&[]), (Some(64), String::new()));
    assert_eq!(run(&["fs-read-outside"]), (Some(65), String::new()));
}
