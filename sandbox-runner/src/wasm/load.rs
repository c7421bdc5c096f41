//! The engine itself: warmed before the walls, then one artifact, one instance.
//!
//! An artifact is machine code of our own compiler, vouched for by the MAC that
//! the broker checked over the bytes it had copied to `/code`. Nothing else is
//! ever loaded.
#![expect(
    unsafe_code,
    reason = "to load an artifact is to trust it; the reason to do so is outside this process"
)]

use std::path::Path;
use std::sync::Arc;

use gm_protocol::message::TrapClass;
use gm_protocol::plan::{Abi, CODE_PATH, FD_ASSETS, HostOps, PluginSetup, WARM_PATH};
use gm_protocol::runner_end::RunnerEnd;
use wasmer::sys::{EngineBuilder, NativeEngineExt};
use wasmer::{
    DeserializeError, ExternType, FunctionEnv, Instance, InstantiationError, LinkError, Module,
    Store, Type, TypedFunction,
};

use super::calls::{self, Plugin};
use super::extism::Extism;
use super::imports::{self, Env};
use super::memory::{Budget, Capped};
use super::wasi::{Sources, System};
use crate::abi::wasm::{Function, Value};
use crate::hosting::{self, Host};
use crate::walls::sys::guest::Guest;
use crate::walls::{Narrowed, WallError, Walled, last, sys};

/// Memory for the warm-up's own module: some pages, and a table.
const WARM_BYTES: u64 = 1 << 20;

/// A warmed engine and the memory that its one plugin will get.
pub(super) struct Engine {
    engine: wasmer::Engine,
    resources: Resources,
}

/// What the plugin gets besides its code.
struct Resources {
    budget: Arc<Budget>,
    memory: Arc<Guest>,
    sources: Sources,
}

/// A plugin's code, mapped; nothing of it has run.
pub(super) struct Loaded {
    store: Store,
    module: Module,
    resources: Resources,
    walled: Walled,
}

impl Engine {
    /// Makes the engine and runs our own module on it once, so that all that
    /// is made lazily (stacks, tables, hash seeds) is there before the walls.
    pub(super) fn warm() -> Result<Self, WallError> {
        let budget = Arc::new(Budget::default());
        let mut engine = wasmer::Engine::from(EngineBuilder::headless());
        engine.set_tunables(Capped::new(Arc::clone(&budget)));
        let guest = Arc::new(Guest::reserve().map_err(std::io::Error::from)?);
        budget.set(WARM_BYTES, Arc::clone(&guest));
        warm_up(&engine, guest, &budget)?.ok_or(WallError::WarmUp)?;
        // The engine keeps a descriptor of what it maps; that of /warm goes.
        sys::close_from(FD_ASSETS.unsigned_abs() + 1)?;
        let memory = Arc::new(Guest::reserve().map_err(std::io::Error::from)?);
        Ok(Self {
            engine,
            resources: Resources {
                budget,
                memory,
                sources: Sources::new()?,
            },
        })
    }

    /// Maps the plugin's artifact. Behind the walls, since it is read here.
    /// Ends the process if it can't: nothing is dropped then, since to unmap
    /// and close is not allowed any more.
    pub(super) fn load(self, walled: Walled, task: &PluginSetup, link: &mut RunnerEnd) -> Loaded {
        let Ok(module) = map(&self.engine, Path::new(CODE_PATH)) else {
            hosting::not_loaded(link, "the artifact does not fit this engine")
        };
        if !imports_fit(&module, task.abi, task.host_ops) {
            hosting::not_loaded(link, "the artifact imports what is not granted");
        }
        let Resources { budget, memory, .. } = &self.resources;
        budget.set(task.memory_bytes, Arc::clone(memory));
        // Made while mapping is still allowed.
        let store = Store::new(self.engine);
        Loaded {
            store,
            module,
            resources: self.resources,
            walled,
        }
    }
}

impl Loaded {
    /// Closes all but the link and installs the last filter.
    pub(super) fn narrow(self) -> Result<(Ready, Narrowed), WallError> {
        // The engine keeps the artifact's descriptor for the names in a trap's
        // trace, which nobody reads here.
        sys::close_from(4)?;
        let narrowed = self.walled.narrow()?;
        Ok((
            Ready {
                store: self.store,
                module: self.module,
                resources: self.resources,
            },
            narrowed,
        ))
    }
}

/// A plugin's code with all filters up.
pub(super) struct Ready {
    store: Store,
    module: Module,
    resources: Resources,
}

