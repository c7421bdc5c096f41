//! Finds the addresses of a name: in what the host knows by itself, else by asking
//! the nameservers, over UDP and, where the answer is too long for it, TCP.
//!
//! An answer counts if it came from the server that was asked, with the number that
//! was drawn at random and the question that was put. Nothing is kept: an address is
//! used for the one connection that it was asked for.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use gm_protocol::plan::KnownHost;
use rustls::crypto::SecureRandom;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

use super::fault::{Class, Fault};
use super::socket::{Deadline, Socket};

/// How long one server may take before the next one is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often all servers are asked.
const ROUNDS: usize = 2;
/// The largest datagram without EDNS (RFC 1035, 4.2.1).
const DATAGRAM: usize = 512;
/// The most names that an answer may lead through.
const CHAIN: usize = 8;
/// The most addresses of a name.
const MOST_ADDRESSES: usize = 8;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// Whom to ask.
#[derive(Debug)]
pub(super) struct Resolver {
    servers: Vec<SocketAddr>,
    known: Vec<KnownHost>,
    random: &'static dyn SecureRandom,
}

/// What a server said of one kind of address.
enum Said {
    Addresses(Vec<IpAddr>),
    /// Too long for a datagram.
    Cut,
}

impl Resolver {
    pub(super) fn new(
        servers: Vec<SocketAddr>,
        known: Vec<KnownHost>,
        random: &'static dyn SecureRandom,
    ) -> Self {
        Self {
            servers,
            known,
            random,
        }
    }

    /// The addresses of a name that are of one family; there may be none.
    pub(super) fn addresses(
        &self,
        name: &str,
        family: Family,
        deadline: Deadline,
    ) -> Result<Vec<IpAddr>, Fault> {
        // Never asked for, whatever the servers say (RFC 6761).
        let own = match name == "localhost" || name.ends_with(".localhost") {
            true => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            false => self.known_of(name),
        };
        if !own.is_empty() {
            let of_family = |address: &IpAddr| address.is_ipv4() == (family == Family::V4);
            return Ok(own.into_iter().filter(of_family).collect());
        }
        match family {
            Family::V4 => self.ask(name, TYPE::A, deadline),
            Family::V6 => self.ask(name, TYPE::AAAA, deadline),
        }
    }

    fn known_of(&self, name: &str) -> Vec<IpAddr> {
        let known = self.known.iter().filter(|known| known.name == name);
        known.map(|known| known.address).collect()
    }

