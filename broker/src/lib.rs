//! The broker: joins trust, policy and walls, and hosts plugins on a Git repository.
//!
//! It reads a plugin's manifest and signature, hashes the rest, and reads
//! bounded frames; it never parses, compiles or executes plugin code.

pub mod args;
pub mod broker_verbs;
pub mod compile;
pub mod config;
pub mod control;
mod database;
pub mod doctor;
pub mod ending;
pub mod entry;
pub mod expect;
pub mod files;
pub mod gm_verbs;
pub mod gpg_verbs;
pub mod graph;
pub mod home;
pub mod host_api;
pub mod http;
pub mod hub;
pub mod instance;
pub mod logs;
pub mod output;
pub mod package;
mod plain_file;
pub mod plan;
pub mod plugin_verbs;
pub mod policy_verbs;
pub mod prepare;
pub mod process;
pub mod records;
pub mod registry;
pub mod run;
pub mod session;
pub mod signals;
pub mod source;
pub mod spawn;
pub mod started;
pub mod storage;
pub mod stream;
pub mod supervise;