impl Ready {
    /// Runs the first of the plugin's instructions: its segments, `start` and
    /// `_initialize`. A trap in them ends the process.
    pub(super) fn instantiate(
        self,
        _: Narrowed,
        link: RunnerEnd,
        task: &PluginSetup,
        assets: &'static [u8],
    ) -> Plugin {
        last::new_call();
        let env = Env {
            host: Host::new(link, task, assets),
            memory: self.resources.memory,
            granted: task.host_ops,
            system: System::new(self.resources.sources),
            extism: Extism::new(self.resources.budget),
        };
        // Outlives a failure below, for the same reason as in `load`.
        let mut store = self.store;
        let env = FunctionEnv::new(&mut store, env);
        match instance(&mut store, &self.module, &env, task.abi) {
            Ok(instance) => Plugin::new(store, env, &instance, task.abi),
            Err(
                InstantiationError::Start(error) | InstantiationError::Link(LinkError::Trap(error)),
            ) => calls::end(&error),
            // Too little memory for what the module begins with.
            Err(InstantiationError::Link(LinkError::Resource(_))) => {
                last::refused_grow();
                last::trap(TrapClass::Other)
            }
            Err(_) => {
                let link = env.as_mut(&mut store).host.link();
                hosting::not_loaded(link, "the artifact can't be instantiated")
            }
        }
    }
}

#[expect(
    clippy::result_large_err,
    reason = "the engine's own error type, once in a process's life"
)]
fn instance(
    store: &mut Store,
    module: &Module,
    env: &FunctionEnv<Env>,
    abi: Abi,
) -> Result<Instance, InstantiationError> {
    let names: Vec<(String, String)> = module
        .imports()
        .map(|import| (import.module().to_owned(), import.name().to_owned()))
        .collect();
    let wanted = names
        .iter()
        .map(|(module, name)| (module.as_str(), name.as_str()));
    let functions = imports::functions(store, env, abi, wanted);
    Instance::new(store, module, &functions)
}

fn map(engine: &wasmer::Engine, path: &Path) -> Result<Module, DeserializeError> {
    // SAFETY: `path` is /code or /warm of our own mount tree, read-only for
    // everybody. The launcher wrote both: /warm from the file it hashed at its
    // start, /code from the sealed memory whose MAC the broker had checked,
    // made with a key that only it has, over the output of our own compiler.
    unsafe { Module::deserialize_from_file(engine, path) }
}

/// The grant again, in the process that would be asked: the compiler's word
/// may be older than the grant.
fn imports_fit(module: &Module, abi: Abi, granted: HostOps) -> bool {
    module.imports().all(|import| {
        let known = Function::find(abi, import.module(), import.name());
        known.is_some_and(|known| known.lacks(granted).is_none() && has_type(import.ty(), known))
    })
}

fn has_type(found: &ExternType, function: Function) -> bool {
    let same = |found: &[Type], wanted: &[Value]| {
        found
            .iter()
            .copied()
            .eq(wanted.iter().map(|value| match value {
                Value::I32 => Type::I32,
                Value::I64 => Type::I64,
            }))
    };
    let wanted = function.ty();
    matches!(found, ExternType::Function(ty)
        if same(ty.params(), wanted.takes) && same(ty.results(), wanted.gives))
}

/// One call of everything, and one trap that comes back as a value. `None` = our
/// own module does not do what it was written for.
fn warm_up(
    engine: &wasmer::Engine,
    memory: Arc<Guest>,
    budget: &Arc<Budget>,
) -> Result<Option<()>, WallError> {
    let env = Env {
        host: Host::bare(),
        memory,
        granted: HostOps::NONE,
        system: System::new(Sources::new()?),
        extism: Extism::new(Arc::clone(budget)),
    };
    Ok(call_warm(engine, env))
}

fn call_warm(engine: &wasmer::Engine, env: Env) -> Option<()> {
    let module = map(engine, Path::new(WARM_PATH)).ok()?;
    let mut store = Store::new(engine.clone());
    let env = FunctionEnv::new(&mut store, env);
    let instance = instance(&mut store, &module, &env, Abi::Extism1).ok()?;
    let call: TypedFunction<(u32, u32), i32> = instance
        .exports
        .get_typed_function(&store, "on_commit_analyzed")
        .ok()?;
    let trap: TypedFunction<(u32, u32), i32> = instance
        .exports
        .get_typed_function(&store, "shutdown")
        .ok()?;
    call.call(&mut store, 1024, 16).ok()?;
    trap.call(&mut store, 0, 0).err().map(|_| last::new_call())
}
