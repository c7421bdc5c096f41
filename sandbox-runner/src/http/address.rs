//! Which addresses may be asked: public ones, and those that the operator names
//! with their port.
//!
//! What is not known to be public is refused. An address inside another one (of
//! IPv4 in IPv6) is judged as what it leads to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A block of addresses that are no public hosts.
type Block<A> = (A, u32, &'static str);

const fn v4(a: u8, b: u8, c: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, 0)
}

/// The special-purpose registry of IANA (RFC 6890 and its successors), multicast
/// (RFC 5771) and what is reserved since RFC 1112.
const SPECIAL_4: [Block<Ipv4Addr>; 16] = [
    (v4(0, 0, 0), 8, "unspecified"),
    (v4(10, 0, 0), 8, "private"),
    (v4(100, 64, 0), 10, "shared by a provider's customers"),
    (v4(127, 0, 0), 8, "loopback"),
    (v4(169, 254, 0), 16, "link-local"),
    (v4(172, 16, 0), 12, "private"),
    (v4(192, 0, 0), 24, "reserved"),
    (v4(192, 0, 2), 24, "for documentation"),
    (v4(192, 31, 196), 24, "reserved"),
    (v4(192, 52, 193), 24, "reserved"),
    (v4(192, 88, 99), 24, "reserved"),
    (v4(192, 168, 0), 16, "private"),
    (v4(198, 18, 0), 15, "for benchmarks"),
    (v4(198, 51, 100), 24, "for documentation"),
    (v4(203, 0, 113), 24, "for documentation"),
    (v4(224, 0, 0), 3, "multicast or reserved"),
];

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// What is special inside 2000::/3, the only block from which public addresses are
/// given out (RFC 4291, RFC 6890).
const SPECIAL_6: [Block<Ipv6Addr>; 4] = [
    (v6(0x2001, 0, 0), 23, "reserved"),
    (v6(0x2001, 0xdb8, 0), 32, "for documentation"),
    (v6(0x2620, 0x4f, 0x8000), 48, "reserved"),
    (v6(0x3fff, 0, 0), 20, "for documentation"),
];
const PUBLIC_6: (Ipv6Addr, u32) = (v6(0x2000, 0, 0), 3);

/// Why an address outside of 2000::/3 is refused, for people; first match.
const OTHER_6: [Block<Ipv6Addr>; 5] = [
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (v6(0xfc00, 0, 0), 7, "private"),
    (v6(0xfe80, 0, 0), 10, "link-local"),
    (v6(0xff00, 0, 0), 8, "multicast"),
];

/// Addresses of the translators between the two (RFC 6052, RFC 3056): the IPv4
/// address that they lead to begins at this byte.
const EMBEDDING: [(Ipv6Addr, u32, usize); 2] =
    [(v6(0x64, 0xff9b, 0), 96, 12), (v6(0x2002, 0, 0), 16, 2)];

fn in_v4(address: Ipv4Addr, block: Ipv4Addr, bits: u32) -> bool {
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    address.to_bits() & mask == block.to_bits() & mask
}

fn in_v6(address: Ipv6Addr, block: Ipv6Addr, bits: u32) -> bool {
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    address.to_bits() & mask == block.to_bits() & mask
}

/// Why this is no public host; `None` = it is one.
pub(super) fn special(address: IpAddr) -> Option<&'static str> {
    // ::ffff:a.b.c.d is the IPv4 address itself.
    match address.to_canonical() {
        IpAddr::V4(address) => SPECIAL_4
            .iter()
            .find(|(block, bits, _)| in_v4(address, *block, *bits))
            .map(|(_, _, why)| *why),
        IpAddr::V6(address) => special_6(address),
    }
}

fn special_6(address: Ipv6Addr) -> Option<&'static str> {
    let first = |blocks: &[Block<Ipv6Addr>]| {
        blocks
            .iter()
            .find(|(block, bits, _)| in_v6(address, *block, *bits))
            .map(|(_, _, why)| *why)
    };
    for (block, bits, at) in EMBEDDING {
        if in_v6(address, block, bits) {
            let inner = address.octets().get(at..at + 4).map(<[u8; 4]>::try_from);
            return match inner {
                Some(Ok(inner)) => special(IpAddr::from(inner)),
                _ => Some("reserved"),
            };
        }
    }
    if !in_v6(address, PUBLIC_6.0, PUBLIC_6.1) {
        return Some(first(&OTHER_6).unwrap_or("reserved"));
    }
    first(&SPECIAL_6)
}

/// Whether this address may be connected to, or why not.
pub(super) fn judge(address: SocketAddr, allowed: &[SocketAddr]) -> Result<(), &'static str> {
    let plain = canonical(address);
    if allowed.iter().any(|one| canonical(*one) == plain) {
        return Ok(());
    }
    match special(plain.ip()) {
        None => Ok(()),
        Some(why) => Err(why),
    }
}

/// Without scope and flow, and an IPv4 address as one.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_refused_with_their_reason() {
        for (text, why) in [
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "loopback"),
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("10.0.0.1", "private"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "private"),
            ("192.168.1.1", "private"),
            ("100.64.0.1", "shared by a provider's customers"),
            ("100.127.255.255", "shared by a provider's customers"),
            ("169.254.169.254", "link-local"),
            ("192.0.2.1", "for documentation"),
            ("198.51.100.1", "for documentation"),
            ("203.0.113.1", "for documentation"),
            ("198.19.0.1", "for benchmarks"),
            ("224.0.0.1", "multicast or reserved"),
            ("240.0.0.1", "multicast or reserved"),
            ("255.255.255.255", "multicast or reserved"),
            ("::1", "loopback"),
            ("::", "unspecified"),
            ("::2", "reserved"),
            ("::7f00:1", "reserved"),
            ("fe80::1", "link-local"),
            ("fec0::1", "reserved"),
            ("fc00::1", "private"),
            ("fd12:3456::1", "private"),
            ("ff02::1", "multicast"),
            ("2001:db8::1", "for documentation"),
            ("3fff::1", "for documentation"),
            ("2001::1", "reserved"),
            ("64:ff9b:1::1", "reserved"),
            ("100::1", "reserved"),
            // The same addresses inside others.
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:10.1.2.3", "private"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b::c0a8:101", "private"),
            ("2002:7f00:1::1", "loopback"),
            ("2002:a9fe:a9fe::", "link-local"),
        ] {
            assert_eq!(special(text.parse().unwrap()), Some(why), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_not() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2a00::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert_eq!(special(text.parse().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn an_address_that_the_operator_names_is_allowed_with_its_port_alone() {
        let allowed = ["127.0.0.1:8080".parse().unwrap()];
        let judge = |text: &str| judge(text.parse().unwrap(), &allowed);
        assert_eq!(judge("127.0.0.1:8080"), Ok(()));
        assert_eq!(judge("[::ffff:127.0.0.1]:8080"), Ok(()));
        assert_eq!(judge("127.0.0.1:8081"), Err("loopback"));
        assert_eq!(judge("127.0.0.2:8080"), Err("loopback"));
        assert_eq!(judge("[::1]:8080"), Err("loopback"));
    }
}
