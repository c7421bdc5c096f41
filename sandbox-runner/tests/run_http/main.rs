//! The shipped `gm-http` under its shipped profile, with servers and a nameserver
//! on loopback.
//!
//! Needs root: the process is put into a root of its own. Its network is this
//! test's, as it is the host's in the product.

#[cfg(test)]
mod broker;
#[cfg(test)]
#[path = "../played/filters.rs"]
mod filters;
#[cfg(test)]
mod names;
#[cfg(test)]
#[path = "../played/peer.rs"]
mod played;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod server;
#[cfg(test)]
mod walls;
