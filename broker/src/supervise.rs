//! The life of one plugin: started, walled, loaded, called, ended.
//!
//! Each step happens once and in this order; any error leads to the one end
//! in [`crate::process`]. Plugin code never runs before both read-backs agreed
//! with the plan.

mod calls;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gm_manifest::Code;
use gm_protocol::link::{Budget, Wait};
use gm_protocol::message::{FromRunner, ToRunner};
use gm_protocol::orders::{FaultKind, FdKind, Looked, Stage};
use gm_protocol::plan::Hook;
use mind_gpg::Identity;
use serde_json::{Value, json};

use crate::ending::{Cause, Ending, EndingKind, Fixed};
use crate::files::Opened;
use crate::host_api::HostApi;
use crate::http::Requests;
use crate::hub::{Event, Hub, Next};
use crate::instance::{Guest, Instance};
use crate::plan::Walls;
use crate::prepare::Preparer;
use crate::process::{Dead, Order, Process};
use crate::records::{self, Reached, Recorder, Source, Tally};
use crate::spawn::{Launcher, SpawnError};
use crate::started;
use crate::storage::Storage;

/// From `Go` to `Loaded`.
const LOAD_TIME: Duration = Duration::from_secs(10);
/// Longer than the second after which a budget is fresh.
const PACE_TIME: Duration = Duration::from_secs(2);
/// The most that `shutdown` may take, also where `time_limit` is longer.
const SHUTDOWN_TIME: Duration = Duration::from_secs(2);

/// A plugin that may be started: verified, planned, compiled.
#[derive(Debug)]
pub struct Hosted {
    /// Index in the hub.
    pub index: usize,
    /// For records.
    pub source: Source,
    /// Events that it is given.
    pub hooks: Vec<Hook>,
    /// Walls and limits, proved.
    pub walls: Walls,
    /// The artifact to run, sealed.
    pub code: OwnedFd,
    /// All assets, sealed.
    pub assets: Option<OwnedFd>,
    /// Granted paths.
    pub opened: Opened,
    /// What it keeps for itself, if that is granted.
    pub storage: Option<Storage>,
    /// Who signed what.
    pub identity: Identity,
    /// The document for `init`.
    pub init: Vec<u8>,
}

/// What all plugins of a run share.
#[derive(Clone, Copy)]
pub struct Shared<'a> {
    /// Starts and ends processes.
    pub launcher: &'a Launcher,
    /// Knows what runs, for who must end it from outside.
    pub instance: &'a Instance,
    /// Knows whether a plugin may still be hosted.
    pub preparer: &'a Preparer<'a>,
    /// Hands out events.
    pub hub: &'a Hub,
    /// Takes records.
    pub recorder: &'a Recorder<'a>,
    /// How much a runner may send a second.
    pub budget: Budget,
    /// Most bytes of a reply or a host call's result.
    pub reply_bytes: usize,
    /// Only a command is carried out. There was no walk that `shutdown` could
    /// sum up: what it puts would stand in the place of what a walk found.
    pub is_command: bool,
}

/// How a plugin's life ended.
#[derive(Debug)]
pub struct Outcome {
    /// The ending.
    pub ending: Ending,
    /// A hook answered an error on the way.
    pub had_errors: bool,
    /// What `shutdown` reported, for people.
    pub report: Option<String>,
    /// What the command answered, if one was carried out.
    pub command: Option<Said>,
}

/// What a hook answered: its reply, or its error's text.
pub type Said = Result<Option<Value>, String>;

/// What a life came to, for who decides about another one.
#[derive(Debug, Clone, Copy)]
pub struct Lived {
    /// How it ended.
    pub ending: EndingKind,
    /// It had been told to shut down: there was nothing left to do.
    pub was_over: bool,
}

/// One life of one plugin, on its own thread.
struct Life<'a, 'b> {
    shared: Shared<'a>,
    plugin: &'a Hosted,
    api: &'b mut HostApi<'a>,
    tally: Tally,
    report: Option<String>,
    command: Option<Said>,
    next_call: u32,
    /// When the step that is open now began.
    step: Instant,
    /// No event is left.
    over: bool,
    /// Where hosts are granted: who asks them.
    requests: Option<Requests<'a>>,
    /// What is said of it at its start.
    http: Value,
}

