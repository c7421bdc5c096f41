//! The functions of module `gm` as the engine takes them: one closure for each
//! shape of the ABI. Every pointer is the plugin's claim: it is checked against
//! its memory here, and what breaks the contract ends the process. Those of
//! other modules stand beside (`wasi`, `extism`).

use std::collections::BTreeMap;
use std::sync::Arc;

use gm_protocol::abi::CallError;
use gm_protocol::message::TrapClass;
use gm_protocol::plan::{Abi, HostOps};
use wasmer::{Exports, Function, FunctionEnv, FunctionEnvMut, Imports, RuntimeError, Store};

use super::extism::Extism;
use super::wasi::System;
use crate::abi::Import;
use crate::abi::wasm::{self as abi, Shape, Value};
use crate::hosting::{Args, Host};
use crate::walls::last;
use crate::walls::sys::guest::Guest;

/// What the imports of one instance work on.
pub(super) struct Env {
    pub(super) host: Host,
    pub(super) memory: Arc<Guest>,
    /// Host calls of the grant.
    pub(super) granted: HostOps,
    pub(super) system: System,
    pub(super) extism: Extism,
}

impl Env {
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
            return CallError::TooBig.status();
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

/// Those of `wanted`, pairs of module and name, that the ABI has; the others stay
/// missing, and then the instance is refused.
pub(super) fn functions<'n>(
    store: &mut Store,
    env: &FunctionEnv<Env>,
    abi: Abi,
    wanted: impl Iterator<Item = (&'n str, &'n str)>,
) -> Imports {
    let mut modules: BTreeMap<&str, Exports> = BTreeMap::new();
    for (module, name) in wanted {
        let found = abi::Function::find(abi, module, name);
        let function = found.and_then(|found| match found {
            abi::Function::Gm(import) => Some(function(store, env, import)),
            abi::Function::Wasi(call) => other(store, env, found, move |env, given| {
                env.wasi(call, given)
                    .map(|errno| u64::from(errno.cast_unsigned()))
                    .map_err(|exit| RuntimeError::user(Box::new(exit)))
            }),
            abi::Function::Extism(call) => other(store, env, found, move |env, given| {
                Ok(env.extism(call, given))
            }),
        });
        if let Some(function) = function {
            modules.entry(module).or_default().insert(name, function);
        }
    }
    let mut imports = Imports::new();
    for (module, exports) in modules {
        imports.register_namespace(module, exports);
    }
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

/// A function that takes its arguments as plain numbers, of any type that the
/// tables of other hosts have. `None` = a type that they have not.
fn other(
    store: &mut Store,
    env: &FunctionEnv<Env>,
    function: abi::Function,
    call: impl Fn(&mut Env, &[u64]) -> Result<u64, RuntimeError> + Copy + Send + Sync + 'static,
) -> Option<Function> {
    macro_rules! taking {
        ($($name:ident: $ty:ty),*) => {
            match function.ty().gives {
                [] => giving!(() => |_| (), $($name: $ty),*),
                [Value::I32] => giving!(u32 => low, $($name: $ty),*),
                [Value::I64] => giving!(u64 => |all| all, $($name: $ty),*),
                _ => return None,
            }
        };
    }
    macro_rules! giving {
        ($gives:ty => $narrow:expr, $($name:ident: $ty:ty),*) => {
            Function::new_typed_with_env(
                store,
                env,
                move |mut env: FunctionEnvMut<'_, Env>, $($name: $ty),*| -> Result<$gives, RuntimeError> {
                    call(env.data_mut(), &[$(u64::from($name)),*]).map($narrow)
                },
            )
        };
    }
    use Value::{I32, I64};
    Some(match function.ty().takes {
        [] => taking!(),
        [I32] => taking!(a: u32),
        [I64] => taking!(a: u64),
        [I32, I32] => taking!(a: u32, b: u32),
        [I32, I64] => taking!(a: u32, b: u64),
        [I64, I32] => taking!(a: u64, b: u32),
        [I64, I64] => taking!(a: u64, b: u64),
        [I32, I32, I32] => taking!(a: u32, b: u32, c: u32),
        [I32, I64, I32] => taking!(a: u32, b: u64, c: u32),
        [I32, I64, I64] => taking!(a: u32, b: u64, c: u64),
        [I32, I32, I32, I32] => taking!(a: u32, b: u32, c: u32, d: u32),
        [I32, I64, I32, I32] => taking!(a: u32, b: u64, c: u32, d: u32),
        [I32, I64, I64, I32] => taking!(a: u32, b: u64, c: u64, d: u32),
        [I32, I32, I32, I64, I32] => taking!(a: u32, b: u32, c: u32, d: u64, e: u32),
        [I32, I32, I32, I32, I32] => taking!(a: u32, b: u32, c: u32, d: u32, e: u32),
        [I32, I32, I32, I32, I32, I32] => {
            taking!(a: u32, b: u32, c: u32, d: u32, e: u32, f: u32)
        }
        [I32, I32, I32, I32, I32, I32, I32] => {
            taking!(a: u32, b: u32, c: u32, d: u32, e: u32, f: u32, g: u32)
        }
        [I32, I32, I32, I32, I64, I64, I32] => {
            taking!(a: u32, b: u32, c: u32, d: u32, e: u64, f: u64, g: u32)
        }
        [I32, I32, I32, I32, I32, I64, I64, I32, I32] => {
            taking!(a: u32, b: u32, c: u32, d: u32, e: u32, f: u64, g: u64, h: u32, i: u32)
        }
        _ => return None,
    })
}

/// The 32 bits that were made 64.
fn low(all: u64) -> u32 {
    u32::try_from(all).unwrap_or(u32::MAX)
}

fn narrow(status: i64) -> i32 {
    i32::try_from(status).unwrap_or(i32::MAX)
}
