//! The plugin as the host's calls see it: its exports, and what a trap is.

use std::ops::DerefMut;

use gm_protocol::message::TrapClass;
use gm_protocol::plan::Hook;
use wasmer::{FunctionEnv, Instance, RuntimeError, Store, TypedFunction, WasmTypeList};
use wasmer_types::TrapCode;

use super::imports::Env;
use crate::abi::wasm as abi;
use crate::hosting::{self, Host, NOT_RUN};
use crate::walls::last;

/// What a call answers when the module can't take its document.
const NO_ROOM: &[u8] = b"gm_alloc gave no memory for the document";
const NO_HOOK: &[u8] = b"the module has no such hook";

/// Takes a document's address and length; 0 = done.
type HookFunction = TypedFunction<(u32, u32), i32>;

/// A plugin that can be called.
pub(super) struct Plugin {
    store: Store,
    env: FunctionEnv<Env>,
    alloc: Option<TypedFunction<u32, u32>>,
    free: Option<TypedFunction<(u32, u32), ()>>,
    hooks: Vec<(Hook, HookFunction)>,
}

impl Plugin {
    /// Finds the exports; runs `_initialize`, if it is there.
    pub(super) fn new(mut store: Store, env: FunctionEnv<Env>, instance: &Instance) -> Self {
        if let Some(initialize) = export::<(), ()>(instance, &store, abi::INITIALIZE) {
            trapless(initialize.call(&mut store));
        }
        let hook = |hook: &Hook| Some((*hook, export(instance, &store, hook.as_str())?));
        Self {
            alloc: export(instance, &store, abi::ALLOC),
            free: export(instance, &store, abi::FREE),
            hooks: Hook::ALL.iter().filter_map(hook).collect(),
            store,
            env,
        }
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
        let (Some((_, function)), Some(alloc)) = (found, &self.alloc) else {
            return (NOT_RUN, Some(NO_HOOK.to_vec()));
        };
        let (function, alloc) = (function.clone(), alloc.clone());
        let Ok(len) = u32::try_from(document.len()) else {
            return (NOT_RUN, Some(NO_ROOM.to_vec()));
        };
        let address = trapless(alloc.call(&mut self.store, len));
        if address == 0 {
            return (NOT_RUN, Some(NO_ROOM.to_vec()));
        }
        self.env.as_ref(&self.store).put(address, document);
        self.host().enter();
        let status = trapless(function.call(&mut self.store, address, len));
        let answer = self.host().leave();
        if let Some(free) = self.free.clone() {
            trapless(free.call(&mut self.store, address, len));
        }
        (
            status,
            if status == 0 {
                answer.reply
            } else {
                answer.error
            },
        )
    }
}

fn export<A: WasmTypeList, R: WasmTypeList>(
    instance: &Instance,
    store: &Store,
    name: &str,
) -> Option<TypedFunction<A, R>> {
    instance.exports.get_typed_function(store, name).ok()
}

/// What a call gave; a trap ends the process instead. Traps in compiled code
/// end it in the signal handler already; the library's come back here.
fn trapless<T>(called: Result<T, RuntimeError>) -> T {
    called.unwrap_or_else(|error| last::trap(class(&error)))
}

/// The class of a trap that came back as a value.
pub(super) fn class(error: &RuntimeError) -> TrapClass {
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
