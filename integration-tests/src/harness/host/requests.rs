//! Requests of plugins to the host itself, and what the process that makes requests could
//! do if a server had taken it over.

use std::os::fd::AsRawFd;

use serde_json::{Value, json};

use super::super::judge::Shown;
use super::{Attack, held, plain};
use crate::server::Server;
use crate::taken_over::{DENIED, Said, TakenOver, Unconfined};
use crate::{Ended, Home, Live, Package};

pub(super) fn attacks(id: &str) -> Vec<Attack> {
    match id {
        "net-proxy-ssrf" => plain(&[addresses, redirects]),
        "net-http-hostile" => plain(&[
            || deed(connects),
            || deed(connects_locally),
            || deed(listens),
            || deed(opens_a_file),
            || deed(starts_a_program),
        ]),
        _ => Vec::new(),
    }
}

/// A plugin that sends each event on as a request.
fn fetcher() -> Package {
    Package::of("fetcher").permission("network", "true")
}

fn request(url: &str) -> String {
    json!({"hook": "on_commit_analyzed", "data": {"url": url}}).to_string() + "\n"
}

/// Each request was answered with an error, and nobody came to the server.
fn unreached(run: &Ended, server: &Server, urls: usize) -> Shown {
    let replies = run.replies("com.test.fetcher", "on_commit_analyzed");
    if replies.len() != urls {
        return Shown::Unproved(format!(
            "{} answers to {urls} requests: {}",
            replies.len(),
            run.stdout
        ));
    }
    let answered = replies.iter().filter(|reply| reply["status"] == "ok");
    let mut harm: Vec<String> = answered.map(|reply| format!("answered: {reply}")).collect();
    harm.extend(
        server
            .seen()
            .iter()
            .map(|head| format!("the server was asked: {head}")),
    );
    held("http", "every address was refused", &harm)
}

fn addresses() -> Shown {
    let server = Server::saying("secret");
    let port = server.port();
    let home = Home::new();
    home.configure("[grants]\nnetwork = true\n");
    home.load(&fetcher());
    let hosts = [
        "127.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "0.0.0.0",
        "user@127.0.0.1",
        "127.0.0.1%2f@example.com",
    ];
    let urls = hosts
        .map(|host| format!("http://{host}:{port}/"))
        .into_iter();
    let more = [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[fd00::1]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
    ];
    let urls: Vec<String> = urls.chain(more.map(str::to_owned)).collect();
    let events: String = urls.iter().map(|url| request(url)).collect();
    unreached(&home.run_events(&events, &[]), &server, urls.len())
}

fn redirects() -> Shown {
    let victim = Server::saying("secret");
    let targets = [
        victim.url("/"),
        "http://169.254.169.254/".to_owned(),
        "file:///etc/passwd".to_owned(),
    ];
    let servers = targets.map(|to| {
        Server::answering(format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"
        ))
    });
    let home = Home::new();
    let allowed: Vec<String> = servers.iter().map(Server::authority).collect();
    home.configure(&format!(
        "[grants]\nnetwork = true\n[http]\nallow_private = {allowed:?}\n"
    ));
    home.load(&fetcher());
    let events: String = servers
        .iter()
        .map(|server| request(&server.url("/")))
        .collect();
    let run = home.run_events(&events, &[]);
    if servers.iter().any(|server| server.seen().is_empty()) {
        return Shown::Unproved("a server that was granted was not asked".to_owned());
    }
    unreached(&run, &victim, servers.len())
}

/// What is done by whoever has taken a process over: the last call decides.
type Deed = fn(&mut TakenOver, port: u16) -> Result<Said, String>;

const SOCKET: u64 = 41;
const CONNECT: u64 = 42;
const LISTEN: u64 = 50;
const EXECVE: u64 = 59;
const OPENAT: u64 = 257;
const INET: u64 = 2;
/// `SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK`, as it may.
const STREAM: u64 = 0x80801;
/// `EINPROGRESS`: the connection is on its way.
const ON_ITS_WAY: i64 = -115;

