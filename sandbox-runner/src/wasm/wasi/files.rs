//! Files of WASI, on top of the grants: the same names, and the same answers as
//! `file_read`, `file_list` and `file_write` give. What no grant covers is told
//! to the host, which writes down that it was denied.

use gm_protocol::abi::CallError;
use gm_protocol::plan::HostOp;

use super::descriptors::{File, Open, ROOT};
use super::{Done, Env, Errno, Given, MOST_BYTES};
use crate::abi::Import;
use crate::abi::wasm::wasi::Call;
use crate::hosting::{Args, Kind, Stat};

/// File types of WASI.
const CHARACTER_DEVICE: u8 = 2;
const DIRECTORY: u8 = 3;
const REGULAR: u8 = 4;
const UNKNOWN: u8 = 0;
/// Flags of `path_open`.
const CREATE: u32 = 1;
const MUST_BE_DIRECTORY: u32 = 2;
const EXCLUSIVE: u32 = 4;
const TRUNCATE: u32 = 8;
/// Flag of a descriptor: each write goes to the end.
const APPEND: u32 = 1;
/// Flags of `file_write`.
const WRITE_CREATE: i64 = 1;
const WRITE_TRUNCATE: i64 = 2;
/// Rights. They only tell a library what is worth a try.
const READ: u64 = 1 << 1;
const SEEK: u64 = 1 << 2;
const TELL: u64 = 1 << 5;
const WRITE: u64 = 1 << 6;
const STAT: u64 = 1 << 21;
const OF_FILES: u64 = READ | SEEK | TELL | WRITE | STAT;
/// To create files, to open paths, to list, to look at paths.
const OF_DIRECTORIES: u64 = (1 << 10) | (1 << 13) | (1 << 14) | (1 << 18) | STAT;
/// The most bytes of a path.
const MOST_PATH: u32 = 4096;
/// The name of the root, as a library matches paths with it.
const ROOT_NAME: &[u8] = b"/";

impl Env {
    /// The functions about descriptors and paths.
    pub(super) fn file_call(&mut self, call: Call, given: Given<'_>) -> Done {
        let fd = given.at(0);
        match call {
            Call::FdClose => self.system.open.close(fd),
            Call::FdRenumber => self.system.open.renumber(fd, given.at(1)),
            Call::FdFdstatGet => self.fdstat(fd, given.at(1)),
            Call::FdFilestatGet => self.filestat(fd, given.at(1)),
            Call::FdPrestatGet => {
                self.is_root(fd)?;
                self.at(given.at(1), &[0, 0, 0, 0, 1, 0, 0, 0])
            }
            Call::FdPrestatDirName => {
                self.is_root(fd)?;
                let room = usize::try_from(given.at(2)).unwrap_or(usize::MAX);
                let name = ROOT_NAME.get(..room).unwrap_or(ROOT_NAME);
                self.at(given.at(1), name)
            }
            Call::FdSeek => self.seek(fd, given.wide(1).cast_signed(), given.at(2), given.at(3)),
            Call::FdTell => {
                let at = self.system.open.file(fd)?.at;
                self.at(given.at(1), &at.to_le_bytes())
            }
            Call::FdPread => self.file_read(
                fd,
                given.at(1),
                given.at(2),
                Some(given.wide(3)),
                given.at(4),
            ),
            Call::FdPwrite => self.file_write(
                fd,
                given.at(1),
                given.at(2),
                Some(given.wide(3)),
                given.at(4),
            ),
            Call::FdReaddir => self.readdir(fd, given),
            // All that is written is there at once, and gone at the end.
            Call::FdSync | Call::FdDatasync | Call::FdAdvise => {
                self.system.open.get(fd).map(|_| ())
            }
            Call::PathOpen => self.path_open(given),
            Call::PathFilestatGet => {
                let stat = self.look(&self.path(fd, given.at(2), given.at(3))?)?;
                self.put_stat(given.at(4), stat)
            }
            other => self.not_given(other, given),
        }
    }

    /// What no grant gives at all: it is asked for in vain.
    fn not_given(&self, call: Call, given: Given<'_>) -> Done {
        // `path_symlink` has its directory behind the text that it would hold.
        let fd = given.at(if call == Call::PathSymlink { 2 } else { 0 });
        match self.system.open.get(fd)? {
            _ if call.name().starts_with("path_") => Err(Errno::NotCapable),
            Open::Input | Open::Output(_) | Open::Directory(_) => Err(Errno::Invalid),
            Open::File(_) => Err(Errno::NotSupported),
        }
    }

    /// The root is the one directory that is there before anything is opened.
    fn is_root(&self, fd: u32) -> Done {
        match self.system.open.get(fd)? {
            Open::Directory(_) if fd == ROOT => Ok(()),
            _ => Err(Errno::BadDescriptor),
        }
    }

