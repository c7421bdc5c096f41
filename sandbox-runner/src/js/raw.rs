//! The raw edges of the engine: what bytecode it may load, and the bytes of an
//! array.
#![expect(
    unsafe_code,
    reason = "the engine's loader of bytecode and its arrays have no safe form"
)]

use rquickjs::{Ctx, Module, Result, TypedArray, WriteOptions};

/// A module that this very process has compiled. Bytecode is as good as machine
/// code to the engine, so nothing else is ever loaded: only [`Bytecode::of`]
/// makes one.
pub(super) struct Bytecode(Vec<u8>);

impl Bytecode {
    /// What a module was compiled to.
    pub(super) fn of(module: &Module<'_>) -> Result<Self> {
        module.write(WriteOptions::default()).map(Self)
    }

    /// The same module in another context; nothing of it runs yet.
    pub(super) fn load<'js>(&self, ctx: &Ctx<'js>) -> Result<Module<'js>> {
        // SAFETY: written by the engine itself, in this process, and not changed
        // since: the field is private and `of` alone fills it.
        unsafe { Module::load(ctx.clone(), &self.0) }
    }
}

/// A copy of an array's bytes; none if its buffer is gone.
pub(super) fn bytes_of(array: &TypedArray<'_, u8>) -> Option<Vec<u8>> {
    // SAFETY: no script runs until the bytes are copied, which is at once.
    let bytes = unsafe { array.as_bytes() };
    bytes.map(<[u8]>::to_vec)
}
