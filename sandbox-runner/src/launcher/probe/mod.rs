//! Tries each thing that walls are made of by itself, in short-lived children, for
//! `gm-broker doctor`: one trial with everything says that it fails, this says where.
//!
//! What a plugin's process puts up itself ([`own_walls`]) is tried at every start too:
//! without it no level is reached.

mod calls;
mod child;
mod groups;
mod spaces;
mod sys;
mod walls;

use std::path::Path;

use gm_protocol::orders::Fault;
use gm_protocol::plan::Control;
use gm_protocol::trials::{Miss, Trial, Tried};

use super::cgroup::Instance;
use super::fault::breach;
use super::ids::Places;
use super::sys::Kind;
use child::{Outcome, wrong};
use groups::Groups;

/// What the launcher has for the probes of groups.
#[derive(Debug)]
pub(crate) struct Planted<'a> {
    pub(crate) instance: &'a mut Instance,
    pub(crate) owner: Option<u32>,
    pub(crate) gaps: &'a [String],
}

/// `clone3`, the walls that every process of a plugin puts up itself, whatever the level,
/// and the calls that nothing goes without: each tried, each wall felt.
///
/// # Errors
/// The first that isn't there.
pub(crate) fn own_walls() -> Result<(), Fault> {
    let tried = [
        (Control::UserNs, spaces::clone3()),
        (Control::Caps, walls::no_new_privileges()),
        (Control::Landlock, walls::landlock()),
        (Control::Seccomp, walls::seccomp_errno()),
        (Control::Seccomp, walls::seccomp_trap()),
        (Control::Seccomp, walls::seccomp_kill()),
        (Control::Descriptors, calls::close_range()),
        (Control::Descriptors, calls::memfd_seals()),
        (Control::PidNs, calls::pidfd()),
    ];
    for (wall, outcome) in tried {
        outcome.map_err(|miss| Fault {
            errno: miss.errno,
            ..breach(wall, "own walls", miss.why)
        })?;
    }
    Ok(())
}

/// Everything, in the order of [`Trial::ALL`]. `planted` = the launcher's groups, or
/// why it has none.
pub(crate) fn all(planted: Result<Planted<'_>, String>) -> Vec<Tried> {
    let euid = rustix::process::geteuid().as_raw();
    let places = Places::make(euid).map_err(|fault| fault.to_string());
    let scratch = places.as_ref().map(|places| places.scratch.as_path());
    let mut groups = groups(planted);
    let tried = Trial::ALL.iter().map(|what| Tried {
        what: *what,
        outcome: one(*what, scratch.map_err(Clone::clone), &mut groups),
    });
    tried.collect()
}

fn groups(planted: Result<Planted<'_>, String>) -> Vec<(Trial, Outcome)> {
    match planted {
        Ok(Planted {
            instance,
            owner,
            gaps,
        }) => Groups {
            instance,
            owner,
            gaps,
        }
        .all(),
        Err(why) => {
            let of_groups = [
                Trial::GroupMemory,
                Trial::GroupEvents,
                Trial::GroupSwap,
                Trial::GroupPids,
                Trial::GroupCpu,
                Trial::GroupKill,
            ];
            let not_tried = |what| (what, Err(wrong(format!("not tried: {why}"))));
            of_groups.into_iter().map(not_tried).collect()
        }
    }
}

fn one(what: Trial, scratch: Result<&Path, String>, groups: &mut Vec<(Trial, Outcome)>) -> Outcome {
    match what {
        Trial::Ia32 => calls::ia32(),
        Trial::X32 => calls::x32(),
        Trial::Clone3 => spaces::clone3(),
        Trial::UserNs => spaces::namespace(Kind::User),
        Trial::MountNs => spaces::namespace(Kind::Mount),
        Trial::PidNs => spaces::namespace(Kind::Pid),
        Trial::NetNs => spaces::namespace(Kind::Net),
        Trial::IpcNs => spaces::namespace(Kind::Ipc),
        Trial::UtsNs => spaces::namespace(Kind::Uts),
        Trial::Tree => spaces::tree(scratch),
        Trial::SeccompKill => walls::seccomp_kill(),
        Trial::SeccompTrap => walls::seccomp_trap(),
        Trial::SeccompErrno => walls::seccomp_errno(),
        Trial::NoNewPrivs => walls::no_new_privileges(),
        Trial::Capabilities => last_cap().and_then(walls::capabilities),
        Trial::LandlockAbi => walls::landlock_abi(),
        Trial::LandlockErrata => walls::landlock_errata(),
        Trial::Landlock => walls::landlock(),
        Trial::Mdwe => calls::mdwe(),
        Trial::Speculation => calls::speculation(),
        Trial::Pidfd => calls::pidfd(),
        Trial::CloseRange => calls::close_range(),
        Trial::Openat2 => calls::openat2(),
        Trial::MemfdSeals => calls::memfd_seals(),
        Trial::GroupMemory
        | Trial::GroupEvents
        | Trial::GroupSwap
        | Trial::GroupPids
        | Trial::GroupCpu
        | Trial::GroupKill => match groups.iter().position(|(tried, _)| *tried == what) {
            Some(at) => groups.swap_remove(at).1,
            None => Err(wrong("not tried")),
        },
    }
}

fn last_cap() -> Result<u32, Miss> {
    super::house::last_cap().map_err(|fault| wrong(fault.to_string()))
}
