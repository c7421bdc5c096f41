//! The profile: nothing is missing in it, and nothing is there for nothing.

use std::io::{Read, Write};
use std::net::TcpListener;

use gm_protocol::message::FromRunner;
use gm_protocol::plan::{Filters, HttpSetup};
use serde_json::json;

use crate::broker::{LONG, Peer, task};
use crate::filters::of_profile;
use crate::played::soon;
use crate::server::{Nameserver, Says, Server, ok};

/// SIGSYS
const BAD_CALL: i32 = 31;

fn without(call: &str) -> Filters {
    let whole = of_profile("http", None);
    Filters {
        running: of_profile("http", Some(call)).running,
        ..whole
    }
}

/// A server over TLS whose certificate nobody vouches for.
fn self_signed() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn serve_tls(listener: TcpListener) -> std::thread::JoinHandle<Vec<u8>> {
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let own = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        let _ = stream.flush();
        heard
    })
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_and_the_server_told_nothing() {
    let (listener, port) = self_signed();
    let server = serve_tls(listener);
    let allowed = format!("127.0.0.1:{port}").parse().unwrap();
    let mut task = task(&[allowed]);
    task.known = vec![crate::broker::known("a.example", allowed)];
    let mut peer = Peer::ready(task);
    let why = peer
        .get(&format!("https://a.example:{port}/secret"))
        .net("tls");
    assert!(why.contains("UnknownIssuer"), "{why}");
    assert_eq!(server.join().unwrap(), b"");
}

/// A task that makes the process use every call that it has: a name, a handshake.
fn everything() -> (HttpSetup, String, Nameserver) {
    let nameserver = Nameserver::start(|_, _, _| Says::Long(vec!["127.0.0.1".parse().unwrap()]));
    let (listener, port) = self_signed();
    serve_tls(listener);
    let mut task = task(&[format!("127.0.0.1:{port}").parse().unwrap()]);
    task.nameservers = vec![nameserver.address];
    (task, format!("https://a.example:{port}/"), nameserver)
}

#[test]
fn each_call_of_the_running_set_is_needed() {
    for call in [
        "read",
        "write",
        "close",
        "socket",
        "connect",
        "ppoll",
        "getsockopt",
        "getrandom",
    ] {
        let (task, url, _nameserver) = everything();
        let mut peer = Peer::with(without(call), task);
        if call != "write" {
            // Who lacks it can't even say that it is ready.
            assert!(matches!(
                peer.played.link.recv(soon()),
                Ok(FromRunner::Loaded { .. })
            ));
        }
        let request = json!({"url": url}).to_string();
        assert_eq!(peer.try_fetch(request.as_bytes(), LONG), None, "{call}");
        assert_eq!(peer.signal(), Some(BAD_CALL), "{call}");
    }
    let mut peer = Peer::with(without("exit_group"), task(&[]));
    assert!(matches!(
        peer.played.link.recv(soon()),
        Ok(FromRunner::Loaded { .. })
    ));
    let _ = peer
        .played
        .link
        .send(&gm_protocol::message::ToRunner::Stop, soon());
    assert_eq!(peer.signal(), Some(BAD_CALL));
}

#[test]
fn it_ends_when_it_is_told_to_and_when_the_host_is_gone() {
    let mut peer = Peer::ready(task(&[]));
    peer.played
        .link
        .send(&gm_protocol::message::ToRunner::Stop, soon())
        .unwrap();
    assert_eq!(peer.played.child.wait().unwrap().code(), Some(0));
    let mut peer = Peer::ready(task(&[]));
    let (other, _gone) = gm_protocol::link::pair().unwrap();
    let budget = gm_protocol::link::Budget {
        frames: 1,
        bytes: 1,
    };
    peer.played.link = gm_protocol::link::Link::new(other, budget);
    assert_eq!(peer.played.child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_keeps_no_connection_and_no_thread_and_makes_nothing_executable() {
    let server = Server::on("127.0.0.1:0", |_, _, stream| {
        stream.write_all(ok("hi").as_bytes())
    });
    let mut peer = Peer::ready(task(&[server.address]));
    let proc = format!("/proc/{}", peer.played.child.id());
    let open = || std::fs::read_dir(format!("{proc}/fd")).unwrap().count();
    let before = open();
    for _ in 0..20 {
        peer.get(&server.url("/")).response();
    }
    assert_eq!(open(), before);
    let maps = std::fs::read_to_string(format!("{proc}/maps")).unwrap();
    let writable = maps.lines().filter(|line| line.contains("wx"));
    assert_eq!(writable.count(), 0, "{maps}");
    let status = std::fs::read_to_string(format!("{proc}/status")).unwrap();
    assert!(status.contains("Seccomp_filters:\t4"), "{status}");
    assert!(status.contains("Threads:\t1\n"), "{status}");
}
