//! Where a report goes. Files are opened before anything is run: a name that nothing can
//! be written to is a mistake of the call.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::super::Usage;
use super::{Format, Whole};

/// A report that was asked for.
pub(in super::super) struct Sink {
    format: Format,
    /// None = stdout.
    file: Option<(PathBuf, File)>,
}

impl Sink {
    /// Opens all; `json` also wants JSON on stdout, where people read a few lines unless
    /// something else was asked for.
    ///
    /// # Errors
    /// A file that can't be written.
    pub(in super::super) fn all(
        asked: &[(Format, Option<PathBuf>)],
        json: bool,
    ) -> Result<Vec<Self>, Usage> {
        let on_stdout = asked.iter().filter(|(_, file)| file.is_none());
        let on_stdout: Vec<Format> = on_stdout.map(|(format, _)| *format).collect();
        let also = match json {
            true => (!on_stdout.contains(&Format::Json)).then_some(Format::Json),
            false => on_stdout.is_empty().then_some(Format::Human),
        };
        let also = also.map(|format| (format, None));
        let open = |(format, path): (Format, Option<PathBuf>)| {
            let opened = path.as_deref().map(open).transpose()?;
            Ok(Self {
                format,
                file: path.zip(opened),
            })
        };
        asked.iter().cloned().chain(also).map(open).collect()
    }

    /// Whether it goes to stdout.
    pub(in super::super) fn is_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// Writes it.
    ///
    /// # Errors
    /// Why it isn't there; a reader of stdout that has seen enough has what it wanted.
    pub(in super::super) fn write(&self, whole: &Whole<'_>) -> Result<(), String> {
        let text = self.format.write(whole);
        match &self.file {
            Some((path, file)) => {
                replace(file, &text).map_err(|error| format!("{}: {error}", path.display()))
            }
            None => {
                let mut out = std::io::stdout().lock();
                let wrote = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                match wrote {
                    Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                        Err(format!("stdout: {error}"))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// What stands in it stays until there is a report.
fn open(path: &Path) -> Result<File, Usage> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    // A pipe that nobody reads is an error, and nothing to wait for.
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let open = || {
        let file = options.open(path)?;
        rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
        Ok(file)
    };
    open().map_err(|error: std::io::Error| Usage(format!("{}: {error}", path.display())))
}

fn replace(mut file: &File, text: &str) -> std::io::Result<()> {
    // A pipe or a device has no length.
    if file.metadata()?.is_file() {
        file.set_len(0)?;
    }
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::super::outcome::{Beside, Summary};
    use super::super::tests::rows;
    use super::*;

    #[test]
    fn a_file_is_opened_before_and_replaced_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("walls.tap");
        std::fs::write(
            &path,
            "what was there, and longer than nothing\n".repeat(999),
        )
        .unwrap();
        let sinks = Sink::all(&[(Format::Tap, Some(path.clone()))], true).unwrap();
        assert_eq!(sinks.len(), 2);
        let rows = rows();
        let facts = super::super::super::facts::Facts::read();
        let whole = Whole {
            facts: &facts,
            rows: &rows,
            summary: &Summary::of(&rows, Beside::default(), false),
            strict: false,
            comparison: None,
        };
        sinks.first().unwrap().write(&whole).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            Format::Tap.write(&whole)
        );
    }

    #[test]
    fn people_read_stdout_where_nothing_else_goes_there() {
        let formats = |asked: &[(Format, Option<PathBuf>)], json| {
            let sinks = Sink::all(asked, json).unwrap();
            let formats = sinks.into_iter().map(|sink| sink.format);
            formats.collect::<Vec<_>>()
        };
        let null = (Format::Tap, Some(PathBuf::from("/dev/null")));
        assert_eq!(formats(&[], false), [Format::Human]);
        assert_eq!(formats(&[null], false), [Format::Tap, Format::Human]);
        assert_eq!(formats(&[(Format::Tap, None)], false), [Format::Tap]);
        assert_eq!(formats(&[], true), [Format::Json]);
    }

    #[test]
    fn where_nothing_can_be_written_is_a_mistake_of_the_call() {
        let nowhere = PathBuf::from("/nonexistent/walls.tap");
        let Usage(why) = Sink::all(&[(Format::Tap, Some(nowhere))], false)
            .err()
            .unwrap();
        assert!(why.starts_with("/nonexistent/walls.tap: "), "{why}");
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let asked = [(Format::Tap, Some(pipe.clone()))];
        assert!(Sink::all(&asked, false).is_err());
        let _reader = std::thread::spawn(move || std::fs::read(pipe));
        // Until it is there.
        assert!(crate::kernel::within(
            std::time::Duration::from_secs(10),
            || { Sink::all(&asked, false).is_ok() }
        ));
    }

    #[test]
    fn a_full_device_is_said() {
        let full = (Format::Json, Some(PathBuf::from("/dev/full")));
        let sinks = Sink::all(&[full], false).unwrap();
        let facts = super::super::super::facts::Facts::read();
        let whole = Whole {
            facts: &facts,
            rows: &[],
            summary: &Summary::default(),
            strict: false,
            comparison: None,
        };
        let why = sinks.first().unwrap().write(&whole).unwrap_err();
        assert!(why.starts_with("/dev/full: "), "{why}");
    }
}
