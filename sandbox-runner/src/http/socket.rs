//! Sockets whose every wait ends at one absolute deadline, however slowly the
//! other end drips.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

/// A moment after which nothing is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub(super) fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// What is left of it.
    pub(super) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// The earlier one of this and so long from now.
    pub(super) fn within(self, time: Duration) -> Self {
        Self(self.0.min(Instant::now() + time))
    }
}

/// A connected socket.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    deadline: Deadline,
}

impl Socket {
    /// Connects by TCP to this very address.
    pub(super) fn tcp(to: SocketAddr, deadline: Deadline) -> io::Result<Self> {
        let socket = Self::open(to, SocketType::STREAM, deadline)?;
        match connect(&socket.fd, &to) {
            Ok(()) => return Ok(socket),
            Err(Errno::INPROGRESS | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        socket.wait(PollFlags::OUT)?;
        socket_error(&socket.fd)??;
        Ok(socket)
    }

    /// A datagram socket that hears nobody but `to`.
    pub(super) fn udp(to: SocketAddr, deadline: Deadline) -> io::Result<Self> {
        let socket = Self::open(to, SocketType::DGRAM, deadline)?;
        connect(&socket.fd, &to)?;
        Ok(socket)
    }

    /// Moves the deadline of all that follows.
    pub(super) fn until(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    fn open(to: SocketAddr, kind: SocketType, deadline: Deadline) -> io::Result<Self> {
        let family = match to {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(family, kind, flags, None)?;
        Ok(Self { fd, deadline })
    }

    fn wait(&self, events: PollFlags) -> io::Result<()> {
        loop {
            let left = self.deadline.left();
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::TimedOut)?;
            let mut fds = [PollFd::from_borrowed_fd(self.fd.as_fd(), events)];
            match poll(&mut fds, Some(&left)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Does `act` once the socket is ready for it.
    fn when_ready<T>(
        &self,
        events: PollFlags,
        mut act: impl FnMut(&OwnedFd) -> Result<T, Errno>,
    ) -> io::Result<T> {
        loop {
            // Asked first: who sends without a pause gets no more time than others.
            if self.deadline.left().is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match act(&self.fd) {
                Ok(done) => return Ok(done),
                Err(Errno::AGAIN) => self.wait(events)?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::IN, |fd| rustix::io::read(fd, &mut *buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.when_ready(PollFlags::OUT, |fd| rustix::io::write(fd, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn bytes_that_drip_do_not_move_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let dripping = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            while peer.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let begun = Instant::now();
        let deadline = Deadline::after(Duration::from_millis(300));
        let mut socket = Socket::tcp(to, deadline).unwrap();
        let mut all = Vec::new();
        let error = socket.read_to_end(&mut all).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(!all.is_empty() && begun.elapsed() < Duration::from_secs(2));
        drop(socket);
        dripping.join().unwrap();
    }

    #[test]
    fn nobody_at_an_address_is_an_error_at_once() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = free.local_addr().unwrap();
        drop(free);
        let refused = Socket::tcp(to, Deadline::after(Duration::from_secs(5))).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}
