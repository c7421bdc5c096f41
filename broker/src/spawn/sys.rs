//! The one system call of the broker that no crate wraps.
#![allow(unsafe_code, reason = "SO_PASSRIGHTS has no safe wrapper")]

use std::os::fd::{AsRawFd, BorrowedFd};

/// `SO_PASSRIGHTS` of linux/socket.h, since Linux 6.16.
const SO_PASSRIGHTS: libc::c_int = 83;

/// Makes the kernel refuse descriptors that a peer sends to `socket`. Where
/// the kernel is older, a plain `recv` drops them all the same.
pub(super) fn refuse_descriptors(socket: BorrowedFd<'_>) -> std::io::Result<()> {
    let off: libc::c_int = 0;
    #[expect(clippy::cast_possible_truncation, reason = "the size of a c_int")]
    let len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `off` lives through the call, `len` is its size, and the kernel
    // only reads it (setsockopt(2)).
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const off).cast(),
            len,
        )
    };
    if result == 0 {
        return Ok(());
    }
    match std::io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::ENOPROTOOPT) => Ok(()),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn descriptors_sent_to_the_broker_are_refused_or_dropped() {
        let (broker, runner) = gm_protocol::link::pair().unwrap();
        refuse_descriptors(broker.as_fd()).unwrap();
        let bell = gm_protocol::orders::Doorbell::new(runner);
        let sent = bell.ring(1, &[broker.as_fd()]);
        // EPERM on Linux 6.16 and later; before, the plain recv drops them.
        assert!(
            sent.is_ok() || sent == Err(rustix::io::Errno::PERM),
            "{sent:?}"
        );
    }
}
