//! Plays the host of the process that makes requests: walls it in, and sends it
//! requests over the link.

use std::net::SocketAddr;
use std::time::Duration;

use gm_protocol::message::{FromRunner, ToRunner, head};
use gm_protocol::plan::{Filters, HttpSetup, KnownHost, Reach, ReachHost, Role};
use serde_json::{Value, json};

use crate::filters;
use crate::played::{self, soon};

/// More than any request here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(15);

/// A started process and the host's end of its link.
pub(crate) struct Peer {
    pub(crate) played: played::Peer,
    next: u32,
}

/// A task that reaches any public host, and these addresses.
pub(crate) fn task(allowed: &[SocketAddr]) -> HttpSetup {
    HttpSetup {
        reach: Reach::Public,
        allow_private: allowed.to_vec(),
        nameservers: vec![],
        known: vec![],
        body_bytes: 100_000,
        document_bytes: 1 << 20,
        redirects: 3,
    }
}

/// The same for these hosts alone.
pub(crate) fn only(hosts: &[(&str, u16)], allowed: &[SocketAddr]) -> HttpSetup {
    let host = |(name, port): &(&str, u16)| ReachHost {
        name: (*name).to_owned(),
        port: *port,
    };
    HttpSetup {
        reach: Reach::Hosts(hosts.iter().map(host).collect()),
        ..task(allowed)
    }
}

/// A name that the host knows by itself.
pub(crate) fn known(name: &str, address: SocketAddr) -> KnownHost {
    KnownHost {
        name: name.to_owned(),
        address: address.ip(),
    }
}

impl Peer {
    /// Walled in with these filters, and told to go.
    pub(crate) fn with(filters: Filters, task: HttpSetup) -> Self {
        let mut played = played::Peer::start("gm-http", 32 << 20, &[], [None, None]);
        let report = played.wall_in(filters, Role::Http(task));
        assert!(report.no_new_privs && report.root_refused && report.soft_refused);
        played.send(&ToRunner::Go);
        Self { played, next: 0 }
    }

    /// Ready for requests.
    pub(crate) fn ready(task: HttpSetup) -> Self {
        let mut peer = Self::with(filters::of_profile("http", None), task);
        match peer.played.link.recv(soon()) {
            Ok(FromRunner::Loaded { .. }) => peer,
            other => panic!(
                "{other:?} instead of Loaded; {:?}",
                peer.played.child.wait()
            ),
        }
    }

    /// Sends a request; `None` = it died.
    pub(crate) fn try_fetch(&mut self, document: &[u8], time: Duration) -> Option<(i64, Vec<u8>)> {
        self.next += 1;
        let (bytes, more) = head(document);
        let fetch = ToRunner::Fetch {
            id: self.next,
            time_ms: u32::try_from(time.as_millis()).unwrap(),
            more,
            bytes,
        };
        self.played
            .link
            .send_document(&fetch, document, soon())
            .ok()?;
        match self.played.link.recv(soon()).ok()? {
            FromRunner::Fetched {
                id,
                status,
                more,
                bytes,
            } => {
                assert_eq!(id, self.next);
                let whole = self
                    .played
                    .link
                    .recv_parts(bytes, more, 2 << 20, soon())
                    .unwrap();
                Some((status, whole))
            }
            other => panic!("{other:?} instead of an answer"),
        }
    }

    /// The answer to a request of this form.
    pub(crate) fn ask(&mut self, request: &Value, time: Duration) -> Answer {
        let fetched = self.try_fetch(request.to_string().as_bytes(), time);
        let Some((status, document)) = fetched else {
            panic!("it died of {:?}", self.played.child.wait());
        };
        if status >= 0 {
            assert_eq!(usize::try_from(status).unwrap(), document.len());
            return Answer::Response(serde_json::from_slice(&document).unwrap());
        }
        Answer::Fault(status, String::from_utf8(document).unwrap())
    }

    /// The answer to a GET of this URL.
    pub(crate) fn get(&mut self, url: &str) -> Answer {
        self.ask(&json!({ "url": url }), LONG)
    }

    /// The signal that it died of.
    pub(crate) fn signal(self) -> Option<i32> {
        self.played.ending().2
    }
}

/// What a request gave.
#[derive(Debug)]
pub(crate) enum Answer {
    Response(Value),
    Fault(i64, String),
}

impl Answer {
    pub(crate) fn response(self) -> Value {
        match self {
            Self::Response(response) => response,
            Self::Fault(status, why) => panic!("{status}: {why}"),
        }
    }

    /// The text of a `net` error, whose class it must be.
    pub(crate) fn net(self, class: &str) -> String {
        match self {
            Self::Fault(-8, why) if why.starts_with(&format!("{class}: ")) => why,
            other => panic!("{other:?} instead of an error about {class}"),
        }
    }

    /// What was denied.
    pub(crate) fn denied(self) -> String {
        match self {
            Self::Fault(-1, what) => what,
            other => panic!("{other:?} instead of a denial"),
        }
    }
}
