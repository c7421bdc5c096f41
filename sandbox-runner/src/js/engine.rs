//! The engine: one runtime with two contexts, warmed before the walls.
//!
//! The *parser* can turn text into code, and nothing is run in it; the *realm*
//! is what the plugin lives in, and no text becomes code there.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gm_protocol::message::TrapClass;
use gm_protocol::plan::{Hook, PluginSetup};
use gm_protocol::runner_end::RunnerEnd;
use rquickjs::context::intrinsic;
use rquickjs::{Context, Ctx, Function, Module, Persistent, Result, Runtime};

use super::calls::{Script, finish_jobs, hooks, settled};
use super::errors;
use super::gm::{self, SharedHost};
use super::modules::Modules;
use super::raw::Bytecode;
use crate::hosting::{self, Host, script};
use crate::walls::{Narrowed, WallError, last};

/// Regular expressions in the text are compiled with it.
type Parser = (
    intrinsic::Eval,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
);
/// Without `Eval`: `eval`, `Function` and their like have nothing to compile with.
type Realm = (
    intrinsic::Date,
    intrinsic::RegExpCompiler,
    intrinsic::RegExp,
    intrinsic::Json,
    intrinsic::Proxy,
    intrinsic::MapSet,
    intrinsic::TypedArrays,
    intrinsic::Promise,
    intrinsic::WeakRef,
);

/// The most that scripts may use of the stack, an eighth of what there is: the
/// rest is for code of the engine that doesn't look.
const STACK: usize = 1 << 20;
/// No size above this reaches the arena, whose end is the limit of the heap: what
/// asks for more than it has ends the process, which a script can't catch.
const ABSURD: usize = 1 << 40;
/// Longer than the host waits for code to be loaded.
const LOAD: Duration = Duration::from_secs(11);
/// How long after the host's own deadline the engine ends a call by itself.
const BEHIND: Duration = Duration::from_secs(1);
/// The warm-up's module: a name that no file of a package can have.
const WARM: &str = "<warm-up>";

/// Ends the process when a call lasts far longer than the host lets it: the
/// host's own clock is the wall, this one stands behind it.
#[derive(Default)]
pub(super) struct Clock(Cell<Option<Instant>>);

impl Clock {
    /// A call begins that may last `time`.
    pub(super) fn begin(&self, time: Duration) {
        self.0.set(Instant::now().checked_add(time));
    }

    /// Looks at the time.
    pub(super) fn check(&self) {
        if self.0.get().is_some_and(|until| Instant::now() > until) {
            last::trap(TrapClass::Other);
        }
    }
}

/// A warmed engine.
pub(super) struct Engine {
    parser: Context,
    realm: Context,
    modules: Modules,
    host: SharedHost,
    clock: Rc<Clock>,
}

impl Engine {
    /// Makes the engine and runs a module of our own in it once, so that all that
    /// is made lazily (tables, hash seeds, the time zone) is there before the walls.
    pub(super) fn warm() -> std::result::Result<Self, WallError> {
        let engine = Self::make().map_err(|_| WallError::WarmUp)?;
        let warmed = engine.run_our_own();
        warmed.map_err(|_| WallError::WarmUp).map(|()| engine)
    }

    fn make() -> Result<Self> {
        let runtime = Runtime::new()?;
        runtime.set_max_stack_size(STACK);
        runtime.set_memory_limit(ABSURD);
        let clock = Rc::new(Clock::default());
        let watch = Rc::clone(&clock);
        runtime.set_interrupt_handler(Some(Box::new(move || {
            watch.check();
            false
        })));
        let modules = Modules::default();
        runtime.set_loader(modules.clone(), modules.clone());
        let realm = Context::custom::<Realm>(&runtime)?;
        let host = Rc::new(RefCell::new(Host::bare()));
        realm.with(|ctx| gm::install(&ctx, &host))?;
        Ok(Self {
            parser: Context::custom::<Parser>(&runtime)?,
            realm,
            modules,
            host,
            clock,
        })
    }

    fn run_our_own(&self) -> Result<()> {
        self.clock.begin(LOAD);
        let code = self.parser.with(|ctx| {
            let module = Module::declare(ctx, WARM, include_str!("warm.js"))?;
            Bytecode::of(&module)
        })?;
        self.realm.with(|ctx| {
            let (_, done) = code.load(&ctx)?.eval()?;
            finish_jobs(&ctx, &self.clock);
            done.finish::<()>()
        })
    }

    /// Parses the package behind the last filter, then runs the top level of its
    /// code. Ends the process if it can't.
    pub(super) fn load(
        self,
        _: Narrowed,
        link: RunnerEnd,
        task: &PluginSetup,
        code: &'static [u8],
        assets: &'static [u8],
    ) -> Script {
        *self.host.borrow_mut() = Host::new(link, task, assets);
        last::new_call();
        self.clock.begin(LOAD);
        self.modules.fill(task, code, assets);
        let entrypoint = &task.entrypoint;
        let parsed = self.parser.with(|ctx| self.modules.parse(&ctx, entrypoint));
        // From here on nothing in the process can parse: what the parser left in
        // rings goes too.
        drop(self.parser);
        self.realm.runtime().run_gc();
        let hooks = parsed.and_then(|()| {
            self.realm
                .with(|ctx| enter(&ctx, &self.modules, entrypoint, &self.clock))
        });
        let hooks = hooks.and_then(|hooks| {
            let has = |hook| hooks.iter().any(|(each, _)| *each == hook);
            script::has_all(&task.hooks, has).map(|()| hooks)
        });
        let hooks = hooks.unwrap_or_else(|text| not_loaded(&self.host, &text));
        let time = Duration::from_millis(task.time_ms.into()).saturating_add(BEHIND);
        Script::new(self.realm, hooks, self.host, self.clock, time)
    }
}

/// Runs the top level of the code; gives its hooks.
fn enter(
    ctx: &Ctx<'_>,
    modules: &Modules,
    entrypoint: &str,
    clock: &Clock,
) -> std::result::Result<Vec<(Hook, Persistent<Function<'static>>)>, String> {
    let told = |error: rquickjs::Error| errors::text(ctx, &error);
    let module = modules.load(ctx, entrypoint).map_err(told)?;
    let (module, done) = module.eval().map_err(told)?;
    finish_jobs(ctx, clock);
    settled(ctx, &done)?;
    let exports = module.namespace().map_err(told)?;
    Ok(hooks(ctx, &exports))
}

fn not_loaded(host: &RefCell<Host>, text: &str) -> ! {
    hosting::not_loaded(host.borrow_mut().link(), text)
}
