//! Who clears away when the launcher itself is killed.
//!
//! By then the broker has given up every privilege and can't remove a group
//! whose parent isn't its own. So the launcher leaves a copy of itself behind
//! that holds one descriptor, takes no order and sleeps until the launcher is
//! dead.

use std::os::fd::AsFd as _;

use gm_protocol::orders::Fault;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::fault::config;
use super::house::House;
use super::start::Process;
use super::sys::{self, Side};

/// The sleeping copy, as the launcher holds it.
#[derive(Debug)]
pub(crate) struct Sweeper(Process);

impl Sweeper {
    /// Leaves the copy behind. The launcher must have one thread still.
    pub(crate) fn leave(house: &mut House) -> Result<Self, Fault> {
        let errno = |errno: Errno| config("sweeper", errno.to_string());
        let launcher = pidfd_open(getpid(), PidfdFlags::empty()).map_err(errno)?;
        match sys::clone_plain().map_err(errno)? {
            Side::Parent { pid, pidfd } => Ok(Self(Process::new(pid, pidfd))),
            Side::Child => {
                // The one descriptor, as standard input; else it would keep
                // others from seeing the launcher hang up.
                let ready = rustix::stdio::dup2_stdin(&launcher);
                if ready.and_then(|()| sys::close_from(1)).is_ok() {
                    sleep();
                    house.clear();
                }
                sys::exit_now(0)
            }
        }
    }

    /// An orderly end leaves nothing to clear away.
    pub(crate) fn dismiss(mut self) {
        self.0.end();
    }
}

/// Until the launcher, which is standard input, is dead.
fn sleep() {
    let _ = rustix::thread::set_name(c"gm-sweeper");
    let stdin = std::io::stdin();
    let mut launcher = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
    while poll(&mut launcher, None) == Err(Errno::INTR) {}
}
