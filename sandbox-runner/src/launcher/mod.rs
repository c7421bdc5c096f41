//! The launcher: starts walled processes for the broker, reads them back from
//! outside, and ends them.
//!
//! It owns every constant of a child: namespaces, ids, capabilities, mounts,
//! groups, resource limits, the engine binaries. An order is data and can name
//! none of them. It is small and has one thread; it runs no engine and parses
//! no byte of a plugin.

#[cfg(feature = "apart")]
pub mod apart;
mod cgroup;
mod child;
mod engines;
mod fault;
mod grants;
mod house;
mod ids;
mod level;
mod libraries;
mod limits;
mod look;
mod mounts;
mod orders;
mod probe;
mod serve;
mod settings;
mod start;
mod sweeper;
mod sys;

use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use gm_protocol::PROTOCOL;
use gm_protocol::orders::{Bootstrap, Doorbell, Fault, Ready};
use gm_protocol::trials::Tried;
use gm_protocol::wire::{self, WireError};
use ipc_channel::ipc::{self, IpcSender};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use house::House;
pub use orders::judged;
use serve::Launcher;

/// The most bytes of the bootstrap pipe: a path, two names, a nonce.
const MOST_BYTES: u64 = 64 << 10;

/// Why the launcher could not begin. Whatever comes later is an answer to the
/// broker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// The descriptors that the broker starts it with.
    #[error("could not take the broker's descriptors")]
    Inherited(#[source] Errno),
    /// The bootstrap pipe.
    #[error("could not read the bootstrap pipe")]
    Pipe(#[source] std::io::Error),
    /// Its content.
    #[error("the bootstrap pipe holds something else; gm-launcher is started by gm-broker")]
    Bootstrap(#[source] WireError),
    /// The instance is no name of a group.
    #[error("the instance must be 16 lower-case hex digits")]
    Instance,
    /// The broker's one-shot server.
    #[error("could not reach the broker: {0}")]
    Broker(String),
}

/// The whole life of the launcher, from its inherited descriptors to the
/// broker's end.
///
/// To be called once, first thing in `main`, with one thread.
///
/// # Errors
/// Whatever keeps it from saying `Ready`.
pub fn run() -> Result<(), BeginError> {
    // Executed by descriptor, it would be listed under a number.
    let _ = rustix::thread::set_name(c"gm-launcher");
    // The broker blocks the signals that it reads; neither this process nor a
    // plugin has a use for that. It can't fail: the set is a constant.
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
    // What the operator's shell or service manager left open in the broker is
    // nobody's here, and each child would begin as a copy of it.
    sys::close_from(3).map_err(BeginError::Inherited)?;
    let (bell, pipe) = inherited().map_err(BeginError::Inherited)?;
    let bell = Doorbell::new(bell);
    let bootstrap = read_bootstrap(pipe.into())?;
    // Out of the terminal's process group: Ctrl-C is the broker's to act on.
    // EPERM = a group leader, which is out of it already.
    let _ = rustix::process::setsid();
    // Modes are set explicitly; only others' write bits are never ours.
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let mut house = House::open(
        Path::new(&bootstrap.home),
        &bootstrap.instance,
        bell.as_fd(),
    );
    let examined = match bootstrap.examine {
        true => examine(&mut house),
        false => Vec::new(),
    };
    let broker = |e: &dyn std::fmt::Display| BeginError::Broker(e.to_string());
    let (order_sender, orders) = ipc::channel().map_err(|e| broker(&e))?;
    let (answers, answer_receiver) = ipc::channel().map_err(|e| broker(&e))?;
    let (host, house) = match house {
        Ok(house) => (Ok(house.report()), Some(house)),
        Err(fault) => (Err(fault), None),
    };
    let ready = Ready {
        protocol: PROTOCOL,
        nonce: bootstrap.nonce,
        orders: order_sender,
        answers: answer_receiver,
        host,
        examined,
    };
    let said = IpcSender::connect(bootstrap.server).map(|to| to.send(ready));
    match (said, house) {
        (Ok(Ok(())), Some(house)) => Launcher::new(bell, orders, answers, house).serve(),
        // The broker knows the reason; nothing was made yet.
        (Ok(Ok(())), None) => {}
        (Ok(Err(e)), house) => return Err(abandon(house, &e)),
        (Err(e), house) => return Err(abandon(house, &e)),
    }
    Ok(())
}

/// Tries each thing by itself, also where the launcher can't begin.
fn examine(house: &mut Result<House, Fault>) -> Vec<Tried> {
    probe::all(match house {
        Ok(house) => Ok(house.planted()),
        Err(fault) => Err(format!("the launcher could not begin: {fault}")),
    })
}

/// Leaves nothing behind when the broker could not be reached.
fn abandon(house: Option<House>, why: &dyn std::fmt::Display) -> BeginError {
    if let Some(house) = house {
        house.close();
    }
    BeginError::Broker(why.to_string())
}

/// Doorbell and bootstrap pipe lie where standard input and output do
/// ([`gm_protocol::orders::FD_DOORBELL`]). They move away, and /dev/null takes
/// their places, so that nothing opened later gets one of these numbers.
fn inherited() -> Result<(OwnedFd, OwnedFd), Errno> {
    let aside = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let bell = aside(std::io::stdin().as_fd())?;
    let pipe = aside(std::io::stdout().as_fd())?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok((bell, pipe))
}

fn read_bootstrap(pipe: std::fs::File) -> Result<Bootstrap, BeginError> {
    let mut text = Vec::new();
    pipe.take(MOST_BYTES)
        .read_to_end(&mut text)
        .map_err(BeginError::Pipe)?;
    let bootstrap: Bootstrap = wire::decode(&text).map_err(BeginError::Bootstrap)?;
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if bootstrap.instance.len() != 16 || !bootstrap.instance.bytes().all(hex) {
        return Err(BeginError::Instance);
    }
    Ok(bootstrap)
}
