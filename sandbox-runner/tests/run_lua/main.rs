//! The shipped `gm-run-lua` under the shipped profile.
//!
//! Needs root (the runner is put into a root of its own) and the binaries of
//! `scripts/build`.

#[cfg(test)]
mod bombs;
#[cfg(test)]
mod calls;
#[cfg(test)]
#[path = "../played/filters.rs"]
mod filters;
#[cfg(test)]
mod language;
#[cfg(test)]
#[path = "../played/mod.rs"]
mod played;
#[cfg(test)]
#[path = "../played/refused.rs"]
mod refused;
#[cfg(test)]
mod script;
