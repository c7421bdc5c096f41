//! The functions of module `gm` as the engine takes them: one closure for each
//! shape of the ABI. Every pointer is the plugin's claim: it is checked against
//! its memory here, and what breaks the contract ends the process.

use std::sync::Arc;

use gm_protocol::message::TrapClass;
use wasmer::{Exports, Function, FunctionEnv, FunctionEnvMut, Imports, Store};

use crate::abi::wasm::{MODULE, Shape};
use crate::abi::{Import, code};
use crate::hosting::{Args, Host};
use crate::walls::last;
use crate::walls::sys::guest::Guest;

/// What the imports of one instance work on.
pub(super) struct Env {
    pub(super) host: Host,
    memory: Arc<Guest>,
}

impl Env {
    pub(super) const fn new(host: Host, memory: Arc<Guest>) -> Self {
        Self { host, memory }
    }

    /// Puts a document into the plugin's memory.
    pub(super) fn put(&self, address: u32, document: &[u8]) {
        if self.memory.write(address, document).is_none() {
            last::trap(TrapClass::HostCall);
        }
    }

    /// The bytes of a text; those over the cap are not copied. `None` = over it.
    fn text(&self, [address, len]: [u32; 2]) -> Option<Vec<u8>> {
        if usize::try_from(len).is_ok_and(|len| len > self.host.cap()) {
            // It must lie in the memory all the same.
            let end = u64::from(address) + u64::from(len);
            if end > self.memory.len() as u64 {
                last::trap(TrapClass::HostCall);
            }
            return None;
        }
        match self.memory.read(address, len) {
            Some(bytes) => Some(bytes),
            None => last::trap(TrapClass::HostCall),
        }
    }

    fn call(&mut self, call: Import, first: [u32; 2], second: [u32; 2], x: i64, y: i64) -> i64 {
        if self.host.may_call(call).is_err() {
            last::trap(TrapClass::HostCall);
        }
        let (Some(first), Some(second)) = (self.text(first), self.text(second)) else {
            return code::TOO_BIG.into();
        };
        let args = Args {
            first: &first,
            second: &second,
            x,
            y,
        };
        match self.host.call(call, args) {
            Ok(status) => status,
            Err(_) => last::trap(TrapClass::HostCall),
        }
    }

    /// `result`: copies the last result into the plugin's memory.
    fn result(&self, [address, room]: [u32; 2]) -> i32 {
        // All of the room that is claimed must be there, not only what is used.
        if self.host.may_call(Import::Result).is_err() || self.memory.read(address, room).is_none()
        {
            last::trap(TrapClass::HostCall);
        }
        let result = self.host.result();
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let part = result.get(..room).unwrap_or(result);
        self.put(address, part);
        i32::try_from(part.len()).unwrap_or(i32::MAX)
    }
}

/// Those of `wanted` that the ABI has; the others stay missing, and then the
/// instance is refused.
pub(super) fn functions<'n>(
    store: &mut Store,
    env: &FunctionEnv<Env>,
    wanted: impl Iterator<Item = &'n str>,
) -> Imports {
    let mut exports = Exports::new();
    for name in wanted {
        if let Some(import) = Import::from_name(name) {
            exports.insert(name, function(store, env, import));
        }
    }
    let mut imports = Imports::new();
    imports.register_namespace(MODULE, exports);
    imports
}

/// No text.
const NONE: [u32; 2] = [0, 0];

fn function(store: &mut Store, env: &FunctionEnv<Env>, call: Import) -> Function {
    type Caller<'a> = FunctionEnvMut<'a, Env>;
    if call == Import::Result {
        return Function::new_typed_with_env(store, env, |env: Caller<'_>, ptr: u32, room: u32| {
            env.data().result([ptr, room])
        });
    }
    match call.shape() {
        Shape::Change => Function::new_typed_with_env(
            store,
            env,
            move |mut env: Caller<'_>, ptr: u32, len: u32| {
                narrow(env.data_mut().call(call, [ptr, len], NONE, 0, 0))
            },
        ),
        Shape::Query => Function::new_typed_with_env(
            store,
            env,
            move |mut env: Caller<'_>, ptr: u32, len: u32| {
                env.data_mut().call(call, [ptr, len], NONE, 0, 0)
            },
        ),
        Shape::Change2 => Function::new_typed_with_env(
            store,
            env,
            move |mut env: Caller<'_>, a: u32, a_len: u32, b: u32, b_len: u32| {
                narrow(env.data_mut().call(call, [a, a_len], [b, b_len], 0, 0))
            },
        ),
        Shape::Log => Function::new_typed_with_env(
            store,
            env,
            move |mut env: Caller<'_>, level: u32, ptr: u32, len: u32| {
                narrow(env.data_mut().call(call, [ptr, len], NONE, level.into(), 0))
            },
        ),
        Shape::Read => Function::new_typed_with_env(
            store,
            env,
            move |mut env: Caller<'_>, ptr: u32, len: u32, offset: i64, most: u32| {
                env.data_mut()
                    .call(call, [ptr, len], NONE, offset, most.into())
            },
        ),
        Shape::Write => Function::new_typed_with_env(
            store,
            env,
            move |mut env: Caller<'_>,
                  a: u32,
                  a_len: u32,
                  offset: i64,
                  b: u32,
                  b_len: u32,
                  flags: u32| {
                let (first, second) = ([a, a_len], [b, b_len]);
                let status = env
                    .data_mut()
                    .call(call, first, second, offset, flags.into());
                narrow(status)
            },
        ),
    }
}

fn narrow(status: i64) -> i32 {
    i32::try_from(status).unwrap_or(i32::MAX)
}
