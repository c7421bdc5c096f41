//! Gives up, for good, what the broker no longer needs once the launcher runs.

use gm_manifest::{Code, Refusal};
use rustix::process::{Gid, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Drops every capability and sets no_new_privs; as root with `run_as` also
/// changes to that user. Call it from the main thread before any other thread
/// is made: credentials belong to threads.
pub fn drop_all(run_as: &str) -> Result<(), Refusal> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Refusal::new(Code::InternalLauncher, format!("could not {what}: {error}"))
    };
    if rustix::process::geteuid().is_root() && !run_as.is_empty() {
        become_user(run_as)?;
    }
    rustix::thread::set_no_new_privs(true).map_err(|error| failed("set no_new_privs", &error))?;
    drop_bounding_set();
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(|error| failed("drop capabilities", &error))
}

/// Needs CAP_SETPCAP; without it there is nothing in the other sets either.
fn drop_bounding_set() {
    for capability in CapabilitySet::all().iter() {
        if rustix::thread::remove_capability_from_bounding_set(capability).is_err() {
            return;
        }
    }
}

fn become_user(run_as: &str) -> Result<(), Refusal> {
    let bad = |detail: String| Refusal::new(Code::ConfigBadValue, format!("run_as = {run_as:?}: {detail}"));
    let user = match run_as.parse::<u32>() {
        Ok(number) => nix::unistd::User::from_uid(number.into()),
        Err(_) => nix::unistd::User::from_name(run_as),
    };
    let user = user
        .map_err(|error| bad(error.to_string()))?
        .ok_or_else(|| bad("no such user".into()))?;
    let uid = Uid::from_raw(user.uid.as_raw());
    let gid = Gid::from_raw(user.gid.as_raw());
    rustix::thread::set_thread_groups(&[]).map_err(|error| bad(error.to_string()))?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(|error| bad(error.to_string()))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(|error| bad(error.to_string()))
}
