//! Responses as hostile servers write them.

use super::*;

/// Gives its bytes in pieces of a size, then ends.
struct Server {
    bytes: Vec<u8>,
    at: usize,
    piece: usize,
}

impl Read for Server {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let len = rest.len().min(self.piece).min(to.len());
        to[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}

impl Write for Server {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn said(bytes: impl AsRef<[u8]>, piece: usize) -> Result<Response, Fault> {
    let server = Server {
        bytes: bytes.as_ref().to_vec(),
        at: 0,
        piece,
    };
    exchange(server, b"", false, 1000)
}

fn body(text: &str) -> String {
    let by_byte = said(text, 1).unwrap();
    assert_eq!(by_byte, said(text, 7).unwrap());
    assert_eq!(by_byte, said(text, 9999).unwrap());
    String::from_utf8(by_byte.body).unwrap()
}

fn class(text: impl AsRef<[u8]>) -> Class {
    match said(&text, 9999) {
        Err(Fault::Net(class, _)) => class,
        other => panic!("{other:?}"),
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\n";

#[test]
fn a_body_ends_where_its_framing_says_however_it_comes() {
    assert_eq!(body(&format!("{OK}Content-Length: 2\r\n\r\nhi")), "hi");
    assert_eq!(body(&format!("{OK}\r\nto the end")), "to the end");
    let chunked = format!(
        "{OK}transfer-encoding: Chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\n ho\r\n0\r\nA: b\r\n\r\n"
    );
    assert_eq!(body(&chunked), "hi ho");
    let after = format!("{OK}content-length: 0\r\n\r\nnothing of this");
    assert_eq!(body(&after), "");
    let interim = format!("HTTP/1.1 103 x\r\nLink: a\r\n\r\n{OK}content-length: 1\r\n\r\nx");
    assert_eq!(body(&interim), "x");
    assert_eq!(body("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"), "");
}

#[test]
fn names_are_lower_case_and_in_order() {
    let response = said(format!("{OK}B: 1\r\nA:  2 \r\nb: 3\r\n\r\n"), 99).unwrap();
    let expected = [("b", "1"), ("a", "2"), ("b", "3")];
    let expected: Vec<_> = expected
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    assert_eq!(response.headers, expected);
    assert_eq!((response.only("a"), response.only("b")), (Some("2"), None));
}

#[test]
fn a_body_over_its_cap_is_refused_before_it_is_kept() {
    let long = "x".repeat(1001);
    assert_eq!(
        class(format!("{OK}content-length: 1001\r\n\r\n")),
        Class::Body
    );
    assert_eq!(
        class(format!(
            "{OK}content-length: 99999999999999999999999\r\n\r\n"
        )),
        Class::Body
    );
    assert_eq!(class(format!("{OK}\r\n{long}")), Class::Body);
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n");
    assert_eq!(class(format!("{chunked}3e9\r\n{long}")), Class::Body);
    assert_eq!(class(format!("{chunked}FFFFFFFFFFFFFFFF\r\n")), Class::Body);
    let half = "x".repeat(600);
    assert_eq!(
        class(format!("{chunked}258\r\n{half}\r\n258\r\n{half}\r\n")),
        Class::Body
    );
}

#[test]
fn a_head_over_its_cap_is_refused() {
    let long = format!("{OK}a: {}\r\n\r\n", "x".repeat(70 << 10));
    assert_eq!(class(long), Class::Header);
    assert_eq!(
        class(format!("{OK}{}\r\n", "a: b\r\n".repeat(101))),
        Class::Header
    );
    assert_eq!(class("x".repeat(70 << 10)), Class::Header);
    let trailer = format!(
        "{OK}transfer-encoding: chunked\r\n\r\n0\r\n{}",
        "a: b\r\n".repeat(20 << 10)
    );
    assert_eq!(class(trailer), Class::Header);
}

#[test]
fn what_can_be_read_in_two_ways_or_is_cut_is_refused() {
    for text in [
        String::new(),
        "HTTP/1.1 200".to_owned(),
        "HTTP/3 200 OK\r\n\r\n".to_owned(),
        "SSH-2.0-x\r\n\r\n".to_owned(),
        "HTTP/1.1 101 x\r\n\r\n".to_owned(),
        format!("{OK}content-length: 2\r\n\r\nx"),
        format!("{OK}content-length: -1\r\n\r\n"),
        format!("{OK}content-length: +1\r\n\r\nx"),
        format!("{OK}content-length: 0x1\r\n\r\nx"),
        format!("{OK}content-length: 1, 1\r\n\r\nx"),
        format!("{OK}content-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        format!("{OK}content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{OK}transfer-encoding: gzip\r\n\r\n"),
        format!("{OK}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{OK}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{OK}transfer-encoding: chunked\r\n\r\n2\r\nhiho"),
        format!("{OK}transfer-encoding: chunked\r\n\r\nx\r\n"),
        format!("{OK}transfer-encoding: chunked\r\n\r\n0\r\n"),
        format!("{OK}a b: c\r\n\r\n"),
        format!("{OK}a: b\0\r\n\r\n"),
        "HTTP/1.1 100 x\r\n\r\n".repeat(20),
    ] {
        assert_eq!(class(&text), Class::Http, "{text:?}");
    }
}

#[test]
fn a_head_has_no_body() {
    let server = Server {
        bytes: format!("{OK}content-length: 5\r\n\r\n").into_bytes(),
        at: 0,
        piece: 99,
    };
    assert!(exchange(server, b"", true, 10).unwrap().body.is_empty());
}
