//! A probe in a plugin that is really hosted: a throw-away home and key, a package that
//! is signed, loaded and verified like any other, and the installed binaries.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::borrowed::Borrowed;
use super::evaluate::Filters;
use super::evidence::{Hosted, LONGEST_LINE, Ran, paints};
use super::exec;
use super::left::{self, Traces};
use super::table::{Case, name};
use crate::acts::{EVENT, NEIGHBOUR};
use crate::bait::{Bait, GRANTED_BYTES, Whose};
use crate::probes::{self, Kind, Oracle, SetOff, State};
use crate::process::Live;
use crate::records::events;
use crate::{Home, Package};

/// The id that is compiled into the probes of machine code.
const NATIVE: &str = "com.test.probe";
/// Longest life of one `gm plugin run`: what hangs is an error of the harness.
const LIMIT: Duration = Duration::from_secs(60);
/// Where a plugin of machine code finds what it was granted.
const DATA: &str = "/data";
const GRANTED: &str = "/grant/0";
/// What lives for as long as it may.
const WAITS: [&str; 2] = ["rb-sleep", "variant=4"];

/// The homes in which probes are hosted: one for each worker of the harness, and others
/// for machine code with other permissions, which always has the same id.
pub(super) struct Stages {
    borrowed: Option<Borrowed>,
    all: Mutex<BTreeMap<(usize, String), Once<Stage>>>,
}

/// What is made when it is first asked for, by whoever asks first.
type Once<T> = Arc<OnceLock<T>>;

impl Stages {
    /// None is made yet. With a plugin's permissions, all probes get those.
    pub(super) fn new(borrowed: Option<Borrowed>) -> Self {
        Self {
            borrowed,
            all: Mutex::new(BTreeMap::new()),
        }
    }

    /// The only kind that can be run, if a plugin's permissions are.
    pub(super) fn kind(&self) -> Option<Kind> {
        self.borrowed.as_ref().map(|borrowed| borrowed.kind)
    }

    /// Runs a case, and looks at what happened outside; with the filters that it ran
    /// behind. As all helpers of tests do, it panics if a home can't be made; whoever
    /// judges a case catches that.
    ///
    /// # Errors
    /// Why it could not be run at all.
    pub(super) fn run(&self, case: &Case, worker: usize) -> Result<(Hosted, Arc<Filters>), String> {
        let key = match case.kind {
            Kind::Native => format!("{:?}{}", case.probe.permissions, constructor_key(case)),
            _ => String::new(),
        };
        let stage = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry((worker, key)).or_default())
        };
        let make = || Stage::new(self.borrowed.clone());
        stage.get_or_init(make).run(case)
    }
}

fn constructor_key(case: &Case) -> String {
    match probes::constructor(&case.probe.id, case.variant) {
        Some(_) => format!("{}.{}", case.probe.id, case.variant),
        None => String::new(),
    }
}

/// Between two events of the honest plugin.
const BETWEEN: Duration = Duration::from_millis(10);

/// How an honest plugin fared beside a probe.
#[derive(Default)]
struct Neighbour {
    /// When its events were answered.
    answered: Vec<String>,
    /// What it was not given.
    unserved: Option<String>,
}

/// What came of loading a package.
type Loaded = Result<Arc<Filters>, Refused>;

/// The broker's words when it would not load one.
#[derive(Clone)]
struct Refused {
    code: String,
    detail: String,
}

/// A home, and what is loaded there.
struct Stage {
    home: Home,
    borrowed: Option<Borrowed>,
    loaded: Mutex<BTreeMap<String, Once<Loaded>>>,
    /// Of a process that lives: its profile, and how large its core may be.
    cores: OnceLock<Option<(String, u64)>>,
}

