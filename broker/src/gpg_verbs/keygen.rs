//! `gm gpg keygen`: a key as three files in a directory of its own.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gm_manifest::{Code, Refusal};
use mind_gpg::GeneratedKey;
use serde_json::json;

use super::{badly_typed, moment, read_passphrase};
use crate::args::gm::KeygenArgs;
use crate::args::usage;
use crate::output::Output;

/// Whoever reads the secret signs as its owner; whoever reads the revocation can
/// end the key.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// For people stdout is the fingerprint alone, so that a script can take it.
pub(super) fn run(args: &KeygenArgs, output: &mut Output) -> Result<u8, Refusal> {
    let validity = mind_gpg::parse_validity(Some(&args.expire))
        .map_err(|unfit| badly_typed("--expire", &args.expire, unfit))?;
    let passphrase = read_passphrase(args.passphrase_file.as_deref())?;
    let key = mind_gpg::generate(
        &args.uid,
        validity,
        passphrase.as_deref(),
        SystemTime::now(),
    )?;
    let files = write(&args.out, &key)?;
    let expires = moment(key.expires);
    output.line(key.fingerprint.as_str());
    output.note(&format!(
        "signing key {}, both expire {expires}",
        key.subkey
    ));
    files
        .iter()
        .for_each(|file| output.note(&format!("written: {}", file.display())));
    output.note("keep revocation.pgp where the secret is not: it ends the key if that is lost");
    let files: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    Ok(output.done(
        "gpg keygen",
        [
            ("fingerprint", json!(key.fingerprint)),
            ("subkey", json!(key.subkey)),
            ("expires", json!(expires)),
            ("files", json!(files)),
        ],
    ))
}

fn write(directory: &Path, key: &GeneratedKey) -> Result<Vec<PathBuf>, Refusal> {
    make_empty(directory)?;
    let files = [
        ("secret.pgp", PRIVATE, &key.secret),
        ("public.pgp", PUBLIC, &key.public),
        ("revocation.pgp", PRIVATE, &key.revocation),
    ];
    let mut written = Vec::new();
    for (name, mode, bytes) in files {
        let path = directory.join(name);
        // New: nobody can have opened it, or put a link there, before it is ours.
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path);
        file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .map_err(|error| failed("write", &path, &error))?;
        written.push(path);
    }
    Ok(written)
}

fn make_empty(directory: &Path) -> Result<(), Refusal> {
    match DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
    {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(usage(format!("{} is no directory", directory.display())));
        }
        Err(error) => return Err(failed("make", directory, &error)),
    }
    let mut entries =
        std::fs::read_dir(directory).map_err(|error| failed("list", directory, &error))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(usage(format!("{} is not empty", directory.display()))),
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Refusal {
    Refusal::new(
        Code::UsageArguments,
        format!("could not {what} {}: {error}", path.display()),
    )
}
