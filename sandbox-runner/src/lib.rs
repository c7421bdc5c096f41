//! One process, one plugin: the launcher, and one small binary per engine.
//!
//! The launcher puts up the walls that only an outsider can; each engine
//! binary puts up the rest round itself before it touches a plugin's byte. No
//! code here decides about trust, parses a manifest or compiles a filter.

#[cfg(any(feature = "hosting", feature = "compile-wasm"))]
mod abi;
#[cfg(feature = "apart")]
pub mod apart;
#[cfg(feature = "compile-wasm")]
pub mod compile;
#[cfg(any(feature = "native", feature = "program"))]
mod elf;
#[cfg(feature = "hosting")]
mod hosting;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "js")]
pub mod js;
#[cfg(feature = "launcher")]
pub mod launcher;
#[cfg(feature = "lua")]
pub mod lua;
#[cfg(feature = "native")]
pub mod native;
#[cfg(feature = "program")]
pub mod program;
#[cfg(feature = "runner")]
pub mod walls;
#[cfg(feature = "wasm")]
pub mod wasm;
