//! Who vouches for a plugin: trusted keys, signatures, pins, revocations.
//!
//! The only user of sequoia-openpgp; none of its types leave this crate. It
//! never runs, parses or compiles a plugin's code, and never trusts on first use:
//! a key counts only because somebody typed its fingerprint.
//!
//! [`TrustStore::verify`] is the only maker of a [`VerifiedPlugin`]:
//!
//! ```compile_fail
//! fn forge(signed: mind_gpg::SignedPlugin) -> mind_gpg::VerifiedPlugin {
//!     mind_gpg::VerifiedPlugin { signed }
//! }
//! ```
//! ```compile_fail
//! fn copy(plugin: &mind_gpg::VerifiedPlugin) -> mind_gpg::VerifiedPlugin {
//!     plugin.clone()
//! }
//! ```
//! ```
//! use mind_gpg::{SignedPlugin, TrustStore, VerifiedPlugin};
//! fn verify(store: &TrustStore, signed: SignedPlugin) -> Result<VerifiedPlugin, gm_manifest::Refusal> {
//!     store.verify(signed, std::time::SystemTime::now())
//! }
//! ```
#![forbid(unsafe_code)]

mod artifact;
mod base64_text;
mod certificate;
mod folder;
mod judge;
mod key_file;
mod keygen;
mod packet;
mod pin;
mod plugin;
mod revocation;
mod secret;
mod store;
mod strict;
mod trace;
mod verify;

#[cfg(test)]
mod tests;

pub use artifact::Artifact;
pub use key_file::{KeyState, SubkeyFacts, TrustedKey};
pub use keygen::{GeneratedKey, generate, parse_validity};
pub use pin::{Accepted, Pin};
pub use plugin::{Identity, SignedPlugin, VerifiedPlugin};
pub use revocation::RevocationTarget;
pub use secret::{SecretKey, SignedManifest};
pub use store::{Revoker, TrustStore};
pub use trace::{Step, Verification};
