//! The broker: joins trust, policy and walls, and hosts plugins on a Git repository.
//!
//! It reads a plugin's manifest and signature, hashes the rest, and reads
//! bounded frames; it never parses, compiles or executes plugin code.

pub mod args;
pub mod config;
pub mod ending;
pub mod gpg_verbs;
pub mod graph;
pub mod home;
pub mod hub;
pub mod logs;
pub mod output;
pub mod package;
pub mod plugin_verbs;
pub mod policy_verbs;
pub mod records;
pub mod registry;
pub mod source;
pub mod spawn;
pub mod compile;
pub mod expect;
pub mod instance;
pub mod process;