impl Stage {
    fn new(borrowed: Option<Borrowed>) -> Self {
        let home = Home::new();
        let granted = home.beside("granted");
        let made = std::fs::create_dir(&granted)
            .and_then(|()| std::fs::write(granted.join("file"), vec![b'g'; GRANTED_BYTES]));
        assert!(made.is_ok(), "{made:?}");
        let grants = match &borrowed {
            Some(borrowed) => borrowed.config.clone(),
            None => format!(
                "[grants]\nfilesystem = {{ read = [{:?}, \"$DATA\"], write = [\"$DATA\"] }}\n",
                granted.display().to_string()
            ),
        };
        home.configure(&format!("[restart]\nmax = 0\n{grants}"));
        home.allow_native(&[NATIVE]);
        home.load(&Package::of("observer"));
        let made = std::fs::write(home.beside("events"), format!("{EVENT}\n{EVENT}\n"));
        assert!(made.is_ok(), "{made:?}");
        Self {
            home,
            borrowed,
            loaded: Mutex::new(BTreeMap::new()),
            cores: OnceLock::new(),
        }
    }

    /// The package in which a case is run.
    fn package(&self, case: &Case) -> Result<Package, String> {
        let id = &case.probe.id;
        let kind = name(&case.kind);
        let missing = || format!("the sources hold no {kind} of {id}");
        let by_load = case.probe.hook == SetOff::Load;
        let loaded = by_load.then(|| probes::loaded(id, case.kind, case.variant));
        let loaded = loaded.map(|code| code.ok_or_else(missing)).transpose()?;
        // What is loaded differs from variant to variant, so the id does, too.
        let own = match by_load {
            true => format!("{id}-{}-{kind}", case.variant),
            false => format!("{id}-{kind}"),
        };
        let package = match case.kind {
            Kind::Native => {
                let own = probes::constructor(id, case.variant);
                Package::with_code(NATIVE, own.unwrap_or(probes::SHARED)).kind("native")
            }
            Kind::Wasm => {
                let code = loaded.as_deref().or_else(|| probes::module(id));
                Package::with_code(&format!("com.test.{own}"), code.ok_or_else(missing)?)
            }
            Kind::Lua | Kind::Js => {
                let loaded = loaded.as_deref().map(String::from_utf8_lossy);
                let text = loaded.or_else(|| probes::script(id, case.kind).map(Into::into));
                Package::script(&own, &kind, &text.ok_or_else(missing)?)
            }
            Kind::Host => return Err(format!("{id} is no plugin")),
        };
        let granted = self.home.beside("granted").display().to_string();
        let mut permissions = case.probe.permissions.clone();
        permissions.extend(self.borrowed.iter().flat_map(|it| it.permissions.clone()));
        let lines = permissions
            .iter()
            .map(|(key, value)| (key, value.to_string()));
        let package = lines.fold(package.hooks(&[]), |package, (key, value)| {
            package.permission(key, &value.replace("$GRANTED", &granted))
        });
        Ok(match case.probe.hook {
            SetOff::Command => package.command("probe"),
            SetOff::Load => package.hooks(&["on_commit_analyzed"]),
        })
    }

    /// Loads the package of a case, once.
    fn load(&self, package: &Package) -> Loaded {
        let id = package.plugin();
        let once = {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(loaded.entry(id.to_owned()).or_default())
        };
        let load = || {
            self.home.sign(package);
            let load = self.home.try_load(package);
            if load.exit != 0 {
                let last = load.records.last();
                let text = |key: &str| last.and_then(|line| line[key].as_str());
                return Err(Refused {
                    code: text("code").unwrap_or("no code").to_owned(),
                    detail: text("detail").unwrap_or(&load.stderr).to_owned(),
                });
            }
            Ok(Arc::new(Filters::read(&self.home.policy("dump", id))))
        };
        once.get_or_init(load).clone()
    }

