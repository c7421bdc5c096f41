//! The harness: real attacks on the installed binaries, each with a control that shows
//! that it works where nothing stops it, and a twin that must succeed behind the same
//! walls. What it proves, and how, stands in `docs/harness.md`.
//!
//! `args` → `run` (a queue of rows) → `control`, `hosted` or `host` (what is observed)
//! → `judge` (what that proves) → `outcome` → `report`.

#![deny(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

pub mod ablate;
pub mod args;
mod attempt;
mod borrowed;
pub mod control;
pub mod evaluate;
pub mod evidence;
pub(crate) mod exec;
mod facts;
mod host;
mod hosted;
pub mod judge;
mod left;
pub mod outcome;
pub mod report;
mod run;
pub mod table;
pub mod twins;
mod under;
pub mod verdict;
mod waivers;

use std::io::{Read, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use crate::interrupted;

/// The schema of every object that is printed.
pub const SCHEMA: &str = "gm.harness/1";

/// A call that can't be carried out, before anything was run: exit 2.
#[derive(Debug)]
pub struct Usage(pub String);

/// Understands the words of a command line, does it, and gives the exit code.
#[must_use]
pub fn main(words: impl IntoIterator<Item = std::ffi::OsString>) -> u8 {
    // What went wrong is said once, in the row that it belongs to.
    std::panic::set_hook(Box::new(|_| {}));
    let asked = match args::read(words) {
        Ok(asked) => asked,
        Err(answered) => return answered,
    };
    let json = asked.is_json();
    if let Err(error) = interrupted::watch() {
        say(&format!("signals end this at once: {error}"));
    }
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| run::carry_out(asked)));
    let (exit, code, detail) = match (done, interrupted::exit()) {
        (_, Some(exit)) => (exit, None, "interrupted: nothing is reported".to_owned()),
        (Ok(Ok(exit)), None) => return exit,
        (Ok(Err(Usage(why))), None) => (2, Some("usage/arguments"), why),
        (Err(panic), None) => {
            let why = format!("the harness itself failed: {}", words_of(panic.as_ref()));
            (70, Some("internal/panic"), why)
        }
    };
    say(&format!("error: {detail}"));
    if json {
        let last = serde_json::json!({
            "schema": SCHEMA, "kind": "error", "result": "error", "exit": exit,
            "code": code, "detail": detail,
        });
        let _ = writeln!(std::io::stdout().lock(), "{last}");
    }
    exit
}

/// The most bytes of a file that is named on the command line.
const MOST_TEXT: u64 = 1 << 20;

/// The text of a plain file: whoever writes to a pipe may never come, and a device has
/// no end.
fn plain_text(file: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(file)?;
    let error = |why: &str| Err(std::io::Error::other(why.to_owned()));
    if !metadata.is_file() {
        return error("it is no plain file");
    }
    if metadata.len() > MOST_TEXT {
        return error("it has more than 1 MiB");
    }
    let mut text = String::new();
    let file = std::fs::File::open(file)?;
    file.take(MOST_TEXT).read_to_string(&mut text)?;
    Ok(text)
}

/// Does what may panic, as helpers of tests do; their words are the error.
fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(AssertUnwindSafe(act)).map_err(|panic| words_of(panic.as_ref()))
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it panicked without a word".to_owned())
}

/// A line on stderr, whoever reads it.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