/// Runs one life from the order to the ending, and records it. `restart` says
/// after how many milliseconds and in which attempt another one follows.
pub fn live<'a>(
    shared: Shared<'a>,
    plugin: &'a Hosted,
    api: &mut HostApi<'a>,
    restart: impl FnOnce(Lived) -> Option<(u64, u32)>,
) -> Outcome {
    let mut life = Life {
        shared,
        plugin,
        api,
        tally: Tally::default(),
        report: None,
        command: None,
        next_call: 1,
        step: Instant::now(),
        over: false,
        requests: None,
        http: Value::Null,
    };
    let (dead, open_ms) = life.run();
    tally_requests(&mut life);
    life.api.sum_up();
    let log_flood = life.api.log_flood();
    let Life {
        mut tally,
        report,
        command,
        over,
        ..
    } = life;
    tally.wall_us = dead.wall_us;
    if let Some(collected) = &dead.collected {
        (tally.cpu_us, tally.memory_peak) = (collected.cpu_us, collected.memory_peak);
    }
    let reached = reached(&dead, plugin, &tally, open_ms, log_flood);
    let restart = restart(Lived {
        ending: dead.ending.kind,
        was_over: over,
    });
    let fields = records::ended(&dead.ending, &tally, &reached, restart);
    shared.recorder.plugin(&plugin.source, "ended", fields);
    let text = records::ending_for_people(&plugin.source, &dead.ending, &tally, &reached);
    shared.recorder.say(|output| output.note(&text));
    Outcome {
        ending: dead.ending,
        had_errors: tally.errors > 0,
        report,
        command,
    }
}

