//! A plan as lines, for people and for programs: the whole of it, each line
//! with its reason. Fields are in a fixed order and only ever added to.

use gm_protocol::plan::{
    ASSETS_PATH, CODE_PATH, ENGINE_ID, Engine, FD_ASSETS, FD_CODE, FD_LINK, HOSTNAME, HostOp,
    INNER_ID, LANDLOCK_NEWEST, LIBRARIES, LIBRARY_PATH, Level, Place, WARM_PATH,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{EXECUTE, MAKE_REG, Plan, READ_DIR, READ_FILE, TRUNCATE, WRITE_FILE};
use crate::effective::Effective;
use crate::grant::Because;
use crate::network::NetGrant;
use crate::spec::LayerName;

const SCHEMA: &str = "gm.policy/1";

/// The namespaces that every plugin has of its own.
const NAMESPACES: [&str; 6] = ["user", "mnt", "pid", "net", "ipc", "uts"];

/// Host calls that the runner answers itself, which need no permission.
const FREE_CALLS: [&str; 4] = ["reply", "fail", "result", "asset_read"];

/// For which machine, and which part of the life of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// The level that it gives.
    pub level: Level,
    /// Its Landlock ABI.
    pub landlock_abi: u32,
    /// Whose system calls.
    pub stages: Stages,
}

/// Stages of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stages {
    /// While the code is loaded.
    Loading,
    /// From the first plugin instruction on.
    Running,
    /// One after the other.
    Both,
}

impl Stages {
    pub(super) fn has(self, layer: LayerName) -> bool {
        match layer {
            LayerName::Soft | LayerName::Veto => true,
            LayerName::Loading => self != Self::Running,
            LayerName::Running => self != Self::Loading,
        }
    }
}

/// One line of `policy show`.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    schema: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    fields: Map<String, Value>,
    #[serde(skip)]
    text: String,
}

impl Line {
    pub(super) fn new(kind: &'static str, fields: Value, text: String) -> Self {
        let fields = match fields {
            Value::Object(fields) => fields,
            // Only objects are written below.
            _ => Map::new(),
        };
        Self {
            schema: SCHEMA,
            kind,
            fields,
            text,
        }
    }

    pub(super) fn because(
        kind: &'static str,
        mut fields: Value,
        because: &[Because],
        text: &str,
    ) -> Self {
        if let Value::Object(fields) = &mut fields {
            fields.insert("because".into(), json!(because));
        }
        let reasons: Vec<String> = because.iter().map(Because::text).collect();
        Self::new(kind, fields, format!("{text:<50}  {}", reasons.join("; ")))
    }

    pub(super) fn limit(
        name: &str,
        value: u64,
        unit: &str,
        by: &[&str],
        because: &[Because],
    ) -> Self {
        let fields = json!({"name": name, "value": value, "unit": unit, "by": by});
        let text = format!("limit    {name} {value} {unit} ({})", by.join(", "));
        Self::because("limit", fields, because, &text)
    }

    fn fd(fd: i32, what: &str, until: &str, why: &str) -> Self {
        let fields = json!({"fd": fd, "what": what, "until": until});
        let text = format!("fd       {fd} {what} until {until}");
        Self::because("fd", fields, &[Because::always(why)], &text)
    }

    /// The same of the process that makes the plugin's requests.
    fn of_http(mut self) -> Self {
        self.kind = match self.kind {
            "plan" => "http_plan",
            "rule" => "http_rule",
            "landlock" => "http_landlock",
            "mount" => "http_mount",
            "limit" => "http_limit",
            "fd" => "http_fd",
            "proof" => "http_proof",
            other => other,
        };
        self.text = self.text.replace('\n', "\nhttp     ");
        self.text.insert_str(0, "http     ");
        self
    }

