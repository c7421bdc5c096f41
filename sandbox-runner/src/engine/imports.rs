//! The functions of module `gm` as the engine takes them: one per import,
//! typed exactly as the ABI says, each a line to [`Host`].

use gm_protocol::plan::HostOp;
use wasmer::{Exports, Function, FunctionEnv, FunctionEnvMut, Imports, Store};

use super::host::Host;
use crate::abi::{self, Import};

type Env<'a> = FunctionEnvMut<'a, Host>;

/// Those of `wanted` that the ABI has; the others stay missing, and then the
/// instance is refused.
pub(super) fn functions<'n>(
    store: &mut Store,
    env: &FunctionEnv<Host>,
    wanted: impl Iterator<Item = &'n str>,
) -> Imports {
    let mut exports = Exports::new();
    for name in wanted {
        if let Some(import) = Import::from_name(name) {
            exports.insert(name, function(store, env, import));
        }
    }
    let mut imports = Imports::new();
    imports.register_namespace(abi::MODULE, exports);
    imports
}

fn function(store: &mut Store, env: &FunctionEnv<Host>, import: Import) -> Function {
    match import {
        Import::Reply => {
            Function::new_typed_with_env(store, env, |mut host: Env<'_>, ptr: u32, len: u32| {
                host.data_mut().reply([ptr, len])
            })
        }
        Import::Fail => {
            Function::new_typed_with_env(store, env, |mut host: Env<'_>, ptr: u32, len: u32| {
                host.data_mut().fail([ptr, len])
            })
        }
        Import::Result => {
            Function::new_typed_with_env(store, env, |mut host: Env<'_>, ptr: u32, room: u32| {
                host.data_mut().result([ptr, room])
            })
        }
        Import::AssetRead => Function::new_typed_with_env(
            store,
            env,
            |mut host: Env<'_>, ptr: u32, len: u32, offset: i64, most: u32| {
                host.data_mut().asset_read([ptr, len], offset, most)
            },
        ),
        Import::Op(op) => operation(store, env, op),
    }
}

/// A closure with nothing captured per call: the engine wants a function's
/// type to be known when it is compiled.
macro_rules! query {
    ($store:ident, $env:ident, $op:ident) => {
        Function::new_typed_with_env($store, $env, |mut host: Env<'_>, ptr: u32, len: u32| {
            host.data_mut().query(HostOp::$op, [ptr, len])
        })
    };
}

macro_rules! change {
    ($store:ident, $env:ident, $op:ident) => {
        Function::new_typed_with_env($store, $env, |mut host: Env<'_>, ptr: u32, len: u32| {
            host.data_mut().change(HostOp::$op, [ptr, len], None)
        })
    };
}

fn operation(store: &mut Store, env: &FunctionEnv<Host>, op: HostOp) -> Function {
    match op {
        HostOp::Log => Function::new_typed_with_env(
            store,
            env,
            |mut host: Env<'_>, level: u32, ptr: u32, len: u32| {
                host.data_mut().log(level, [ptr, len])
            },
        ),
        HostOp::EventEmit => Function::new_typed_with_env(
            store,
            env,
            |mut host: Env<'_>, topic: u32, topic_len: u32, ptr: u32, len: u32| {
                let data = host.data_mut();
                data.change(HostOp::EventEmit, [topic, topic_len], Some([ptr, len]))
            },
        ),
        HostOp::ConfigGet => query!(store, env, ConfigGet),
        HostOp::NodeGet => query!(store, env, NodeGet),
        HostOp::NodeQuery => query!(store, env, NodeQuery),
        HostOp::EdgeGet => query!(store, env, EdgeGet),
        HostOp::EdgeQuery => query!(store, env, EdgeQuery),
        HostOp::FileRead => Function::new_typed_with_env(
            store,
            env,
            |mut host: Env<'_>, ptr: u32, len: u32, offset: i64, most: u32| {
                host.data_mut().file_read([ptr, len], offset, most)
            },
        ),
        HostOp::FileList => {
            Function::new_typed_with_env(store, env, |mut host: Env<'_>, ptr: u32, len: u32| {
                host.data_mut().file_list([ptr, len])
            })
        }
        HostOp::FileWrite => Function::new_typed_with_env(
            store,
            env,
            |mut host: Env<'_>,
             path: u32,
             path_len: u32,
             at: i64,
             ptr: u32,
             len: u32,
             flags: u32| {
                let data = host.data_mut();
                data.file_write([path, path_len], at, [ptr, len], flags)
            },
        ),
        HostOp::NodePut => change!(store, env, NodePut),
        HostOp::EdgePut => change!(store, env, EdgePut),
    }
}
