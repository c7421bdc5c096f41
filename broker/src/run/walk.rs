//! The walk: events from the source to the plugins' threads, until all ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gm_manifest::{Code, Refusal};
use gm_protocol::link::Budget;

use super::launcher_failed;
use super::result::Fate;
use crate::args::broker::RunOptions;
use crate::config::Config;
use crate::control::Control;
use crate::ending::EndingKind;
use crate::graph::Graph;
use crate::home::Home;
use crate::host_api::{HostApi, Parts};
use crate::hub::Hub;
use crate::logs::{LogFile, Rate};
use crate::prepare::Preparer;
use crate::records::{Recorder, Share};
use crate::session::Session;
use crate::signals::Signals;
use crate::stream::{Feed, Item};
use crate::supervise::{self, Hosted, Lived, Outcome, Shared};

/// How often the progress line is renewed.
const PROGRESS: Duration = Duration::from_millis(100);
/// So many endings that allow a restart, in so short a time, are a crash loop.
const LOOP: (usize, Duration) = (3, Duration::from_secs(60));
/// Each wait before a restart is this many times the one before.
const BACKOFF_GROWS: u32 = 4;

/// What hosting needs, all of it shared by the threads.
pub(super) struct Hosting<'a> {
    pub(super) session: &'a Session,
    pub(super) signals: &'a Signals,
    pub(super) home: &'a Home,
    pub(super) config: &'a Config,
    pub(super) options: &'a RunOptions,
    pub(super) is_command: bool,
    pub(super) graph: &'a Graph,
    pub(super) preparer: &'a Preparer<'a>,
    pub(super) recorder: &'a Recorder<'a>,
    pub(super) hub: &'a Hub,
    pub(super) plugins: &'a [Hosted],
}

/// What the walk came to.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub(super) events: u64,
    pub(super) skipped: u64,
    /// Exit code that the first signal asks for.
    pub(super) signal: Option<u8>,
    pub(super) interrupted: bool,
    /// Exit code of a fault in the source.
    pub(super) refused: Option<u8>,
}

/// The queues of these plugins.
pub(super) fn hub_for(plugins: &[Hosted], config: &Config) -> Result<Hub, Refusal> {
    let hooks = plugins.iter().map(|plugin| plugin.hooks.clone()).collect();
    Hub::new(hooks, u64::from(config.limits.derived)).map_err(|error| {
        Refusal::new(
            Code::InternalPanic,
            format!("could not make the event queues: {error}"),
        )
    })
}

impl<'a> Hosting<'a> {
    /// Runs all plugins to their ends.
    pub(super) fn walk(
        &'a self,
        feed: &mut Feed,
        fates: &mut Vec<Fate>,
    ) -> Result<Walked, Refusal> {
        let mut walked = Walked::default();
        feed.until(self.hub.enough())?;
        let mut lives = Vec::new();
        for plugin in self.plugins {
            lives.push((plugin, self.host_api(plugin)?));
        }
        let control = Control::open(self.session.instance().dir())?;
        std::thread::scope(|scope| {
            let signal = scope.spawn(|| self.signals.serve(self.hub));
            scope.spawn(|| control.serve(self.hub, self.plugins));
            let threads: Vec<_> = lives
                .into_iter()
                .map(|(plugin, api)| scope.spawn(|| self.lives(plugin, api)))
                .collect();
            self.feed(feed, &mut walked);
            for (plugin, thread) in self.plugins.iter().zip(threads) {
                fates.push(thread.join().unwrap_or_else(|_| self.panicked(plugin)));
            }
            self.signals.finish();
            control.finish();
            walked.signal = signal.join().unwrap_or(None);
        });
        walked.interrupted = self.hub.is_interrupted();
        if self.session.launcher().is_dead() {
            self.recorder.refused(&launcher_failed());
        }
        Ok(walked)
    }

