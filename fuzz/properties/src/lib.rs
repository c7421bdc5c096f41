//! What must hold for any bytes, as functions: one for each fuzz target.
//!
//! A property that doesn't hold panics. `fuzz/fuzz_targets` hands libFuzzer's
//! inputs to these functions, `tests/replay.rs` the files of `fuzz/corpus`; so the
//! ordinary tests ask what the fuzzer once found, without the fuzzer. Each says
//! whether it took the input: a target that refuses everything would ask little.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is test code: a panic is how a property says no"
)]

#[cfg(feature = "broker")]
mod broker;
mod bytes;
mod cost;
mod link;
#[cfg(feature = "broker")]
mod manifest;
#[cfg(feature = "launcher")]
mod orders;
#[cfg(feature = "broker")]
mod places;
#[cfg(feature = "broker")]
mod policy;
#[cfg(feature = "broker")]
pub mod trust;

#[cfg(feature = "broker")]
pub use broker::{broker_toml, event_json, log_line, query_text};
pub use link::{link_state, runner_frame};
#[cfg(feature = "broker")]
pub use manifest::manifest_text;
#[cfg(feature = "launcher")]
pub use orders::launcher_order;
#[cfg(feature = "broker")]
pub use places::{host_path, package_listing};
#[cfg(feature = "broker")]
pub use policy::{foreign_bpf, profile_toml, spec_vs_program};
#[cfg(feature = "broker")]
pub use trust::{blacklist, keyring, signature_packet};

/// What a target asks.
pub type Property = fn(&[u8]) -> bool;

/// Every target of this build by its name, which is also that of its corpus.
pub const TARGETS: &[(&str, Property)] = &[
    #[cfg(feature = "broker")]
    ("blacklist", blacklist),
    #[cfg(feature = "broker")]
    ("broker_toml", broker_toml),
    #[cfg(feature = "broker")]
    ("event_json", event_json),
    #[cfg(feature = "broker")]
    ("foreign_bpf", foreign_bpf),
    #[cfg(feature = "broker")]
    ("host_path", host_path),
    #[cfg(feature = "broker")]
    ("keyring", keyring),
    #[cfg(feature = "launcher")]
    ("launcher_order", launcher_order),
    ("link_state", link_state),
    #[cfg(feature = "broker")]
    ("log_line", log_line),
    #[cfg(feature = "broker")]
    ("manifest_text", manifest_text),
    #[cfg(feature = "broker")]
    ("package_listing", package_listing),
    #[cfg(feature = "broker")]
    ("profile_toml", profile_toml),
    #[cfg(feature = "broker")]
    ("query_text", query_text),
    ("runner_frame", runner_frame),
    #[cfg(feature = "broker")]
    ("signature_packet", signature_packet),
    #[cfg(feature = "broker")]
    ("spec_vs_program", spec_vs_program),
];

/// Whether a character could move a cursor, begin a line or turn the reading
/// direction: written down here a second time, to ask the product's own list.
#[cfg(feature = "broker")]
fn acts(c: char) -> bool {
    let point = u32::from(c);
    point < 0x20
        || (0x7f..=0x9f).contains(&point)
        || [0x61c, 0x200e, 0x200f, 0x2028, 0x2029].contains(&point)
        || (0x202a..=0x202e).contains(&point)
        || (0x2066..=0x2069).contains(&point)
}
