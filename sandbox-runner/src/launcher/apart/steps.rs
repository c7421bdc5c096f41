//! The child between clone and exec: the steps of `child.rs` in the same order, but
//! for what is left out.

use std::os::fd::{AsFd as _, OwnedFd};

use gm_protocol::plan::HOSTNAME;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::process::{Signal, set_parent_process_death_signal, setsid, umask};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, Gid, Uid, capabilities,
    configure_capability_in_ambient_set, set_capabilities, set_capabilities_secure_bits,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::apart::{Change, Changes, Layer, MountFlag, Without};
use crate::launcher::child::{
    Child, Step, TrialDone, WALL_MISSING, at, become_inner_id, drop_capabilities, execute,
    forbid_user_namespaces, hung_up, put_in_order,
};
use crate::launcher::ids::Ids;
use crate::launcher::limits::Bounds;
use crate::launcher::{mounts, sys};

/// Number of the descriptor that is left open.
const LEAKED: i32 = 9;

/// What the steps need.
pub(super) struct Way<'a> {
    pub(super) child: &'a Child<'a>,
    pub(super) without: Without,
    pub(super) changes: &'a Changes,
    pub(super) ids: &'a Ids,
}

pub(super) fn walk(way: &Way<'_>, start: &OwnedFd) -> Result<TrialDone, (Step, Errno)> {
    let has = |layer| !way.without.has(layer);
    let child = way.child;
    if has(Layer::User) {
        become_inner_id(child.drop_groups)?;
        forbid_user_namespaces().map_err(at(Step::NoUserNs))?;
    } else {
        // The machine's own limit of namespaces is not ours to change.
        become_host_id(way.ids)?;
    }
    setsid().map_err(at(Step::Session))?;
    umask(Mode::from_raw_mode(0o077));
    if has(Layer::Uts) {
        rustix::system::sethostname(HOSTNAME.as_bytes()).map_err(at(Step::Hostname))?;
    }
    let null = open("/dev/null", OFlags::RDWR).map_err(at(Step::Null))?;
    let leaked = match has(Layer::Descriptors) {
        true => None,
        false => Some(open("/", OFlags::RDONLY | OFlags::DIRECTORY).map_err(at(Step::Null))?),
    };
    let executable = tree(way)?;
    if has(Layer::Caps) {
        drop_capabilities(child.last_cap)?;
    } else {
        keep_capabilities(child.last_cap).map_err(at(Step::Capabilities))?;
    }
    let leaked = leaked.map(|fd| rustix::io::fcntl_dupfd_cloexec(&fd, 32));
    let leaked = leaked.transpose().map_err(at(Step::Descriptors))?;
    let engine = child.exec.as_ref();
    let engine = engine.map(|exec| put_in_order(exec, executable.as_ref(), &null));
    let engine = engine.transpose().map_err(at(Step::Descriptors))?;
    if has(Layer::Rlimits) {
        Bounds::set_all(&limits(way)).map_err(at(Step::Limits))?;
    }
    set_no_new_privs(true).map_err(at(Step::NoNewPrivs))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(at(Step::DeathSignal))?;
    if hung_up(start) {
        sys::exit_now(WALL_MISSING);
    }
    let (Some(exec), Some(engine)) = (&child.exec, engine) else {
        return Ok(TrialDone);
    };
    if let Some(leaked) = leaked {
        sys::place_at(leaked.as_fd(), LEAKED).map_err(at(Step::Descriptors))?;
    }
    match execute(&engine, &exec.argv).map_err(at(Step::Exec))? {}
}

fn open(path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}

/// Without a user namespace: the uid of the slot on the host itself. The
/// capabilities stay for the steps that need them, as they do in a namespace.
fn become_host_id(ids: &Ids) -> Result<(), (Step, Errno)> {
    set_thread_groups(&[]).map_err(at(Step::Groups))?;
    set_capabilities_secure_bits(CapabilitiesSecureBits::NO_SETUID_FIXUP).map_err(at(Step::Uid))?;
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    set_thread_res_gid(gid, gid, gid).map_err(at(Step::Gid))?;
    set_thread_res_uid(uid, uid, uid).map_err(at(Step::Uid))
}

fn tree(way: &Way<'_>) -> Result<Option<OwnedFd>, (Step, Errno)> {
    let child = way.child;
    if way.without.has(Layer::Mount) {
        mounts::make_private().map_err(at(Step::Private))?;
        return Ok(None);
    }
    let lacking = way.changes.iter().filter_map(|change| match change {
        Change::Mount(MountFlag::NoSuid) => Some(MountFlags::NOSUID),
        Change::Mount(MountFlag::NoDev) => Some(MountFlags::NODEV),
        Change::Mount(MountFlag::NoExec) => Some(MountFlags::NOEXEC),
        Change::Mount(MountFlag::ReadOnly) => Some(MountFlags::RDONLY),
        _ => None,
    });
    let lacking = lacking.fold(MountFlags::empty(), MountFlags::union);
    let flags = mounts::flags(&child.contents);
    let last = (flags | MountFlags::RDONLY) - lacking;
    mounts::build_as(
        (flags - lacking, last),
        child.scratch,
        &child.root_options,
        &child.contents,
        &child.grants,
        &child.libraries,
    )
}

/// An exec takes all but the ambient ones from a uid that isn't 0.
fn keep_capabilities(last_cap: u32) -> Result<(), Errno> {
    let own = capabilities(None)?;
    set_capabilities(
        None,
        CapabilitySets {
            inheritable: own.permitted,
            ..own
        },
    )?;
    let each = (0..=last_cap).filter_map(|cap| 1_u64.checked_shl(cap));
    for cap in each.map(CapabilitySet::from_bits_retain) {
        if own.permitted.contains(cap) {
            configure_capability_in_ambient_set(cap, true)?;
        }
    }
    Ok(())
}

fn limits(way: &Way<'_>) -> Vec<(rustix::process::Resource, &'static str, u64)> {
    let raised = |name: &str| way.changes.contains(&Change::Limit(name.to_owned()));
    let table = way.child.bounds.table().into_iter();
    table
        .map(|(resource, name, value)| match raised(name) {
            // Ten times nothing would still be nothing.
            true => (resource, name, value.max(1).saturating_mul(10)),
            false => (resource, name, value),
        })
        .collect()
}
