//! Handlers of the signals that end a walled process: they say why, then end it.
//!
//! Nothing here returns to the code that was interrupted, takes memory or
//! trusts what lies in memory: the interrupted code may be hostile.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;

use gm_protocol::message::Last;

use super::exit_now;
use crate::walls::last::{self, TRAPPED};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the registers of a forbidden call are known for x86-64 only");

pub(super) type Action = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// SIGSYS: names the call that a filter refused, then makes it again. The
/// signal is masked now, so the kernel kills the process for it: the wait
/// status says "bad system call", whatever the frame said.
pub(crate) fn report_forbidden_calls() -> io::Result<()> {
    install(libc::SIGSYS, forbidden)
}

/// Faults end the process by their signal: std's own handler for a full stack
/// would make calls that the filters kill for.
#[cfg(any(
    feature = "apart",
    feature = "compile-wasm",
    feature = "scripts",
    feature = "http",
    feature = "native",
    feature = "program"
))]
pub(crate) fn leave_faults() -> io::Result<()> {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the default action runs no code of ours.
        if unsafe { libc::signal(signal, libc::SIG_DFL) } == libc::SIG_ERR {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// What a filter refuses kills at once, and this signal has no handler that somebody
/// else could call: the first process of a pid namespace is then deaf to it.
#[cfg(feature = "program")]
pub(crate) fn leave_forbidden_calls() -> io::Result<()> {
    // SAFETY: the default action runs no code of ours.
    match unsafe { libc::signal(libc::SIGSYS, libc::SIG_DFL) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

pub(super) fn install(signal: c_int, action: Action) -> io::Result<()> {
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
    let at = |register| value(&registers, register);
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

/// The interrupted code's registers, in the order of `libc::REG_*`.
pub(super) fn registers(context: *mut c_void) -> [i64; 23] {
    // SAFETY: the kernel gives a live `ucontext_t` to an SA_SIGINFO handler.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs
}

/// One of them.
pub(super) fn value(registers: &[i64; 23], register: c_int) -> i64 {
    let register = usize::try_from(register).ok();
    register
        .and_then(|at| registers.get(at))
        .copied()
        .unwrap_or(0)
}
