//! The graph that all plugins of a repository share: nodes and edges in SQLite.
//!
//! A hook's call changes nothing until it is committed, and nobody changes
//! what another writer wrote. Requests are the words of plugins: each is
//! checked here before it touches anything.

mod call;
mod canonical;
mod claims;
mod derived;
mod dump;
mod error;
mod file;
mod page;
mod query;
mod record;
mod store;

pub use call::{Call, Committed, NodeChange, Put};
pub use derived::{edge_created, graph_query, node_accessed, node_updated};
pub use error::HostError;
pub use page::Page;
pub use record::{Edge, EdgeKey, Node, check_kind};
pub use store::Graph;
