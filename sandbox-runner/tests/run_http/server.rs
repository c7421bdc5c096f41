//! Servers on loopback that note who came: HTTP, and a nameserver.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// A server whose requests are kept.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each connection by `answer`, which gets its number and the request.
    pub(crate) fn on(
        address: &str,
        answer: impl Fn(usize, &str, &mut TcpStream) -> std::io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(mut stream) = stream else { return };
                // Also one that says nothing came.
                kept.lock().unwrap().push(String::new());
                let request = read(&mut stream);
                *kept.lock().unwrap().last_mut().unwrap() = request.clone();
                let _ = answer(number, &request, &mut stream);
            }
        });
        Self { address, seen }
    }

    /// Answers each request with the same text.
    pub(crate) fn saying(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::on("127.0.0.1:0", move |_, _, stream| {
            stream.write_all(text.as_bytes())
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// One request, with the body that its head announces.
fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        bytes.push(byte[0]);
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if stream.read_exact(&mut body).is_ok() {
        text.push_str(&String::from_utf8_lossy(&body));
    }
    text
}

/// A response with this body.
pub(crate) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A redirect to there.
pub(crate) fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} There\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

/// What the nameserver says to one question.
pub(crate) enum Says {
    These(Vec<IpAddr>),
    NoSuchName,
    /// Too long for a datagram: asked again over TCP.
    Long(Vec<IpAddr>),
    /// First a forged answer with another number, then the right one.
    AfterForgery(IpAddr, IpAddr),
    Nothing,
}

/// One free port for both. That of one protocol may be somebody's of the other.
fn both_protocols() -> (UdpSocket, TcpListener) {
    let pair = || {
        let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
        let listener = TcpListener::bind(socket.local_addr().ok()?).ok()?;
        Some((socket, listener))
    };
    (0..100)
        .find_map(|_| pair())
        .expect("a port that is free for both")
}

/// A nameserver; the questions are kept, each with its kind.
pub(crate) struct Nameserver {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Nameserver {
    /// `says` gets the name, whether IPv6 is asked for, and how many questions there
    /// were before.
    pub(crate) fn start(says: impl Fn(&str, bool, usize) -> Says + Send + Sync + 'static) -> Self {
        let (socket, listener) = both_protocols();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let says = Arc::new(says);
        let (kept, same) = (Arc::clone(&asked), Arc::clone(&says));
        std::thread::spawn(move || {
            let mut bytes = [0; 600];
            while let Ok((len, from)) = socket.recv_from(&mut bytes) {
                for answer in answers(&bytes[..len], &*says, &kept, false) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut bytes).unwrap();
                for answer in answers(&bytes, &*same, &kept, true) {
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    let _ = stream.write_all(&[&length, &answer[..]].concat());
                }
            }
        });
        Self { address, asked }
    }

    /// The questions so far, such as `A a.example` or `TCP A a.example`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answers(
    question: &[u8],
    says: &(impl Fn(&str, bool, usize) -> Says + ?Sized),
    kept: &Mutex<Vec<String>>,
    by_tcp: bool,
) -> Vec<Vec<u8>> {
    let packet = Packet::parse(question).unwrap();
    let [asked] = packet.questions.as_slice() else {
        panic!("not one question")
    };
    let six = asked.qtype == QTYPE::TYPE(TYPE::AAAA);
    let name = asked.qname.to_string();
    let before = {
        let mut kept = kept.lock().unwrap();
        let (tcp, kind) = (
            if by_tcp { "TCP " } else { "" },
            if six { "AAAA" } else { "A" },
        );
        kept.push(format!("{tcp}{kind} {name}"));
        kept.len() - 1
    };
    let reply = |addresses: &[IpAddr], id: u16, flags: PacketFlag, code: RCODE| {
        let mut reply = Packet::parse(question).unwrap().into_reply();
        reply.set_id(id);
        reply.set_flags(flags);
        *reply.rcode_mut() = code;
        let records = addresses.iter().filter(|ip| ip.is_ipv6() == six).map(|ip| {
            let data = match ip {
                IpAddr::V4(ip) => RData::A(A {
                    address: ip.to_bits(),
                }),
                IpAddr::V6(ip) => RData::AAAA(AAAA {
                    address: ip.to_bits(),
                }),
            };
            ResourceRecord::new(asked.qname.clone(), CLASS::IN, 0, data)
        });
        reply.answers = records.collect();
        reply.build_bytes_vec().unwrap()
    };
    let (id, none) = (packet.id(), PacketFlag::RECURSION_AVAILABLE);
    match says(&name, six, before) {
        Says::These(addresses) => vec![reply(&addresses, id, none, RCODE::NoError)],
        Says::NoSuchName => vec![reply(&[], id, none, RCODE::NameError)],
        Says::Long(addresses) if by_tcp => vec![reply(&addresses, id, none, RCODE::NoError)],
        Says::Long(_) => vec![reply(&[], id, PacketFlag::TRUNCATION, RCODE::NoError)],
        Says::AfterForgery(wrong, right) => vec![
            reply(&[wrong], id.wrapping_add(1), none, RCODE::NoError),
            reply(&[right], id, none, RCODE::NoError),
        ],
        Says::Nothing => Vec::new(),
    }
}