impl<'a> Life<'a, '_> {
    /// The dead process, and how many milliseconds its last step was open.
    fn run(&mut self) -> (Dead, u128) {
        if let Err(error) = self.start_requests() {
            return (never_started(&error), 0);
        }
        let mut process = match self.start() {
            Ok(process) => process,
            Err(error) => return (never_started(&error), 0),
        };
        let cause = match self.steps(&mut process) {
            Ok(()) => Cause::Stopped,
            Err(Cause::Woken) => Cause::Operator(
                self.shared
                    .hub
                    .stop_of(self.plugin.index)
                    .unwrap_or(EndingKind::KilledByOperator),
            ),
            Err(cause) => cause,
        };
        let mut open_ms = self.step.elapsed().as_millis();
        let mut dead = process.end(cause);
        if matches!(
            dead.ending.fixed,
            Some((Fixed::Stop | Fixed::EndOfInput, _))
        ) {
            // Its last step was to end.
            open_ms = self.step.elapsed().as_millis();
        }
        // Whoever revokes it kills it where this run doesn't answer in time.
        if dead.ending.signal == Some(libc::SIGKILL)
            && let Err(cause @ Cause::Operator(_)) = self.still_allowed()
        {
            dead.ending = Ending::judge(&cause, None, None);
        }
        (dead, open_ms)
    }

    /// The process that makes its requests is there before it, so that no deadline of
    /// the plugin pays for its start.
    fn start_requests(&mut self) -> Result<(), SpawnError> {
        let Some(walls) = &self.plugin.walls.http else {
            return Ok(());
        };
        let wake = self.shared.hub.wake(self.plugin.index);
        let requests = Requests::new(self.shared.launcher, walls, self.shared.budget, wake);
        self.requests.insert(requests).start()
    }

    fn start(&self) -> Result<Process<'a>, SpawnError> {
        let mut fds = vec![(FdKind::Code, self.plugin.code.as_fd())];
        fds.extend(
            self.plugin
                .assets
                .as_ref()
                .map(|assets| (FdKind::Assets, assets.as_fd())),
        );
        let Opened { reads, hidden } = &self.plugin.opened;
        fds.extend(reads.iter().map(|fd| (FdKind::Read, fd.as_fd())));
        fds.extend(hidden.iter().map(|fd| (FdKind::Hide, fd.as_fd())));
        let order = Order {
            engine: self.plugin.walls.engine,
            limits: self.plugin.walls.limits.clone(),
            fds,
            assets: self.plugin.walls.assets(),
            budget: self.shared.budget,
            wake: self.shared.hub.wake(self.plugin.index),
            mounted: self.plugin.walls.mounted,
        };
        Process::start(self.shared.launcher, order)
    }

    /// The steps of a life after its start, in order.
    fn steps(&mut self, process: &mut Process<'a>) -> Result<(), Cause> {
        self.write_down(process)?;
        if let Some(requests) = &mut self.requests {
            let seen = requests.wall_in()?;
            self.http = requests.record(&seen);
        }
        process.wall_in(self.plugin.walls.setup.clone())?;
        let (has_init, has_shutdown) = self.loaded(process)?;
        let looked = process.look(Stage::Loaded)?;
        self.record_started(process, &looked);
        if has_init {
            self.init(process)?;
        }
        let interrupted = loop {
            match self
                .shared
                .hub
                .next(self.plugin.index, Some(process.death()))
            {
                Next::Event(event) => self.event(process, &event)?,
                Next::Shutdown { interrupted } => break interrupted,
                Next::Kill(ending) => return Err(Cause::Operator(ending)),
                // It died while it had nothing to do.
                Next::Died => return Err(Cause::Gone),
            }
        };
        self.over = true;
        if has_shutdown && !self.shared.is_command {
            self.shutdown(process, interrupted)?;
        }
        self.step = Instant::now();
        let wait = process.until(SHUTDOWN_TIME);
        let told = process.send(&ToRunner::Stop, &[], wait);
        told.map_err(|cause| fixed(cause, process.stop(), SHUTDOWN_TIME))
    }

    /// From here on who revokes the plugin finds its process.
    fn write_down(&self, process: &Process<'a>) -> Result<(), Cause> {
        let started = &process.child.started;
        let mut groups = self.shared.launcher.groups_of(started);
        let requests = self.requests.as_ref().and_then(Requests::process);
        groups.extend(
            requests
                .iter()
                .flat_map(|other| self.shared.launcher.groups_of(&other.child.started)),
        );
        let guest = Guest::new(&self.plugin.identity, started.pid, groups);
        let written = self.shared.instance.started(guest);
        written.map_err(|refusal| Cause::Host(refusal.detail))?;
        // Written down first, then asked: who revokes it writes the revocation
        // first, then looks for it, so one of the two sees the other.
        self.still_allowed()
    }

    fn still_allowed(&self) -> Result<(), Cause> {
        match self.shared.preparer.still_allows(self.plugin) {
            Ok(()) => Ok(()),
            Err(refusal) => Err(match refusal.code {
                Code::PolicyDisabled | Code::PolicyQuarantined | Code::UsageUnknownPlugin => {
                    Cause::Operator(EndingKind::KilledByOperator)
                }
                // The home or the host failed: that says nothing about the plugin.
                code if matches!(code.class(), "internal" | "store") => Cause::Host(refusal.detail),
                _ => Cause::Operator(EndingKind::Revoked),
            }),
        }
    }

    /// Waits until the code is loaded. A start function may log, nothing else.
    fn loaded(&mut self, process: &mut Process<'a>) -> Result<(bool, bool), Cause> {
        let wait = process.until(LOAD_TIME);
        self.until_loaded(process, wait)
            .map_err(|cause| fixed(cause, Fixed::Load, LOAD_TIME))
    }

    fn until_loaded(
        &mut self,
        process: &mut Process<'a>,
        wait: Wait<'_>,
    ) -> Result<(bool, bool), Cause> {
        let mut open = self.api.outside();
        loop {
            match process.recv(wait)? {
                FromRunner::Loaded { init, shutdown } => {
                    self.api.close(&open);
                    return Ok((init, shutdown));
                }
                FromRunner::NotLoaded { text } => return Err(Cause::NotLoaded(text)),
                message => self.host_call(process, message, &mut open, wait)?,
            }
        }
    }

    fn init(&mut self, process: &mut Process<'a>) -> Result<(), Cause> {
        let event = Arc::new(Event {
            hook: Hook::Init,
            seq: 0,
            subject: None,
            depth: 0,
            document: self.plugin.init.clone(),
        });
        let time = self.plugin.walls.time_limit;
        match self.call(process, &event, time, Some(0))? {
            Ok(_) => Ok(()),
            Err(text) => Err(Cause::InitFailed(text)),
        }
    }

    fn event(&mut self, process: &mut Process<'a>, event: &Event) -> Result<(), Cause> {
        let time = self.plugin.walls.time_limit;
        // An answered error is the plugin's word on one event; it goes on.
        let said = self.call(process, event, time, Some(event.seq))?;
        if event.hook == Hook::Command {
            self.command = Some(said);
        }
        Ok(())
    }

    fn shutdown(&mut self, process: &mut Process<'a>, interrupted: bool) -> Result<(), Cause> {
        let reason = if interrupted { "interrupted" } else { "end" };
        let document = json!({
            "schema": "gm.shutdown/1",
            "reason": reason,
            "events": self.api.events_seen(),
        });
        let event = Event {
            hook: Hook::Shutdown,
            seq: 0,
            subject: None,
            depth: 0,
            document: document.to_string().into_bytes(),
        };
        let limit = self.plugin.walls.time_limit;
        let said = self.call(process, &event, limit.min(SHUTDOWN_TIME), None);
        // A shorter time is the plugin's own; a longer one would not help.
        let said = said.map_err(|cause| match limit >= SHUTDOWN_TIME {
            true => fixed(cause, Fixed::Shutdown, SHUTDOWN_TIME),
            false => cause,
        });
        if let Ok(Some(Value::Object(reply))) = said? {
            self.report = reply
                .get("report")
                .and_then(Value::as_str)
                .map(str::to_owned);
        }
        Ok(())
    }

    fn record_started(&self, process: &Process<'a>, looked: &Looked) {
        let fields = started::fields(self.plugin, process, looked, &self.http);
        self.shared
            .recorder
            .plugin(&self.plugin.source, "started", fields);
    }
}

