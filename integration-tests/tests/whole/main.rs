//! Tests of the whole, from outside: the installed binaries, the kernel's word,
//! the records. `cargo test -p gm-integration-tests endings::` runs one subject.

#[cfg(test)]
mod control;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod run;
#[cfg(test)]
mod source;
#[cfg(test)]
mod structure;
#[cfg(test)]
mod walls;
