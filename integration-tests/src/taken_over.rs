//! A process that somebody has taken over: by ptrace(2) it makes one call after another,
//! behind whatever stands round it. Needs CAP_SYS_PTRACE over it. x86-64.

use std::time::Duration;

use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::bait::{Victim, Whose};
use crate::kernel::{Process, within};

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The kernel's answer: less than 0 is an errno, negated.
    Value(i64),
    /// A filter's answer: SIGSYS.
    Killed,
}

/// A process in a stop, which goes on when this is dropped, as if nothing had been.
pub struct TakenOver {
    pid: Pid,
    before: Option<user_regs_struct>,
    /// Where what it is given lies next.
    room: u64,
}

/// The error of who may not trace it.
pub const DENIED: &str = "attach: EPERM";
/// `syscall`, the last instruction of whoever waits in a call.
const SYSCALL: u64 = 0x050f;
/// Below its stack, beyond the 128 bytes that a leaf function may use there.
const BELOW: u64 = 2048;

fn why<T>(what: &str, result: nix::Result<T>) -> Result<T, String> {
    result.map_err(|errno| format!("{what}: {errno:?}"))
}

impl TakenOver {
    /// Takes over a process that waits in a call.
    ///
    /// # Errors
    /// It can't be traced, or doesn't wait in one.
    pub fn new(pid: u32) -> Result<Self, String> {
        let pid = i32::try_from(pid).map_err(|_| format!("no process {pid}"))?;
        let pid = Pid::from_raw(pid);
        match ptrace::attach(pid) {
            Err(Errno::EPERM) => return Err(DENIED.to_owned()),
            attached => why("attach", attached)?,
        }
        // From here on it is let go whatever happens.
        let mut own = Self {
            pid,
            before: None,
            room: 0,
        };
        let stop = why("stop", waitpid(pid, Some(WaitPidFlag::__WALL)))?;
        if !matches!(stop, WaitStatus::Stopped(..)) {
            return Err(format!("it does not stop: {stop:?}"));
        }
        let before = why("registers", ptrace::getregs(pid))?;
        (own.before, own.room) = (Some(before), (before.rsp - BELOW) & !0xf);
        let at = before.rip - 2;
        let word = why("code", ptrace::read(pid, at as ptrace::AddressType))?;
        match word.cast_unsigned() & 0xffff {
            SYSCALL => Ok(own),
            other => Err(format!("it does not wait in a call: {other:#x} there")),
        }
    }

    /// Puts bytes into its memory; where.
    ///
    /// # Errors
    /// There is none.
    pub fn put(&mut self, bytes: &[u8]) -> Result<u64, String> {
        let place = self.room;
        for (number, part) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            let at = place + 8 * number as u64;
            let word = i64::from_le_bytes(word);
            why(
                "memory",
                ptrace::write(self.pid, at as ptrace::AddressType, word),
            )?;
        }
        self.room -= (bytes.len() as u64).next_multiple_of(16);
        Ok(place)
    }

    /// Has it make a call.
    ///
    /// # Errors
    /// It is gone, or does something else.
    pub fn call(&mut self, number: u64, args: [u64; 3]) -> Result<Said, String> {
        let mut registers = self.before.ok_or("it was never stopped")?;
        registers.rip -= 2;
        registers.orig_rax = u64::MAX; // no call is to be restarted
        registers.rax = number;
        [registers.rdi, registers.rsi, registers.rdx] = args;
        why("registers", ptrace::setregs(self.pid, registers))?;
        why("step", ptrace::step(self.pid, None))?;
        match why("call", waitpid(self.pid, Some(WaitPidFlag::__WALL)))? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let after = why("registers", ptrace::getregs(self.pid))?;
                Ok(Said::Value(after.rax.cast_signed()))
            }
            WaitStatus::Stopped(_, Signal::SIGSYS) | WaitStatus::Signaled(_, Signal::SIGSYS, _) => {
                Ok(Said::Killed)
            }
            other => Err(format!("call {number}: {other:?}")),
        }
    }
}

impl Drop for TakenOver {
    fn drop(&mut self) {
        // What is dead, or has become another program, has no use for them.
        let _ = self.before.map(|before| ptrace::setregs(self.pid, before));
        let _ = ptrace::detach(self.pid, None);
    }
}

/// A process of nobody's that waits, with no wall round it.
pub struct Unconfined(Victim);

impl Unconfined {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no `sleep`, or it doesn't come to its wait.
    #[must_use]
    pub fn start() -> Self {
        let victim = Victim::start("", Whose::Nobody).unwrap();
        let asleep = || {
            let process = Process::find(victim.pid());
            let is =
                |it: Process| it.status("State").starts_with('S') && it.status("Name") == "sleep";
            process.is_some_and(is)
        };
        assert!(within(UP, asleep), "it does not sleep");
        Self(victim)
    }

    /// Takes it over.
    ///
    /// # Errors
    /// It can't be traced.
    pub fn take_over(&mut self) -> Result<TakenOver, String> {
        TakenOver::new(self.0.pid())
    }
}

/// How long the scene may take.
const UP: Duration = Duration::from_secs(10);