    fn run(&self, case: &Case) -> Result<(Hosted, Arc<Filters>), String> {
        let package = self.package(case)?;
        let bait = Bait::set_out(Whose::Nobody).map_err(|error| format!("no bait: {error}"))?;
        let filters = match self.load(&package) {
            Ok(filters) => filters,
            Err(refused) => {
                let hosted = Hosted {
                    effects: bait.effects(refused.detail.as_bytes()),
                    refused: Some((refused.code, refused.detail)),
                    ..Hosted::default()
                };
                return Ok((hosted, Arc::default()));
            }
        };
        let mut command = self.command(package.plugin(), case, &bait);
        let mut probe = || exec::run(&mut command, LIMIT).map_err(|error| error.to_string());
        let by_neighbour = case.probe.oracle == Oracle::State(State::Neighbour);
        let (ran, neighbour) = match case.probe.hook {
            SetOff::Load => {
                let ran = probe()?;
                let unserved = unserved(&ran.records());
                let answered = Vec::new();
                (ran, Neighbour { answered, unserved })
            }
            SetOff::Command if by_neighbour => self.beside_neighbour(probe)?,
            SetOff::Command => (probe()?, Neighbour::default()),
        };
        let mut hosted = Hosted::read(ran, package.plugin(), &case.probe.id);
        hosted.effects = bait.effects(&hosted.ran.output);
        hosted.effects.extend(forged(&hosted.ran, package.plugin()));
        hosted.effects.extend(neighbour.unserved);
        hosted.neighbour = neighbour.answered;
        if case.probe.oracle == Oracle::State(State::Survivors) {
            hosted.core_limit = self.core_limit(hosted.profile());
        }
        let behind = left::behind(&Traces::of(&hosted.ran.records()), &self.state());
        hosted.left.extend(behind);
        Ok((hosted, filters))
    }

    /// A probe, and for as long as it lives, events of the honest plugin in a run of its
    /// own; with when they were answered, and what it was not given.
    fn beside_neighbour(
        &self,
        probe: impl FnOnce() -> Result<Ran, String> + Send,
    ) -> Result<(Ran, Neighbour), String> {
        let mut live = self.home.start_events(&[NEIGHBOUR]);
        live.wait_for("its neighbour", |record| record["event"] == "started");
        let ran = std::thread::scope(|scope| {
            let probe = scope.spawn(probe);
            let mut sent = 0_u64;
            while !probe.is_finished() {
                sent += 1;
                live.write_line(EVENT);
                let answer = live.wait_for("its neighbour's answer", |record| {
                    record["seq"] == sent || record["event"] == "ended"
                });
                if answer.get("event").is_some_and(|it| it == "ended") {
                    break;
                }
                std::thread::sleep(BETWEEN);
            }
            probe.join().map_err(|_| "the probe's thread died")?
        })?;
        let records = live.finish().records;
        let replies = events(&records, "reply").into_iter();
        let answered = replies.filter_map(|reply| Some(reply["at"].as_str()?.to_owned()));
        let neighbour = Neighbour {
            answered: answered.collect(),
            unserved: unserved(&records),
        };
        Ok((ran, neighbour))
    }

    /// A run of these plugins, with the events of the honest one.
    fn honest_run(&self, ids: &[&str]) -> Command {
        let mut command = self.home.json("gm-broker");
        command.arg("run").args(ids);
        command.args(["--allow-native", "--events"]);
        command.arg(self.home.beside("events"));
        command
    }

    fn command(&self, id: &str, case: &Case, bait: &Bait) -> Command {
        if case.probe.hook == SetOff::Load {
            // Beside an honest one, which must be served meanwhile.
            return self.honest_run(&[id, NEIGHBOUR]);
        }
        let mut command = self.home.json("gm");
        command.args([
            "plugin",
            "run",
            id,
            "probe",
            "--allow-native",
            "--logs",
            "--",
        ]);
        command.arg(&case.probe.id);
        command.args(case.words_inside(bait, DATA, GRANTED));
        // The first process of its namespace, which may not ask for that.
        command.arg("self=1");
        command
    }

