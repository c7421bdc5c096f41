//! Tests of the whole, from outside: the installed binaries, the kernel's word,
//! the records. `cargo test -p gm-integration-tests endings::` runs one subject.

#[cfg(test)]
mod author;
#[cfg(test)]
mod authors;
#[cfg(test)]
mod check;
#[cfg(test)]
mod codes;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod control;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod derived;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod files;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod graph;
#[cfg(test)]
mod guide;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod http;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod native;
#[cfg(test)]
mod ordinary;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod pipes;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod program;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod rendezvous;
#[cfg(test)]
mod repositories;
#[cfg(test)]
mod run;
#[cfg(test)]
mod script_files;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod source;
#[cfg(test)]
mod storage;
#[cfg(test)]
mod store;
#[cfg(test)]
mod structure;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod third_party;
#[cfg(test)]
mod trials;
#[cfg(test)]
mod trust;
#[cfg(test)]
mod unified;
#[cfg(test)]
mod walls;