/// A deadline as that of a step whose time is fixed; any other cause as it is.
fn fixed(cause: Cause, step: Fixed, time: Duration) -> Cause {
    match cause {
        Cause::Deadline => Cause::FixedDeadline(step, time),
        cause => cause,
    }
}

/// Ends who made its requests, after the plugin itself.
fn tally_requests(life: &mut Life<'_, '_>) {
    life.tally.http = life.requests.take().map(Requests::end);
}

fn never_started(error: &SpawnError) -> Dead {
    let ending = match error {
        SpawnError::Fault(fault) => {
            let (kind, layer) = match fault.kind {
                FaultKind::Wall(control) => (EndingKind::WallMissing, control.as_str()),
                FaultKind::EngineMissing => (EndingKind::WallMissing, "engine-missing"),
                FaultKind::Config | FaultKind::Refused | FaultKind::Gone => {
                    (EndingKind::Crashed, "operator")
                }
            };
            Ending {
                detail: Some(fault.to_string()),
                ..Ending::new(kind, layer)
            }
        }
        SpawnError::Dead(_) => Ending::judge(&Cause::Launcher, None, None),
    };
    Dead {
        ending,
        collected: None,
        wall_us: 0,
    }
}

fn reached(
    dead: &Dead,
    plugin: &Hosted,
    tally: &Tally,
    open_ms: u128,
    log_flood: (u64, u64),
) -> Reached {
    let of_its_own = |time: Duration| Reached {
        limit: Some(format!("{}s", time.as_secs())),
        peak: Some(open_ms.to_string()),
        manifest_line: None,
    };
    if let Some((_, time)) = dead.ending.fixed {
        return of_its_own(time);
    }
    let (limit, peak) = match dead.ending.kind {
        // Before its first call a plugin has no limit of its own yet.
        EndingKind::TimedOut if tally.at_hook.is_none() => return of_its_own(LOAD_TIME),
        EndingKind::TimedOut => (&plugin.walls.time_text, open_ms.to_string()),
        EndingKind::OutOfMemory => (&plugin.walls.memory_text, tally.memory_peak.to_string()),
        EndingKind::LogFlood => {
            let (limit, lost) = log_flood;
            return Reached {
                limit: Some(limit.to_string()),
                peak: Some(lost.to_string()),
                manifest_line: None,
            };
        }
        EndingKind::TooManyProcesses => {
            let pids = plugin.walls.limits.pids;
            let refused = dead.collected.as_ref().map_or(0, |dead| dead.pids_refused);
            return Reached {
                limit: Some(pids.to_string()),
                peak: Some(u64::from(pids).saturating_add(refused).to_string()),
                manifest_line: None,
            };
        }
        _ => return Reached::default(),
    };
    Reached {
        limit: Some(limit.text.clone()),
        peak: Some(peak),
        manifest_line: limit.line,
    }
}
