//! Handlers of the signals that end a walled process: they say why, then end it.
//!
//! Nothing here returns to the code that was interrupted, takes memory or
//! trusts what lies in memory: the interrupted code may be hostile.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;

use gm_protocol::message::{Last, TrapClass};

use super::{exit_now, guest};
use crate::walls::last::{self, TRAPPED};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the registers of a forbidden call are known for x86-64 only");

/// How far below the stack pointer a fault still counts as a stack overflow:
/// the largest step of a stack probe, with room.
const PROBE: usize = 1 << 20;

type Action = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// SIGSYS: names the call that a filter refused, then makes it again. The
/// signal is masked now, so the kernel kills the process for it: the wait
/// status says "bad system call", whatever the frame said.
pub(crate) fn report_forbidden_calls() -> io::Result<()> {
    install(libc::SIGSYS, forbidden)
}

/// The signals of a trap in compiled code.
pub(crate) fn report_traps() -> io::Result<()> {
    for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
        install(signal, trapped)?;
    }
    Ok(())
}

fn install(signal: c_int, action: Action) -> io::Result<()> {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` writes the whole set and can't fail on a live pointer.
    let _ = unsafe { libc::sigfillset(mask.as_mut_ptr()) };
    let new = libc::sigaction {
        sa_sigaction: (action as *const ()).addr(),
        // SAFETY: written by `sigfillset` above.
        sa_mask: unsafe { mask.assume_init() },
        // Compiled code may have used up its stack: handlers run on their own,
        // and with every signal masked none interrupts another.
        sa_flags: libc::SA_SIGINFO | libc::SA_ONSTACK,
        sa_restorer: None,
    };
    // SAFETY: `new` is whole, and `action` has the form that SA_SIGINFO asks
    // for, never returns, and calls only what is async-signal-safe.
    match unsafe { libc::sigaction(signal, &raw const new, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn forbidden(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    let registers = registers(context);
    let at = |register: c_int| {
        usize::try_from(register)
            .ok()
            .and_then(|at| registers.get(at))
            .copied()
            .unwrap_or(0)
    };
    // The kernel rolls the call back before it sends the signal: RAX holds the
    // call's number again (arch/x86, syscall_rollback).
    let nr = at(libc::REG_RAX);
    let order = [
        libc::REG_RDI,
        libc::REG_RSI,
        libc::REG_RDX,
        libc::REG_R10,
        libc::REG_R8,
        libc::REG_R9,
    ];
    let [a, b, c, d, e, f] = order.map(at);
    let args = [a, b, c, d, e, f].map(i64::cast_unsigned);
    last::say(Last::Forbidden {
        nr: i32::try_from(nr).unwrap_or(-1),
        args,
    });
    // SAFETY: the filter that refused this call with these arguments is still
    // there, so it can't run; it kills.
    unsafe { libc::syscall(nr, a, b, c, d, e, f) };
    exit_now(TRAPPED)
}

extern "C" fn trapped(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel gives a live `siginfo_t` to an SA_SIGINFO handler.
    let info = unsafe { &*info };
    // SAFETY: only read for SIGSEGV and SIGBUS below; for these signals the
    // field is the fault's address, for the others an address too.
    let address = unsafe { info.si_addr() }.addr();
    let stack = usize::try_from(libc::REG_RSP).ok();
    let stack = stack
        .and_then(|at| registers(context).get(at).copied())
        .unwrap_or(0);
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

fn registers(context: *mut c_void) -> [i64; 23] {
    // SAFETY: the kernel gives a live `ucontext_t` to an SA_SIGINFO handler.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs
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
