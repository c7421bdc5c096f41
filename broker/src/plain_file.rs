//! Files that the caller names on the command line, read and written without ever
//! waiting for somebody else: a named pipe in a file's place would hold the verb
//! up for as long as its other end likes.

use std::fs::File;
use std::io::{Error, Read as _, Result, Write as _};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

/// At most `most` bytes of a plain file.
///
/// # Errors
/// It can't be opened or read, or is a pipe, a socket or a device.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OFlags::RDONLY)?
        .take(most)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a plain file with these bytes, or replaces what one holds.
///
/// # Errors
/// As [`read`].
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = open(path, OFlags::WRONLY | OFlags::CREATE)?;
    // Only now: what isn't plain is left as it is.
    file.set_len(0)?;
    file.write_all(bytes)
}

fn open(path: &Path, flags: OFlags) -> Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o666);
    let not_plain = || Error::other("it is not a plain file");
    let fd = match rustix::fs::open(path, flags, mode) {
        // What a pipe without a reader and a socket answer.
        Err(rustix::io::Errno::NXIO) => return Err(not_plain()),
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&fd)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(File::from(fd)),
        _ => Err(not_plain()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_a_bound_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write(&path, b"first and longer").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(read(&path, 100).unwrap(), b"second");
        assert_eq!(read(&path, 3).unwrap(), b"sec");
        assert!(read(&dir.path().join("none"), 3).is_err());
    }

    #[test]
    fn what_is_no_plain_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::RWXU, 0).unwrap();
        for path in [&pipe, Path::new("/dev/zero"), dir.path()] {
            assert!(read(path, 10).is_err(), "{}", path.display());
        }
        for path in [&pipe, Path::new("/dev/full"), dir.path()] {
            assert!(write(path, b"x").is_err(), "{}", path.display());
        }
    }
}
