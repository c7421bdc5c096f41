//! Gives up, for good, what the broker no longer needs once the launcher runs.

use gm_manifest::{Code, Refusal};
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::config::User;

/// Drops every capability and sets no_new_privs; as root with `run_as` also
/// changes to that user. Call it from the main thread before any other thread
/// is made: credentials belong to threads.
pub fn drop_all(run_as: Option<User>) -> Result<(), Refusal> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Refusal::new(Code::InternalLauncher, format!("could not {what}: {error}"))
    };
    if let Some(user) = run_as.filter(|_| rustix::process::geteuid().is_root()) {
        become_user(user)?;
    }
    rustix::thread::set_no_new_privs(true).map_err(|error| failed("set no_new_privs", &error))?;
    drop_bounding_set();
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)
        .map_err(|error| failed("drop capabilities", &error))
}

/// Needs CAP_SETPCAP; without it there is nothing in the other sets either.
fn drop_bounding_set() {
    for capability in CapabilitySet::all().iter() {
        if rustix::thread::remove_capability_from_bounding_set(capability).is_err() {
            return;
        }
    }
}

fn become_user(user: User) -> Result<(), Refusal> {
    let bad = |error: rustix::io::Errno| {
        Refusal::new(
            Code::ConfigBadValue,
            format!("run_as: could not become uid {}: {error}", user.uid),
        )
    };
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_thread_groups(&[]).map_err(bad)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(bad)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(bad)
}
