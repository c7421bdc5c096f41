//! From a proved plan to what is sent: to the launcher, to the process, and
//! into the records of a run.

use std::net::SocketAddr;
use std::time::Duration;

use gm_manifest::{Bytes, ConfigPattern, HostPort, Refusal};
use gm_policy::{Because, CompilePlan, HttpPlan, Limit, Placed, Plan};
use gm_protocol::PROTOCOL;
use gm_protocol::orders::HostReport;
use gm_protocol::plan::{
    Asset, CompileSetup, Engine, Filters, Hook, HostOp, HostOps, LANDLOCK_NEWEST, Limits,
    PluginSetup, Reach, ReachHost, Role, Setup,
};
use serde_json::{Value, json};

use crate::compile;
use crate::config::Config;

/// The walls of one plugin's process, ready to be put up.
#[derive(Debug)]
pub struct Walls {
    /// The first frame to the process.
    pub setup: Setup,
    /// Which binary runs it.
    pub engine: Engine,
    /// For the launcher.
    pub limits: Limits,
    /// Wall clock of one call.
    pub time_limit: Duration,
    /// The same, as an ending names it.
    pub time_text: LimitText,
    /// The memory limit, as an ending names it.
    pub memory_text: LimitText,
    /// Host calls of the grant.
    pub ops: HostOps,
    /// Quota of the plugin's own storage in bytes; 0 = it has none.
    pub storage_bytes: u64,
    /// Permissions and paths of the grant, as manifests write them.
    pub granted: Vec<String>,
    /// Requests that were cut or dropped, as records print them.
    pub refused: Vec<Value>,
    /// Names what is enforced.
    pub profile: String,
    /// Digests of the four programs, by index.
    pub layers: Vec<String>,
    /// Calls that running code may make.
    pub running_calls: usize,
    /// The most that there may be.
    pub ceiling: usize,
    /// The stage that these are counted in.
    pub wall: &'static str,
    /// How many paths of the host are granted, and whether there is a `$DATA`.
    pub mounted: (usize, bool),
    /// The process that makes its requests, if hosts are granted.
    pub http: Option<HttpWalls>,
    config: Vec<ConfigPattern>,
    lines: Vec<(HostOp, Option<u32>)>,
}

/// The walls of the process that makes a plugin's requests.
#[derive(Debug)]
pub struct HttpWalls {
    /// Programs for it to install.
    pub filters: Filters,
    /// The Landlock ABI that the plan is made for.
    pub landlock_abi: u32,
    /// For the launcher.
    pub limits: Limits,
    /// Whom it may ask.
    pub reach: Reach,
    /// The same, as records print it.
    pub scope: Vec<String>,
    /// Addresses that may be asked although they are not public.
    pub allow_private: Vec<SocketAddr>,
    /// Wall clock of one request.
    pub timeout: Duration,
    /// Most bytes of a response's body.
    pub body_bytes: u32,
    /// Most bytes of a request's document, or of its answer.
    pub document_bytes: usize,
    /// Most redirects of a request.
    pub redirects: u32,
    /// Digests of the four programs, by index.
    pub layers: Vec<String>,
    /// Calls that it may make, and the most that there may be.
    pub calls: (usize, usize),
}

impl HttpWalls {
    fn of(plan: &HttpPlan, config: &Config, host: &HostReport) -> Self {
        let (grant, rules) = (plan.grant(), plan.rules());
        let name = |host: &HostPort| ReachHost {
            name: host.name().to_owned(),
            port: host.port(),
        };
        Self {
            filters: plan.filters(),
            landlock_abi: landlock_abi(host),
            limits: plan.limits().clone(),
            reach: match &grant.hosts {
                Some(hosts) => Reach::Hosts(hosts.iter().map(name).collect()),
                None => Reach::Public,
            },
            scope: grant.scope().into_iter().map(str::to_owned).collect(),
            allow_private: rules.allow_private.clone(),
            timeout: plan.timeout(),
            body_bytes: u32::try_from(rules.body.value.get()).unwrap_or(u32::MAX),
            document_bytes: usize::try_from(config.limits.reply.get()).unwrap_or(usize::MAX),
            redirects: rules.redirects.value,
            layers: plan.layers(),
            calls: plan.calls(),
        }
    }
}

/// A limit as a person wrote it.
#[derive(Debug, Clone)]
pub struct LimitText {
    /// Value and unit.
    pub text: String,
    /// The manifest's line, if that is who set it.
    pub line: Option<u32>,
}

impl LimitText {
    fn of<T: std::fmt::Display>(limit: &Limit<T>) -> Self {
        let line = limit.because.iter().find_map(Because::manifest_line);
        Self {
            text: limit.value.to_string(),
            line,
        }
    }
}

