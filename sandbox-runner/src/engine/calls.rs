//! Serves the host's calls: one at a time, each document in and one answer out.

use gm_protocol::message::{FromRunner, ToRunner, TrapClass, head};
use gm_protocol::plan::Hook;
use wasmer::{FunctionEnv, Instance, RuntimeError, Store, TypedFunction, WasmTypeList};
use wasmer_types::TrapCode;

use super::host::{Answer, Host, end};
use super::loaded;
use crate::abi;
use crate::walls::{last, sys};

/// What a call answers when the module can't take its document.
const NO_ROOM: &[u8] = b"gm_alloc gave no memory for the document";
const NO_HOOK: &[u8] = b"the module has no such hook";
/// The status of a hook that was not run.
const NOT_RUN: i32 = -1;
/// The most bytes of an event: the ceiling of the host's own setting.
const MOST_EVENT: usize = 16 << 20;

/// Takes a document's address and length; 0 = done.
type HookFunction = TypedFunction<(u32, u32), i32>;

/// A plugin that can be called.
pub(super) struct Plugin {
    store: Store,
    host: FunctionEnv<Host>,
    alloc: Option<TypedFunction<u32, u32>>,
    free: Option<TypedFunction<(u32, u32), ()>>,
    hooks: Vec<(Hook, HookFunction)>,
}

impl Plugin {
    /// Finds the exports; runs `_initialize`, if it is there.
    pub(super) fn new(mut store: Store, host: FunctionEnv<Host>, instance: &Instance) -> Self {
        if let Some(initialize) = export::<(), ()>(instance, &store, abi::INITIALIZE) {
            trapless(initialize.call(&mut store));
        }
        let hook = |hook: &Hook| Some((*hook, export(instance, &store, hook.as_str())?));
        Self {
            alloc: export(instance, &store, abi::ALLOC),
            free: export(instance, &store, abi::FREE),
            hooks: Hook::ALL.iter().filter_map(hook).collect(),
            store,
            host,
        }
    }

    /// Answers calls until the host says stop or is gone. Never returns: the
    /// process ends without the calls that an orderly return would make.
    pub(super) fn serve(&mut self) -> ! {
        let ready = loaded(self.has(Hook::Init), self.has(Hook::Shutdown));
        self.host()
            .link()
            .send(&ready)
            .unwrap_or_else(|error| end(&error));
        loop {
            let message = self
                .host()
                .link()
                .recv()
                .unwrap_or_else(|error| end(&error));
            match message {
                ToRunner::Call {
                    call,
                    hook,
                    more,
                    bytes,
                } => self.answer(call, hook, more, bytes),
                ToRunner::Stop => sys::exit_now(0),
                ToRunner::Setup(_)
                | ToRunner::Go
                | ToRunner::HostDone { .. }
                | ToRunner::Part { .. } => sys::exit_now(last::BROKEN_LINK),
            }
        }
    }

    fn answer(&mut self, call: u32, hook: Hook, more: bool, bytes: Vec<u8>) {
        let document = self.host().link().recv_parts(bytes, more, MOST_EVENT);
        let document = document.unwrap_or_else(|error| end(&error));
        let (status, text) = self.call(hook, &document);
        let has = text.is_some();
        let text = text.unwrap_or_default();
        let (bytes, more) = head(&text);
        let done = FromRunner::Done {
            call,
            status,
            has,
            more,
            bytes,
        };
        let sent = self.host().link().send_document(&done, &text);
        sent.unwrap_or_else(|error| end(&error));
    }

    /// Runs one hook: its status, and the reply or the error's text.
    fn call(&mut self, hook: Hook, document: &[u8]) -> (i32, Option<Vec<u8>>) {
        last::new_call();
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
        self.host().put(address, document);
        self.host().enter();
        let status = trapless(function.call(&mut self.store, address, len));
        let Answer { reply, error } = self.host().leave();
        if let Some(free) = self.free.clone() {
            trapless(free.call(&mut self.store, address, len));
        }
        (status, if status == 0 { reply } else { error })
    }

    fn host(&mut self) -> &mut Host {
        self.host.as_mut(&mut self.store)
    }

    fn has(&self, hook: Hook) -> bool {
        self.hooks.iter().any(|(each, _)| *each == hook)
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