    fn ask(&self, name: &str, kind: TYPE, deadline: Deadline) -> Result<Vec<IpAddr>, Fault> {
        if self.servers.is_empty() {
            return Err(Fault::net(Class::Dns, "the host names no nameserver"));
        }
        let mut last = Fault::net(Class::Dns, "no nameserver answers");
        for server in (0..ROUNDS).flat_map(|_| &self.servers) {
            if deadline.left().is_zero() {
                return Err(Fault::net(Class::Time, "no nameserver answers"));
            }
            match self.ask_one(*server, name, kind, deadline.within(PATIENCE)) {
                Ok(addresses) => return Ok(addresses),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    fn ask_one(
        &self,
        server: SocketAddr,
        name: &str,
        kind: TYPE,
        deadline: Deadline,
    ) -> Result<Vec<IpAddr>, Fault> {
        let failed = |error: io::Error| Fault::net(Class::Dns, error.kind().to_string());
        let id = self.number()?;
        let question = question(id, name, kind)?;
        let mut socket = Socket::udp(server, deadline).map_err(failed)?;
        socket.write_all(&question).map_err(failed)?;
        let mut datagram = [0; DATAGRAM];
        loop {
            let len = socket.read(&mut datagram).map_err(failed)?;
            // What is no answer to this question may be somebody's guess: go on.
            match read(datagram.get(..len).unwrap_or_default(), id, name, kind) {
                Some(Ok(Said::Addresses(addresses))) => return Ok(addresses),
                Some(Ok(Said::Cut)) => break,
                Some(Err(fault)) => return Err(fault),
                None => {}
            }
        }
        let answer = by_tcp(server, &question, deadline).map_err(failed)?;
        match read(&answer, id, name, kind) {
            Some(Ok(Said::Addresses(addresses))) => Ok(addresses),
            Some(Err(fault)) => Err(fault),
            Some(Ok(Said::Cut)) | None => Err(Fault::net(Class::Dns, "no answer to the question")),
        }
    }

    fn number(&self) -> Result<u16, Fault> {
        let mut bytes = [0; 2];
        match self.random.fill(&mut bytes) {
            Ok(()) => Ok(u16::from_le_bytes(bytes)),
            Err(_) => Err(Fault::net(Class::Dns, "no random number")),
        }
    }
}

fn question(id: u16, name: &str, kind: TYPE) -> Result<Vec<u8>, Fault> {
    let bad = |error: simple_dns::SimpleDnsError| Fault::net(Class::Dns, error.to_string());
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).map_err(bad)?;
    let question = Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false);
    packet.questions.push(question);
    packet.build_bytes_vec().map_err(bad)
}

/// The same over TCP, where each message has its length in front (RFC 1035, 4.2.2).
fn by_tcp(server: SocketAddr, question: &[u8], deadline: Deadline) -> io::Result<Vec<u8>> {
    let mut socket = Socket::tcp(server, deadline)?;
    let len = u16::try_from(question.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    socket.write_all(&[&len.to_be_bytes(), question].concat())?;
    let mut len = [0; 2];
    socket.read_exact(&mut len)?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    socket.read_exact(&mut answer)?;
    Ok(answer)
}

/// What a packet says; `None` = it is no answer to this question.
fn read(bytes: &[u8], id: u16, name: &str, kind: TYPE) -> Option<Result<Said, Fault>> {
    let packet = Packet::parse(bytes).ok()?;
    let asked = Name::new(name).ok()?;
    let [question] = packet.questions.as_slice() else {
        return None;
    };
    let ours = packet.id() == id
        && packet.has_flags(PacketFlag::RESPONSE)
        && same(&question.qname, &asked)
        && question.qtype == QTYPE::TYPE(kind)
        && question.qclass == QCLASS::CLASS(CLASS::IN);
    if !ours {
        return None;
    }
    if packet.has_flags(PacketFlag::TRUNCATION) {
        return Some(Ok(Said::Cut));
    }
    Some(match packet.rcode() {
        RCODE::NoError => Ok(Said::Addresses(addresses(&packet, asked))),
        RCODE::NameError => Ok(Said::Addresses(Vec::new())),
        other => Err(Fault::net(
            Class::Dns,
            format!("the nameserver says {other:?}"),
        )),
    })
}

/// The addresses of the name itself, or of the one that its aliases lead to.
fn addresses<'a>(packet: &'a Packet<'a>, asked: Name<'a>) -> Vec<IpAddr> {
    let mut name = asked;
    for _ in 0..CHAIN {
        let of_name = || {
            packet
                .answers
                .iter()
                .filter(|record| record.class == CLASS::IN && same(&record.name, &name))
        };
        let found: Vec<IpAddr> = of_name()
            .filter_map(|record| match &record.rdata {
                RData::A(a) => Some(Ipv4Addr::from(a.address).into()),
                RData::AAAA(a) => Some(Ipv6Addr::from(a.address).into()),
                _ => None,
            })
            .take(MOST_ADDRESSES)
            .collect();
        let alias = of_name().find_map(|record| match &record.rdata {
            RData::CNAME(alias) => Some(alias.0.clone()),
            _ => None,
        });
        match (found.is_empty(), alias) {
            (true, Some(alias)) => name = alias,
            _ => return found,
        }
    }
    Vec::new()
}

/// Names are compared without a look at case (RFC 1035, 2.3.3).
fn same(one: &Name<'_>, other: &Name<'_>) -> bool {
    let (one, other) = (one.get_labels(), other.get_labels());
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(a, b)| a.as_ref().eq_ignore_ascii_case(b.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CNAME};

    fn a(name: &str, address: [u8; 4]) -> ResourceRecord<'_> {
        let address = u32::from_be_bytes(address);
        ResourceRecord::new(
            Name::new(name).unwrap(),
            CLASS::IN,
            60,
            RData::A(A { address }),
        )
    }

    fn alias<'a>(name: &'a str, to: &'a str) -> ResourceRecord<'a> {
        let to = CNAME(Name::new(to).unwrap());
        ResourceRecord::new(Name::new(name).unwrap(), CLASS::IN, 60, RData::CNAME(to))
    }

    fn answer(id: u16, name: &str, records: Vec<ResourceRecord<'_>>) -> Vec<u8> {
        let asked = question(id, name, TYPE::A).unwrap();
        let mut packet = Packet::parse(&asked).unwrap().into_reply();
        packet.answers = records;
        packet.build_bytes_vec().unwrap()
    }

    fn found(packet: &[u8]) -> Option<Vec<IpAddr>> {
        match read(packet, 7, "a.example", TYPE::A)? {
            Ok(Said::Addresses(found)) => Some(found),
            _ => panic!("an error"),
        }
    }

    #[test]
    fn aliases_are_followed_inside_one_answer() {
        let records = vec![
            alias("A.example", "b.example"),
            alias("b.example", "c.example"),
            a("c.example", [1, 2, 3, 4]),
            a("other.example", [6, 6, 6, 6]),
        ];
        let packet = answer(7, "a.example", records);
        assert_eq!(found(&packet), Some(vec![[1, 2, 3, 4].into()]));
        let round = vec![
            alias("a.example", "b.example"),
            alias("b.example", "a.example"),
        ];
        assert_eq!(found(&answer(7, "a.example", round)), Some(vec![]));
    }

    #[test]
    fn an_answer_to_another_question_is_no_answer() {
        let records = || vec![a("a.example", [1, 2, 3, 4])];
        assert_eq!(found(&answer(8, "a.example", records())), None);
        assert_eq!(found(&answer(7, "b.example", records())), None);
        // The question itself, sent back.
        let asked = question(7, "a.example", TYPE::A).unwrap();
        assert_eq!(found(&asked), None);
        assert_eq!(found(b""), None);
        assert_eq!(found(&[0xff; 40]), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = answer(
            7,
            "a.example",
            vec![
                alias("a.example", "b.example"),
                a("b.example", [1, 2, 3, 4]),
            ],
        );
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut packet = whole.clone();
                packet[at] ^= 1 << bit;
                let _ = read(&packet, 7, "a.example", TYPE::A);
            }
            let _ = read(&whole[..at], 7, "a.example", TYPE::A);
        }
    }
}
