//! Which repositories can be read at all: their format version and extensions.
//!
//! What a repository says of its own format is the only thing of its
//! configuration that counts here. An extension that is not known means that
//! the files may mean something else, so it is refused, as git does.

use gix::bstr::ByteSlice as _;
use gm_manifest::{Code, Refusal};
use std::path::Path;

/// A configuration file beyond this is not read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// Extensions that do not change how objects and references are read.
const HARMLESS: [&str; 8] = [
    "noop",
    "noop-v1",
    "preciousobjects",
    "partialclone",
    "worktreeconfig",
    "relativeworktrees",
    "compatobjectformat",
    "submodulepathconfig",
];

/// Refuses a repository whose files can't be read as they are meant.
///
/// # Errors
/// `source/object-format` for another hash; `source/not-a-repository` for
/// everything else.
pub(super) fn check(common_dir: &Path) -> Result<(), Refusal> {
    let Some(text) = read(&common_dir.join("config"))? else {
        return Ok(());
    };
    let meta = gix::config::file::Metadata::from(gix::config::Source::Local);
    let config = gix::config::File::from_bytes_no_includes(
        &text,
        meta,
        gix::config::file::init::Options::default(),
    )
    .map_err(|error| unknown(format_args!("its configuration can't be read: {error}")))?;
    let version = config.string("core.repositoryFormatVersion");
    match version.as_deref().map(|text| text.trim()) {
        None | Some(b"0") => return Ok(()), // extensions count from version 1 on
        Some(b"1") => {}
        Some(other) => {
            return Err(unknown(format_args!(
                "format version {} is not known",
                other.as_bstr()
            )));
        }
    }
    let Some(sections) = config.sections_by_name("extensions") else {
        return Ok(());
    };
    for section in sections {
        for name in section.value_names() {
            let value = section.value(&name).unwrap_or_default();
            extension(
                &name.to_string().to_ascii_lowercase(),
                &value.to_string().to_ascii_lowercase(),
            )?;
        }
    }
    Ok(())
}

/// The file's bytes, or `None` if there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Refusal> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(unknown(format_args!(
                "its configuration can't be read: {error}"
            )));
        }
    };
    // Reading a named pipe would wait for ever.
    if !meta.is_file() || meta.len() > MAX_CONFIG_BYTES {
        return Err(unknown("its configuration is not a small file"));
    }
    let bytes = std::fs::read(path)
        .map_err(|error| unknown(format_args!("its configuration can't be read: {error}")))?;
    Ok(Some(bytes))
}

/// Files of a Git directory that are read whole.
const FILES: [&str; 8] = [
    "HEAD",
    "config",
    "config.worktree",
    "commondir",
    "gitdir",
    "packed-refs",
    "shallow",
    "objects/info/alternates",
];
/// The most entries of `refs` that are looked at.
const MAX_REFS: usize = 1_000_000;

/// Refuses a Git directory that has a named pipe or a device where a file should
/// be: reading it could wait for ever.
///
/// # Errors
/// `source/not-a-repository`.
pub(super) fn plain_files(git_dir: &Path) -> Result<(), Refusal> {
    for name in FILES {
        let path = git_dir.join(name);
        if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            return Err(unknown(format_args!("{name} is not a plain file")));
        }
    }
    Ok(())
}

/// The same of its references.
///
/// # Errors
/// As [`plain_files`].
pub(super) fn plain_references(git_dir: &Path) -> Result<(), Refusal> {
    let mut open = vec![git_dir.join("refs")];
    let mut seen = 0;
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if seen > MAX_REFS {
                return Err(unknown("it has too many references"));
            }
            if kind.is_dir() {
                open.push(entry.path());
            } else if entry
                .path()
                .metadata()
                .is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
            {
                let name = entry.path().display().to_string();
                return Err(unknown(format_args!("{name} is not a plain file")));
            }
        }
    }
    Ok(())
}

fn extension(name: &str, value: &str) -> Result<(), Refusal> {
    match (name, value) {
        ("objectformat", "sha1" | "sha256") | ("refstorage", "files") => Ok(()),
        ("objectformat", _) => Err(Refusal::new(
            Code::SourceObjectFormat,
            format!("the repository's objects are {value}"),
        )),
        ("refstorage", _) => Err(unknown(format_args!(
            "references kept as {value} can't be read"
        ))),
        _ if HARMLESS.contains(&name) => Ok(()),
        _ => Err(unknown(format_args!("extension {name} is not known"))),
    }
}

fn unknown(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(
        Code::SourceNotARepository,
        format!("the repository can't be read: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(config: &str) -> Option<Code> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config"), config).unwrap();
        check(dir.path()).err().map(|refusal| refusal.code)
    }

    #[test]
    fn formats_that_can_be_read_are_taken() {
        for config in [
            "",
            "[core]\nrepositoryFormatVersion = 0\n[extensions]\nweird = 1\n",
            "[core]\nrepositoryformatversion = 1\n[extensions]\nobjectFormat = sha256\n",
            "[core]\nrepositoryformatversion = 1\n[extensions]\npartialClone = origin\nworktreeConfig = true\n",
        ] {
            assert_eq!(judged(config), None, "{config}");
        }
    }

    #[test]
    fn formats_that_mean_something_else_are_refused() {
        for (extension, code) in [
            ("objectFormat = sha512", Code::SourceObjectFormat),
            ("refStorage = reftable", Code::SourceNotARepository),
            ("somethingNew", Code::SourceNotARepository),
        ] {
            let config =
                format!("[core]\nrepositoryformatversion = 1\n[extensions]\n{extension}\n");
            assert_eq!(judged(&config), Some(code), "{extension}");
        }
        assert_eq!(
            judged("[core]\nrepositoryformatversion = 2\n"),
            Some(Code::SourceNotARepository)
        );
        assert_eq!(judged("[core\n"), Some(Code::SourceNotARepository));
    }

    #[test]
    fn a_repository_without_configuration_is_of_the_first_format() {
        assert_eq!(check(tempfile::tempdir().unwrap().path()), Ok(()));
    }

    #[test]
    fn a_configuration_that_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        assert_eq!(
            check(dir.path()).unwrap_err().code,
            Code::SourceNotARepository
        );
    }
}
