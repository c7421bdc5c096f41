//! `gm-broker run`: the whole of it, step by step.
//!
//! Everything that may refuse is asked before a plugin starts; from then on
//! there are only endings.

use std::collections::BTreeMap;
use std::time::Instant;

use gm_manifest::{PluginId, Refusal};
use gm_protocol::link::Budget;
use gm_protocol::plan::Hook;
use serde_json::{Value, json};

use crate::args::RunArgs;
use crate::config::Config;
use crate::ending::EndingKind;
use crate::graph::Graph;
use crate::home::Home;
use crate::host_api::{HostApi, Parts};
use crate::hub::Hub;
use crate::instance::{self, Instance};
use crate::logs::{LogFile, Rate};
use crate::output::Output;
use crate::prepare::Preparer;
use crate::records::{Recorder, Wanted};
use crate::signals::Signals;
use crate::spawn::{Launcher, privileges};
use crate::stream::{Feed, Origin};
use crate::supervise::{self, Hosted, Outcome, Shared};

/// What one plugin of a run came to.
#[derive(Debug)]
struct Result {
    id: PluginId,
    exits: Vec<u8>,
    ending: Option<EndingKind>,
    report: Option<String>,
}

/// Hosts plugins on events. Gives the exit code; everything was said.
pub fn run(home: &Home, config: &Config, args: &RunArgs, output: &mut Output) -> u8 {
    let session = match Session::begin(home, config, args) {
        Ok(session) => session,
        Err(refusal) => return output.refused(&refusal),
    };
    let exit = match session.host(home, config, args, output) {
        Ok(exit) => exit,
        Err(refusal) => output.refused(&refusal),
    };
    session.end();
    exit
}

/// What a run holds from its first step to its last.
struct Session {
    instance: Instance,
    /// None in safe mode: then nothing can be started at all.
    launcher: Option<Launcher>,
    signals: Signals,
}

impl Session {
    /// Step 0: sweep, launcher, privileges, signals; in this order, since the
    /// launcher needs what the broker then gives up, and threads inherit it.
    fn begin(home: &Home, config: &Config, args: &RunArgs) -> std::result::Result<Self, Refusal> {
        instance::sweep(home)?;
        let instance = Instance::begin(home)?;
        let launcher = if args.safe_mode {
            None
        } else {
            let launcher = Launcher::start(home.path(), &instance.name)?;
            instance.describe(launcher.host().groups.iter().map(Into::into).collect())?;
            Some(launcher)
        };
        privileges::drop_all(config.run_as)?;
        let signals = Signals::take()?;
        Ok(Self { instance, launcher, signals })
    }

    /// Steps 1 to 13 of a run's life.
    fn host(&self, home: &Home, config: &Config, args: &RunArgs, output: &mut Output) -> std::result::Result<u8, Refusal> {
        let feed = Feed::open(config, args)?;
        let graph = feed.open_graph(home, args)?;
        let preparer = Preparer::new(home, config, args, self.launcher.as_ref())?;
        let ids = preparer.ids(&args.ids)?;
        let journal = LogFile::open(home.logs()?, "broker.jsonl", config.limits.log_file.get())?;
        let wanted = Wanted { no_replies: args.options.no_replies, logs: args.options.logs };
        let recorder = Recorder::new(output, journal, wanted);
        recorder.run("run_started", self.started(home, args, &feed, &ids)?);
        let mut results = Vec::new();
        let mut hosted = Vec::new();
        for id in ids {
            match preparer.prepare(&id, hosted.len(), &feed, &hosted) {
                Ok(plugin) => hosted.push((id, plugin)),
                Err(refusal) => {
                    let exit = recorder.refused(&refusal);
                    results.push(Result { id, exits: vec![exit], ending: None, report: None });
                    if args.options.fail_fast {
                        hosted.clear();
                        break;
                    }
                }
            }
        }
        let begun = Instant::now();
        let refused = results.len();
        let walk = self.walk(config, args, &preparer, &feed, &graph, &recorder, hosted)?;
        results.extend(walk.results);
        results.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
        let launcher_died = self.launcher.as_ref().is_some_and(Launcher::is_dead);
        let exit = exit_of(walk.signal, launcher_died, &results);
        print_reports(&recorder, &results);
        recorder.run("run_ended", json!({
            "exit": exit,
            "events": walk.events,
            "skipped": walk.skipped,
            "plugins": endings(&results),
            "refused": refused,
            "interrupted": walk.signal.is_some() || walk.interrupted,
            "wall_us": u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX),
        }));
        Ok(exit)
    }
}
