//! What is refused, with which error, and that nobody was asked all the same.

use gm_protocol::plan::HttpSetup;
use serde_json::json;

use crate::broker::{Answer, LONG, Peer, known, only, task};
use crate::server::{Server, ok, redirect};

/// A server that nobody may reach, on the port that every URL names.
fn victim() -> Server {
    Server::on("0.0.0.0:0", |_, _, stream| {
        std::io::Write::write_all(stream, ok("secret").as_bytes())
    })
}

#[test]
fn addresses_that_are_not_public_are_refused_in_every_spelling() {
    let victim = victim();
    let port = victim.address.port();
    let mut peer = Peer::ready(task(&[]));
    for host in [
        "127.0.0.1",
        "127.1",
        "127.255.255.254",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "%31%32%37.0.0.1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "0xa9fea9fe",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "192.0.2.2",
        "224.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fd00::2]",
        "[ff02::1]",
    ] {
        peer.get(&format!("http://{host}:{port}/")).net("address");
        peer.get(&format!("https://{host}:{port}/")).net("address");
    }
    assert!(victim.seen().is_empty());
}

#[test]
fn a_redirect_leads_nowhere_that_could_not_be_asked_for() {
    let victim = victim();
    let port = victim.address.port();
    for (host, class) in [
        (format!("http://127.0.0.1:{port}/"), "address"),
        (format!("//2130706433:{port}/"), "address"),
        (format!("http://[::1]:{port}/"), "address"),
        ("http://169.254.169.254/latest".to_owned(), "address"),
        (format!("http://u:p@127.0.0.1:{port}/"), "url"),
        (format!("ftp://127.0.0.1:{port}/"), "url"),
        ("file:///etc/passwd".to_owned(), "url"),
        ("http://a.example\\@127.0.0.1/".to_owned(), "url"),
    ] {
        let server = Server::saying(redirect(302, &host));
        let mut peer = Peer::ready(task(&[server.address]));
        peer.get(&server.url("/")).net(class);
    }
    assert!(victim.seen().is_empty());
}

#[test]
fn an_address_that_the_operator_allows_is_allowed_with_its_port_alone() {
    let server = Server::saying(ok("hi"));
    let victim = victim();
    let mut peer = Peer::ready(task(&[server.address]));
    assert_eq!(peer.get(&server.url("/")).response()["body"], "hi");
    let by_name = format!("http://localhost:{}/", server.address.port());
    assert_eq!(peer.get(&by_name).response()["body"], "hi");
    let other = format!("http://127.0.0.1:{}/", victim.address.port());
    peer.get(&other).net("address");
    let six = format!("http://[::1]:{}/", server.address.port());
    peer.get(&six).net("address");
}

fn granted() -> (Server, HttpSetup) {
    let server = Server::saying(ok("hi"));
    let port = server.address.port();
    let hosts = [("a.example", port), ("*.b.example", port)];
    let mut task = only(&hosts, &[server.address]);
    let names = ["a.example", "x.b.example", "b.example", "c.example"];
    task.known = names.map(|name| known(name, server.address)).into();
    (server, task)
}

#[test]
fn hosts_and_ports_outside_of_the_grant_are_denied_by_name() {
    let (server, task) = granted();
    let port = server.address.port();
    let mut peer = Peer::ready(task);
    for host in ["a.example", "A.Example.", "x.b.example"] {
        let url = format!("http://{host}:{port}/");
        assert_eq!(peer.get(&url).response()["body"], "hi", "{host}");
    }
    assert_eq!(server.seen().len(), 3);
    for (url, what) in [
        (
            format!("http://b.example:{port}/"),
            format!("b.example:{port}"),
        ),
        (
            format!("http://c.example:{port}/"),
            format!("c.example:{port}"),
        ),
        ("http://a.example/".to_owned(), "a.example:80".to_owned()),
        ("https://a.example/".to_owned(), "a.example:443".to_owned()),
        (server.url("/"), server.address.to_string()),
        (format!("http://[::1]:{port}/"), format!("[::1]:{port}")),
    ] {
        assert_eq!(peer.get(&url).denied(), what);
    }
    assert_eq!(server.seen().len(), 3);
}

#[test]
fn a_redirect_out_of_the_grant_is_denied() {
    let there = Server::saying(ok("secret"));
    let here = Server::saying(redirect(301, &there.url("/")));
    let port = here.address.port();
    let mut peer = Peer::ready(only(&[("127.0.0.1", port)], &[here.address, there.address]));
    assert_eq!(peer.get(&here.url("/")).denied(), there.address.to_string());
    assert!(there.seen().is_empty());
}

#[test]
fn credentials_and_other_schemes_are_refused_by_their_url() {
    let server = Server::saying(ok("hi"));
    let address = server.address;
    let mut peer = Peer::ready(task(&[address]));
    for (url, part) in [
        (format!("http://user@{address}/"), "credentials"),
        (format!("http://user:word@{address}/"), "credentials"),
        (format!("http://@{address}/"), "credentials"),
        (format!("ftp://{address}/"), "http"),
        (format!("gopher://{address}/"), "http"),
        ("file:///etc/passwd".to_owned(), "http"),
        (format!("http://[fe80::1%25lo]:{}/", address.port()), "IPv6"),
        (format!("http://{address}/\r\nX-Evil: 1"), "control"),
    ] {
        let why = peer.get(&url).net("url");
        assert!(why.contains(part), "{url:?}: {why}");
    }
    assert!(server.seen().is_empty());
}

#[test]
fn lines_of_the_plugins_own_making_are_invalid() {
    let server = Server::saying(ok("hi"));
    let mut peer = Peer::ready(task(&[server.address]));
    for headers in [
        json!([["X", "a\r\nHost: evil"]]),
        json!([["X", "a\nHost: evil"]]),
        json!([["X\r\nHost", "evil"]]),
        json!([["Host", "evil"]]),
        json!([["Content-Length", "3"]]),
        json!([["Transfer-Encoding", "chunked"]]),
        json!([["Connection", "keep-alive"]]),
    ] {
        let request = json!({"url": server.url("/"), "headers": headers});
        match peer.ask(&request, LONG) {
            Answer::Fault(-3, _) => {}
            other => panic!("{headers}: {other:?}"),
        }
    }
    for document in [
        &b"{"[..],
        b"\xff",
        b"[]",
        b"{}",
        b"{\"url\":\"http://x\",\"proxy\":1}",
    ] {
        let (status, _) = peer.try_fetch(document, LONG).unwrap();
        assert_eq!(status, -3);
    }
    assert!(server.seen().is_empty());
}

#[test]
fn an_ungranted_process_reaches_nobody() {
    let server = Server::saying(ok("hi"));
    let mut peer = Peer::ready(only(&[], &[server.address]));
    assert_eq!(
        peer.get(&server.url("/")).denied(),
        server.address.to_string()
    );
}
