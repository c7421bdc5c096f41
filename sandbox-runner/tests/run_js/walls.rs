//! What the filters do to the runner, and what else stands round it.

use gm_protocol::PROTOCOL;
use gm_protocol::message::{FromRunner, Last, ToRunner};
use gm_protocol::plan::{Filters, Role, Setup, SockFilter};

use crate::filters::of_profile;
use crate::played::{Peer, memfd, soon};
use crate::script::{behind, hook, task};

/// SIGSYS
const BAD_CALL: i32 = 31;

/// The shipped filters, but the last one lacks a call.
fn without(call: &str) -> Filters {
    Filters {
        running: of_profile("js", Some(call)).running,
        ..of_profile("js", None)
    }
}

#[test]
fn each_call_of_the_filter_is_needed() {
    for call in ["read", "write", "exit_group"] {
        let text = b"export function on_commit_analyzed() { return {ok: true} }";
        let mut plugin = behind(task(), text, &[], without(call));
        let seen = match plugin.peer.link.recv(soon()) {
            Ok(FromRunner::Loaded { .. }) if call == "exit_group" => plugin.stop(),
            _ => plugin.peer.ending(),
        };
        assert_eq!(seen.2, Some(BAD_CALL), "{call}: {seen:?}");
    }
}

#[test]
fn an_empty_filter_is_a_missing_wall_not_an_open_one() {
    for layer in 0..4 {
        let mut filters = of_profile("js", None);
        let program: &mut Vec<SockFilter> = match layer {
            0 => &mut filters.soft,
            1 => &mut filters.veto,
            2 => &mut filters.loading,
            _ => &mut filters.running,
        };
        program.clear();
        let fds = [Some(memfd(b"", true)), None];
        let mut peer = Peer::start("gm-run-js", 32 << 20, &[], fds);
        let setup = Setup {
            protocol: PROTOCOL,
            filters,
            landlock_abi: 7,
            landlock: vec![],
            role: Role::Plugin(task()),
        };
        peer.send(&ToRunner::Setup(Box::new(setup)));
        if layer == 3 {
            peer.recv();
            peer.send(&ToRunner::Go);
        }
        let wall = Last::Wall {
            control: 12,
            errno: libc::EINVAL,
        };
        assert_eq!(peer.ending(), (Some(wall), Some(103), None));
    }
}

#[test]
fn code_that_can_still_change_is_not_mapped() {
    let fds = [Some(memfd(b"1", false)), None];
    let mut peer = Peer::start("gm-run-js", 32 << 20, &[], fds);
    let setup = Setup {
        protocol: PROTOCOL,
        filters: of_profile("js", None),
        landlock_abi: 7,
        landlock: vec![],
        role: Role::Plugin(task()),
    };
    peer.send(&ToRunner::Setup(Box::new(setup)));
    let (last, status, _) = peer.ending();
    assert!(matches!(last, Some(Last::Wall { .. })), "{last:?}");
    assert_eq!(status, Some(103));
}

#[test]
fn a_running_script_has_no_executable_memory_but_its_own_binary() {
    let mut plugin = hook("return {n: [3, 1, 2].sort()[0]}");
    assert_eq!(plugin.call(b"{}").status, 0);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", plugin.peer.child.id())).unwrap();
    let executable: Vec<_> = maps
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[1].contains('x'))
        .map(|fields| {
            (
                fields[1].to_owned(),
                fields.get(5).copied().unwrap_or("").to_owned(),
            )
        })
        // The kernel's own pages aside.
        .filter(|(_, name)| !name.starts_with("[v"))
        .collect();
    assert_eq!(executable.len(), 1, "{maps}");
    assert_eq!(executable[0].0, "r-xp");
    assert!(executable[0].1.ends_with("/bin"), "{maps}");
}