impl Walls {
    /// For code of `code_bytes` with these assets, on this machine. Machine code has
    /// a copy of its assets, too, which counts as code does.
    ///
    /// # Errors
    /// `policy/limit-too-small`.
    pub fn new(
        plan: &Plan,
        code_bytes: u64,
        assets: Vec<Asset>,
        hooks: Vec<Hook>,
        config: &Config,
        host: &HostReport,
    ) -> Result<Self, Refusal> {
        let effective = plan.effective();
        let copied = match plan.engine().is_machine_code() {
            true => assets.iter().map(|asset| asset.len).sum(),
            false => 0_u64,
        };
        let task = PluginSetup {
            memory_bytes: plan.module_memory(code_bytes.saturating_add(copied))?,
            abi: plan.abi(),
            entrypoint: plan.entrypoint().to_owned(),
            host_ops: plan.imports(),
            hooks,
            body_bytes: u32::try_from(config.limits.reply.get()).unwrap_or(u32::MAX),
            assets,
            grants: plan.files().iter().map(|file| file.grant.clone()).collect(),
            time_ms: u32::try_from(plan.time_limit().as_millis()).unwrap_or(u32::MAX),
        };
        let setup = Setup {
            protocol: PROTOCOL,
            filters: plan.filters(),
            landlock_abi: landlock_abi(host),
            landlock: plan.landlock(landlock_abi(host)),
            role: Role::Plugin(task),
        };
        let line_of = |op: &HostOp| {
            plan.reason_for(*op)?
                .iter()
                .find_map(Because::manifest_line)
        };
        Ok(Self {
            setup,
            engine: plan.engine(),
            limits: plan.limits(),
            time_limit: plan.time_limit(),
            time_text: LimitText::of(&effective.time),
            memory_text: LimitText::of(&effective.memory),
            ops: plan.host_ops(),
            storage_bytes: plan.storage_bytes(),
            granted: granted(plan),
            refused: refused(plan),
            profile: plan.profile_digest(),
            layers: plan.compiled().digests(),
            running_calls: plan.running_calls(),
            ceiling: plan.ceiling(),
            wall: plan.wall().name(),
            mounted: mounted(plan),
            http: plan.http().map(|http| HttpWalls::of(http, config, host)),
            config: effective
                .config
                .iter()
                .map(|(pattern, _)| pattern.clone())
                .collect(),
            lines: HostOp::ALL.iter().map(|op| (*op, line_of(op))).collect(),
        })
    }

    /// Memory of its process, and of the one that makes its requests.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let http = self
            .http
            .as_ref()
            .map_or(0, |http| http.limits.memory_bytes);
        self.limits.memory_bytes.saturating_add(http)
    }

    /// Files of the package that lie in the process's own tree.
    #[must_use]
    pub fn assets(&self) -> &[Asset] {
        match &self.setup.role {
            Role::Plugin(task) if self.engine.is_machine_code() => &task.assets,
            Role::Plugin(_) | Role::Compile(_) | Role::Http(_) => &[],
        }
    }

    /// Whether the grant shows this key to `config_get`.
    #[must_use]
    pub fn may_read_config(&self, key: &str) -> bool {
        self.config.iter().any(|pattern| pattern.matches(key))
    }

    /// The manifest's line that asks for a host call.
    #[must_use]
    pub fn line_for(&self, op: HostOp) -> Option<u32> {
        self.lines
            .iter()
            .find(|(known, _)| *known == op)
            .and_then(|(_, line)| *line)
    }
}

fn granted(plan: &Plan) -> Vec<String> {
    let calls = plan.effective().host_api.keys();
    let storage = plan.effective().storage.iter();
    let storage = storage.map(|limit| format!("storage {}", limit.value));
    let files = plan.files().iter().map(file_line);
    let hosts = host_lines(plan);
    let calls = calls.map(ToString::to_string);
    calls.chain(storage).chain(files).chain(hosts).collect()
}

/// Granted hosts as records print them.
pub fn host_lines(plan: &Plan) -> impl Iterator<Item = String> {
    let grant = plan.effective().network.iter();
    let hosts = grant.flat_map(|grant| grant.scope());
    hosts.map(|host| format!("network {host}"))
}

/// A granted path as records print it.
#[must_use]
pub fn file_line(file: &Placed) -> String {
    let key = if file.grant.writable { "write" } else { "read" };
    format!("filesystem.{key} {}", file.grant.prefix)
}

fn mounted(plan: &Plan) -> (usize, bool) {
    let files = plan.files().iter();
    let reads = files.filter(|file| file.grant.number.is_some()).count();
    (reads, plan.data_bytes() > 0)
}

/// Requests that were cut or dropped, as records print them.
#[must_use]
pub fn refused(plan: &Plan) -> Vec<Value> {
    let refused = plan.effective().refused.iter();
    let line = refused.map(|refused| {
        json!({
            "asked": refused.asked,
            "value": refused.value,
            "by": refused.by.name(),
            "why": refused.why,
            "because": refused.because,
        })
    });
    line.collect()
}

/// The walls of the process that compiles a module for this grant.
///
/// # Errors
/// `internal/proof`.
pub fn compile_walls(
    module: &compile::Module<'_>,
    config: &Config,
    host: &HostReport,
) -> Result<compile::Walls, Refusal> {
    let mut operator = config.operator();
    // A machine may have less than the operator allows; more than it has is refused.
    let most = Bytes::new(host.memory_bytes);
    operator.compile_memory.value = operator.compile_memory.value.min(most);
    let plan = CompilePlan::derive(&operator)?;
    let limits = plan.limits().clone();
    let setup = Setup {
        protocol: PROTOCOL,
        filters: plan.filters(),
        landlock_abi: landlock_abi(host),
        // It opens nothing: module and output come as descriptors.
        landlock: Vec::new(),
        role: Role::Compile(CompileSetup {
            abi: module.abi,
            host_ops: module.host_ops,
            hooks: module.hooks.clone(),
            commands: module.commands.clone(),
            output_bytes: limits.file_bytes,
        }),
    };
    Ok(compile::Walls {
        setup,
        limits,
        time: plan.time(),
    })
}

/// The ABI that a plan is made for on this machine.
#[must_use]
pub fn landlock_abi(host: &HostReport) -> u32 {
    host.landlock_abi.min(LANDLOCK_NEWEST)
}