    /// What it is about: `plan`, `rule`, `landlock`, …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// For people; text of the manifest in it is not escaped yet.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Plan {
    /// Names the walls: SHA-256 over all that is enforced, whatever the reasons
    /// are and on whatever lines they stand.
    #[must_use]
    pub fn profile_digest(&self) -> String {
        let calls: Vec<&str> = self.granted_calls().map(HostOp::as_str).collect();
        let config: Vec<&str> = self
            .effective
            .config
            .iter()
            .map(|(pattern, _)| pattern.as_str())
            .collect();
        let landlock: Vec<Value> = self
            .landlock(LANDLOCK_NEWEST)
            .iter()
            .map(|rule| json!([rule.path.to_string(), rule.rights]))
            .collect();
        let limits = self.limits();
        let mut enforced = json!({
            "engine": engine_id(self.walls.engine),
            "arch": self.arch().name(),
            "layers": self.walls.compiled.digests(),
            "landlock": landlock,
            "namespaces": NAMESPACES,
            "limits": {
                "memory": limits.memory_bytes,
                "pids": limits.pids,
                "cpu": limits.cpu_percent,
                "time": self.effective.time.value.get(),
            },
            "assets": self.has_assets,
            "files": self.files.iter().map(|file| json!([file.grant.prefix, file.grant.writable])).collect::<Vec<_>>(),
            "data": self.data_bytes(),
            "host_calls": calls,
            "config": config,
        });
        if let (Value::Object(enforced), Some(storage)) = (&mut enforced, &self.effective.storage) {
            enforced.insert("storage".into(), json!(storage.value.get()));
        }
        // Only where there is one: the name of a plan without hosts stays what it was.
        if let (Some(http), Value::Object(enforced)) = (&self.http, &mut enforced) {
            enforced.insert("http".into(), http.enforced());
        }
        let digest = Sha256::digest(enforced.to_string().as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn granted_calls(&self) -> impl Iterator<Item = HostOp> {
        let granted = self.host_ops();
        HostOp::ALL
            .iter()
            .copied()
            .filter(move |op| granted.has(*op))
    }

    /// The whole plan as lines, in their documented order.
    #[must_use]
    pub fn lines(&self, shown: Shown) -> Vec<Line> {
        let mut lines = vec![self.plan_line(shown)];
        lines.extend(self.walls.rules(shown.stages));
        lines.extend(self.landlock_lines(shown.landlock_abi));
        lines.extend(self.mounts());
        lines.extend(self.limit_lines());
        lines.extend(self.fds());
        // No `env` line: the environment is empty.
        lines.extend(self.host_calls());
        lines.extend(self.refused());
        lines.extend(self.walls.proofs());
        if let Some(http) = &self.http {
            lines.extend(http.lines(shown).into_iter().map(Line::of_http));
        }
        lines
    }

    fn plan_line(&self, shown: Shown) -> Line {
        let profile = self.profile_digest();
        let (calls, ceiling) = (self.running_calls(), self.ceiling());
        let wall = self.wall().name();
        let text = format!(
            "plugin   {} {}  {}  profile {}  level {}\nseccomp  {wall} {calls} calls (ceiling {ceiling}), default {}",
            self.id,
            self.version,
            self.walls.engine,
            profile.get(..16).unwrap_or(&profile),
            shown.level,
            self.walls.spec.running.otherwise.name(),
        );
        let fields = json!({
            "plugin": self.id,
            "version": self.version,
            "engine": self.walls.engine.as_str(),
            "arch": self.arch().name(),
            "level": shown.level.as_str(),
            "profile": profile,
            "namespaces": NAMESPACES,
            "uid": INNER_ID,
            "hostname": HOSTNAME,
            "running_calls": calls,
            "ceiling": ceiling,
            "wall": wall,
        });
        Line::new("plan", fields, text)
    }

    fn landlock_lines(&self, abi: u32) -> Vec<Line> {
        let reason = |path| match path {
            Place::Executable => "the one exec, of the verified executable",
            Place::Assets => "the package's files, read-only",
            _ => "the loader maps the verified code, read-only",
        };
        let rules = self.landlock(abi).into_iter().map(|rule| {
            let file = self
                .files
                .iter()
                .find(|file| file.grant.place() == rule.path);
            let own = [Because::always(reason(rule.path))];
            let because = file.map_or(&own[..], |file| &file.because);
            let path = rule.path.to_string();
            let rights = rights(rule.rights);
            let text = format!("landlock {path} {}", rights.join(" "));
            let fields = json!({"abi": abi, "path": path, "rights": rights});
            Line::because("landlock", fields, because, &text)
        });
        let all = Line::because(
            "landlock",
            json!({"abi": abi, "path": null, "rights": []}),
            &[Because::always(
                "all rights of the ABI are handled, so what no rule names is denied",
            )],
            &format!("landlock every other path, TCP port and scope: none (ABI {abi})"),
        );
        rules.chain([all]).collect()
    }

    fn mounts(&self) -> Vec<Line> {
        let mut lines = own_mounts(self.walls.engine, self.has_assets);
        for file in &self.files {
            let (kind, bytes, ro) = match file.grant.number {
                Some(_) => ("bind", None, "ro"),
                None => ("tmpfs", Some(self.data_bytes()), "rw"),
            };
            let flags = [ro, "nosuid", "nodev", "noexec"];
            let target = file.grant.place().to_string();
            let source = file.grant.number.map(|_| &file.grant.prefix);
            let text = format!(
                "mount    {target} {kind} {} = {}",
                flags.join(","),
                file.grant.prefix
            );
            let fields = json!({"target": target, "type": kind, "source": source, "flags": flags, "bytes": bytes});
            lines.push(Line::because("mount", fields, &file.because, &text));
        }
        lines
    }

    fn limit_lines(&self) -> Vec<Line> {
        let Effective {
            memory,
            time,
            cpu,
            storage,
            ..
        } = &self.effective;
        let pids = self.limits().pids;
        let processes = [Because::always(match pids {
            1 => "a plugin is one process with one thread",
            _ => "machine code may be a few processes and threads",
        })];
        let files = [Because::always("the link and room for the loader")];
        let storage = storage.as_ref().map(|storage| {
            let (bytes, because) = (storage.value.get(), &storage.because);
            Line::limit("storage", bytes, "bytes", &["broker"], because)
        });
        let always = vec![
            Line::limit(
                "memory",
                memory.value.get(),
                "bytes",
                &["cgroup"],
                &memory.because,
            ),
            Line::limit("time", time.value.get(), "ms", &["deadline"], &time.because),
            Line::limit(
                "cpu",
                cpu.value.get().into(),
                "percent",
                &["cgroup"],
                &cpu.because,
            ),
            Line::limit(
                "processes",
                pids.into(),
                "processes",
                match self.walls.engine.starts_program() {
                    true => &["cgroup", "rlimit"],
                    false => &["cgroup", "rlimit", "seccomp"],
                },
                &processes,
            ),
            Line::limit("descriptors", 64, "descriptors", &["rlimit"], &files),
        ];
        always.into_iter().chain(storage).collect()
    }

    fn fds(&self) -> Vec<Line> {
        let mut lines = own_fds();
        if !self.walls.engine.has_code_file() {
            let why = "the verified code, closed before it runs";
            lines.push(Line::fd(FD_CODE, "code", "running", why));
        }
        if self.has_assets {
            lines.push(Line::fd(
                FD_ASSETS,
                "assets",
                "running",
                "the package's files, mapped and closed",
            ));
        }
        lines
    }

    fn host_calls(&self) -> Vec<Line> {
        let free = FREE_CALLS.iter().map(|name| {
            let because = [Because::always(
                "answered inside the process, needs no permission",
            )];
            let fields = json!({"name": name, "scope": null});
            Line::because("host_call", fields, &because, &format!("host     {name}"))
        });
        let log = [Because::always("lines of the program's error output")];
        let granted = self.granted_calls().map(|op| {
            let scope = self.scope_of(op);
            // Only a program makes a call that its manifest doesn't ask for.
            let because = self.reason_for(op).unwrap_or(&log);
            let fields = json!({"name": op.as_str(), "scope": scope});
            let scope = scope
                .map(|keys| format!(" {}", keys.join(" ")))
                .unwrap_or_default();
            Line::because(
                "host_call",
                fields,
                because,
                &format!("host     {op}{scope}"),
            )
        });
        free.chain(granted).chain(self.file_calls()).collect()
    }

    /// What a call may be about, where the grant names it.
    fn scope_of(&self, op: HostOp) -> Option<Vec<&str>> {
        let keys = || self.effective.config.iter();
        match op {
            HostOp::ConfigGet => Some(keys().map(|(pattern, _)| pattern.as_str()).collect()),
            HostOp::HttpRequest => self.effective.network.as_ref().map(NetGrant::scope),
            _ => None,
        }
    }

    fn file_calls(&self) -> Vec<Line> {
        let imports = self.imports();
        let calls = HostOp::ALL
            .iter()
            .filter(|op| op.is_file() && imports.has(**op));
        let line = |op: &HostOp| {
            let files = self
                .files
                .iter()
                .filter(|file| file.grant.writable || *op != HostOp::FileWrite);
            let because: Vec<Because> = files
                .clone()
                .flat_map(|file| file.because.clone())
                .collect();
            let scope: Vec<&str> = files.map(|file| file.grant.prefix.as_str()).collect();
            let text = format!("host     {op} {}", scope.join(" "));
            Line::because(
                "host_call",
                json!({"name": op.as_str(), "scope": scope}),
                &because,
                &text,
            )
        };
        calls.map(line).collect()
    }

    fn refused(&self) -> Vec<Line> {
        let refused = self.effective.refused.iter().map(|refused| {
            let fields = json!({
                "asked": refused.asked,
                "value": refused.value,
                "by": refused.by.name(),
                "why": refused.why,
            });
            let text = format!(
                "refused  {} {}: {}",
                refused.asked, refused.value, refused.why
            );
            Line::because("refused", fields, &refused.because, &text)
        });
        refused.collect()
    }
}

/// Names the engine and what of its settings changes what a plugin may do.
const fn engine_id(engine: Engine) -> &'static str {
    match engine {
        Engine::Wasm | Engine::CompileWasm => ENGINE_ID,
        Engine::Lua => "luau/gm-2",
        Engine::Js => "quickjs-ng/gm-2",
        Engine::Http => "http",
        Engine::Native => "dlopen/gm-2",
        Engine::Program => "exec/program-1",
    }
}

/// The descriptors that every process has to its end.
pub(super) fn own_fds() -> Vec<Line> {
    let why = "libraries expect the first three to be there";
    let null = (0..3).map(|number| Line::fd(number, "null", "end", why));
    let link = Line::fd(FD_LINK, "link", "end", "frames to and from the broker");
    null.chain([link]).collect()
}

pub(super) fn own_mounts(engine: Engine, has_assets: bool) -> Vec<Line> {
    let mount = |target: &str, kind: &str, source: Option<&str>, flags: &[&str], why: &str| {
        // Its size is that of the compiled code, which no manifest tells.
        let fields = json!({"target": target, "type": kind, "source": source, "flags": flags, "bytes": null});
        let text = format!("mount    {target} {kind} {}", flags.join(","));
        Line::because("mount", fields, &[Because::always(why)], &text)
    };
    let root = |flags| {
        let why = "an empty root: nothing of the host is left";
        mount("/", "tmpfs", None, flags, why)
    };
    let mut lines = match engine {
        Engine::Lua | Engine::Js | Engine::CompileWasm | Engine::Http => {
            vec![root(&["ro", "nosuid", "nodev", "noexec"])]
        }
        Engine::Wasm | Engine::Native | Engine::Program => vec![root(&["ro", "nosuid", "nodev"])],
    };
    let code = match engine {
        Engine::Wasm => Some("the compiled code, copied from sealed memory"),
        Engine::Native => Some("the verified code, copied from sealed memory"),
        _ => None,
    };
    lines.extend(code.map(|why| mount(CODE_PATH, "file", Some("code"), &["ro"], why)));
    if engine == Engine::Wasm {
        let why = "our own module, with which the engine warms up";
        lines.push(mount(WARM_PATH, "file", Some("warm"), &["ro"], why));
    }
    if engine.is_machine_code() && has_assets {
        let why = "the package's files, copied from sealed memory";
        lines.push(mount(ASSETS_PATH, "file", Some("assets"), &["ro"], why));
    }
    if engine.has_libraries() {
        let flags = ["ro", "nosuid", "nodev"];
        let why = "the runner is linked with it, and so may the plugin be";
        lines.extend(LIBRARIES.iter().map(|name| {
            let target = format!("{LIBRARY_PATH}/{name}");
            mount(&target, "bind", Some(name), &flags, why)
        }));
    }
    lines
}

/// By their names in landlock(7).
fn rights(bits: u64) -> Vec<&'static str> {
    const NAMES: [(u64, &str); 6] = [
        (EXECUTE, "execute"),
        (READ_FILE, "read_file"),
        (READ_DIR, "read_dir"),
        (WRITE_FILE, "write_file"),
        (MAKE_REG, "make_reg"),
        (TRUNCATE, "truncate"),
    ];
    let set = NAMES.iter().filter(|(bit, _)| bits & bit != 0);
    set.map(|(_, name)| *name).collect()
}
