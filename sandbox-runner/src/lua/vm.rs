//! The virtual machine: made, furnished and exercised before the walls; then
//! the plugin's text, parsed behind them.

use std::cell::{RefCell, RefMut};
use std::ops::DerefMut;
use std::rc::Rc;

use gm_protocol::message::TrapClass;
use gm_protocol::plan::{Engine, Hook, PluginSetup};
use gm_protocol::runner_end::RunnerEnd;
use mlua::chunk::ChunkMode;
use mlua::{Function, IntoLuaMulti, Lua, LuaOptions, LuaString, StdLib, Table, Value};

use super::calls::{self, SharedHost};
use super::value;
use crate::hosting::{self, Host, NOT_RUN, script};
use crate::walls::{Narrowed, last};

/// Libraries without files, processes, clock, debugging or loading.
fn libraries() -> StdLib {
    StdLib::COROUTINE
        | StdLib::TABLE
        | StdLib::STRING
        | StdLib::UTF8
        | StdLib::BIT
        | StdLib::BUFFER
        | StdLib::VECTOR
        | StdLib::MATH
}

/// A furnished machine without a plugin.
pub(super) struct Vm {
    lua: Lua,
    host: SharedHost,
    list: Table,
    modules: Rc<RefCell<Modules>>,
    guard: Guard,
}

/// The package's files that are Lua text, and what those gave that were asked for.
#[derive(Default)]
struct Modules {
    texts: Vec<(String, &'static [u8])>,
    /// `None` = it is being run.
    loaded: Vec<(String, Option<Value>)>,
}

impl Vm {
    /// Makes the machine and runs all that is made lazily once.
    pub(super) fn warm() -> mlua::Result<Self> {
        let lua = Lua::new_with(libraries(), LuaOptions::new().catch_rust_panics(false))?;
        let host = Rc::new(RefCell::new(Host::bare()));
        let list = lua.create_table()?;
        list.raw_set("__metatable", "list")?;
        list.set_readonly(true);
        let modules = Rc::new(RefCell::new(Modules::default()));
        let guard = Guard::new(&lua)?;
        furnish(&lua, &host, &list, &modules, &guard)?;
        // Libraries, metatables of strings and `gm` can't be changed from here on;
        // a plugin's globals lie over them.
        lua.sandbox(true)?;
        let warm = include_str!("warm.luau");
        let warm = lua.load(warm).set_name("=warm").set_mode(ChunkMode::Text);
        warm.exec()?;
        lua.gc_collect()?;
        Ok(Self {
            lua,
            host,
            list,
            modules,
            guard,
        })
    }

    /// Parses the plugin's text and runs it. Ends the process if it can't.
    pub(super) fn load(
        self,
        _: Narrowed,
        link: RunnerEnd,
        task: &PluginSetup,
        code: &'static [u8],
        assets: &'static [u8],
    ) -> Script {
        last::new_call();
        *self.host.borrow_mut() = Host::new(link, task, assets);
        self.modules.borrow_mut().texts =
            hosting::modules(task, assets, Engine::Lua.module_endings());
        let run = parse(&self.lua, &task.entrypoint, code)
            .map_err(|error| text_of(&error))
            .and_then(|chunk| self.guard.call(&chunk, ()));
        if let Err(text) = run {
            hosting::not_loaded(self.host.borrow_mut().link(), &text);
        }
        let globals = self.lua.globals();
        let hook = |hook: &Hook| match globals.raw_get::<Value>(hook.as_str()) {
            Ok(Value::Function(function)) => Some((*hook, function)),
            _ => None,
        };
        let hooks: Vec<_> = Hook::ALL.iter().filter_map(hook).collect();
        let has = |hook| hooks.iter().any(|(each, _)| *each == hook);
        if let Err(text) = script::has_all(&task.hooks, has) {
            hosting::not_loaded(self.host.borrow_mut().link(), &text);
        }
        Script {
            hooks,
            lua: self.lua,
            host: self.host,
            list: self.list,
            guard: self.guard,
        }
    }
}

/// Gives the machine `gm`, `require` and `print`, and takes away what loads text.
fn furnish(
    lua: &Lua,
    host: &SharedHost,
    list: &Table,
    modules: &Rc<RefCell<Modules>>,
    guard: &Guard,
) -> mlua::Result<()> {
    let globals = lua.globals();
    globals.raw_set("loadstring", Value::Nil)?;
    let (modules, guard) = (Rc::clone(modules), guard.clone());
    let require =
        lua.create_function(move |lua, name: String| require(lua, &modules, &guard, &name))?;
    globals.raw_set("require", require)?;
    let gm = lua.create_table()?;
    let raw = calls::functions(lua, host, list)?;
    let prelude = lua.load(include_str!("prelude.luau")).set_name("=gm");
    let prelude = prelude.set_mode(ChunkMode::Text).into_function()?;
    prelude.call::<()>((raw, &gm))?;
    gm.raw_set("null", Value::NULL)?;
    gm.raw_set("list", calls::list_maker(lua, list)?)?;
    gm.set_readonly(true);
    globals.raw_set("gm", &gm)?;
    let print = include_str!("print.luau");
    let print = lua.load(print).set_name("=gm").set_mode(ChunkMode::Text);
    globals.raw_set("print", print.eval::<Function>()?)
}

fn parse(lua: &Lua, name: &str, text: &[u8]) -> mlua::Result<Function> {
    // Text, never bytecode, which nothing checks.
    let chunk = lua.load(text).set_name(format!("={name}"));
    chunk.set_mode(ChunkMode::Text).into_function()
}

/// A module of the package, run at its first `require`.
fn require(
    lua: &Lua,
    modules: &RefCell<Modules>,
    guard: &Guard,
    name: &str,
) -> mlua::Result<Value> {
    let found = |modules: &Modules| modules.loaded.iter().find(|(n, _)| n == name).cloned();
    if let Some((_, loaded)) = found(&modules.borrow()) {
        return loaded.ok_or_else(|| mlua::Error::runtime(format!("{name} requires itself")));
    }
    let text = modules
        .borrow()
        .texts
        .iter()
        .find(|(n, _)| n == name)
        .map(|(_, text)| *text);
    let text = text.ok_or_else(|| {
        let why = format!("no module {name}: it must be a .lua or .luau file among the manifest's `files`, by that very path");
        mlua::Error::runtime(why)
    })?;
    let set = |value| {
        let mut modules = modules.borrow_mut();
        modules.loaded.retain(|(n, _)| n != name);
        modules.loaded.push((name.to_owned(), value));
    };
    set(None);
    let value = parse(lua, name, text)
        .and_then(|chunk| guard.call(&chunk, ()).map_err(mlua::Error::runtime));
    match &value {
        Ok(value) => set(Some(value.clone())),
        Err(_) => modules.borrow_mut().loaded.retain(|(n, _)| n != name),
    }
    value
}

/// Calls the plugin's functions.
#[derive(Clone)]
struct Guard(Function);

impl Guard {
    fn new(lua: &Lua) -> mlua::Result<Self> {
        let guard = lua.load(include_str!("guard.luau")).set_name("=gm");
        guard.set_mode(ChunkMode::Text).eval().map(Self)
    }

