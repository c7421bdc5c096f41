//! What a plugin gets: responses, redirects, and an end to what is too much.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::broker::{LONG, Peer, only, task};
use crate::server::{Server, ok, redirect};

#[test]
fn a_granted_host_is_asked_and_its_response_is_told() {
    let server = Server::saying(
        "HTTP/1.1 201 Made\r\nX-A: 1\r\nx-b: \u{e4}\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
    );
    let port = server.address.port();
    let mut peer = Peer::ready(only(&[("127.0.0.1", port)], &[server.address]));
    let response = peer.get(&server.url("/a?b=c#d")).response();
    assert_eq!(
        response,
        json!({"status": 201, "headers": [["x-a", "1"], ["x-b", "\u{e4}"], ["content-length", "2"]], "body": "hi"})
    );
    let seen = server.seen();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].starts_with(&format!(
            "GET /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n"
        )),
        "{}",
        seen[0]
    );
}

#[test]
fn a_request_with_fields_and_a_body_arrives_as_it_was_given() {
    let server = Server::saying(ok(""));
    let mut peer = Peer::ready(task(&[server.address]));
    let request = json!({
        "method": "POST",
        "url": server.url("/"),
        "headers": [["Authorization", "Bearer x"], ["X-Twice", "1"], ["X-Twice", "2"]],
        "body": "{\"a\":\"\u{e4}\"}",
    });
    assert_eq!(peer.ask(&request, LONG).response()["body"], "");
    let seen = server.seen().remove(0);
    for line in [
        "authorization: Bearer x",
        "x-twice: 1\r\nx-twice: 2",
        "content-length: 10",
    ] {
        assert!(seen.contains(&format!("\r\n{line}\r\n")), "{seen}");
    }
    assert!(seen.ends_with("\r\n\r\n{\"a\":\"\u{e4}\"}"), "{seen}");
}

#[test]
fn large_documents_cross_in_parts_both_ways() {
    let body = "x".repeat(99_000);
    let server = Server::saying(ok(&body));
    let mut peer = Peer::ready(task(&[server.address]));
    let request = json!({"method": "PUT", "url": server.url("/"), "body": "y".repeat(300_000)});
    let response = peer.ask(&request, LONG).response();
    assert_eq!(response["body"], body);
    assert!(server.seen()[0].ends_with(&"y".repeat(300_000)));
}

#[test]
fn a_compressed_body_is_handed_on_as_it_came() {
    let gzip = [0x1f, 0x8b, 8, 0, 0xff];
    let server = Server::on("127.0.0.1:0", move |_, _, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n")?;
        stream.write_all(&gzip)
    });
    let mut peer = Peer::ready(task(&[server.address]));
    let response = peer.get(&server.url("/")).response();
    assert_eq!(response["body_base64"], "H4sIAP8=");
    assert_eq!(response["headers"][0], json!(["content-encoding", "gzip"]));
}

#[test]
fn redirects_are_followed_up_to_their_number() {
    let server = Server::on("127.0.0.1:0", |_, request, stream| {
        let number: u32 = request[5..6].parse().unwrap();
        let answer = match number {
            0 => ok("there"),
            more => redirect(302, &format!("/{}", more - 1)),
        };
        stream.write_all(answer.as_bytes())
    });
    let mut peer = Peer::ready(task(&[server.address]));
    assert_eq!(peer.get(&server.url("/3")).response()["body"], "there");
    let why = peer.get(&server.url("/4")).net("redirect");
    assert_eq!(why, "redirect: more than 3 of them");
    assert_eq!(server.seen().len(), 8);
}

#[test]
fn a_redirect_to_another_host_takes_no_secret_along() {
    let there = Server::saying(ok("there"));
    let here = Server::saying(redirect(307, &there.url("/")));
    let mut peer = Peer::ready(task(&[here.address, there.address]));
    let request = json!({
        "method": "POST",
        "url": here.url("/"),
        "headers": [["Authorization", "secret"], ["Cookie", "secret"], ["X-Key", "secret"], ["Accept", "a/b"]],
        "body": "b",
    });
    assert_eq!(peer.ask(&request, LONG).response()["body"], "there");
    assert!(here.seen()[0].contains("secret"));
    let seen = there.seen().remove(0);
    assert!(
        !seen.contains("secret") && seen.contains("accept: a/b"),
        "{seen}"
    );
    assert!(seen.starts_with("POST / ") && seen.ends_with('b'), "{seen}");
}

#[test]
fn a_response_without_a_place_to_go_is_the_plugins_to_look_at() {
    let server = Server::saying("HTTP/1.1 304 Not Modified\r\n\r\n");
    let mut peer = Peer::ready(task(&[server.address]));
    assert_eq!(peer.get(&server.url("/")).response()["status"], 304);
}

#[test]
fn a_body_or_head_over_its_cap_is_refused_however_it_is_framed() {
    let long = "x".repeat(100_001);
    for (text, class) in [
        (ok(&long), "body"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n".to_owned(),
            "body",
        ),
        (format!("HTTP/1.1 200 OK\r\n\r\n{long}"), "body"),
        (
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n",
                long.len()
            ),
            "body",
        ),
        (format!("HTTP/1.1 200 OK\r\nA: {long}\r\n\r\n"), "header"),
        (
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)),
            "header",
        ),
    ] {
        let server = Server::saying(text);
        let mut peer = Peer::ready(task(&[server.address]));
        peer.get(&server.url("/")).net(class);
        // It is as good as new after that.
        let next = Server::saying(ok("next"));
        let mut peer = Peer::ready(task(&[next.address]));
        assert_eq!(peer.get(&next.url("/")).response()["body"], "next");
    }
}

#[test]
fn a_document_over_its_cap_is_too_big() {
    let server = Server::saying(ok(&"\u{1}".repeat(90_000)));
    let mut small = task(&[server.address]);
    small.document_bytes = 200_000;
    let mut peer = Peer::ready(small);
    let request = json!({"url": server.url("/")}).to_string();
    assert_eq!(peer.try_fetch(request.as_bytes(), LONG), Some((-4, vec![])));
}

/// A server that sends `first`, then a byte every few milliseconds for ever.
fn dripping(first: &'static str) -> Server {
    Server::on("127.0.0.1:0", move |_, _, stream| {
        stream.write_all(first.as_bytes())?;
        loop {
            stream.write_all(b"x")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn a_slow_server_gets_no_more_time_than_a_silent_one() {
    for server in [
        dripping(""),
        dripping("HTTP/1.1 200 OK\r\nA: "),
        dripping("HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n"),
        dripping("HTTP/1.1 200 OK\r\n\r\n"),
        Server::on("127.0.0.1:0", |_, _, _| {
            std::thread::sleep(Duration::from_secs(60));
            Ok(())
        }),
    ] {
        let mut peer = Peer::ready(task(&[server.address]));
        let begun = Instant::now();
        let request = json!({"url": server.url("/")});
        peer.ask(&request, Duration::from_millis(500)).net("time");
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_millis(500) && took < Duration::from_secs(5),
            "{took:?}"
        );
    }
}

#[test]
fn redirects_share_the_time_of_their_request() {
    let server = Server::on("127.0.0.1:0", |_, _, stream| {
        std::thread::sleep(Duration::from_millis(300));
        stream.write_all(redirect(302, "/").as_bytes())
    });
    let mut peer = Peer::ready(task(&[server.address]));
    let begun = Instant::now();
    let request = json!({"url": server.url("/")});
    peer.ask(&request, Duration::from_millis(700)).net("time");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(server.seen().len() <= 3);
}
