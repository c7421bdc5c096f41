//! What broker, launcher and runner say to each other.
//!
//! Every decode of a peer's bytes is bounded, and any irregularity is final.
//! Nothing here trusts a peer, opens a path or starts a process.
#![forbid(unsafe_code)]

#[macro_use]
mod plain;

pub mod abi;
pub mod link;
pub mod message;
#[cfg(feature = "orders")]
pub mod orders;
pub mod plan;
pub mod runner_end;
#[cfg(feature = "orders")]
pub mod trials;
pub mod wire;

/// Version of the link's messages and of the launcher's orders. Both ends are
/// installed together, so another number is a broken installation.
pub const PROTOCOL: u32 = 6;
