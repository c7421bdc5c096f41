//! `gm gpg`: keys, signatures and whom this home trusts.
//!
//! Nothing here decides what is trusted: it reads files, asks the trust store and
//! says what came of it. No plugin is run, and no secret is ever shown.

mod keygen;
mod sign;
mod trust;
mod verify;

use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use gm_manifest::{ArtifactDigest, Code, Fingerprint, Refusal, Unfit};
use serde_json::{Value, json};

use crate::args::gm::{GpgVerb, TrustVerb};
use crate::args::{Invocation, usage};
use crate::output::Output;
use crate::plain_file;

/// The largest file with keys, in bytes; whoever wants to know that it was larger
/// needs one byte more.
const MAX_KEY_FILE: u64 = 1 << 20;

/// Carries out one verb; gives the exit code of what was done.
///
/// # Errors
/// What wasn't done, and why; nothing was said about it yet.
pub fn run(verb: GpgVerb, invocation: &Invocation, output: &mut Output) -> Result<u8, Refusal> {
    match verb {
        GpgVerb::Keygen(args) => keygen::run(&args, output),
        GpgVerb::Sign(args) => sign::run(&args, output),
        GpgVerb::Verify(args) => verify::run(&args, invocation, output),
        GpgVerb::Trust(TrustVerb::Add(args)) => trust::add(&args, invocation, output),
        GpgVerb::Trust(TrustVerb::Remove { fingerprint }) => {
            trust::remove(&fingerprint, invocation, output)
        }
        GpgVerb::Trust(TrustVerb::List) | GpgVerb::TrustList => trust::list(invocation, output),
    }
}

/// A file with keys; `-` is stdin. What is longer than any key comes back cut, and
/// is refused by its reader.
fn read_keys(path: &Path) -> Result<Vec<u8>, Refusal> {
    let read = match path == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            let mut stdin = std::io::stdin().lock().take(MAX_KEY_FILE + 1);
            stdin.read_to_end(&mut bytes).map(|_| bytes)
        }
        false => plain_file::read(path, MAX_KEY_FILE + 1),
    };
    read.map_err(|error| {
        usage(format!("could not read {}: {error}", path.display()))
            .fix("name a plain file that can be read, or - for standard input")
    })
}

/// The first line of a passphrase file.
fn read_passphrase(path: Option<&Path>) -> Result<Option<String>, Refusal> {
    let Some(path) = path else {
        return Ok(None);
    };
    let text = String::from_utf8(read_keys(path)?)
        .map_err(|_| usage(format!("{} is not UTF-8", path.display())))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Some(line.to_owned())),
        Some(_) | None => Err(usage(format!(
            "the first line of {} is empty",
            path.display()
        ))),
    }
}

/// A fingerprint as somebody typed it.
fn typed_fingerprint(text: &str) -> Result<Fingerprint, Refusal> {
    Fingerprint::parse(text).map_err(|unfit| badly_typed("the fingerprint", text, unfit))
}

fn badly_typed(what: &str, text: &str, unfit: Unfit) -> Refusal {
    Refusal::new(Code::UsageArguments, format!("{what} is {text:?}")).rule(unfit.rule())
}

/// A moment in RFC 3339, in whole seconds, as keys and signatures count.
pub(crate) fn moment(time: SystemTime) -> String {
    let at =
        jiff::Timestamp::try_from(time).and_then(|at| jiff::Timestamp::from_second(at.as_second()));
    at.map_or_else(|_| "unknown".to_owned(), |at| at.to_string())
}

/// One step of a verification: `ok    5  the mathematics`
pub(crate) use verify::in_words as step_in_words;

/// Files of a package as JSON.
pub(crate) fn files(artifacts: &[ArtifactDigest]) -> Value {
    artifacts
        .iter()
        .map(|file| {
            json!({
                "path": file.path.as_str(),
                "sha256": file.sha256.to_string(),
                "bytes": file.len,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
