//! The plan of one process: its grant, its proved filters, and everything else
//! that is put round it.
//!
//! A [`Plan`] has one maker, which refuses unless the filters are proved: what
//! can't be proved is never started.

mod http;
mod http_lines;
mod lines;
mod wall_lines;

use std::time::Duration;

use gm_manifest::{Code, GrantRoot, HostPermission, Kind, Manifest, Refusal};
use gm_protocol::plan::{
    Abi, Engine, FileGrant, Filters, HostOp, HostOps, LandlockRule, Limits, MAX_GRANTS,
    NATIVE_RESERVE, Place, SCRIPT_RESERVE, WASM_RESERVE,
};

use crate::compiled::Compiled;
use crate::effective::{Effective, FileRequest, Refused, RefusedBy};
use crate::grant::Because;
use crate::operator::Operator;
use crate::profile_file::{self, FileCalls};
use crate::spec::{LayerName, SeccompSpec};
use crate::syscalls::Arch;
use crate::theorems::LoadsCode;
pub use http::HttpPlan;
pub use lines::{Line, Shown, Stages};

/// `LANDLOCK_ACCESS_FS_*` of linux/landlock.h.
const EXECUTE: u64 = 1;
const READ_FILE: u64 = 1 << 2;
const WRITE_FILE: u64 = 1 << 1;
const READ_DIR: u64 = 1 << 3;
const MAKE_REG: u64 = 1 << 8;
const TRUNCATE: u64 = 1 << 14;
/// The most bytes of an artifact: fifty times what the largest module of the
/// measurements gives, and far below the memory of the compile process.
const ARTIFACT_BYTES: u64 = 256 << 20;

/// The plan of a plugin's process.
///
/// ```compile_fail
/// fn forge(effective: gm_policy::Effective) -> gm_policy::Plan {
///     gm_policy::Plan { effective }
/// }
/// ```
/// ```compile_fail
/// fn copy(plan: &gm_policy::Plan) -> gm_policy::Plan {
///     plan.clone()
/// }
/// ```
/// ```
/// use gm_policy::{Operator, Plan};
/// fn derive(manifest: &gm_manifest::Manifest) -> Result<Plan, gm_manifest::Refusal> {
///     Plan::derive(manifest, &Operator::default())
/// }
/// ```
#[derive(Debug)]
pub struct Plan {
    id: String,
    version: String,
    entrypoint: String,
    has_assets: bool,
    abi: Abi,
    effective: Effective,
    files: Vec<Placed>,
    walls: Walls,
    http: Option<HttpPlan>,
}

/// A granted path and the place where the plugin has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its name and place.
    pub grant: FileGrant,
    /// Never empty.
    pub because: Vec<Because>,
}

/// What stands round a process, whatever it runs.
#[derive(Debug)]
struct Walls {
    engine: Engine,
    spec: SeccompSpec,
    compiled: Compiled,
    /// The stage that plugin code runs in.
    wall: LayerName,
    /// Calls of that stage.
    calls: usize,
    ceiling: usize,
}

/// The plan of the process that compiles a module.
#[derive(Debug)]
pub struct CompilePlan {
    walls: Walls,
    limits: Limits,
    time: Duration,
}

impl Plan {
    /// Derives the walls of a plugin and proves its filters.
    ///
    /// # Errors
    /// `wall/kind-unsupported` if no engine runs this kind,
    /// `policy/limit-too-small`, `internal/proof`.
    pub fn derive(manifest: &Manifest, operator: &Operator) -> Result<Self, Refusal> {
        let engine = engine_of(manifest);
        let effective = Effective::meet(manifest, operator)?;
        // Whether each is there, and a directory, is only known on a machine.
        let files = as_directories(&effective.files);
        let walls = Walls::prove(engine, &calls_for(&files))?;
        let http = HttpPlan::derive(&effective, operator)?;
        Ok(Self {
            id: manifest.id().as_str().to_owned(),
            version: manifest.version().to_string(),
            entrypoint: manifest.entrypoint().as_str().to_owned(),
            has_assets: !manifest.files().is_empty(),
            abi: abi_of(manifest),
            effective,
            files,
            walls,
            http,
        })
    }

