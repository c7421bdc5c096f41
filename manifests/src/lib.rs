//! What a plugin says about itself: text to checked values.
//!
//! Pure: nothing here opens a file, asks a clock or decides whom to trust. A
//! value of these types is well formed and nothing more; that somebody vouches
//! for it is the business of `mind-gpg`.
#![forbid(unsafe_code)]

mod code;
mod command;
mod digest;
mod document;
mod edit;
mod fingerprint;
mod host;
mod id;
mod kind;
mod lint;
mod manifest;
mod namespace;
mod path;
mod permissions;
mod quantity;
mod refusal;
mod request;
mod schema;
mod slot;
mod statement;
mod text;
mod unfit;

pub use code::Code;
pub use command::{Command, CommandName};
pub use digest::Digest;
pub use document::Span;
pub use edit::{fill_signature, forget_signer, prepare_for_signing};
pub use fingerprint::Fingerprint;
pub use host::HostPort;
pub use id::PluginId;
pub use kind::{Abi, Hook, Kind};
pub use lint::{Finding, Severity};
pub use manifest::{API_VERSION, MANIFEST_FILE, MAX_MANIFEST_BYTES, Manifest};
pub use namespace::NamespacePattern;
pub use path::{GrantPath, GrantRoot, PackagePath};
pub use permissions::{ConfigPattern, Filesystem, HostPermission, Network, Permissions};
pub use quantity::{Bytes, Millis, Percent};
pub use refusal::Refusal;
pub use schema::SCHEMA;
pub use statement::{ArtifactDigest, PLUGIN_STATEMENT, Statement, pae};
pub use text::{escape, push_escaped};
pub use unfit::Unfit;
