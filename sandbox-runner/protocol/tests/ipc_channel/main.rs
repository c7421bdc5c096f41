//! Why no runner ever holds an end of an ipc-channel: what its receiver does with
//! hostile bytes, and what the same bytes do to our link.
//!
//! Each control shows a fault of the version that is used between broker and
//! launcher, which trust each other. One that stops failing means that upstream
//! changed: then look again at `docs/protocol.md`. Beside it the twin: the same
//! packets from the same attacker to a victim that reads with `Link`, which ends
//! with a typed error at once and keeps nothing.
//!
//! Victims are processes of their own, since most of them die.

#[cfg(test)]
mod attack;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod victim;