    /// What the function returns, or the text of what it raises.
    fn call(&self, function: &Function, given: impl IntoLuaMulti) -> Result<Value, String> {
        let came = self.0.call((function, given));
        let (done, value, shown): (bool, Value, Option<LuaString>) =
            came.map_err(|error| text_of(&error))?;
        let text = match (done, value, shown) {
            (true, value, _) => return Ok(value),
            (false, Value::Error(error), _) => return Err(text_of(&error)),
            (false, Value::String(text), _) | (false, _, Some(text)) => text,
            (false, _, None) => return Err("an error that can't be shown".to_owned()),
        };
        Err(String::from_utf8_lossy(&text.as_bytes()).into_owned())
    }
}

/// A plugin's script, ready to be called.
pub(super) struct Script {
    lua: Lua,
    host: SharedHost,
    list: Table,
    guard: Guard,
    hooks: Vec<(Hook, Function)>,
}

impl Script {
    fn hook(&self, hook: Hook, document: &[u8]) -> Result<(), String> {
        let found = self.hooks.iter().find(|(each, _)| *each == hook);
        let (_, function) = found.ok_or("the script has no such function")?;
        let document = serde_json::from_slice(document);
        let document = document.map_err(|error| format!("the document is no JSON: {error}"))?;
        let argument = value::to_lua(&self.lua, &self.list, &document);
        let argument = argument.map_err(|error| text_of(&error))?;
        let reply = self.guard.call(function, argument)?;
        let table = match reply {
            Value::Nil => return Ok(()),
            Value::LightUserData(pointer) if pointer.0.is_null() => return Ok(()),
            Value::Table(table) => Value::Table(table),
            other => {
                return Err(format!(
                    "{} returned a {}, not a table",
                    hook.as_str(),
                    other.type_name()
                ));
            }
        };
        let reply = value::from_lua(&self.list, &table).map_err(str::to_owned)?;
        let text = reply.to_string();
        match script::reply(&mut self.host.borrow_mut(), &text) {
            Ok(0) => Ok(()),
            _ => Err("the reply is no object, or over the limit".to_owned()),
        }
    }
}

impl hosting::Plugin for Script {
    fn has(&self, hook: Hook) -> bool {
        self.hooks.iter().any(|(each, _)| *each == hook)
    }

    fn host(&mut self) -> impl DerefMut<Target = Host> {
        RefMut::map(self.host.borrow_mut(), |host| host)
    }

    fn call(&mut self, hook: Hook, document: &[u8]) -> (i32, Option<Vec<u8>>) {
        if !hosting::Plugin::has(self, hook) {
            return (NOT_RUN, Some(b"the script has no such function".to_vec()));
        }
        self.host.borrow_mut().enter();
        let done = self.hook(hook, document);
        script::left(&mut self.host.borrow_mut(), done)
    }
}

/// What an error says; the machine is not used again after one of memory.
fn text_of(error: &mlua::Error) -> String {
    match error {
        mlua::Error::MemoryError(_) => {
            last::refused_grow();
            last::trap(TrapClass::Other)
        }
        mlua::Error::CallbackError { cause, .. } => text_of(cause),
        // The first line says where; the rest would be the way there.
        mlua::Error::RuntimeError(text) => {
            let way = text.find("\nstack traceback:");
            let text = text.get(..way.unwrap_or(text.len())).unwrap_or(text);
            // What was thrown has no text, so it says where the engine has it.
            match text.split_once(": 0x") {
                Some((kind @ ("table" | "function" | "thread" | "userdata"), _)) => {
                    format!("an error that is no text: a {kind}")
                }
                _ => text.to_owned(),
            }
        }
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_runs_its_own_warm_up() {
        let vm = Vm::warm().unwrap_or_else(|error| panic!("{error}"));
        assert!(vm.lua.globals().get::<Function>("print").is_ok());
    }
}
