//! The shipped `gm-run-wasm` and `gm-compile-wasm` under the shipped profiles.
//!
//! Needs root (the peer is put into a root of its own) and the binaries of
//! `scripts/build`.

#[cfg(test)]
mod broker;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod compiler;
#[cfg(test)]
mod extism;
#[cfg(test)]
#[path = "../played/filters.rs"]
mod filters;
#[cfg(test)]
mod memory;
#[cfg(test)]
#[path = "../played/mod.rs"]
mod played;
#[cfg(test)]
mod traps;
#[cfg(test)]
mod walls;
#[cfg(test)]
mod wasi;