    /// The plan for a kernel with this Landlock: what it can't hold is dropped,
    /// with its reason.
    #[must_use]
    pub fn on_kernel(mut self, landlock_abi: u32) -> Self {
        let lacking = self
            .http
            .as_ref()
            .and_then(|http| Some((http.lacks(landlock_abi)?, http.grant.clone())));
        if let Some((why, grant)) = lacking {
            self.http = None;
            self.effective.network = None;
            self.effective.refused.push(Refused {
                asked: "network",
                value: grant.scope().join(" "),
                by: RefusedBy::Host,
                why,
                because: grant.because,
            });
        }
        self
    }

    /// The process that makes its requests, if hosts are granted.
    #[must_use]
    pub fn http(&self) -> Option<&HttpPlan> {
        self.http.as_ref()
    }

    /// The plan for the paths that are really there; the others were dropped,
    /// each with its reason.
    ///
    /// # Errors
    /// `internal/proof`.
    pub fn placed(mut self, files: Vec<Placed>, dropped: Vec<Refused>) -> Result<Self, Refusal> {
        let (before, now) = (calls_for(&self.files), calls_for(&files));
        if before != now {
            self.walls = Walls::prove(self.walls.engine, &now)?;
        }
        self.files = files;
        self.effective.refused.extend(dropped);
        Ok(self)
    }

    /// How a WASM module speaks with its host.
    #[must_use]
    pub fn abi(&self) -> Abi {
        self.abi
    }

    /// Granted paths and their places.
    #[must_use]
    pub fn files(&self) -> &[Placed] {
        &self.files
    }

    /// Host calls that the module may import: those of the grant, and those about
    /// files if a path is granted.
    #[must_use]
    pub fn imports(&self) -> HostOps {
        let writes = self.files.iter().any(|file| file.grant.writable);
        let files = HostOp::ALL.iter().filter(|op| match op {
            HostOp::FileRead | HostOp::FileList => !self.effective.files.is_empty(),
            HostOp::FileWrite => writes,
            HostOp::Log
            | HostOp::ConfigGet
            | HostOp::EventEmit
            | HostOp::NodeGet
            | HostOp::NodePut
            | HostOp::NodeQuery
            | HostOp::EdgeGet
            | HostOp::EdgePut
            | HostOp::EdgeQuery
            | HostOp::StorageGet
            | HostOp::StorageSet
            | HostOp::StorageDelete
            | HostOp::StorageList
            | HostOp::HttpRequest => false,
        });
        files.fold(self.host_ops(), |set, op| set.with(*op))
    }

    /// What the plugin gets, and what of its requests was dropped.
    #[must_use]
    pub fn effective(&self) -> &Effective {
        &self.effective
    }

    /// Package path of the code.
    #[must_use]
    pub fn entrypoint(&self) -> &str {
        &self.entrypoint
    }

