//! The plugin as the host's calls see it: its hooks, and what they answer.

use std::ops::DerefMut;
use std::rc::Rc;
use std::time::Duration;

use gm_protocol::abi::CallError;
use gm_protocol::plan::Hook;
use rquickjs::{Context, Ctx, Function, Object, Persistent, Promise, Value};

use super::engine::Clock;
use super::errors;
use super::gm::SharedHost;
use super::text;
use crate::hosting::{self, Host, NOT_RUN, script};

/// What is said of a promise when nothing is left that could settle it.
const NEVER: &str = "it waits for a promise that nothing settles";

type Answered<T> = Result<T, String>;
type Kept = Persistent<Function<'static>>;

/// A plugin's script, ready to be called.
pub(super) struct Script {
    realm: Context,
    hooks: Vec<(Hook, Kept)>,
    host: SharedHost,
    clock: Rc<Clock>,
    time: Duration,
}

impl Script {
    /// A script that was run. A call of it may last `time`.
    pub(super) const fn new(
        realm: Context,
        hooks: Vec<(Hook, Kept)>,
        host: SharedHost,
        clock: Rc<Clock>,
        time: Duration,
    ) -> Self {
        Self {
            realm,
            hooks,
            host,
            clock,
            time,
        }
    }

    /// What the hook replies, as JSON.
    fn run(&self, hook: &Kept, document: &[u8]) -> Answered<Option<String>> {
        self.realm.with(|ctx| {
            let told = |error: rquickjs::Error| errors::text(&ctx, &error);
            let hook = hook.clone().restore(&ctx).map_err(told)?;
            let document = ctx.json_parse(document).map_err(told)?;
            let value: Value<'_> = hook.call((document,)).map_err(told)?;
            finish_jobs(&ctx, &self.clock);
            let value = match value.as_promise() {
                Some(promise) => settled(&ctx, promise)?,
                None => value,
            };
            if value.is_undefined() || value.is_null() {
                return Ok(None);
            }
            let text = text::json(&ctx, value).map_err(told)?;
            // To write it may have run the script's own code.
            finish_jobs(&ctx, &self.clock);
            Ok(text)
        })
    }

    fn reply(&self, text: &str) -> Answered<()> {
        let mut host = self.host.borrow_mut();
        match script::reply(&mut host, text) {
            Ok(0) => Ok(()),
            Ok(status) if status == CallError::TooBig.status() => Err(format!(
                "the reply has {} bytes, and {} are the most",
                text.len(),
                host.cap()
            )),
            Ok(_) | Err(_) => Err("a reply is one object, or nothing".to_owned()),
        }
    }
}

impl hosting::Plugin for Script {
    fn has(&self, hook: Hook) -> bool {
        self.hooks.iter().any(|(each, _)| *each == hook)
    }

    fn host(&mut self) -> impl DerefMut<Target = Host> {
        self.host.borrow_mut()
    }

    fn call(&mut self, hook: Hook, document: &[u8]) -> (i32, Option<Vec<u8>>) {
        let found = self.hooks.iter().find(|(each, _)| *each == hook);
        let Some((_, function)) = found else {
            let why = format!("the module exports no function {hook}, and globalThis has none");
            return (NOT_RUN, Some(why.into_bytes()));
        };
        self.clock.begin(self.time);
        self.host.borrow_mut().enter();
        let done = self.run(function, document);
        let done = done.and_then(|reply| reply.map_or(Ok(()), |text| self.reply(&text)));
        script::left(&mut self.host.borrow_mut(), done)
    }
}

/// The hooks of a script: what its module exports, else its globals.
pub(super) fn hooks<'js>(ctx: &Ctx<'js>, exports: &Object<'js>) -> Vec<(Hook, Kept)> {
    let globals = ctx.globals();
    let found = |hook: &Hook| {
        let function = [exports, &globals].into_iter().find_map(|holder| {
            let Ok(value) = holder.get::<_, Value<'_>>(hook.as_str()) else {
                // A getter of the script's own has thrown.
                ctx.catch();
                return None;
            };
            value.into_function()
        })?;
        Some((*hook, Persistent::save(ctx, function)))
    };
    Hook::ALL.iter().filter_map(found).collect()
}

/// Runs what the script has put off, until nothing is left.
pub(super) fn finish_jobs(ctx: &Ctx<'_>, clock: &Clock) {
    while ctx.execute_pending_job() {
        clock.check();
    }
}

/// What a promise came to, no job being left.
pub(super) fn settled<'js>(ctx: &Ctx<'js>, promise: &Promise<'js>) -> Answered<Value<'js>> {
    match promise.result::<Value<'_>>() {
        Some(result) => result.map_err(|error| errors::text(ctx, &error)),
        None => Err(NEVER.to_owned()),
    }
}
