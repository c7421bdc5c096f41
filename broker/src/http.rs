//! The process that makes a plugin's requests: started with the plugin, ended with
//! it, asked while a host call waits.
//!
//! It talks to strangers, so what it says is only handed on: a fault of it is the
//! error of one call and never the plugin's doing. Its walls are held to be the
//! plugin's own: without them the plugin doesn't run.

mod names;

use std::time::{Duration, Instant};

use gm_protocol::abi::CallError;
use gm_protocol::link::{Budget, Wait};
use gm_protocol::message::{FromRunner, ToRunner, head};
use gm_protocol::orders::{Looked, Stage};
use gm_protocol::plan::{Control, Engine, HttpSetup, Role, Setup};
use serde_json::{Value, json};

use crate::ending::{Cause, Ending, EndingKind};
use crate::plan::HttpWalls;
use crate::process::{Order, Process};
use crate::spawn::{Launcher, SpawnError};
use crate::started;

/// From `Go` to its word that the last filter is up.
const LOAD_TIME: Duration = Duration::from_secs(5);
/// How much longer than asked a request may take before the process is held to hang.
const SLACK: Duration = Duration::from_secs(1);
/// Where the plugin's own deadline comes first, it is that which counts: the process
/// must not be the one to notice.
const BEHIND: Duration = Duration::from_millis(200);
/// How often it is started in one life of the plugin.
const STARTS: u32 = 4;

/// What a request came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The ABI's status, and the response or the error's text.
    Done(i64, Vec<u8>),
    /// Outside of the grant: host and port, in the process's own words.
    Denied(Vec<u8>),
}

/// One plugin's way to its hosts.
#[derive(Debug)]
pub struct Requests<'a> {
    launcher: &'a Launcher,
    walls: &'a HttpWalls,
    budget: Budget,
    wake: Option<std::os::fd::BorrowedFd<'a>>,
    process: Option<Process<'a>>,
    /// What the process was told at its start.
    task: Option<HttpSetup>,
    starts: u32,
    next: u32,
    /// Requests that were made, and what became of processes that died.
    made: u64,
    died: Vec<String>,
}

/// What a started process is told about in records.
#[derive(Debug)]
pub struct Seen {
    looked: Looked,
}

impl<'a> Requests<'a> {
    /// Nothing is started yet.
    #[must_use]
    pub fn new(
        launcher: &'a Launcher,
        walls: &'a HttpWalls,
        budget: Budget,
        wake: Option<std::os::fd::BorrowedFd<'a>>,
    ) -> Self {
        Self {
            launcher,
            walls,
            budget,
            wake,
            process: None,
            task: None,
            starts: 0,
            next: 1,
            made: 0,
            died: Vec::new(),
        }
    }

    /// Orders the process. No wall of its own is up yet.
    ///
    /// # Errors
    /// What the launcher says.
    pub fn start(&mut self) -> Result<(), SpawnError> {
        self.starts += 1;
        let order = Order {
            engine: Engine::Http,
            limits: self.walls.limits.clone(),
            fds: Vec::new(),
            assets: &[],
            budget: self.budget,
            wake: self.wake,
            mounted: (0, false),
        };
        self.process = Some(Process::start(self.launcher, order)?);
        Ok(())
    }

