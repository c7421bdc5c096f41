//! The heap of a walled process: one reservation made before the walls, so
//! that no filter has to allow `brk`, `mmap` or `munmap`.
//!
//! The cgroup does the limiting; the arena's size only bounds what is asked.

use std::alloc::Layout;
use std::ptr::null_mut;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use talc::DefaultBinning;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;
use talc::sync::TalcLock;

use crate::walls::last;

/// Mapped at the first allocation, which std makes before `main`; [`open`]
/// adds the rest.
const FIRST: usize = 1 << 20;

/// The type of each walled binary's `#[global_allocator]`.
pub type Arena = TalcLock<spinning_top::RawSpinlock, Reserve, DefaultBinning>;

/// Where the arena's memory comes from.
#[derive(Debug)]
pub struct Reserve {
    started: bool,
}

/// An arena without memory yet.
#[must_use]
pub const fn arena() -> Arena {
    TalcLock::new(Reserve { started: false })
}

/// Adds `bytes` of address space to the arena. Touches none of it.
pub(crate) fn open(arena: &Arena, bytes: usize) -> Result<(), rustix::io::Errno> {
    let base = reserve(bytes)?;
    // SAFETY: `base` is the start of `bytes` fresh, writable bytes that nothing
    // else knows of and that are never unmapped.
    let claimed = unsafe { arena.lock().claim(base, bytes) };
    claimed.map(|_| ()).ok_or(rustix::io::Errno::NOMEM)
}

fn reserve(bytes: usize) -> Result<*mut u8, rustix::io::Errno> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no
    // existing one.
    let base =
        unsafe { mmap_anonymous(null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
    Ok(base.cast())
}

// SAFETY: `acquire` uses the allocator only through the reference it is given;
// neither the mapping nor the last words allocate.
unsafe impl Source for Reserve {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, _: Layout) -> Result<(), ()> {
        if talc.source.started {
            // The error path of std ends in calls that the filter kills for.
            last::out_of_arena();
            return Err(());
        }
        talc.source.started = true;
        let base = reserve(FIRST).map_err(|_| ())?;
        // SAFETY: as in `open`.
        unsafe { talc.claim(base, FIRST) }.map(|_| ()).ok_or(())
    }
}
