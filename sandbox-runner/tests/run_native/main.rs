//! The shipped `gm-run-native` and `gm-init` under the shipped profiles, with
//! plugins and programs in C.
//!
//! Needs root (the peer is put into a root of its own), the binaries of
//! `scripts/build`, and a C compiler.

#[cfg(test)]
#[path = "../played/filters.rs"]
mod filters;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod elf;
#[cfg(test)]
mod host;
#[cfg(test)]
mod peer;
#[cfg(test)]
#[path = "../played/mod.rs"]
mod played;
#[cfg(test)]
mod program;
#[cfg(test)]
#[path = "../played/refused.rs"]
mod refused;