    /// The process, if there is one.
    #[must_use]
    pub fn process(&self) -> Option<&Process<'a>> {
        self.process.as_ref()
    }

    /// Puts its walls up, reads them back twice, and hears that it is ready.
    ///
    /// # Errors
    /// Why it isn't; the process has ended then, unless it is ended with all else.
    pub fn wall_in(&mut self) -> Result<Seen, Cause> {
        self.walled().map_err(|cause| match cause {
            Cause::Wall(control, why) => Cause::Wall(control, format!("gm-http: {why}")),
            cause @ (Cause::Launcher | Cause::Woken) => cause,
            cause => self.blamed(cause),
        })
    }

    /// Its own end is what the plugin's would not tell.
    fn blamed(&mut self, cause: Cause) -> Cause {
        let Some(process) = self.process.take() else {
            return cause;
        };
        let Ending {
            kind,
            layer,
            detail,
            ..
        } = process.end(cause).ending;
        let why = format!("gm-http: {} {}", kind.as_str(), detail.unwrap_or_default());
        let control = layer.as_deref().and_then(Control::from_name);
        match control.filter(|_| kind == EndingKind::WallMissing) {
            Some(control) => Cause::Wall(control, why),
            None => Cause::Host(why),
        }
    }

    fn walled(&mut self) -> Result<Seen, Cause> {
        let Some(process) = &mut self.process else {
            return Err(Cause::Host("gm-http was not started".into()));
        };
        let task = self.task.insert(task(self.walls));
        process.wall_in(setup(self.walls, task))?;
        let wait = process.until(LOAD_TIME);
        match process.recv(wait)? {
            FromRunner::Loaded { .. } => {}
            _ => return Err(Cause::Link("gm-http said something else".into())),
        }
        let looked = process.look(Stage::Loaded)?;
        Ok(Seen { looked })
    }

    /// Starts it anew if it died, outside of any deadline of the plugin; true = there
    /// is another process now.
    ///
    /// # Errors
    /// A missing wall, or the launcher's end.
    pub fn revive(&mut self) -> Result<bool, Cause> {
        if self.process.is_some() || self.starts >= STARTS {
            return Ok(false);
        }
        match self.start() {
            Ok(()) => {}
            Err(SpawnError::Dead(_)) => return Err(Cause::Launcher),
            Err(SpawnError::Fault(fault)) => return Err(Cause::Host(fault.to_string())),
        }
        match self.wall_in() {
            Ok(_) => Ok(true),
            Err(cause @ (Cause::Wall(..) | Cause::Launcher | Cause::Woken)) => Err(cause),
            Err(cause) => {
                let why = match cause {
                    Cause::Host(why) => why,
                    other => format!("{other:?}"),
                };
                self.died.push(why);
                Ok(false)
            }
        }
    }

    /// Makes a request, within the plugin's deadline and its own.
    ///
    /// # Errors
    /// The plugin's deadline passed, or somebody wants its thread.
    pub fn fetch(&mut self, document: &[u8], wait: Wait<'_>) -> Result<Fetched, Cause> {
        let Some(process) = &mut self.process else {
            return Ok(failed("http: the process that makes requests has ended"));
        };
        self.made += 1;
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let left = wait.deadline.saturating_duration_since(Instant::now());
        let time = self.walls.timeout.min(left + BEHIND);
        let own = Wait {
            deadline: wait.deadline.min(Instant::now() + time + SLACK),
            wake: self.wake,
        };
        let fetched = exchange(process, id, time, document, self.walls.document_bytes, own);
        match fetched {
            Ok(fetched) => Ok(fetched),
            Err(Cause::Woken) => Err(Cause::Woken),
            Err(Cause::Deadline) if wait.deadline <= Instant::now() => Err(Cause::Deadline),
            Err(Cause::Deadline) => {
                self.over(Cause::Deadline);
                Ok(failed(
                    "time: the process that makes requests does not answer",
                ))
            }
            Err(cause) => {
                self.over(cause);
                Ok(failed("http: the process that makes requests has ended"))
            }
        }
    }

    /// Ends a process that is of no more use.
    fn over(&mut self, cause: Cause) {
        if let Some(process) = self.process.take() {
            let ending = process.end(cause).ending;
            let detail = ending.detail.unwrap_or_default();
            let layer = ending.layer.unwrap_or_default();
            self.died
                .push(format!("{} ({layer}) {detail}", ending.kind.as_str()));
        }
    }

    /// Ends it whatever it is doing, and says what it did.
    pub fn end(mut self) -> Value {
        let mut counters = Value::Null;
        if let Some(process) = self.process.take() {
            let dead = process.dismiss();
            counters = json!(dead.map(|dead| {
                json!({"cpu_us": dead.cpu_us, "memory_peak_bytes": dead.memory_peak})
            }));
        }
        json!({"requests": self.made, "ended_before": self.died, "counters": counters})
    }

    /// The member `http` of a `started` record.
    #[must_use]
    pub fn record(&self, seen: &Seen) -> Value {
        let Some(process) = &self.process else {
            return Value::Null;
        };
        let (child, looked, walls) = (&process.child.started, &seen.looked, self.walls);
        json!({
            "pid": child.pid,
            "uid": child.uid,
            "gid": child.gid,
            "engine_digest": started::engine_digest(child),
            "layers": walls.layers,
            "seccomp": started::seccomp(looked, walls.calls.0, walls.calls.1, None),
            "no_new_privs": looked.no_new_privs,
            "caps": format!("{:x}", looked.caps),
            "landlock": {"abi": walls.landlock_abi, "ports": self.task.as_ref().and_then(HttpSetup::ports)},
            "namespaces": looked.namespaces,
            "cgroup": child.cgroups,
            "limits": started::limits(looked, walls.timeout),
            "hosts": walls.scope,
        })
    }
}