    fn fdstat(&self, fd: u32, address: u32) -> Done {
        let (kind, flags, rights, below) = match self.system.open.get(fd)? {
            Open::Input => (CHARACTER_DEVICE, 0, READ, 0),
            Open::Output(_) => (CHARACTER_DEVICE, 0, WRITE, 0),
            Open::Directory(_) => (DIRECTORY, 0, OF_DIRECTORIES, OF_DIRECTORIES | OF_FILES),
            Open::File(file) => (REGULAR, u8::from(file.append), OF_FILES, 0),
        };
        let mut bytes = [0; 24];
        put(&mut bytes, 0, &[kind, 0, flags]);
        put(&mut bytes, 8, &rights.to_le_bytes());
        put(&mut bytes, 16, &below.to_le_bytes());
        self.at(address, &bytes)
    }

    fn filestat(&mut self, fd: u32, address: u32) -> Done {
        let path = match self.system.open.get(fd)? {
            Open::Input | Open::Output(_) => return self.put_kind(address, CHARACTER_DEVICE, 0),
            Open::Directory(path) if path.is_empty() => {
                return self.put_kind(address, DIRECTORY, 0);
            }
            Open::Directory(path) => path.clone(),
            Open::File(file) => file.path.clone(),
        };
        let stat = self.look(&path)?;
        self.put_stat(address, stat)
    }

    fn put_stat(&self, address: u32, stat: Stat) -> Done {
        self.put_kind(address, kind(stat.kind), stat.bytes)
    }

    fn put_kind(&self, address: u32, kind: u8, size: u64) -> Done {
        let mut bytes = [0; 64];
        put(&mut bytes, 16, &[kind]);
        put(&mut bytes, 24, &1_u64.to_le_bytes());
        put(&mut bytes, 32, &size.to_le_bytes());
        self.at(address, &bytes)
    }

    fn seek(&mut self, fd: u32, by: i64, whence: u32, address: u32) -> Done {
        let file = self.system.open.file(fd)?.clone();
        let from = match whence {
            0 => 0,
            1 => file.at,
            2 => self.look(&file.path)?.bytes,
            _ => return Err(Errno::Invalid),
        };
        let at = from.checked_add_signed(by).ok_or(Errno::Invalid)?;
        self.system.open.file(fd)?.at = at;
        self.at(address, &at.to_le_bytes())
    }

    pub(super) fn file_read(
        &mut self,
        fd: u32,
        buffers: u32,
        count: u32,
        at: Option<u64>,
        read: u32,
    ) -> Done {
        let file = self.system.open.file(fd)?.clone();
        let buffers = self.buffers(buffers, count)?;
        let wanted = buffers
            .iter()
            .fold(0_u64, |sum, (_, len)| sum + u64::from(*len));
        let most = MOST_BYTES.min(self.host.cap()) as u64;
        let args = Args {
            first: file.path.as_bytes(),
            x: offset(at.unwrap_or(file.at))?,
            y: offset(wanted.min(most))?,
            ..Args::default()
        };
        let bytes = self.fetch(HostOp::FileRead, args)?;
        let mut rest = bytes.as_slice();
        for (address, len) in buffers {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            let (part, more) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            self.at(address, part)?;
            rest = more;
        }
        if at.is_none() {
            let file = self.system.open.file(fd)?;
            file.at = file.at.saturating_add(bytes.len() as u64);
        }
        self.count(read, bytes.len())
    }

    pub(super) fn file_write(
        &mut self,
        fd: u32,
        buffers: u32,
        count: u32,
        at: Option<u64>,
        written: u32,
    ) -> Done {
        let file = self.system.open.file(fd)?.clone();
        let mut bytes = self.gather(buffers, count)?;
        bytes.truncate(self.host.cap());
        let place = match (at, file.append) {
            (Some(at), _) => at,
            (None, true) => self.look(&file.path)?.bytes,
            (None, false) => file.at,
        };
        let args = Args {
            first: file.path.as_bytes(),
            second: &bytes,
            x: offset(place)?,
            y: 0,
        };
        self.fetch(HostOp::FileWrite, args)?;
        if at.is_none() {
            self.system.open.file(fd)?.at = place.saturating_add(bytes.len() as u64);
        }
        self.count(written, bytes.len())
    }

    fn path_open(&mut self, given: Given<'_>) -> Done {
        let path = self.path(given.at(0), given.at(2), given.at(3))?;
        let flags = given.at(4);
        let made = flags & (CREATE | TRUNCATE) != 0;
        let found = match self.look(&path) {
            Err(Errno::NotFound) if flags & CREATE != 0 => None,
            other => Some(other?),
        };
        match found {
            Some(_) if flags & CREATE != 0 && flags & EXCLUSIVE != 0 => return Err(Errno::Exists),
            Some(stat) if stat.kind == Kind::Directory => {
                let fd = self.system.open.add(Open::Directory(path))?;
                return self.number(given.at(8), fd);
            }
            _ if flags & MUST_BE_DIRECTORY != 0 => return Err(Errno::NotDirectory),
            Some(stat) if stat.kind == Kind::Other => return Err(Errno::NotCapable),
            _ => {}
        }
        if made {
            let mut how = 0;
            how |= if flags & CREATE != 0 { WRITE_CREATE } else { 0 };
            how |= if flags & TRUNCATE != 0 {
                WRITE_TRUNCATE
            } else {
                0
            };
            let args = Args {
                first: path.as_bytes(),
                y: how,
                ..Args::default()
            };
            self.fetch(HostOp::FileWrite, args)?;
        }
        let file = File {
            path,
            at: 0,
            append: given.at(7) & APPEND != 0,
        };
        let fd = self.system.open.add(Open::File(file))?;
        self.number(given.at(8), fd)
    }

