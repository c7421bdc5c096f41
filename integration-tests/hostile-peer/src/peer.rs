//! The link's end with nothing held back: any bytes, any header, descriptors.

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, FromRawFd};
use std::time::Duration;

use gm_protocol::link::{HEADER, MAGIC, MAX_FRAME, encode_frame, open_frame};
use gm_protocol::message::{FromRunner, Report, ToRunner};
use gm_protocol::plan::{FD_ASSETS, FD_LINK, FD_MODULE, INNER_ID};
use gm_protocol::{PROTOCOL, wire};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// The hostile end.
pub struct Peer {
    link: File,
    /// The sequence number that the broker expects next.
    pub seq: u32,
    host_calls: u32,
}

impl Peer {
    /// Takes the inherited descriptor.
    pub fn inherit() -> Self {
        #[expect(
            unsafe_code,
            reason = "nothing else gives an inherited descriptor an owner"
        )]
        // SAFETY: the launcher hands the link over as this number, and nothing
        // else in this process uses it.
        let link = unsafe { File::from_raw_fd(FD_LINK) };
        Self {
            link,
            seq: 0,
            host_calls: 0,
        }
    }

    /// The broker's next message; none if the link is over.
    pub fn recv(&mut self) -> Option<ToRunner> {
        let mut frame = vec![0; MAX_FRAME];
        let len = self.link.read(&mut frame).ok().filter(|len| *len > 0)?;
        let (_, body) = open_frame(frame.get(..len)?).ok()?;
        wire::decode(body).ok()
    }

    /// Reads the rest of a document away.
    pub fn skip_parts(&mut self, more: bool) -> Option<()> {
        let mut open = more;
        while open {
            let ToRunner::Part { last, .. } = self.recv()? else {
                return None;
            };
            open = !last;
        }
        Some(())
    }

    /// Sends a message as it should be sent.
    pub fn send(&mut self, message: &FromRunner) -> Option<()> {
        let seq = self.seq;
        self.seq += 1;
        self.send_as(message, seq)
    }

    /// Sends a message with another sequence number.
    pub fn send_as(&mut self, message: &FromRunner, seq: u32) -> Option<()> {
        let mut frame = vec![0; MAX_FRAME];
        let len = encode_frame(message, seq, &mut frame).ok()?;
        self.raw(frame.get(..len)?)
    }

    /// Sends a frame with this body behind a right header.
    pub fn send_body(&mut self, body: &[u8]) -> Option<()> {
        let len = u32::try_from(body.len()).ok()?;
        let seq = self.seq;
        self.seq += 1;
        self.send_words([MAGIC, len, seq, 0], body)
    }

    /// Sends a frame with this header.
    pub fn send_words(&mut self, header: [u32; 4], body: &[u8]) -> Option<()> {
        let mut frame = Vec::with_capacity(HEADER + body.len());
        for word in header {
            frame.extend(word.to_le_bytes());
        }
        frame.extend(body);
        self.raw(&frame)
    }

    /// Sends one packet.
    pub fn raw(&mut self, packet: &[u8]) -> Option<()> {
        self.link.write(packet).ok().map(|_| ())
    }

    /// Sends one packet with as many descriptors as fit; without them if the
    /// kernel refuses to pass any to the other end (EPERM, Linux 6.16).
    pub fn raw_with_descriptors(&mut self, packet: &[u8]) -> Option<()> {
        let fds = [self.link.as_fd(); 64];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control
            .push(SendAncillaryMessage::ScmRights(&fds))
            .then_some(())?;
        let sent = sendmsg(
            &self.link,
            &[IoSlice::new(packet)],
            &mut control,
            SendFlags::empty(),
        );
        match sent {
            Err(rustix::io::Errno::PERM) => self.raw(packet),
            sent => sent.ok().map(|_| ()),
        }
    }

    /// The bytes of a message in a right frame, which counts as sent.
    pub fn frame(&mut self, message: &FromRunner) -> Option<Vec<u8>> {
        let mut frame = vec![0; MAX_FRAME];
        let len = encode_frame(message, self.seq, &mut frame).ok()?;
        self.seq += 1;
        frame.truncate(len);
        Some(frame)
    }

    /// The number of the next call of the host, as the broker counts them.
    pub fn next_host_call(&mut self) -> u32 {
        self.host_calls += 1;
        self.host_calls - 1
    }

    /// Answers a call.
    pub fn done(&mut self, call: u32, reply: &[u8]) -> Option<()> {
        self.send(&answer(call, reply))
    }

    /// One packet, as large as the kernel lets this process make it.
    pub fn raw_largest(&mut self) -> Option<()> {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&self.link, 4 << 20);
        let sizes = [1 << 20, 512 << 10, 256 << 10, 128 << 10];
        sizes.iter().find_map(|size| self.raw(&vec![0x5a; *size]))
    }

    /// Has the kernel add credentials to whatever it receives.
    pub fn ask_for_credentials(&mut self) -> Option<()> {
        rustix::net::sockopt::set_socket_passcred(&self.link, true).ok()
    }

    /// Ends one direction of the link.
    pub fn shut_down_writing(&mut self) -> Option<()> {
        rustix::net::shutdown(&self.link, rustix::net::Shutdown::Write).ok()
    }

    /// A second descriptor of the link, kept open for ever.
    pub fn leak(&mut self) -> Option<()> {
        std::mem::forget(self.link.try_clone().ok()?);
        Some(())
    }
}

