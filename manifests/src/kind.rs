//! Kinds of plugins and the events that they may ask for.

use crate::unfit::text_type;
use crate::{Bytes, Unfit};

/// How a plugin's code is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// WebAssembly module.
    Wasm,
    /// Luau script.
    Lua,
    /// JavaScript module.
    Js,
    /// Machine code.
    Native,
}

impl Kind {
    /// The name, as in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Lua => "lua",
            Self::Js => "js",
            Self::Native => "native",
        }
    }

    /// Takes a name.
    ///
    /// # Errors
    /// No kind has this name.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let kinds = [Self::Wasm, Self::Lua, Self::Js, Self::Native];
        let found = kinds.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or(Unfit::new("a kind is wasm, lua, js or native"))
    }

    /// The least `memory_limit`: below it the engine itself doesn't start.
    #[must_use]
    pub const fn least_memory(self) -> Bytes {
        match self {
            Self::Wasm => Bytes::mb(16),
            Self::Lua | Self::Js => Bytes::mb(8),
            Self::Native => Bytes::mb(4),
        }
    }
}

text_type!(Kind);

/// An event that a plugin may ask for. `init` and `shutdown` come unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// `on_commit_analyzed`
    CommitAnalyzed,
    /// `on_edge_created`
    EdgeCreated,
    /// `on_node_accessed`
    NodeAccessed,
    /// `on_node_updated`
    NodeUpdated,
    /// `on_graph_query`
    GraphQuery,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::CommitAnalyzed,
        Self::EdgeCreated,
        Self::NodeAccessed,
        Self::NodeUpdated,
        Self::GraphQuery,
    ];

    /// The name, as in manifests and as the plugin exports it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CommitAnalyzed => "on_commit_analyzed",
            Self::EdgeCreated => "on_edge_created",
            Self::NodeAccessed => "on_node_accessed",
            Self::NodeUpdated => "on_node_updated",
            Self::GraphQuery => "on_graph_query",
        }
    }

    /// Takes a name.
    ///
    /// # Errors
    /// No hook has this name.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let found = Self::ALL.into_iter().find(|hook| hook.as_str() == text);
        found.ok_or(Unfit::new(
            "hooks are on_commit_analyzed, on_edge_created, on_node_accessed, on_node_updated and on_graph_query",
        ))
    }
}

text_type!(Hook);
