//! The descriptors of a module: numbers of its own, none of which is one of the
//! process. The standard streams, the root of all that could be granted, and
//! what was opened from there.

use super::Errno;

/// The most descriptors of a module.
const MOST: usize = 64;
/// The root, which is there from the start, as a toolchain's library looks for
/// it: below it each path is asked for by its whole name.
pub(super) const ROOT: u32 = 3;

/// An open file: its path in the terms of grants, and where it is read next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) at: u64,
    /// Each write goes to the end.
    pub(super) append: bool,
}

/// What a descriptor stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Open {
    Input,
    /// Standard output (0) or standard error (1).
    Output(usize),
    /// A directory's path; empty = the root.
    Directory(String),
    File(File),
}

#[derive(Debug)]
pub(super) struct Descriptors(Vec<Option<Open>>);

impl Descriptors {
    pub(super) fn new() -> Self {
        let root = Open::Directory(String::new());
        let streams = [Open::Input, Open::Output(0), Open::Output(1), root];
        Self(streams.into_iter().map(Some).collect())
    }

    pub(super) fn get(&self, fd: u32) -> Result<&Open, Errno> {
        let open = usize::try_from(fd).ok().and_then(|fd| self.0.get(fd));
        open.and_then(Option::as_ref).ok_or(Errno::BadDescriptor)
    }

    fn slot(&mut self, fd: u32) -> Result<&mut Option<Open>, Errno> {
        let slot = usize::try_from(fd).ok().and_then(|fd| self.0.get_mut(fd));
        slot.filter(|open| open.is_some())
            .ok_or(Errno::BadDescriptor)
    }

    pub(super) fn file(&mut self, fd: u32) -> Result<&mut File, Errno> {
        match self.slot(fd)? {
            Some(Open::File(file)) => Ok(file),
            Some(Open::Directory(_)) => Err(Errno::IsDirectory),
            Some(Open::Input | Open::Output(_)) => Err(Errno::NotSeekable),
            None => Err(Errno::BadDescriptor),
        }
    }

    pub(super) fn directory(&self, fd: u32) -> Result<&str, Errno> {
        match self.get(fd)? {
            Open::Directory(path) => Ok(path),
            Open::Input | Open::Output(_) | Open::File(_) => Err(Errno::NotDirectory),
        }
    }

    /// The lowest free number, as a library expects it.
    pub(super) fn add(&mut self, open: Open) -> Result<u32, Errno> {
        let free = self.0.iter().position(Option::is_none);
        let index = free.unwrap_or(self.0.len());
        if index >= MOST {
            return Err(Errno::TooManyOpen);
        }
        match self.0.get_mut(index) {
            Some(slot) => *slot = Some(open),
            None => self.0.push(Some(open)),
        }
        u32::try_from(index).map_err(|_| Errno::TooManyOpen)
    }

    pub(super) fn close(&mut self, fd: u32) -> Result<(), Errno> {
        *self.slot(fd)? = None;
        Ok(())
    }

    /// `to` stands for what `from` did, which is closed.
    pub(super) fn renumber(&mut self, from: u32, to: u32) -> Result<(), Errno> {
        self.get(to)?;
        let open = self.slot(from)?.take();
        *self.slot_any(to)? = open;
        Ok(())
    }

    fn slot_any(&mut self, fd: u32) -> Result<&mut Option<Open>, Errno> {
        let slot = usize::try_from(fd).ok().and_then(|fd| self.0.get_mut(fd));
        slot.ok_or(Errno::BadDescriptor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Open {
        Open::File(File {
            path: path.to_owned(),
            at: 0,
            append: false,
        })
    }

    #[test]
    fn numbers_are_given_out_from_the_lowest_and_not_without_end() {
        let mut open = Descriptors::new();
        assert_eq!(open.add(file("a")), Ok(4));
        assert_eq!(open.close(1), Ok(()));
        assert_eq!(open.close(1), Err(Errno::BadDescriptor));
        assert_eq!(open.add(file("b")), Ok(1));
        while open.add(file("c")).is_ok() {}
        assert_eq!(open.add(file("d")), Err(Errno::TooManyOpen));
        for fd in [64, 1 << 16, u32::MAX] {
            assert_eq!(open.get(fd), Err(Errno::BadDescriptor));
        }
    }

    #[test]
    fn a_number_may_be_given_to_another_file() {
        let mut open = Descriptors::new();
        let fd = open.add(file("a")).unwrap();
        assert_eq!(open.renumber(fd, 1), Ok(()));
        assert_eq!(open.get(1), Ok(&file("a")));
        assert_eq!(open.get(fd), Err(Errno::BadDescriptor));
        assert_eq!(open.renumber(1, 9), Err(Errno::BadDescriptor));
        assert_eq!(open.renumber(1, 1), Ok(()));
        assert_eq!(open.get(1), Ok(&file("a")));
    }
}
