//! One request of a plugin, from its document to the answer: judged, resolved,
//! connected, and again for each redirect.

use std::net::SocketAddr;

use gm_protocol::plan::{HttpSetup, Reach};

use super::address::{canonical, judge};
use super::dns::{Family, Resolver};
use super::exchange::{Response, exchange};
use super::fault::{Class, Fault};
use super::request::{Answer, Request};
use super::socket::{Deadline, Socket};
use super::target::{Host, Target};
use super::tls::Tls;

/// Fields of a response that are about its connection (RFC 9110, 7.6.1).
const OF_CONNECTION: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Makes the requests of one plugin.
#[derive(Debug)]
pub(super) struct Client {
    reach: Reach,
    allowed: Vec<SocketAddr>,
    resolver: Resolver,
    tls: Tls,
    most_body: usize,
    most_document: usize,
    redirects: u32,
}

impl Client {
    pub(super) fn new(task: HttpSetup, tls: Tls) -> Self {
        let size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            reach: task.reach,
            allowed: task.allow_private,
            resolver: Resolver::new(task.nameservers, task.known, tls.random()),
            tls,
            most_body: size(task.body_bytes),
            most_document: size(task.document_bytes),
            redirects: task.redirects,
        }
    }

    /// The most bytes of a request's document, or of its answer.
    pub(super) const fn most_document(&self) -> usize {
        self.most_document
    }

    /// Makes the request of a document: the status and the document of the answer.
    pub(super) fn fetch(&self, document: &[u8], deadline: Deadline) -> (i64, Vec<u8>) {
        match self.answer(document, deadline) {
            Ok(answer) => (i64::try_from(answer.len()).unwrap_or(i64::MAX), answer),
            Err(fault) => fault.told(),
        }
    }

    fn answer(&self, document: &[u8], deadline: Deadline) -> Result<Vec<u8>, Fault> {
        let mut request = Request::parse(document)?;
        let mut target = Target::parse(&request.url)?;
        let mut followed = 0;
        loop {
            target.check(&self.reach)?;
            let response = self.ask(&request, &target, deadline)?;
            let Some(next) = redirect(&target, &response)? else {
                return self.told(response);
            };
            if followed >= self.redirects {
                let why = format!("more than {} of them", self.redirects);
                return Err(Fault::net(Class::Redirect, why));
            }
            if target.tls && !next.tls {
                return Err(Fault::net(Class::Redirect, "from https to http"));
            }
            followed += 1;
            request = request.redirected(response.status, target.same_origin(&next));
            target = next;
        }
    }

    fn told(&self, response: Response) -> Result<Vec<u8>, Fault> {
        let Response {
            status,
            mut headers,
            body,
        } = response;
        headers.retain(|(name, _)| !OF_CONNECTION.contains(&name.as_str()));
        Answer::new(status, headers, body).document(self.most_document)
    }

    /// One exchange with one host.
    fn ask(
        &self,
        request: &Request,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Response, Fault> {
        let bytes = request.encode(&target.authority(), &target.path());
        let head_only = request.method == "HEAD";
        let socket = self.connect(target, deadline)?;
        if !target.tls {
            return exchange(socket, &bytes, head_only, self.most_body);
        }
        let stream = self.tls.handshake(&target.host, socket);
        let stream = stream.map_err(|error| Fault::io(Class::Tls, &error))?;
        exchange(stream, &bytes, head_only, self.most_body)
    }

    /// Connects to an address that was judged: that very one, with no second look
    /// at the name.
    fn connect(&self, target: &Target, deadline: Deadline) -> Result<Socket, Fault> {
        let name = match &target.host {
            Host::Address(address) => {
                let one = [SocketAddr::new(*address, target.port)];
                return self.connect_one_of(target, &one, deadline);
            }
            Host::Name(name) => name,
        };
        let mut failed = None;
        for family in [Family::V4, Family::V6] {
            let found = self.resolver.addresses(name, family, deadline);
            let tried = found.and_then(|found| {
                let port = target.port;
                let found: Vec<_> = found.iter().map(|ip| SocketAddr::new(*ip, port)).collect();
                self.connect_one_of(target, &found, deadline)
            });
            match tried {
                Ok(socket) => return Ok(socket),
                // What the first addresses came to says more than that there are
                // no others.
                Err(fault @ Fault::Net(Class::Dns, _)) => failed = failed.or(Some(fault)),
                Err(fault) => failed = Some(fault),
            }
        }
        Err(failed.unwrap_or_else(|| Fault::net(Class::Dns, "no address")))
    }

    fn connect_one_of(
        &self,
        target: &Target,
        addresses: &[SocketAddr],
        deadline: Deadline,
    ) -> Result<Socket, Fault> {
        let host = &target.host;
        let mut failed = Fault::net(Class::Dns, format!("{host} has no address"));
        for (number, address) in addresses.iter().enumerate() {
            let address = canonical(*address);
            if let Err(why) = judge(address, &self.allowed) {
                failed = Fault::net(Class::Address, format!("that of {host} is {why}"));
                continue;
            }
            // One that is silent leaves time for those after it.
            let within = match number + 1 < addresses.len() {
                true => deadline.within(deadline.left() / 2),
                false => deadline,
            };
            match Socket::tcp(address, within) {
                Ok(mut socket) => {
                    socket.until(deadline);
                    return Ok(socket);
                }
                Err(error) => failed = Fault::io(Class::Connect, &error),
            }
        }
        Err(failed)
    }
}

/// Where a response leads to, if it does.
fn redirect(from: &Target, response: &Response) -> Result<Option<Target>, Fault> {
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    match response.only("location") {
        Some(location) => from.redirected(location).map(Some),
        // To nowhere, or to two places: the plugin's to look at.
        None => Ok(None),
    }
}
