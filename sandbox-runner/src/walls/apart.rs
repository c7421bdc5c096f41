//! What `put_up` does, with something left out, and a probe behind it in
//! place of an engine.

use std::io;

use gm_protocol::message::{FromRunner, ToRunner};
use gm_protocol::plan::{FD_LINK, LandlockRule, Place, Setup};
use gm_protocol::runner_end::RunnerEnd;

use super::landlock::{Handled, restrict_as};
use super::{Arena, WallError, begin, install, last, look, root_is_shut, soft_refuses, sys};
use crate::apart::{Change, Changes, Layer, Without};

/// Exit status after a frame of the host that does not fit.
const BROKEN: i32 = last::BROKEN_LINK;

/// What stands round a probe.
#[derive(Debug)]
pub struct Inside<'a> {
    /// What of it is left out.
    pub without: Without,
    /// What of it is weaker.
    pub changes: &'a Changes,
    /// The last filter is put up too: the probe runs where a plugin's code does,
    /// not where it is loaded.
    pub running: bool,
}

/// Gives this process, which is not walled, an arena of so many bytes.
///
/// # Errors
/// The kernel gives no such room.
pub fn open(arena: &Arena, bytes: usize) -> io::Result<()> {
    Ok(sys::arena::open(arena, bytes)?)
}

/// Puts the walls up and runs the probe, whose report goes to the link. The first
/// argument of the process is the arena's size, as the launcher gives it.
pub fn live(arena: &Arena, inside: &Inside<'_>, probe: impl FnOnce(i32) -> i32) -> ! {
    let status = match put_up(arena, inside) {
        Ok(link) => {
            // Dropped, it would be closed.
            std::mem::forget(link);
            probe(FD_LINK)
        }
        Err(WallError::Link(_) | WallError::NoGo) => BROKEN,
        Err(error) => begin::unwalled(&error),
    };
    sys::exit_now(status)
}

fn put_up(arena: &Arena, inside: &Inside<'_>) -> Result<RunnerEnd, WallError> {
    let has = |layer| !inside.without.has(layer);
    super::prepare(c"gm-probe-host")?;
    super::open_arena(arena, 0)?;
    sys::signals::leave_faults()?;
    let mut link = begin::link();
    let setup = begin::setup(&mut link);
    if has(Layer::Landlock) && has(Layer::Seccomp) && has(Layer::Mount) && inside.changes.is_empty()
    {
        let walled = super::put_up(&setup, &mut link)?;
        if inside.running {
            let _up = walled.narrow()?;
        }
        return Ok(link);
    }
    let mut abi = 0;
    if has(Layer::Landlock) {
        abi = restrict(setup.clone(), inside)?;
        // A weaker one may let it be opened, which is then the probe's to find.
        if inside.changes.is_empty() {
            root_is_shut()?;
        }
    }
    let mut report = look(abi)?;
    report.root_refused = has(Layer::Landlock);
    if has(Layer::Seccomp) {
        install(&setup.filters)?;
        report.soft_refused = soft_refuses();
    }
    link.send(&FromRunner::Report(report))?;
    let ToRunner::Go = link.recv()? else {
        return Err(WallError::NoGo);
    };
    if has(Layer::Seccomp) && inside.running {
        let last = sys::install_filter(&setup.filters.running);
        last.map_err(|e| WallError::Seccomp("running", e))?;
    }
    Ok(link)
}

fn restrict(mut setup: Setup, inside: &Inside<'_>) -> Result<u32, WallError> {
    if inside.without.has(Layer::Mount) {
        // Its places are in the tree that isn't there. None of them has a rule:
        // less is allowed, not more.
        setup.landlock.retain(|rule| rule.path == Place::Executable);
    }
    let gone = |change: &Change| match change {
        Change::Right(bit) => *bit,
        _ => 0,
    };
    let gone = inside
        .changes
        .iter()
        .fold(0, |bits, each| bits | gone(each));
    let less = |rule: &LandlockRule| LandlockRule {
        path: rule.path,
        rights: rule.rights & !gone,
    };
    setup.landlock = setup.landlock.iter().map(less).collect();
    setup.landlock.retain(|rule| rule.rights != 0);
    restrict_as(&setup, |handled| weaken(handled, inside.changes))
}

fn weaken(handled: &mut Handled, changes: &Changes) {
    use landlock::BitFlags;
    for change in changes {
        match change {
            Change::Right(bit) => handled.files.remove(BitFlags::from_bits_truncate(*bit)),
            Change::Net(bit) => handled.network.remove(BitFlags::from_bits_truncate(*bit)),
            Change::Scope(bit) => handled.scope.remove(BitFlags::from_bits_truncate(*bit)),
            Change::Mount(_) | Change::Limit(_) | Change::Group(_) => {}
        }
    }
}
