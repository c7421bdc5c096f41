//! For authors of gm-broker plugins in Rust: hooks, typed payloads, host calls.
//!
//! A plugin names its hooks once, with [`hooks!`], and is otherwise plain safe
//! Rust. This crate never adds a permission: an import that the plugin does
//! not use is not in its module, so the manifest asks only for what is used.
//!
//! ```
//! use gm_plugin::{Commit, Error, Reply};
//!
//! fn greet(commit: Commit) -> Result<Option<Reply>, Error> {
//!     Ok(Some(Reply::new().with("subject", commit.subject())))
//! }
//!
//! gm_plugin::hooks! { on_commit_analyzed: greet }
//! # fn main() {}
//! ```

mod error;
#[doc(hidden)]
pub mod exports;
mod graph;
pub mod host;
mod http;
mod imports;
mod payload;
mod reply;

pub use error::{Code, Error};
pub use graph::{Edge, EdgeOrder, EdgeQuery, Node, NodeQuery, Page};
pub use http::{Request, Response};
pub use payload::{
    Asset, Command, Commit, EdgeCreated, File, GraphQuery, Init, Limits, NodeAccessed, NodeUpdated,
    Plugin, Repository, Shutdown, Signature,
};
pub use reply::Reply;
pub use serde_json::{Value, json};

/// Compiles the guide's example, so that it stays right.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Guide;