fn failed(why: &str) -> Fetched {
    Fetched::Done(CallError::Net.status(), why.as_bytes().to_vec())
}

/// Its first frame.
fn setup(walls: &HttpWalls, task: &HttpSetup) -> Setup {
    Setup {
        protocol: gm_protocol::PROTOCOL,
        filters: walls.filters.clone(),
        landlock_abi: walls.landlock_abi,
        // It opens nothing.
        landlock: Vec::new(),
        role: Role::Http(task.clone()),
    }
}

/// Nameservers and known names are those of this moment.
fn task(walls: &HttpWalls) -> HttpSetup {
    HttpSetup {
        reach: walls.reach.clone(),
        allow_private: walls.allow_private.clone(),
        nameservers: names::servers(),
        known: names::known(&walls.reach),
        body_bytes: walls.body_bytes,
        document_bytes: u32::try_from(walls.document_bytes).unwrap_or(u32::MAX),
        redirects: walls.redirects,
    }
}

fn exchange(
    process: &mut Process<'_>,
    id: u32,
    time: Duration,
    document: &[u8],
    cap: usize,
    wait: Wait<'_>,
) -> Result<Fetched, Cause> {
    let (bytes, more) = head(document);
    let fetch = ToRunner::Fetch {
        id,
        time_ms: u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
        more,
        bytes,
    };
    // An answer is no flood, however fast requests follow each other.
    process.pace(Budget::of_document(cap), wait)?;
    process.send(&fetch, document, wait)?;
    let FromRunner::Fetched {
        id: answered,
        status,
        more,
        bytes,
    } = process.recv(wait)?
    else {
        return Err(Cause::Link("the answer to a request was due".into()));
    };
    let document = process.recv_parts(bytes, more, cap, wait)?;
    if answered != id {
        return Err(Cause::Link("an answer to another request".into()));
    }
    judged(status, document)
}

/// What it may say: a document of the length that it names, or one of four errors.
fn judged(status: i64, document: Vec<u8>) -> Result<Fetched, Cause> {
    let error = (status < 0).then(|| CallError::of_status(status));
    match (error, status) {
        (Some(CallError::Denied), _) => Ok(Fetched::Denied(document)),
        (Some(CallError::Invalid | CallError::TooBig | CallError::Net), _) => {
            Ok(Fetched::Done(status, document))
        }
        (None, length) if i64::try_from(document.len()) == Ok(length) && is_object(&document) => {
            Ok(Fetched::Done(length, document))
        }
        _ => Err(Cause::Link("an answer that is none".into())),
    }
}

fn is_object(document: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(document) else {
        return false;
    };
    text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_the_abi_is_handed_on() {
        let judged = |status, text: &str| judged(status, text.as_bytes().to_vec());
        assert_eq!(judged(2, "{}"), Ok(Fetched::Done(2, b"{}".to_vec())));
        assert_eq!(judged(-8, "why"), Ok(Fetched::Done(-8, b"why".to_vec())));
        assert_eq!(judged(-1, "a:1"), Ok(Fetched::Denied(b"a:1".to_vec())));
        for (status, text) in [
            (0, ""),
            (3, "{}"),
            (2, "[]"),
            (1, "{"),
            (-2, ""),
            (-9, ""),
            (i64::MAX, "{}"),
        ] {
            assert!(judged(status, text).is_err(), "{status} {text}");
        }
    }
}