/// The module that is to be compiled, as text.
pub fn module() -> Option<String> {
    #[expect(
        unsafe_code,
        reason = "nothing else gives an inherited descriptor an owner"
    )]
    // SAFETY: the launcher hands the module over as this number, and nothing
    // else in this process uses it.
    let module = unsafe { File::from_raw_fd(FD_MODULE) };
    let mut text = vec![0; 64];
    let len = std::os::unix::fs::FileExt::read_at(&module, &mut text, 0).ok()?;
    // Open to the end, as an honest compiler has it.
    std::mem::forget(module);
    text.truncate(len);
    String::from_utf8(text).ok()
}

/// An honest answer.
pub fn answer(call: u32, reply: &[u8]) -> FromRunner {
    FromRunner::Done {
        call,
        status: 0,
        has: true,
        more: false,
        bytes: reply.to_vec(),
    }
}

/// What an honest runner says of itself.
pub fn report() -> Report {
    Report {
        protocol: PROTOCOL,
        uids: [INNER_ID; 3],
        gids: [INNER_ID; 3],
        caps: 0,
        no_new_privs: true,
        dumpable: false,
        landlock_abi: u32::MAX,
        root_refused: true,
        soft_refused: true,
        fds: 0b1111,
    }
}

/// Installs filters that allow everything.
pub fn install_filters(count: u32) -> Option<()> {
    /// `BPF_RET | BPF_K` and `SECCOMP_RET_ALLOW` of the kernel's headers.
    const ALLOW: seccompiler::sock_filter = seccompiler::sock_filter {
        code: 0x06,
        jt: 0,
        jf: 0,
        k: 0x7fff_0000,
    };
    for _ in 0..count {
        seccompiler::apply_filter(&[ALLOW]).ok()?;
    }
    Some(())
}

/// Installs a filter that kills at `shutdown(2)` (48 on x86-64), which nobody needs.
pub fn install_deadly_filter() -> Option<()> {
    let op = |code, jt, jf, k| seccompiler::sock_filter { code, jt, jf, k };
    let program = [
        op(0x20, 0, 0, 0),           // load the call's number
        op(0x15, 0, 1, 48),          // is it this one?
        op(0x06, 0, 0, 0x8000_0000), // SECCOMP_RET_KILL_PROCESS
        op(0x06, 0, 0, 0x7fff_0000), // SECCOMP_RET_ALLOW
    ];
    seccompiler::apply_filter(&program).ok()
}

/// Makes the process as an honest one is before its report.
pub fn prepare() -> Option<()> {
    nix::sys::prctl::set_dumpable(false).ok()
}

/// Closes the package's files, as an honest runner does before its first call.
pub fn close_assets() {
    let _ = nix::unistd::close(FD_ASSETS);
}

/// Does nothing until it is killed.
pub fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
