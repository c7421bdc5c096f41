//! `gm-broker run`: the whole of it, step by step.
//!
//! Everything that may refuse is asked before a plugin starts; from then on
//! there are only endings.

mod command;
mod result;
mod walk;

use std::path::Path;
use std::time::Instant;

use gm_manifest::{Code, PluginId, Refusal};
use serde_json::{Value, json};

use crate::args::broker::{RunArgs, RunOptions};
use crate::config::{Config, Level};
use crate::files::Surroundings;
use crate::graph::Graph;
use crate::home::Home;
use crate::logs::LogFile;
use crate::output::Output;
use crate::prepare::Preparer;
use crate::records::{Recorder, Wanted};
use crate::registry::Registry;
use crate::session::Session;
use crate::signals::Signals;
use crate::source::Repository;
use crate::stream::Feed;
use crate::supervise::Hosted;
pub use command::Asked;
use result::Fate;
use walk::{Hosting, Walked};

/// Hosts plugins on events. Gives the exit code; everything was said.
pub fn run(home: &Home, config: &Config, args: &RunArgs, output: &mut Output) -> u8 {
    let done = if args.safe_mode {
        in_safe_mode(home, config, args, output)
    } else {
        hosted(home, config, args, output)
    };
    done.unwrap_or_else(|refusal| output.refused(&refusal))
}

/// Nothing is started, not even the launcher.
fn in_safe_mode(
    home: &Home,
    config: &Config,
    args: &RunArgs,
    output: &mut Output,
) -> Result<u8, Refusal> {
    if let Some(id) = args.ids.first() {
        let detail = "safe mode starts no plugin";
        return Err(Refusal::new(Code::PolicySafeMode, detail)
            .plugin(id)
            .rule("--safe-mode"));
    }
    let feed = Feed::open(config, &args.options)?;
    let recorder = recorder(home, config, &args.options, output)?;
    recorder.run("run_started", started(home, &feed, None, &[])?);
    recorder.say(|output| output.note("safe mode: no plugin is started"));
    recorder.run(
        "run_ended",
        ended(0, &Walked::default(), &[], Instant::now()),
    );
    Ok(0)
}

fn hosted(
    home: &Home,
    config: &Config,
    args: &RunArgs,
    output: &mut Output,
) -> Result<u8, Refusal> {
    hosted_after(home, config, args, output, |_| Ok(()))
}

/// The same, with something to do first that needs the launcher too.
///
/// # Errors
/// What was refused before the run began.
pub fn hosted_after(
    home: &Home,
    config: &Config,
    args: &RunArgs,
    output: &mut Output,
    first: impl FnOnce(&Session) -> Result<(), Refusal>,
) -> Result<u8, Refusal> {
    ready(home, config, args.options.hosting.min_isolation, |ready| {
        first(ready.session)?;
        ready.host(home, config, args, None, output)
    })
}

/// A live launcher at a level that may run plugins: what runs need, one after the
/// other.
pub struct Ready<'a> {
    /// The launcher and its instance.
    pub session: &'a Session,
    signals: &'a Signals,
    level: Level,
}

/// Starts the launcher, does what is to be done with it, and ends it.
///
/// # Errors
/// As [`Session::begin`] and [`Session::level`], and what is done with it.
pub fn ready<T>(
    home: &Home,
    config: &Config,
    at_least: Option<Level>,
    then: impl FnOnce(&Ready<'_>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    // First of all: an early one must not end the broker without a record.
    let signals = Signals::take()?;
    let session = Session::begin(home, config)?;
    let done = session.level(config, at_least).and_then(|level| {
        then(&Ready {
            session: &session,
            signals: &signals,
            level,
        })
    });
    session.end();
    done
}

impl Ready<'_> {
    /// One run, from the source to the last record: on `given` events and a graph for
    /// them, else on those that the options name.
    ///
    /// # Errors
    /// What was refused before the run began.
    pub fn host(
        &self,
        home: &Home,
        config: &Config,
        args: &RunArgs,
        given: Option<(Feed, &Graph)>,
        output: &mut Output,
    ) -> Result<u8, Refusal> {
        let (feed, graph) = match given {
            Some((feed, graph)) => (feed, graph.clone()),
            None => {
                let feed = Feed::open(config, &args.options)?;
                let graph = feed.open_graph(home, &args.options)?;
                (feed, graph)
            }
        };
        let ids = ids(home, args, output)?;
        let options = &args.options;
        let launcher = self.session.launcher();
        let preparer = Preparer::open(home, config, launcher, options.hosting.allow_native)?;
        let recorder = recorder(home, config, options, output)?;
        recorder.run(
            "run_started",
            started(home, &feed, Some((self.session, self.level)), &ids)?,
        );
        let begun = Instant::now();
        let around = Surroundings::of(feed.repository(), home.path());
        let beginning = (&feed, &around);
        let (plugins, fates) = prepare(&preparer, &recorder, beginning, &ids, options.fail_fast);
        let hub = walk::hub_for(&plugins, config)?;
        let hosting = Hosting {
            session: self.session,
            signals: self.signals,
            home,
            config,
            options,
            is_command: false,
            graph: &graph,
            preparer: &preparer,
            recorder: &recorder,
            hub: &hub,
            plugins: &plugins,
        };
        let reports = |fates: &mut Vec<Fate>| result::print_reports(&recorder, fates);
        let ended = hosting.to_the_end(feed, fates, begun, reports);
        ended.map(|(exit, ())| exit)
    }
}

