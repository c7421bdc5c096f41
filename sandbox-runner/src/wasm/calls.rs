//! The plugin as the host's calls see it: its exports, and what a trap is.

use std::ops::DerefMut;

use gm_protocol::message::TrapClass;
use gm_protocol::plan::{Abi, Hook};
use serde_json::json;
use wasmer::{FunctionEnv, Instance, RuntimeError, Store, TypedFunction, WasmTypeList};
use wasmer_types::TrapCode;

use super::imports::Env;
use super::wasi::Exit;
use crate::abi::wasm::{self as abi, extism};
use crate::hosting::{self, Answer, Host, NOT_RUN};
use crate::walls::last;

/// What a call answers when the module can't take its document.
const NO_ROOM: &[u8] = b"gm_alloc gave no memory for the document";
const NO_HOOK: &[u8] = b"the module has no such hook";

const NO_ROOM_LEFT: &[u8] = b"there is no memory left for the document";
/// What a hook of Extism's kits answers when its output is no reply.
const NO_OBJECT: &[u8] = b"the output is not a JSON object";
const NO_COMMAND: &[u8] = b"the module has no such command";
const LINE_END: &[u8] =
    b"an argument holds a line end: the command's input is the arguments, one a line";
const NO_TEXT: &[u8] = b"the output is not UTF-8";
const TOO_LONG: &[u8] = b"the output is longer than a reply may be";
/// The status of a call whose code said 0 and did not mean it.
const FAILED: i32 = 1;

/// A hook, as its ABI calls it; 0 = done.
#[derive(Clone)]
enum HookFunction {
    /// Takes a document's address and length.
    Gm(TypedFunction<(u32, u32), i32>),
    /// Asks for its input.
    Extism(TypedFunction<(), i32>),
}

impl HookFunction {
    fn find(instance: &Instance, store: &Store, abi: Abi, name: &str) -> Option<Self> {
        match abi {
            Abi::Gm2 => export(instance, store, name).map(Self::Gm),
            Abi::Extism1 => export(instance, store, name).map(Self::Extism),
        }
    }
}

/// A plugin that can be called.
pub(super) struct Plugin {
    store: Store,
    env: FunctionEnv<Env>,
    alloc: Option<TypedFunction<u32, u32>>,
    free: Option<TypedFunction<(u32, u32), ()>>,
    hooks: Vec<(Hook, HookFunction)>,
    /// Where a command's own function is found, under Extism's ABI.
    commands: Option<Instance>,
}

impl Plugin {
    /// Finds the exports; runs `_initialize`, or what it is called in a module
    /// of Extism's kits.
    pub(super) fn new(
        mut store: Store,
        env: FunctionEnv<Env>,
        instance: &Instance,
        abi: Abi,
    ) -> Self {
        let constructors = match abi {
            Abi::Gm2 => None,
            Abi::Extism1 => export::<(), ()>(instance, &store, extism::CONSTRUCTORS),
        };
        let initialize = || export::<(), ()>(instance, &store, abi::INITIALIZE);
        if let Some(initialize) = constructors.or_else(initialize) {
            ran(initialize.call(&mut store));
        }
        let hook = |hook: &Hook| {
            let found = HookFunction::find(instance, &store, abi, hook.as_str())?;
            Some((*hook, found))
        };
        Self {
            alloc: export(instance, &store, abi::ALLOC),
            free: export(instance, &store, abi::FREE),
            hooks: Hook::ALL.iter().filter_map(hook).collect(),
            commands: (abi == Abi::Extism1).then(|| instance.clone()),
            store,
            env,
        }
    }

    fn env(&mut self) -> &mut Env {
        self.env.as_mut(&mut self.store)
    }

    /// With the document in a buffer of the module's own.
    fn call_gm(
        &mut self,
        function: &TypedFunction<(u32, u32), i32>,
        document: &[u8],
    ) -> (i32, Option<Vec<u8>>) {
        let (Some(alloc), Ok(len)) = (self.alloc.clone(), u32::try_from(document.len())) else {
            return (NOT_RUN, Some(NO_ROOM.to_vec()));
        };
        let Some(address) = ran(alloc.call(&mut self.store, len)).filter(|at| *at != 0) else {
            return (NOT_RUN, Some(NO_ROOM.to_vec()));
        };
        self.env.as_ref(&self.store).put(address, document);
        let (status, answer) = self.run(|store| function.call(store, address, len));
        if let Some(free) = self.free.clone() {
            ran(free.call(&mut self.store, address, len));
        }
        let Answer { reply, error } = answer;
        (status, if status == 0 { reply } else { error })
    }

    /// With the document as the input, and the output as the reply.
    fn call_extism(
        &mut self,
        function: &TypedFunction<(), i32>,
        document: &[u8],
    ) -> (i32, Option<Vec<u8>>) {
        if !self.env().extism.begin(document) {
            return (NOT_RUN, Some(NO_ROOM_LEFT.to_vec()));
        }
        let (status, answer) = self.run(|store| function.call(store));
        let env = self.env();
        let kernel = &env.extism.kernel;
        if let Some(error) = kernel.error_bytes().filter(|text| !text.is_empty()) {
            let status = if status == 0 { FAILED } else { status };
            return (status, Some(Host::error_text(error)));
        }
        match kernel.output_bytes() {
            _ if status != 0 => (status, answer.error),
            // `reply` of module gm, where that was imported.
            None => (0, answer.reply),
            Some(output) if output.len() > env.host.cap() => (FAILED, Some(TOO_LONG.to_vec())),
            Some(output) if !Host::is_reply(output) => (FAILED, Some(NO_OBJECT.to_vec())),
            Some(output) => (0, Some(output.to_vec())),
        }
    }