    fn host_api(&'a self, plugin: &'a Hosted) -> Result<HostApi<'a>, Refusal> {
        let limits = &self.config.limits;
        let id = &plugin.source.id;
        let values = gm_manifest::PluginId::parse(id).map(|id| self.config.values_of(&id));
        Ok(HostApi::new(Parts {
            source: &plugin.source,
            index: plugin.index,
            walls: &plugin.walls,
            graph: self.graph,
            storage: plugin.storage.as_ref(),
            hub: self.hub,
            recorder: self.recorder,
            values: values.unwrap_or_else(|_| BTreeMap::new()),
            log: LogFile::open(
                self.home.plugin_logs()?,
                &format!("{id}.jsonl"),
                limits.log_file.get(),
            )?,
            rate: Rate::new(limits.log_lines.into(), limits.log_flood.into()),
            share: Share::new(limits.log_file.get(), self.plugins.len()),
            result_bytes: usize::try_from(limits.reply.get()).unwrap_or(usize::MAX),
        }))
    }

    /// Pushes all events; stops early when nobody is left or nobody reads.
    fn feed(&self, feed: &mut Feed, walked: &mut Walked) {
        let hub = self.hub;
        let mut shown = Instant::now();
        let total = feed.total();
        while let Some(item) = feed.next_item() {
            match item {
                Ok(Item::Event(event)) => {
                    if !hub.push(event) {
                        break;
                    }
                    walked.events += 1;
                }
                Ok(Item::Skipped(fields)) => {
                    walked.skipped += 1;
                    self.recorder.run("skipped", fields);
                }
                Err(refusal) => {
                    walked.refused = Some(self.recorder.refused(&refusal));
                    break;
                }
            }
            if self.recorder.is_closed() {
                hub.interrupt();
            }
            if shown.elapsed() >= PROGRESS {
                shown = Instant::now();
                let of = total
                    .map(|total| format!(" of {total}"))
                    .unwrap_or_default();
                let done = walked.events;
                self.recorder
                    .say(|output| output.progress(&format!("{done}{of} events")));
            }
        }
        hub.source_done();
    }

    /// All lives of one plugin: it is started anew after an ending that allows
    /// it, as often as the operator says.
    fn lives(&'a self, plugin: &'a Hosted, mut api: HostApi<'a>) -> Fate {
        let hub = self.hub;
        let _leaves = Leaves(hub, plugin.index);
        let limits = &self.config.limits;
        let shared = Shared {
            launcher: self.session.launcher(),
            instance: self.session.instance(),
            preparer: self.preparer,
            hub,
            recorder: self.recorder,
            budget: Budget {
                frames: limits.frames,
                bytes: limits.bytes.get(),
            },
            reply_bytes: usize::try_from(limits.reply.get()).unwrap_or(usize::MAX),
            is_command: self.is_command,
        };
        let mut fate = Fate {
            id: plugin.source.id.clone(),
            ..Fate::default()
        };
        let mut attempt = 0;
        let mut bad = Vec::new();
        loop {
            let mut next = None;
            let outcome = supervise::live(shared, plugin, &mut api, |lived| {
                next = self.restart(lived, attempt);
                next
            });
            // What isn't its doing must not put it into quarantine.
            if outcome.ending.kind.may_restart() && !outcome.ending.is_our_fault() {
                bad.push(Instant::now());
            }
            keep(&mut fate, outcome);
            let Some((after_ms, number)) = next else {
                break;
            };
            attempt = number;
            if !hub.pause(plugin.index, Duration::from_millis(after_ms))
                || !self.still_trusted(plugin, &mut fate)
            {
                break;
            }
            api.restart();
        }
        if fate.ending.is_some_and(EndingKind::may_restart) && is_loop(&bad) {
            self.quarantine(plugin, bad.len());
        }
        if self.options.fail_fast && fate.ending != Some(EndingKind::Finished) {
            hub.interrupt();
        }
        fate
    }

    /// After how many milliseconds, and as which attempt, another life follows.
    fn restart(&self, lived: Lived, attempt: u32) -> Option<(u64, u32)> {
        let rules = &self.config.restart;
        let may = lived.ending.may_restart()
            && !lived.was_over
            && attempt < rules.max
            && !self.options.fail_fast
            // Its one event would not be given to it again.
            && !self.is_command
            && !self.hub.is_interrupted()
            && !self.session.launcher().is_dead();
        let grown = u64::from(BACKOFF_GROWS).saturating_pow(attempt);
        may.then(|| (rules.backoff.get().saturating_mul(grown), attempt + 1))
    }

    /// Suspends a plugin until somebody has looked at it.
    fn quarantine(&self, plugin: &Hosted, endings: usize) {
        let reason = format!("it ended badly {endings} times in a row");
        let changed = self.preparer.quarantine(&plugin.identity.id, &reason);
        match changed {
            Ok(()) => {
                let id = &plugin.source.id;
                let fields = serde_json::json!({"reason": reason});
                self.recorder.plugin(&plugin.source, "quarantined", fields);
                let text = format!("{id} │ in quarantine: {reason}; gm plugin enable {id} ends it");
                self.recorder.say(|output| output.warn(&text));
            }
            // It is still refused by its next crash loop.
            Err(refusal) => {
                self.recorder.refused(&refusal);
            }
        }
    }

    /// A restart verifies again, so that a revocation in between counts.
    fn still_trusted(&self, plugin: &Hosted, fate: &mut Fate) -> bool {
        let refused = self
            .preparer
            .still_allows(plugin)
            .map_err(|refusal| self.recorder.refused(&refusal));
        fate.exits.extend(refused.err());
        refused.is_ok()
    }

    fn panicked(&self, plugin: &Hosted) -> Fate {
        let detail = format!("the thread of {} panicked", plugin.source.id);
        let refusal = Refusal::new(Code::InternalPanic, detail).plugin(&plugin.source.id);
        Fate {
            ending: Some(EndingKind::Crashed),
            ..Fate::refused(&plugin.source.id, self.recorder.refused(&refusal))
        }
    }
}

/// Lets the source and the others go on without a plugin whose thread has ended,
/// also when it panicked.
struct Leaves<'a>(&'a Hub, usize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.leave(self.1);
    }
}

/// Whether the last ones came too fast upon each other.
fn is_loop(bad: &[Instant]) -> bool {
    let (count, within) = LOOP;
    let first = bad.len().checked_sub(count).and_then(|at| bad.get(at));
    first.is_some_and(|first| first.elapsed() <= within)
}

/// A later life's ending replaces an earlier one's in the counts; each asks
/// for its exit code.
fn keep(fate: &mut Fate, outcome: Outcome) {
    fate.exits.push(outcome.ending.kind.exit());
    fate.exits.push(u8::from(outcome.had_errors));
    fate.ending = Some(outcome.ending.kind);
    fate.report = outcome.report.or(fate.report.take());
    fate.command = outcome.command.or(fate.command.take());
}
