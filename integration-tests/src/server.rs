//! A server on loopback for the product to ask, which notes who came.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server whose requests are kept.
pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request, of which it gets the head, by `answer`.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn start(
        answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let head = head(&mut stream);
                kept.lock().unwrap().push(head.clone());
                let _ = answer(&head, &mut stream);
            }
        });
        Self { address, seen }
    }

    /// Answers each request with 200 and this body.
    #[must_use]
    pub fn saying(body: &str) -> Self {
        let length = body.len();
        Self::answering(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Answers each request with these bytes.
    #[must_use]
    pub fn answering(bytes: String) -> Self {
        Self::start(move |_, stream| stream.write_all(bytes.as_bytes()))
    }

    /// `address:port`.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// A URL on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Heads of the requests so far.
    ///
    /// # Panics
    /// If its thread did.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        bytes.extend(byte);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