impl<'a> Hosting<'a> {
    /// Runs all plugins to their ends and writes the last record. What `judge` adds to
    /// their fates before it counts in the exit code.
    fn to_the_end<T>(
        &'a self,
        mut feed: Feed,
        mut fates: Vec<Fate>,
        begun: Instant,
        judge: impl FnOnce(&mut Vec<Fate>) -> T,
    ) -> Result<(u8, T), Refusal> {
        let walked = self.walk(&mut feed, &mut fates)?;
        fates.sort_by(|a, b| a.id.cmp(&b.id));
        let judged = judge(&mut fates);
        let dead = self.session.launcher().is_dead();
        let exit = result::exit_of(walked.signal, dead, walked.refused, &fates);
        let fields = ended(exit, &walked, &fates, begun);
        self.recorder.run("run_ended", fields);
        Ok((exit, judged))
    }
}

fn recorder<'a>(
    home: &Home,
    config: &Config,
    options: &RunOptions,
    output: &'a mut Output,
) -> Result<Recorder<'a>, Refusal> {
    let journal = LogFile::open(home.logs()?, "broker.jsonl", config.limits.log_file.get())?;
    let wanted = Wanted {
        no_replies: options.printed.no_replies,
        logs: options.printed.logs,
    };
    Ok(Recorder::new(output, journal, wanted))
}

/// The plugins of the run in id order: those that are named, else all that are
/// enabled.
fn ids(home: &Home, args: &RunArgs, output: &mut Output) -> Result<Vec<PluginId>, Refusal> {
    if args.ids.is_empty() {
        let registry = Registry::open(home)?;
        for (id, reason) in registry.quarantined()? {
            output.warn(&format!(
                "{id} is passed over, it is in quarantine: {reason}"
            ));
        }
        return registry.enabled();
    }
    let mut ids = Vec::new();
    for text in &args.ids {
        let id = PluginId::parse(text).map_err(|rule| {
            Refusal::new(
                Code::UsageUnknownPlugin,
                format!("{text:?} is no plugin's id: {rule}"),
            )
        })?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    Ok(ids)
}

/// Prepares each plugin; one that is refused stops no other, unless asked to.
fn prepare(
    preparer: &Preparer<'_>,
    recorder: &Recorder<'_>,
    (feed, around): (&Feed, &Surroundings),
    ids: &[PluginId],
    fail_fast: bool,
) -> (Vec<Hosted>, Vec<Fate>) {
    let mut plugins = Vec::new();
    let mut fates = Vec::new();
    for id in ids {
        match preparer.prepare(id, &plugins, feed, around) {
            Ok(plugin) => plugins.push(plugin),
            Err(refusal) => {
                let refusal = if refusal.plugin.is_none() {
                    refusal.plugin(id.as_str())
                } else {
                    refusal
                };
                fates.push(Fate::refused(id.as_str(), recorder.refused(&refusal)));
                if fail_fast {
                    plugins.clear();
                    break;
                }
            }
        }
    }
    (plugins, fates)
}

/// The fields of `run_started`.
fn started(
    home: &Home,
    feed: &Feed,
    session: Option<(&Session, Level)>,
    ids: &[PluginId],
) -> Result<Value, Refusal> {
    let facts = feed.facts();
    let fact = |name: &str| facts.get(name).cloned().unwrap_or_default();
    let ids: Vec<&str> = ids.iter().map(PluginId::as_str).collect();
    Ok(json!({
        "instance": session.map(|(session, _)| &session.instance().name),
        "repo": facts.is_object(),
        "object_format": fact("object_format"),
        "bare": fact("bare"),
        "shallow": fact("shallow"),
        "head": fact("head"),
        "total": feed.total(),
        "plugins": ids,
        "level": session.map(|(_, level)| level.as_str()),
        "safe_mode": session.is_none(),
        "home": home.path().to_string_lossy(),
        "home_digest": format!("sha256:{}", home.digest()?),
    }))
}

/// The fields of `run_ended`.
fn ended(exit: u8, walked: &Walked, fates: &[Fate], begun: Instant) -> Value {
    json!({
        "exit": exit,
        "events": walked.events,
        "skipped": walked.skipped,
        "plugins": result::endings(fates),
        "refused": fates.iter().filter(|fate| fate.ending.is_none()).count(),
        "interrupted": walked.interrupted,
        "wall_us": u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
    })
}

/// The graph of a repository, to look at it.
///
/// # Errors
/// Class `source`.
pub fn repository_graph(
    home: &Home,
    config: &Config,
    repo: Option<&Path>,
) -> Result<Graph, Refusal> {
    let repository = Repository::discover(repo, &config.trusted_sources)?;
    Graph::open_read_only(&home.graph()?.path().join(repository.graph_file_name()))
}

fn launcher_failed() -> Refusal {
    Refusal::new(
        Code::InternalLauncher,
        "the launcher died; everything that it had started was ended",
    )
}
