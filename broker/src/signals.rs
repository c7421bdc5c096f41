//! SIGINT and SIGTERM: the first one ends the run in order, the second at once.

use std::os::fd::{AsFd, OwnedFd};

use gm_manifest::{Code, Refusal};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use crate::ending::EndingKind;
use crate::hub::Hub;

/// Signals as readable events. Made after the launcher was started (which must
/// not inherit the mask) and before any thread (which must).
#[derive(Debug)]
pub struct Signals {
    arrived: SignalFd,
    over: OwnedFd,
}

impl Signals {
    /// From here on the two signals do nothing by themselves.
    pub fn take() -> Result<Self, Refusal> {
        let failed = |error: &dyn std::fmt::Display| {
            Refusal::new(Code::InternalIo, format!("could not take signals: {error}"))
        };
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
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
        loop {
            let mut fds = [
                PollFd::from_borrowed_fd(self.arrived.as_fd(), PollFlags::IN),
                PollFd::new(&self.over, PollFlags::IN),
            ];
            if let Err(error) = poll(&mut fds, None)
                && error != rustix::io::Errno::INTR
            {
                return first;
            }
            while let Ok(Some(info)) = self.arrived.read_signal() {
                let exit = exit_of(info.ssi_signo);
                if first.is_some() {
                    hub.stop_all(EndingKind::KilledByOperator);
                } else {
                    first = Some(exit);
                    hub.interrupt();
                }
            }
            let [_, over] = &fds;
            if !over.revents().is_empty() {
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

/// 128 + the signal, as shells have it.
fn exit_of(signal: u32) -> u8 {
    u8::try_from(signal).map_or(130, |signal| signal.saturating_add(128))
}