    /// How large the core of what has this profile may be. What is dead has no limits any
    /// more, so one with the same profile is looked at from outside while it waits.
    fn core_limit(&self, profile: Option<&str>) -> Option<u64> {
        let look = || {
            let mut command = self.home.json("gm");
            command.args(["plugin", "run", NATIVE, "probe", "--allow-native", "--"]);
            command.args(WAITS);
            let mut live = Live::start(&mut command);
            let started = live.wait_for("a waiting plugin", |record| {
                record["event"] == "started" && record["plugin"] == NATIVE
            });
            let pid = started.get("pid")?.as_u64()?;
            let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"));
            live.finish();
            let limit = core_of(&limits.ok()?)?;
            Some((started.get("profile")?.as_str()?.to_owned(), limit))
        };
        let (own, limit) = self.cores.get_or_init(look).as_ref()?;
        (Some(own.as_str()) == profile).then_some(*limit)
    }

    fn state(&self) -> PathBuf {
        self.home.path().join("state/run")
    }
}

/// The hard limit of cores in a /proc/PID/limits.
fn core_of(limits: &str) -> Option<u64> {
    let find = |line: &str| Some(line.strip_prefix("Max core file size")?.to_owned());
    let line = limits.lines().find_map(find)?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        bytes => bytes.parse().ok(),
    }
}

/// Lines of the log that paint, have no bounds, or another's name.
fn forged(ran: &Ran, plugin: &str) -> Vec<String> {
    let streams = [("stdout", &ran.stdout), ("stderr", &ran.stderr)];
    let painting = streams.into_iter().filter(|(_, said)| paints(said));
    let painting = painting.map(|(name, _)| format!("log: {name} holds what paints"));
    // A line of a plugin's that begins one of its own is a record of nobody's.
    let others = ran.other_lines();
    let others = others.map(|line| format!("log: a line that is no record: {line:?}"));
    let mut all: Vec<String> = painting.chain(others).collect();
    for line in events(&ran.records(), "log") {
        if line["plugin"] != plugin {
            all.push(format!(
                "log: a line of {plugin} has another's name: {line}"
            ));
        }
        let length = line["text"].as_str().map_or(0, str::len);
        if length > LONGEST_LINE {
            all.push("log: a line without bounds".to_owned());
        }
    }
    all
}

/// That the honest plugin beside it was not served.
fn unserved(records: &[Value]) -> Option<String> {
    let of = |event: &str| {
        let own = |record: &&Value| record["event"] == event && record["plugin"] == NEIGHBOUR;
        records.iter().filter(own).collect::<Vec<_>>()
    };
    let replies = of("reply")
        .iter()
        .filter(|reply| reply["status"] == "ok")
        .count();
    let finished = of("ended")
        .iter()
        .any(|ended| ended["ending"] == "finished");
    (!finished || replies < 2)
        .then(|| format!("neighbour: {replies} answers, finished: {finished}"))
}

/// The directory of an executable, if the product's binaries lie there too.
#[must_use]
pub(super) fn beside(own: &std::path::Path) -> Option<PathBuf> {
    let dir = own.parent()?;
    let all = ["gm", "gm-broker", "gm-launcher"];
    all.iter()
        .all(|name| dir.join(name).is_file())
        .then(|| dir.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_large_a_core_may_be_is_the_hard_limit() {
        let of = |limits: &str| {
            core_of(&format!(
                "Limit  Soft Limit  Hard Limit  Units\n{limits}\nMax cpu time  1 1 s\n"
            ))
        };
        assert_eq!(
            of("Max core file size        0           1           bytes"),
            Some(1)
        );
        assert_eq!(
            of("Max core file size        0   unlimited   bytes"),
            Some(u64::MAX)
        );
        assert_eq!(of("Max core file size"), None);
        assert_eq!(of("Max stack size  1  1  bytes"), None);
    }
}
