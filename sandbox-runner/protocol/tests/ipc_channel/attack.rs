//! The attacker's end: any bytes and descriptors in one packet.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};

/// Bytes in front of a message: its length with them, and that of the whole.
pub(crate) const HEAD: u64 = 16;

/// Connects to a victim, at a path or, behind `@`, an abstract name.
pub(crate) fn reach(place: &str) -> OwnedFd {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .unwrap();
    let address = match place.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        None => SocketAddrUnix::new(place),
    };
    connect(&socket, &address.unwrap()).unwrap();
    socket
}

/// A packet of an ipc-channel that claims these sizes.
pub(crate) fn packet(fragment: u64, total: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = fragment.to_ne_bytes().to_vec();
    bytes.extend(total.to_ne_bytes());
    bytes.extend(payload);
    bytes
}

/// One whose first size is right.
pub(crate) fn claiming(total: u64, payload: &[u8]) -> Vec<u8> {
    packet(HEAD + payload.len() as u64, total, payload)
}

/// A message that is what it says.
pub(crate) fn message(payload: &[u8]) -> Vec<u8> {
    claiming(payload.len() as u64, payload)
}

/// Bytes as an ipc-channel of `Vec<u8>` encodes them.
pub(crate) fn bytes(len: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    let mut rest = len;
    while rest > 0x7f {
        encoded.push(0x80 | u8::try_from(rest & 0x7f).unwrap());
        rest >>= 7;
    }
    encoded.push(u8::try_from(rest).unwrap());
    encoded.resize(encoded.len() + len, 7);
    encoded
}

/// Sends one packet; false if nobody is there any more.
pub(crate) fn send(socket: &OwnedFd, packet: &[u8]) -> bool {
    send_with(socket, packet, &[])
}

/// Sends one packet with descriptors.
pub(crate) fn send_with(socket: &OwnedFd, packet: &[u8], fds: &[BorrowedFd<'_>]) -> bool {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    }
    let slices = [IoSlice::new(packet)];
    sendmsg(socket, &slices, &mut control, SendFlags::NOSIGNAL).is_ok()
}

/// Sends one packet with a socket whose other end stays here.
pub(crate) fn send_with_socket(socket: &OwnedFd, packet: &[u8]) -> OwnedFd {
    let (theirs, ours) = gm_protocol::link::pair().unwrap();
    assert!(send_with(socket, packet, &[theirs.as_fd()]));
    ours
}