    /// A page of a directory: entries from the one whose number the plugin
    /// names, cut where the room ends.
    fn readdir(&mut self, fd: u32, given: Given<'_>) -> Done {
        let [address, room, used] = [1, 2, 4].map(|index| given.at(index));
        let path = self.system.open.directory(fd)?.to_owned();
        if matches!(path.as_str(), "" | "/") {
            // What is granted is told at the start; the rest has no names here.
            return Err(Errno::NotCapable);
        }
        let args = Args {
            first: path.as_bytes(),
            ..Args::default()
        };
        let list = self.fetch(HostOp::FileList, args)?;
        let list: Vec<Entry> = serde_json::from_slice(&list).map_err(|_| Errno::Io)?;
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(MOST_BYTES);
        let mut page = Vec::new();
        let first = usize::try_from(given.wide(3)).unwrap_or(usize::MAX);
        for (next, entry) in (1_u64..).zip(&list).skip(first) {
            if page.len() >= room {
                break;
            }
            page.extend_from_slice(&next.to_le_bytes());
            page.extend_from_slice(&[0; 8]);
            let len = u32::try_from(entry.name.len()).map_err(|_| Errno::Io)?;
            page.extend_from_slice(&len.to_le_bytes());
            page.extend_from_slice(&[entry.kind(), 0, 0, 0]);
            page.extend_from_slice(entry.name.as_bytes());
        }
        page.truncate(room);
        self.at(address, &page)?;
        self.count(used, page.len())
    }

    /// The whole name of a path below a directory. Only ways downwards are
    /// paths; `.` and doubled slashes, which libraries leave in, are dropped.
    fn path(&self, fd: u32, address: u32, len: u32) -> Result<String, Errno> {
        let base = self.system.open.directory(fd)?;
        if len > MOST_PATH {
            return Err(Errno::Invalid);
        }
        let bytes = self.memory.read(address, len).ok_or(Errno::Fault)?;
        let text = String::from_utf8(bytes).map_err(|_| Errno::Invalid)?;
        if text.starts_with('/') {
            return Err(Errno::NotCapable);
        }
        let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => return Err(Errno::NotCapable),
                part => parts.push(part),
            }
        }
        // Names of grants begin with a variable, or with a slash.
        let relative = parts.first().is_some_and(|part| part.starts_with('$'));
        let joined = parts.join("/");
        Ok(if relative {
            joined
        } else {
            format!("/{joined}")
        })
    }

    /// What lies at a path.
    fn look(&mut self, path: &str) -> Result<Stat, Errno> {
        if path == "/" {
            return Ok(Stat {
                kind: Kind::Directory,
                bytes: 0,
            });
        }
        if !self.may_ask() {
            return Err(Errno::NotCapable);
        }
        self.host.file_stat(path).map_err(errno)
    }

    /// A call about files for the plugin: the bytes that it gives.
    fn fetch(&mut self, op: HostOp, args: Args<'_>) -> Result<Vec<u8>, Errno> {
        if !self.may_ask() {
            return Err(Errno::NotCapable);
        }
        self.host.fetch(op, args).map_err(errno)
    }

    /// Outside of hooks nothing is read, and nobody could be told.
    fn may_ask(&self) -> bool {
        self.host.may_call(Import::Op(HostOp::FileRead)).is_ok()
    }
}

/// One entry as `file_list` gives it.
#[derive(serde::Deserialize)]
struct Entry {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Entry {
    fn kind(&self) -> u8 {
        match self.kind.as_str() {
            "file" => REGULAR,
            "dir" => DIRECTORY,
            _ => UNKNOWN,
        }
    }
}

const fn kind(kind: Kind) -> u8 {
    match kind {
        Kind::File => REGULAR,
        Kind::Directory => DIRECTORY,
        Kind::Other => UNKNOWN,
    }
}

fn offset(value: u64) -> Result<i64, Errno> {
    i64::try_from(value).map_err(|_| Errno::Invalid)
}

/// The errno of an error of our own ABI.
fn errno(error: i64) -> Errno {
    match CallError::of_status(error) {
        CallError::Denied => Errno::NotCapable,
        CallError::NotFound => Errno::NotFound,
        CallError::Invalid => Errno::Invalid,
        CallError::Quota => Errno::NoSpace,
        _ => Errno::Io,
    }
}

/// Puts bytes into a record of fixed length.
fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    let part = record
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..bytes.len()));
    if let Some(part) = part {
        part.copy_from_slice(bytes);
    }
}
