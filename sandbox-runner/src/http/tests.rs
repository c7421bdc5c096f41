//! TLS against servers with certificates of the test's own making, which the
//! shipped binary would never trust. All else is asked of the binary itself
//! (`tests/run_http`).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use gm_protocol::plan::{HttpSetup, KnownHost, Reach};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::fetch::Client;
use super::socket::Deadline;
use super::tls::Tls;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer(name: &str) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn roots(issuer: &Issuer) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    roots
}

/// Serves `response` over TLS to each connection, with a certificate for `name`.
fn serve(issuer: &Issuer, name: &str, response: impl Into<Vec<u8>>, expired: bool) -> SocketAddr {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    if expired {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let response = response.into();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer(&config, stream, &response);
        }
    });
    address
}

fn answer(config: &Arc<ServerConfig>, stream: TcpStream, response: &[u8]) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = [0; 4096];
    let _ = stream.read(&mut request)?;
    stream.write_all(response)?;
    // A response that ends in "CUT" is cut off without a word.
    if !response.ends_with(b"CUT") {
        stream.conn.send_close_notify();
    }
    stream.flush()
}

fn fetch(tls: Tls, url: &str, server: SocketAddr) -> (i64, String) {
    let known = ["a.example", "b.example"].map(|name| KnownHost {
        name: name.to_owned(),
        address: server.ip(),
    });
    let task = HttpSetup {
        reach: Reach::Public,
        allow_private: vec![server],
        nameservers: vec![],
        known: known.into(),
        body_bytes: 1000,
        document_bytes: 10_000,
        redirects: 3,
    };
    let request = format!(r#"{{"url":"{url}"}}"#);
    let deadline = Deadline::after(Duration::from_secs(20));
    let (status, answer) = Client::new(task, tls).fetch(request.as_bytes(), deadline);
    (status, String::from_utf8(answer).unwrap())
}

const HI: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[test]
fn a_certificate_of_a_trusted_issuer_for_the_name_is_taken() {
    let issuer = issuer("own");
    let server = serve(&issuer, "a.example", HI, false);
    let url = format!("https://a.example:{}/", server.port());
    let (status, answer) = fetch(Tls::with(roots(&issuer)).unwrap(), &url, server);
    assert!(status > 0 && answer.contains(r#""body":"hi""#), "{answer}");
}

#[test]
fn every_other_certificate_is_refused() {
    let (own, other) = (issuer("own"), issuer("other"));
    let good = serve(&own, "a.example", HI, false);
    let expired = serve(&own, "a.example", HI, true);
    for (tls, server, host, part) in [
        (Tls::public(), good, "a.example", "UnknownIssuer"),
        (Tls::with(roots(&other)), good, "a.example", "UnknownIssuer"),
        (
            Tls::with(roots(&own)),
            good,
            "b.example",
            "not valid for name",
        ),
        (
            Tls::with(roots(&own)),
            good,
            "127.0.0.1",
            "not valid for name",
        ),
        (Tls::with(roots(&own)), expired, "a.example", "expired"),
    ] {
        let url = format!("https://{host}:{}/", server.port());
        let (status, answer) = fetch(tls.unwrap(), &url, server);
        assert_eq!(status, -8, "{host}");
        assert!(
            answer.starts_with("tls: ") && answer.contains(part),
            "{answer}"
        );
    }
}

#[test]
fn a_redirect_to_plain_text_is_not_followed() {
    let issuer = issuer("own");
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("http://127.0.0.1:{}/", plain.local_addr().unwrap().port());
    let response = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let server = serve(&issuer, "a.example", response, false);
    let url = format!("https://a.example:{}/", server.port());
    let (status, answer) = fetch(Tls::with(roots(&issuer)).unwrap(), &url, server);
    assert_eq!(
        (status, answer.as_str()),
        (-8, "redirect: from https to http")
    );
    plain.set_nonblocking(true).unwrap();
    assert!(plain.accept().is_err(), "somebody came");
}

#[test]
fn a_body_to_the_end_needs_an_end_that_the_server_meant() {
    let issuer = issuer("own");
    for (response, whole) in [
        ("HTTP/1.1 200 OK\r\n\r\nall of it", true),
        ("HTTP/1.1 200 OK\r\n\r\nCUT", false),
    ] {
        let server = serve(&issuer, "a.example", response, false);
        let url = format!("https://a.example:{}/", server.port());
        let (status, answer) = fetch(Tls::with(roots(&issuer)).unwrap(), &url, server);
        assert_eq!(status > 0, whole, "{answer}");
        assert_eq!(answer.contains("all of it"), whole);
    }
}

#[test]
fn a_server_that_speaks_no_tls_is_told_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        heard
    });
    let url = format!("https://a.example:{}/secret", server.port());
    let (status, answer) = fetch(Tls::public().unwrap(), &url, server);
    assert!(status == -8 && answer.starts_with("tls: "), "{answer}");
    let heard = heard.join().unwrap();
    assert!(!heard.windows(6).any(|part| part == b"secret"));
}
