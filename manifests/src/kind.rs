//! Kinds of plugins, how code and host speak, and the events that plugins may
//! ask for.

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
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Wasm, Self::Lua, Self::Js, Self::Native];

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
        let found = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
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

/// How host and code speak with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Abi {
    /// Our own, of every kind.
    Gm2,
    /// Extism's, for WASM modules made with one of its kits.
    Extism1,
    /// An executable that speaks lines of JSON on stdin and stdout; native.
    Program1,
}

impl Abi {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gm2, Self::Extism1, Self::Program1];

    /// The name, as in manifests.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gm2 => "gm-2",
            Self::Extism1 => "extism-1",
            Self::Program1 => "program-1",
        }
    }

    /// Takes a name.
    ///
    /// # Errors
    /// No ABI has this name.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let found = Self::ALL.into_iter().find(|abi| abi.as_str() == text);
        found.ok_or(Unfit::new("an ABI is gm-2, extism-1 or program-1"))
    }

    /// Whether code of this kind may speak it.
    ///
    /// # Errors
    /// The ABIs that the kind has.
    pub fn fits(self, kind: Kind) -> Result<Self, Unfit> {
        match (self, kind) {
            (Self::Gm2, _) | (Self::Extism1, Kind::Wasm) | (Self::Program1, Kind::Native) => {
                Ok(self)
            }
            (_, Kind::Wasm) => Err(Unfit::new("the ABI of a wasm plugin is gm-2 or extism-1")),
            (_, Kind::Native) => Err(Unfit::new(
                "the ABI of a native plugin is gm-2 or program-1",
            )),
            (_, Kind::Lua | Kind::Js) => Err(Unfit::new("the ABI of a script is gm-2")),
        }
    }
}

text_type!(Abi);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_is_found_by_it() {
        for (place, kind) in Kind::ALL.into_iter().enumerate() {
            // A kind that ALL lacks would leave its number out.
            assert_eq!(kind as usize, place);
            assert_eq!(Kind::parse(kind.as_str()), Ok(kind));
        }
        let names = Kind::ALL.map(Kind::as_str);
        let refused = Kind::parse("elf").unwrap_err();
        for name in names {
            assert!(refused.rule().contains(name), "{name}");
        }
    }
}
