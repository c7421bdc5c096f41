//! `gm plugin test`: the author's cases, each a whole run of a signed copy behind
//! the same walls as always.
//!
//! The cases are no part of the package: they lie beside it, and nothing of them is
//! signed, loaded or shown to the plugin but their events and settings.

mod case;
mod denial;
mod judge;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gm_manifest::{Bytes, Code, Manifest, PluginId, Refusal};
use serde_json::{Value, json};

use crate::args::Invocation;
use crate::args::broker::{HostingOptions, PrintedOptions, RunArgs, RunOptions};
use crate::args::gm::TestArgs;
use crate::args::usage;
use crate::config::{Config, Exception};
use crate::graph::Graph;
use crate::home::{Dir, Home};
use crate::output::Output;
use crate::package;
use crate::prepare::{Workshop, named, native_allowed};
use crate::registry::Registry;
use crate::run;
use crate::storage::{Storage, Unwritten};
use crate::stream::Feed;

use super::try_out::Tried;
use case::Case;
use judge::{Failure, Verdict};

/// Where cases lie, beside the package's directory.
const CASES: &str = "tests";
/// The most bytes of records that one case may make.
const MAX_RECORDS: usize = 64 << 20;
/// Who put what a case says was in the graph before.
const BEFORE: &str = "before";

pub(super) fn run(
    args: &TestArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<u8, Refusal> {
    let (home, config) = invocation.open_home()?;
    let original = package::read(&args.path)?;
    let manifest = original.manifest().clone();
    let about = |refusal| named(refusal, &manifest);
    invocation.may_start().map_err(about)?;
    let allowed = native_allowed(&manifest, &config, args.hosting.allow_native)?;
    let directory = match &args.cases {
        Some(directory) => directory.clone(),
        None => beside(&args.path)?,
    };
    let cases = case::read_all(&directory).map_err(about)?;
    let place = home.try_out(manifest.id())?;
    let held = place.lock()?;
    let tried = Tried::prepare(&home, &place, &original, &allowed)?;
    let tested = run::ready(&tried.home, &config, args.hosting.min_isolation, |ready| {
        install(&tried, &config, ready.session)?;
        let trial = Trial {
            ready,
            home: &tried.home,
            config: &config,
            manifest: &manifest,
            allow_native: args.hosting.allow_native,
        };
        trial.all(&cases, output)
    });
    Registry::open(&tried.home)?.remove(manifest.id())?;
    drop(held);
    let Tested { failed, signal } = tested.map_err(about)?;
    Ok(finish(&manifest, cases.len(), failed, signal, output))
}

/// `tests` of the author's directory, which holds the package.
fn beside(path: &Path) -> Result<PathBuf, Refusal> {
    let missing = |error: std::io::Error| usage(format!("{}: {error}", path.display()));
    let package = package::directory(path)?.canonicalize().map_err(missing)?;
    let parent = package.parent().unwrap_or(Path::new("/"));
    Ok(parent.join(CASES))
}

/// Compiles the code, which checks its imports and exports, and installs the copy.
fn install(
    tried: &Tried,
    config: &Config,
    session: &crate::session::Session,
) -> Result<(), Refusal> {
    let built = Workshop::open(&tried.home, config, session.launcher())?.build(&tried.plugin)?;
    built.plan.module_memory(built.code.len)?;
    Registry::open(&tried.home)?
        .install(&tried.plugin, &tried.trust, true)
        .map(|_| ())
}

struct Tested {
    failed: usize,
    /// Exit code that a signal asks for.
    signal: Option<u8>,
}

/// What all cases of a package share.
struct Trial<'a> {
    ready: &'a run::Ready<'a>,
    home: &'a Home,
    config: &'a Config,
    manifest: &'a Manifest,
    allow_native: bool,
}

impl Trial<'_> {
    fn all(&self, cases: &[Case], output: &mut Output) -> Result<Tested, Refusal> {
        let mut failed = 0;
        for case in cases {
            let (verdict, exit) = self.one(case)?;
            failed += usize::from(!verdict.failures.is_empty());
            say(case, &verdict, output);
            if matches!(exit, 130 | 143) {
                let signal = Some(exit);
                return Ok(Tested { failed, signal });
            }
        }
        let signal = None;
        Ok(Tested { failed, signal })
    }

    /// Runs one case in a graph of its own; what came of it, and the run's exit code.
    fn one(&self, case: &Case) -> Result<(Verdict, u8), Refusal> {
        let id = self.manifest.id();
        let graph = self.graph(case)?;
        let storage = Kept {
            dir: self.home.storage()?,
            id,
            quota: self.manifest.permissions().storage,
        };
        storage.fill(case)?;
        let options = RunOptions {
            hosting: HostingOptions {
                allow_native: self.allow_native,
                ..HostingOptions::default()
            },
            // One life: a second one would hide how the first one ended.
            fail_fast: true,
            printed: PrintedOptions {
                logs: true,
                ..PrintedOptions::default()
            },
            ..RunOptions::default()
        };
        let args = RunArgs {
            ids: vec![id.as_str().to_owned()],
            options,
            safe_mode: false,
        };
        let config = with_settings(self.config, id, case);
        let feed = Feed::given(&config, &args.options, case.given_events())?;
        let (mut records, kept) = Output::kept(MAX_RECORDS);
        let given = Some((feed, &graph));
        let exit = self
            .ready
            .host(self.home, &config, &args, given, &mut records)?;
        let left = judge::Left {
            cut: records.is_closed(),
            records: parsed(&kept.lines()),
            graph: parsed(&dumped(&graph)?),
            storage: storage.read()?,
        };
        Ok((judge::judge(case, self.manifest, &left), exit))
    }

    /// A graph with what the case says was there before.
    fn graph(&self, case: &Case) -> Result<Graph, Refusal> {
        let graph = Graph::in_memory()?;
        let mut call = graph.begin(BEFORE, MAX_RECORDS);
        let [nodes, edges] =
            [&case.given_nodes, &case.given_edges].map(|all| json!(all).to_string());
        let put = call
            .node_put(&nodes)
            .and_then(|_| call.edge_put(&edges))
            .and_then(|_| call.commit());
        put.map_err(|error| {
            let what = format!("{}: what is given for the graph is {error}", case.file);
            usage(what)
        })?;
        Ok(graph)
    }
}