    /// Which binary runs the plugin.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.walls.engine
    }

    /// The filters and their proof.
    #[must_use]
    pub fn compiled(&self) -> &Compiled {
        &self.walls.compiled
    }

    /// The architecture that the filters are for.
    #[must_use]
    pub fn arch(&self) -> Arch {
        self.walls.spec.arch
    }

    /// The stage that plugin code runs in, whatever it does: `loading` where its
    /// first instruction is run by the loader, and may never return.
    #[must_use]
    pub fn wall(&self) -> LayerName {
        self.walls.wall
    }

    /// Calls that running code may make, in the stage that is its wall; without
    /// those that get an errno.
    #[must_use]
    pub fn running_calls(&self) -> usize {
        self.walls.calls
    }

    /// The most of them.
    #[must_use]
    pub fn ceiling(&self) -> usize {
        self.walls.ceiling
    }

    /// Host calls of the grant, and those that the engine makes for itself.
    #[must_use]
    pub fn host_ops(&self) -> HostOps {
        let granted = HostOp::ALL.iter();
        let granted = granted.filter(|op| self.reason_for(**op).is_some());
        let own = match self.walls.engine.starts_program() {
            // The program's error output is lines of its log, granted or not.
            true => HostOps::NONE.with(HostOp::Log),
            false => HostOps::NONE,
        };
        granted.fold(own, |set, op| set.with(*op))
    }

    /// The reason for a host call, if the manifest is granted it.
    #[must_use]
    pub fn reason_for(&self, op: HostOp) -> Option<&[Because]> {
        if op.is_storage() {
            let storage = self.effective.storage.as_ref()?;
            return Some(&storage.because);
        }
        if op == HostOp::HttpRequest {
            let network = self.effective.network.as_ref();
            return network.map(|grant| grant.because.as_slice());
        }
        let permission = HostPermission::parse(op.permission()).ok()?;
        self.effective.host_api.get(&permission).map(Vec::as_slice)
    }

    /// Programs for the process to install.
    #[must_use]
    pub fn filters(&self) -> Filters {
        self.walls.compiled.filters()
    }

    /// Landlock rules for a kernel of this ABI; what none names is denied.
    #[must_use]
    pub fn landlock(&self, abi: u32) -> Vec<LandlockRule> {
        let engine = self.walls.engine;
        let code = match engine {
            // An exec reads its file, too.
            engine if engine.starts_program() => Some((Place::Executable, READ_FILE | EXECUTE)),
            engine if engine.has_code_file() => Some((Place::Code, READ_FILE)),
            _ => None,
        };
        let assets = engine.is_machine_code() && self.has_assets;
        let assets = assets.then_some((Place::Assets, READ_FILE | READ_DIR));
        let own = code.into_iter().chain(assets);
        let own = own.map(|(path, rights)| LandlockRule { path, rights });
        let files = self.files.iter().map(|file| {
            let mut rights = READ_FILE;
            if file.grant.directory {
                rights |= READ_DIR;
            }
            if file.grant.writable {
                rights |= WRITE_FILE | MAKE_REG;
                // A right of ABI 3; before it, to truncate is to write.
                rights |= if abi >= 3 { TRUNCATE } else { 0 };
            }
            LandlockRule {
                path: file.grant.place(),
                rights,
            }
        });
        own.chain(files).collect()
    }

    /// Size of `$DATA` in bytes; 0 = the plugin has none.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        let has = self.files.iter().any(|file| file.grant.number.is_none());
        if has {
            self.effective.memory.value.get() / 2
        } else {
            0
        }
    }

    /// Quota of the plugin's own storage in bytes; 0 = it has none.
    #[must_use]
    pub fn storage_bytes(&self) -> u64 {
        let storage = self.effective.storage.as_ref();
        storage.map_or(0, |limit| limit.value.get())
    }

    /// Limits for the launcher.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            memory_bytes: self.effective.memory.value.get(),
            pids: self.walls.engine.most_pids(),
            cpu_percent: self.effective.cpu.value.get().into(),
            file_bytes: self.data_bytes(),
            cpu_seconds: 0,
        }
    }

    /// Wall clock of one call.
    #[must_use]
    pub fn time_limit(&self) -> Duration {
        Duration::from_millis(self.effective.time.value.get())
    }

    /// Bytes of the memory limit that the code itself may use, if what lies in the
    /// process's own tree has this length: the engine needs the rest.
    ///
    /// # Errors
    /// `policy/limit-too-small`, with the number that would do.
    pub fn module_memory(&self, code_bytes: u64) -> Result<u64, Refusal> {
        let limit = self.effective.memory.value;
        let (reserve, rule) = match self.walls.engine {
            Engine::Wasm | Engine::CompileWasm => (
                WASM_RESERVE
                    .saturating_add(code_bytes)
                    .saturating_add(code_bytes / 4),
                "8 MiB and 1.25 times the compiled code",
            ),
            Engine::Lua | Engine::Js => (SCRIPT_RESERVE, "2 MiB for the engine"),
            // It runs no code.
            Engine::Http => (0, "the whole limit"),
            Engine::Native | Engine::Program => (
                NATIVE_RESERVE.saturating_add(code_bytes),
                "1 MiB, the code and the files of the package",
            ),
        };
        match limit.get().checked_sub(reserve) {
            Some(left) if left > 0 => Ok(left),
            _ => {
                let detail = format!(
                    "the memory limit is {limit}, but the engine and the code need {reserve} bytes"
                );
                let because = self.effective.memory.because.first();
                let refusal = Refusal::new(Code::PolicyLimitTooSmall, detail)
                    .rule(rule)
                    .layer("engine");
                Err(match because.and_then(Because::manifest_line) {
                    Some(line) => refusal.line(line),
                    None => refusal,
                })
            }
        }
    }
}

