//! The last words of a walled process: one final frame, then the end.
//!
//! Signal handlers and the panic hook come here, so nothing takes memory or a
//! lock, and nothing returns to the plugin.

use std::sync::atomic::{AtomicBool, Ordering};

use gm_protocol::message::{Last, TrapClass};
use gm_protocol::plan::Control;
use gm_protocol::runner_end::{LAST_FRAME, last_frame};

use super::sys;

/// Exit status after a panic of the runner's own code.
pub const PANICKED: i32 = 101;
/// Exit status after a trap of the plugin's code.
pub const TRAPPED: i32 = 102;
/// Exit status when a wall could not be put up.
pub const UNWALLED: i32 = 103;
/// Exit status when the code could not be loaded.
pub const NOT_LOADED: i32 = 104;
/// Exit status after a frame of the host that does not fit the conversation.
pub const BROKEN_LINK: i32 = 105;
/// Exit status after a line of a program that breaks the rules of its channel.
pub const BROKEN_LINE: i32 = 106;

/// Whether the engine refused the plugin more memory during this call.
static REFUSED_GROW: AtomicBool = AtomicBool::new(false);
/// Whether there is a link that the last words can go to.
static ARMED: AtomicBool = AtomicBool::new(false);

/// From now on fd 3 is the link.
pub(crate) fn arm() {
    ARMED.store(true, Ordering::Relaxed);
}

/// A new call begins: forget the refusals of the one before.
#[cfg(feature = "hosting")]
pub(crate) fn new_call() {
    REFUSED_GROW.store(false, Ordering::Relaxed);
}

/// The engine refuses the plugin more memory.
pub(crate) fn refused_grow() {
    REFUSED_GROW.store(true, Ordering::Relaxed);
}

/// Writes the final frame.
pub(crate) fn say(last: Last) {
    let mut frame = [0; LAST_FRAME];
    let len = last_frame(last, &mut frame);
    if ARMED.load(Ordering::Relaxed) {
        sys::write_link(frame.get(..len).unwrap_or_default());
    }
}

/// Ends the process because the plugin's code trapped.
pub(crate) fn trap(class: TrapClass) -> ! {
    say(Last::Trap {
        class,
        refused_grow: REFUSED_GROW.load(Ordering::Relaxed),
    });
    sys::exit_now(TRAPPED)
}

/// Ends the process because the plugin's code said so, with a status that isn't 0.
#[cfg(feature = "wasm")]
pub(crate) fn exited(status: u32) -> ! {
    say(Last::Exited { status });
    sys::exit_now(TRAPPED)
}

/// Ends the process because more memory was asked for than it may have. A
/// process without a link (the set-up's tools, tests) goes on to std's error.
pub(crate) fn out_of_arena() {
    if ARMED.load(Ordering::Relaxed) {
        refused_grow();
        trap(TrapClass::Other);
    }
}

/// Ends the process because a wall could not be put up.
pub(crate) fn wall(control: Control, errno: i32) -> ! {
    let index = Control::ALL.iter().position(|each| *each == control);
    let control = index
        .and_then(|index| u8::try_from(index).ok())
        .unwrap_or(u8::MAX);
    say(Last::Wall { control, errno });
    sys::exit_now(UNWALLED)
}

/// Makes a panic anywhere end the process, at once and without std's output
/// and abort, which the filters don't allow.
pub(crate) fn end_at_panic() {
    std::panic::set_hook(Box::new(|_| {
        say(Last::Panic);
        sys::exit_now(PANICKED)
    }));
}
