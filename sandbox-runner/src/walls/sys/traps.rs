//! Traps of compiled code, as the processor reports them: by a signal.
//!
//! The engine has handlers that turn them into values; ours come after those
//! and end the process instead, as it would be discarded anyway. They take no
//! memory and trust none.

use std::ffi::{c_int, c_void};
use std::io;

use gm_protocol::message::TrapClass;

use super::guest;
use super::signals::{install, registers, value};
use crate::walls::last;

/// How far below the stack pointer a fault still counts as a stack overflow:
/// the largest step of a stack probe, with room.
const PROBE: usize = 1 << 20;

/// From now on a trap ends the process with its class.
pub(crate) fn report_traps() -> io::Result<()> {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
        install(signal, trapped)?;
    }
    Ok(())
}

extern "C" fn trapped(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a live `siginfo_t` to an SA_SIGINFO handler.
    let info = unsafe { &*info };
    // SAFETY: only read for SIGSEGV and SIGBUS below; for these signals the
    // field is the fault's address, for the others an address too.
    let address = unsafe { info.si_addr() }.addr();
    let stack = value(&registers(context), libc::REG_RSP);
    let stack = usize::try_from(stack).unwrap_or(0);
    last::trap(class(signal, address, stack))
}

fn class(signal: c_int, address: usize, stack: usize) -> TrapClass {
    match signal {
        libc::SIGFPE => TrapClass::Arithmetic,
        // Compiled code has one trap instruction for all its explicit checks.
        libc::SIGILL => TrapClass::Unreachable,
        _ if guest::holds(address) => TrapClass::Bounds,
        _ if stack.abs_diff(address) <= PROBE => TrapClass::Stack,
        _ => TrapClass::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_by_its_signal_and_address() {
        let memory = guest::Guest::reserve().unwrap();
        let inside = memory.base().addr() + 70_000;
        assert_eq!(class(libc::SIGSEGV, inside, 0), TrapClass::Bounds);
        assert_eq!(
            class(libc::SIGSEGV, 0x7000_0000, 0x7000_1000),
            TrapClass::Stack
        );
        assert_eq!(class(libc::SIGSEGV, 8, 0x7000_1000), TrapClass::Other);
        assert_eq!(class(libc::SIGFPE, inside, 0), TrapClass::Arithmetic);
        assert_eq!(class(libc::SIGILL, 0, 0), TrapClass::Unreachable);
    }
}
