//! The controls: each probe of machine code must succeed where nothing stops it, or
//! be listed as vacuous for this kernel. What nobody can do no wall stops.

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

/// Whether its control is machine code: of others the twin is the control.
fn has_control(row: &Probe) -> bool {
    let outside = matches!(row.control, ControlClass::N | ControlClass::U);
    outside && row.kinds.contains(&Kind::Native) && !row.vm_only
}

#[test]
fn each_probe_succeeds_where_nothing_stops_it_or_is_known_to_be_vacuous() {
    if skip::lacks("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let executable = Executable::put(probes::ELF).unwrap();
    let (release, vacuous) = (release(), probes::vacuous());
    let rows = probes::table().into_iter().filter(has_control);
    let fault = |case: &Case| {
        let (id, variant) = (&case.probe.id, case.variant);
        let known = vacuous
            .iter()
            .any(|list| list.covers(&release, id, variant, true));
        match (known, control::run(&executable, case)) {
            (false, Control::Worked(_)) | (true, Control::Refused(_)) => None,
            (true, Control::Worked(_)) => Some(format!("{id}.{variant} isn't vacuous")),
            (_, control) => Some(format!("{id}.{variant}: {:?}", control.words())),
        }
    };
    let cases = rows.flat_map(|row| Case::all(&row, Kind::Native));
    let wrong: Vec<String> = cases.filter_map(|case| fault(&case)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