fn tcp(taken: &mut TakenOver) -> Result<u64, String> {
    let said = taken.call(SOCKET, [INET, STREAM, 0])?;
    let Said::Value(fd) = said else {
        return Err(format!("it could make no TCP socket: {said:?}"));
    };
    u64::try_from(fd).map_err(|_| format!("it could make no TCP socket: {fd}"))
}

fn connects(taken: &mut TakenOver, port: u16) -> Result<Said, String> {
    let mut address = [0; 16];
    address[0] = 2; // AF_INET
    address[2..4].copy_from_slice(&port.to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    let socket = tcp(taken)?;
    let place = taken.put(&address)?;
    let said = taken.call(CONNECT, [socket, place, 16])?;
    Ok(match said {
        Said::Value(ON_ITS_WAY) => Said::Value(0),
        said => said,
    })
}

fn connects_locally(taken: &mut TakenOver, _: u16) -> Result<Said, String> {
    const UNIX: u64 = 1;
    taken.call(SOCKET, [UNIX, STREAM, 0])
}

fn listens(taken: &mut TakenOver, _: u16) -> Result<Said, String> {
    let socket = tcp(taken)?;
    taken.call(LISTEN, [socket, 1, 0])
}

fn opens_a_file(taken: &mut TakenOver, _: u16) -> Result<Said, String> {
    let here = i64::from(rustix::fs::CWD.as_raw_fd()).cast_unsigned();
    let path = taken.put(b"/etc/passwd\0")?;
    taken.call(OPENAT, [here, path, 0])
}

fn starts_a_program(taken: &mut TakenOver, _: u16) -> Result<Said, String> {
    let path = taken.put(b"/bin/true\0")?;
    taken.call(EXECVE, [path, 0, 0])
}

/// A process that no wall stands round does it; the one that makes requests does what it
/// was granted, and not this.
fn deed(deed: Deed) -> Shown {
    let (granted, other) = (Server::saying("granted"), Server::saying("secret"));
    let mut free = Unconfined::start();
    let done = free
        .take_over()
        .and_then(|mut it| deed(&mut it, other.port()));
    match done {
        Err(why) if why == DENIED => return Shown::NotHere(NOT_TRACED.to_owned()),
        Ok(Said::Value(0..)) => {}
        other => return Shown::Unproved(format!("without walls: {other:?}")),
    }
    let run = Requesting::start(&granted);
    let own = |port: u16, deed: Deed| run.take_over().and_then(|mut it| deed(&mut it, port));
    match own(granted.port(), connects) {
        Err(why) if why == DENIED => return Shown::NotHere(NOT_TRACED.to_owned()),
        Ok(Said::Value(0)) => {}
        other => return Shown::Unproved(format!("not even the granted port: {other:?}")),
    }
    match own(other.port(), deed) {
        Ok(Said::Killed) => held("http", "a filter ended it", &[]),
        Ok(Said::Value(value @ 0..)) => Shown::Escaped(format!("done: {value}")),
        // EPERM and EACCES.
        Ok(Said::Value(errno @ (-1 | -13))) => held("http", &format!("errno {}", -errno), &[]),
        other => Shown::Unproved(format!("{other:?}")),
    }
}

const NOT_TRACED: &str = "who runs the harness may not trace that process";

/// A run whose plugin may ask this server, and the process that asks.
struct Requesting {
    /// It waits for events. Its home is gone after it.
    _live: Live,
    _home: Home,
    pid: u32,
}

impl Requesting {
    fn start(server: &Server) -> Self {
        let home = Home::new();
        let host = server.authority();
        home.configure(&format!(
            "[grants]\nnetwork = true\n[restart]\nmax = 0\n[http]\nallow_private = [{host:?}]\n"
        ));
        let hosts = format!("{{ hosts = [{host:?}] }}");
        home.load(&Package::of("fetcher").permission("network", &hosts));
        let mut live = home.start_events(&[]);
        let started = live.wait_for("its start", |record| record["event"] == "started");
        let pid = started.pointer("/http/pid").and_then(Value::as_u64);
        let pid = pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        Self {
            _live: live,
            _home: home,
            pid,
        }
    }

    fn take_over(&self) -> Result<TakenOver, String> {
        TakenOver::new(self.pid)
    }
}