    /// A command by the function of its name, as the kits' own host calls one:
    /// with the bare arguments, and for any output.
    fn call_command(&mut self, document: &[u8]) -> (i32, Option<Vec<u8>>) {
        let no_command = || (NOT_RUN, Some(NO_COMMAND.to_vec()));
        let (Some(instance), Ok(command)) = (
            &self.commands,
            serde_json::from_slice::<CommandDocument>(document),
        ) else {
            return no_command();
        };
        let name = extism::command(&command.name);
        let Some(function) = export::<(), i32>(instance, &self.store, &name) else {
            return no_command();
        };
        // Whoever takes the input apart again must find what was typed.
        if command.args.iter().any(|argument| argument.contains('\n')) {
            return (NOT_RUN, Some(LINE_END.to_vec()));
        }
        if !self.env().extism.begin(command.args.join("\n").as_bytes()) {
            return (NOT_RUN, Some(NO_ROOM_LEFT.to_vec()));
        }
        let (status, _) = self.run(|store| function.call(store));
        let kernel = &self.env().extism.kernel;
        if let Some(error) = kernel.error_bytes().filter(|text| !text.is_empty()) {
            let status = if status == 0 { FAILED } else { status };
            return (status, Some(Host::error_text(error)));
        }
        let output = kernel.output_bytes().unwrap_or_default();
        let reply = match std::str::from_utf8(output) {
            Ok(text) => json!({"status": status, "text": text}),
            Err(_) => return (FAILED, Some(NO_TEXT.to_vec())),
        };
        match reply.to_string() {
            reply if reply.len() > self.env().host.cap() => (FAILED, Some(TOO_LONG.to_vec())),
            reply => (0, Some(reply.into_bytes())),
        }
    }

    /// Runs a hook; a plugin that ends itself with 0 is done with it.
    fn run(&mut self, call: impl FnOnce(&mut Store) -> Result<i32, RuntimeError>) -> (i32, Answer) {
        self.env().host.enter();
        let status = ran(call(&mut self.store)).unwrap_or(0);
        self.env().flush();
        (status, self.env().host.leave())
    }
}

impl hosting::Plugin for Plugin {
    fn has(&self, hook: Hook) -> bool {
        self.hooks.iter().any(|(each, _)| *each == hook)
    }

    fn host(&mut self) -> impl DerefMut<Target = Host> {
        &mut self.env.as_mut(&mut self.store).host
    }

    fn call(&mut self, hook: Hook, document: &[u8]) -> (i32, Option<Vec<u8>>) {
        let found = self.hooks.iter().find(|(each, _)| *each == hook);
        match found.map(|(_, function)| function.clone()) {
            Some(HookFunction::Gm(function)) => self.call_gm(&function, document),
            Some(HookFunction::Extism(function)) => self.call_extism(&function, document),
            None if hook == Hook::Command => self.call_command(document),
            None => (NOT_RUN, Some(NO_HOOK.to_vec())),
        }
    }
}

/// What a command's document says.
#[derive(serde::Deserialize)]
struct CommandDocument {
    name: String,
    args: Vec<String>,
}

fn export<A: WasmTypeList, R: WasmTypeList>(
    instance: &Instance,
    store: &Store,
    name: &str,
) -> Option<TypedFunction<A, R>> {
    instance.exports.get_typed_function(store, name).ok()
}

/// What a call gave; `None` = the plugin ended itself with 0. A trap ends the
/// process instead. Traps in compiled code end it in the signal handler already;
/// the library's come back here.
fn ran<T>(called: Result<T, RuntimeError>) -> Option<T> {
    match called {
        Ok(given) => Some(given),
        Err(error) => match error.downcast_ref::<Exit>() {
            Some(Exit(0)) => None,
            Some(_) | None => end(&error),
        },
    }
}

/// Ends the process for an error that came back as a value.
pub(super) fn end(error: &RuntimeError) -> ! {
    match error.downcast_ref::<Exit>() {
        Some(Exit(status)) => last::exited(*status),
        None => last::trap(class(error)),
    }
}

/// The class of a trap that came back as a value.
fn class(error: &RuntimeError) -> TrapClass {
    let Some(code) = error.clone().to_trap() else {
        return TrapClass::Other;
    };
    match code {
        TrapCode::StackOverflow => TrapClass::Stack,
        TrapCode::HeapAccessOutOfBounds => TrapClass::Bounds,
        TrapCode::TableAccessOutOfBounds
        | TrapCode::IndirectCallToNull
        | TrapCode::BadSignature => TrapClass::Table,
        TrapCode::IntegerOverflow
        | TrapCode::IntegerDivisionByZero
        | TrapCode::BadConversionToInteger => TrapClass::Arithmetic,
        TrapCode::UnreachableCodeReached => TrapClass::Unreachable,
        _ => TrapClass::Other,
    }
}