/// What the plugin keeps for itself in the home of its tries.
struct Kept<'a> {
    dir: Dir,
    id: &'a PluginId,
    /// What the manifest asks for.
    quota: Option<Bytes>,
}

impl Kept<'_> {
    /// Drops what earlier cases left, and keeps what this one says was there.
    fn fill(&self, case: &Case) -> Result<(), Refusal> {
        Storage::forget(&self.dir, self.id)?;
        if case.given_storage.is_empty() {
            return Ok(());
        }
        let wrong = |why: &dyn std::fmt::Display| {
            usage(format!(
                "{}: what is given for the storage: {why}",
                case.file
            ))
        };
        let storage = self.open()?;
        let storage = storage.ok_or_else(|| wrong(&"the manifest asks for no storage"))?;
        let mut call = storage.begin(MAX_RECORDS);
        for (key, value) in &case.given_storage {
            let set = call.set(key.as_bytes(), value.as_bytes());
            set.map_err(|error| wrong(&error))?;
        }
        let (done, kept) = call
            .commit(|| Ok::<(), Unwritten>(()))
            .map_err(|error| wrong(&error))?;
        kept.map(|()| done).map_err(|error| wrong(&error))
    }

    fn open(&self) -> Result<Option<Storage>, Refusal> {
        let open = |quota: Bytes| Storage::open(self.dir.path(), self.id, quota.get());
        self.quota.map(open).transpose()
    }

    /// All keys and values; bytes that aren't UTF-8 as U+FFFD.
    fn read(&self) -> Result<BTreeMap<String, Value>, Refusal> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Refusal::new(
                Code::StoreCorrupt,
                format!("storage of {}: {error}", self.id),
            )
        };
        let Some(storage) = self.open()? else {
            return Ok(BTreeMap::new());
        };
        let call = storage.begin(MAX_RECORDS);
        let keys = call.list(b"").map_err(|error| unreadable(&error))?;
        let keys: Vec<String> = serde_json::from_str(&keys).map_err(|error| unreadable(&error))?;
        keys.into_iter()
            .map(|key| {
                let value = call
                    .get(key.as_bytes())
                    .map_err(|error| unreadable(&error))?;
                Ok((key, String::from_utf8_lossy(&value).into()))
            })
            .collect()
    }
}

/// The operator's configuration, with the case's settings in place of his own.
fn with_settings(config: &Config, id: &PluginId, case: &Case) -> Config {
    let mut config = config.clone();
    config.values = case.config.clone();
    if let Some(Exception { config: own, .. }) = config.plugins.get_mut(id) {
        own.clear();
    }
    config
}

fn dumped(graph: &Graph) -> Result<Vec<String>, Refusal> {
    let mut bytes = Vec::new();
    graph.dump(&mut bytes, None, true).map_err(|error| {
        let what = format!("could not read the graph of a case: {error}");
        Refusal::new(Code::StoreCorrupt, what)
    })?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().map(str::to_owned).collect())
}

fn parsed(lines: &[String]) -> Vec<Value> {
    let parsed = lines.iter().map(|line| serde_json::from_str(line));
    parsed.filter_map(Result::ok).collect()
}

/// A case as people read it, or as `gm.case/1`.
fn say(case: &Case, verdict: &Verdict, output: &mut Output) {
    let Verdict {
        failures,
        calls,
        ending,
    } = verdict;
    let word = if failures.is_empty() { "ok  " } else { "FAIL" };
    let calls_made = super::counted(*calls, "call");
    output.line(&format!("{word}  {}  {calls_made}", case.file));
    for failure in failures {
        let line = failure
            .line
            .map(|line| format!("line {line}: "))
            .unwrap_or_default();
        output.line(&format!("      {line}{}", failure.text));
        if let Some(add) = &failure.add {
            output.line(&format!("      in plugin.manifest.toml: {add}"));
        }
    }
    let result = if failures.is_empty() {
        "passed"
    } else {
        "failed"
    };
    output.record(&json!({
        "schema": "gm.case/1",
        "case": case.file,
        "result": result,
        "calls": calls,
        "ending": ending,
        "failures": failures.iter().map(record).collect::<Vec<_>>(),
    }));
}

fn record(failure: &Failure) -> Value {
    json!({
        "what": failure.what,
        "line": failure.line,
        "text": failure.text,
        "expected": failure.expected,
        "got": failure.got,
        "add": failure.add,
    })
}

fn finish(
    manifest: &Manifest,
    cases: usize,
    failed: usize,
    signal: Option<u8>,
    output: &mut Output,
) -> u8 {
    let exit = signal.unwrap_or(u8::from(failed > 0));
    let tested = super::counted(cases, "case");
    output.line(&format!("{tested}, {failed} failed"));
    let fields = [
        ("plugin", json!(manifest.id().as_str())),
        ("version", json!(manifest.version().to_string())),
        ("cases", json!(cases)),
        ("failed", json!(failed)),
    ];
    output.stopped("plugin test", exit, fields)
}
