//! The process that hosts the probe: it puts the inner walls up and calls it.

use std::ffi::CString;

use gm_sandbox_runner::apart::{Change, Layer, Without};
use gm_sandbox_runner::walls::Arena;
use gm_sandbox_runner::walls::apart::{self, Inside};

use super::linked;

/// What the process is told by its arguments, behind its name.
pub(super) struct Told {
    /// Size of its heap.
    pub(super) memory_bytes: u64,
    pub(super) running: bool,
    pub(super) without: Without,
    pub(super) changes: Vec<Change>,
    /// Id and words of the probe.
    pub(super) words: Vec<String>,
}

impl Told {
    /// As arguments.
    pub(super) fn words(&self) -> Vec<String> {
        let layers: Vec<_> = self.without.layers().map(Layer::as_str).collect();
        let changes: Vec<_> = self.changes.iter().map(ToString::to_string).collect();
        let stage = if self.running { "running" } else { "loading" };
        let head = [
            super::INSIDE.to_owned(),
            self.memory_bytes.to_string(),
            stage.to_owned(),
            layers.join(","),
            changes.join("|"),
        ];
        head.into_iter().chain(self.words.iter().cloned()).collect()
    }

    fn read(mut words: impl Iterator<Item = String>) -> Option<Self> {
        let memory_bytes = words.next()?.parse().ok()?;
        let running = words.next()? == "running";
        let layers = words.next()?;
        let layers: Option<Vec<Layer>> = parts(&layers, ',').map(Layer::from_name).collect();
        let changes = words.next()?;
        let changes: Option<Vec<Change>> = parts(&changes, '|').map(Change::parse).collect();
        Some(Self {
            memory_bytes,
            running,
            without: Without::of(layers?).ok()?,
            changes: changes?,
            words: words.collect(),
        })
    }
}

fn parts(text: &str, between: char) -> impl Iterator<Item = &str> {
    text.split(between).filter(|part| !part.is_empty())
}

/// The whole life of the process. Without a link on descriptor 3 it ends at once.
pub(super) fn live(arena: &Arena) -> ! {
    let told = Told::read(std::env::args().skip(1));
    let told = told.unwrap_or_else(|| std::process::abort());
    let words: Vec<CString> = told
        .words
        .iter()
        .filter_map(|word| CString::new(word.as_bytes()).ok())
        .collect();
    let inside = Inside {
        without: told.without,
        changes: &told.changes,
        running: told.running,
    };
    apart::live(arena, &inside, |out| linked::run(&words, out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_arrives() {
        let told = Told {
            memory_bytes: 4096,
            running: true,
            without: Without::of([Layer::Net, Layer::Landlock]).unwrap(),
            changes: vec![Change::Right(4), Change::Limit("Max open files".into())],
            words: vec!["id".into(), "a=".into()],
        };
        let read = Told::read(told.words().into_iter().skip(1)).unwrap();
        assert_eq!(read.words(), told.words());
    }
}