impl CompilePlan {
    /// The walls of the compile process, its filters proved.
    ///
    /// # Errors
    /// `internal/proof`.
    pub fn derive(operator: &Operator) -> Result<Self, Refusal> {
        let memory = operator.compile_memory.value.get();
        let time = Duration::from_millis(operator.compile_time.value.get());
        Ok(Self {
            walls: Walls::prove(Engine::CompileWasm, &FileCalls::default())?,
            limits: Limits {
                memory_bytes: memory,
                // One for its work, one that it starts even when asked for none, and the
                // main one; the rest is room for its run-time.
                pids: Engine::CompileWasm.most_pids(),
                cpu_percent: 100,
                file_bytes: ARTIFACT_BYTES.min(memory),
                // Of processor time, so that one deadline holds without the other.
                cpu_seconds: time.as_secs().saturating_add(1),
            },
            time,
        })
    }

    /// Programs for the process to install.
    #[must_use]
    pub fn filters(&self) -> Filters {
        self.walls.compiled.filters()
    }

    /// Limits for the launcher.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Wall clock of the whole process.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.time
    }
}

impl Walls {
    fn prove(engine: Engine, files: &FileCalls) -> Result<Self, Refusal> {
        let unproved = |error: &dyn std::error::Error| {
            let mut detail = format!("the filters of {engine}: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                detail.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            Refusal::new(Code::InternalProof, detail)
        };
        let arch = Arch::native().ok_or_else(|| {
            Refusal::new(
                Code::WallKindUnsupported,
                "no filters are made for this architecture",
            )
        })?;
        let profile = profile_file::read(engine, arch, files).map_err(|error| unproved(&error))?;
        let loads = LoadsCode::of(engine);
        let compiled = Compiled::prove(&profile.seccomp, &profile.vetoed, loads)
            .map_err(|error| unproved(&error))?;
        Ok(Self {
            engine,
            spec: profile.seccomp,
            compiled,
            wall: profile.wall,
            calls: profile.calls,
            ceiling: profile.ceiling,
        })
    }
}

/// Each request in its place, `$DATA` once; what is one too many has none.
fn as_directories(requests: &[FileRequest]) -> Vec<Placed> {
    let mut files: Vec<Placed> = Vec::new();
    let mut next = 0;
    for request in requests {
        let number = match request.path.root() {
            GrantRoot::Data => None,
            GrantRoot::Repo | GrantRoot::Assets | GrantRoot::Host => Some(next),
        };
        place(&mut files, request, number, true);
        next += u8::from(number.is_some());
    }
    files.truncate(MAX_GRANTS + 1);
    files
}

/// Adds a request at its place; everything below `$DATA` is `$DATA`.
pub fn place(files: &mut Vec<Placed>, request: &FileRequest, number: Option<u8>, directory: bool) {
    let because = request.because.clone();
    if number.is_none()
        && let Some(data) = files.iter_mut().find(|file| file.grant.number.is_none())
    {
        data.grant.writable |= request.write;
        data.because.push(because);
        return;
    }
    let prefix = match number {
        None => "$DATA".to_owned(),
        Some(_) => request.path.as_str().to_owned(),
    };
    files.push(Placed {
        grant: FileGrant {
            prefix,
            number,
            directory,
            writable: request.write,
        },
        because: vec![because],
    });
}

/// The calls that granted paths open, with the lines that ask for them.
fn calls_for(files: &[Placed]) -> FileCalls {
    let because = |wanted: &dyn Fn(&FileGrant) -> bool| {
        let files = files.iter().filter(|file| wanted(&file.grant));
        files
            .flat_map(|file| file.because.iter().cloned())
            .collect()
    };
    FileCalls {
        read: because(&|_| true),
        list: because(&|grant| grant.directory),
        data: because(&|grant| grant.writable),
    }
}

fn abi_of(manifest: &Manifest) -> Abi {
    match manifest.abi() {
        gm_manifest::Abi::Extism1 => Abi::Extism1,
        // An executable speaks with no engine of ours.
        gm_manifest::Abi::Gm2 | gm_manifest::Abi::Program1 => Abi::Gm2,
    }
}

/// Which binary runs the plugin: the manifest lets a kind have only the ABIs that it
/// can speak.
#[must_use]
pub fn engine_of(manifest: &Manifest) -> Engine {
    match (manifest.kind(), manifest.abi()) {
        (Kind::Wasm, _) => Engine::Wasm,
        (Kind::Lua, _) => Engine::Lua,
        (Kind::Js, _) => Engine::Js,
        (Kind::Native, gm_manifest::Abi::Program1) => Engine::Program,
        (Kind::Native, _) => Engine::Native,
    }
}

#[cfg(test)]
mod tests;
