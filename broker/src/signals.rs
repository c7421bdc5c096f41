//! SIGINT, SIGTERM and SIGHUP: the first one ends the run in order, the second at
//! once.

use std::os::fd::{AsFd, OwnedFd};

use gm_manifest::{Code, Refusal};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::ending::EndingKind;
use crate::hub::Hub;

/// How long plugins and source have after the second signal.
const AT_ONCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Signals as readable events. Made before any thread, which must inherit the
/// mask. The launcher inherits it too, and clears it.
#[derive(Debug)]
pub struct Signals {
    arrived: SignalFd,
    over: OwnedFd,
}

impl Signals {
    /// From here on the signals do nothing by themselves. One that the caller told
    /// us to ignore (`nohup`) stays ignored.
    pub fn take() -> Result<Self, Refusal> {
        let failed = |error: &dyn std::fmt::Display| {
            Refusal::new(
                Code::InternalPanic,
                format!("could not take signals: {error}"),
            )
        };
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        if !ignores_hangup() {
            set.add(Signal::SIGHUP);
        }
        set.thread_block().map_err(|error| failed(&error))?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let arrived = SignalFd::with_flags(&set, flags).map_err(|error| failed(&error))?;
        let over = eventfd(0, EventfdFlags::CLOEXEC).map_err(|error| failed(&error))?;
        Ok(Self { arrived, over })
    }

    /// Waits for one of them: the exit code that it asks for, if it came.
    #[must_use]
    pub fn arrived(&self, at_most: std::time::Duration) -> Option<u8> {
        let mut fds = [PollFd::from_borrowed_fd(
            self.arrived.as_fd(),
            PollFlags::IN,
        )];
        let timeout = rustix::event::Timespec::try_from(at_most).ok();
        // An interrupted wait is a short one.
        let _ = poll(&mut fds, timeout.as_ref());
        self.arrived
            .read_signal()
            .ok()
            .flatten()
            .map(|info| exit_of(info.ssi_signo))
    }

    /// Carries signals out until [`Signals::finish`]; gives the exit code that
    /// the first one asks for.
    pub fn serve(&self, hub: &Hub) -> Option<u8> {
        let mut first = None;
        let mut deadline: Option<std::time::Instant> = None;
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.arrived.as_fd(), PollFlags::IN),
                PollFd::new(&self.over, PollFlags::IN),
            ];
            let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
            let left = left.and_then(|left| rustix::event::Timespec::try_from(left).ok());
            match poll(&mut fds, left.as_ref()) {
                // The source hangs in a system call. The launcher ends what lives.
                Ok(0) => std::process::exit(i32::from(first.unwrap_or(1))),
                Err(error) if error != rustix::io::Errno::INTR => return first,
                _ => {}
            }
            while let Ok(Some(info)) = self.arrived.read_signal() {
                let exit = exit_of(info.ssi_signo);
                if first.is_some() {
                    hub.stop_all(EndingKind::KilledByOperator);
                    deadline.get_or_insert_with(|| std::time::Instant::now() + AT_ONCE);
                } else {
                    first = Some(exit);
                    hub.interrupt();
                }
            }
            let [_, over] = &fds;
            if !over.revents().is_empty() {
                // Taken back: another run may follow.
                let _ = rustix::io::read(&self.over, &mut [0; 8]);
                return first;
            }
        }
    }

    /// Ends [`Signals::serve`].
    pub fn finish(&self) {
        // Only a counter at its maximum refuses, and then it is readable.
        let _ = rustix::io::write(&self.over, &1_u64.to_ne_bytes());
    }
}

/// Whether SIGHUP is ignored, as proc_pid_status(5) has it: bit 0 is signal 1. A
/// blocked signal would be read here all the same.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 != 0)
}

/// 128 + the signal, as shells have it.
fn exit_of(signal: u32) -> u8 {
    u8::try_from(signal).map_or(130, |signal| signal.saturating_add(128))
}
