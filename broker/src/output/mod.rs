//! The only place that writes to stdout and stderr.
//!
//! Results go to stdout, all else to stderr. In JSON form every line of
//! stdout is one whole object, flushed at once, and the last one carries
//! `exit`. A reader that went away (EPIPE) is no error: the caller asks
//! [`Output::is_closed`] and stops. Nothing here ends the process.

pub mod escape;
mod refusal;
mod stream;

use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::Environment;
pub use refusal::exit_of;
#[cfg(test)]
pub(crate) use stream::Captured;
pub use stream::Kept;
use stream::Stream;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line, for programs.
    Json,
}

/// Where results, diagnostics and refusals go.
pub struct Output {
    format: Format,
    quiet: bool,
    out: Stream,
    err: Stream,
    /// A progress line stands on the terminal and must be wiped first.
    progress: bool,
}

impl Output {
    /// Writes to the process's own stdout and stderr.
    pub fn stdio(format: Format, quiet: bool, environment: &Environment) -> Self {
        Self::over(
            format,
            quiet,
            Stream::stdout(environment.wants_colour()),
            Stream::stderr(environment.wants_colour()),
        )
    }

    fn over(format: Format, quiet: bool, out: Stream, err: Stream) -> Self {
        Self {
            format,
            quiet,
            out,
            err,
            progress: false,
        }
    }

    /// JSON that is kept in memory, for a verb that judges a run itself. Once it
    /// holds `most` bytes it is closed.
    pub fn kept(most: usize) -> (Self, Kept) {
        let (out, kept) = Kept::stream(most);
        (Self::over(Format::Json, true, out, Stream::nowhere()), kept)
    }

    /// An output whose two streams a test can read.
    #[cfg(test)]
    pub(crate) fn captured(format: Format) -> (Self, Captured) {
        let (out, err, captured) = stream::captured();
        (Self::over(format, false, out, err), captured)
    }

    /// Whether results are JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Whether there are no remarks.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether nobody reads stdout any more. Then a run stops cleanly.
    pub fn is_closed(&self) -> bool {
        self.out.is_closed()
    }

    /// Whether nobody will read stdout any more, asked without writing.
    #[must_use]
    pub fn reader_left(&self) -> bool {
        self.is_closed() || stream::reader_left(&std::io::stdout())
    }

    /// Whether [`Output::progress`] shows anything.
    pub fn shows_progress(&self) -> bool {
        self.err.is_terminal() && !self.quiet && !self.is_json()
    }

    /// One JSON object on stdout; nothing in human form.
    pub fn record(&mut self, object: &impl Serialize) {
        if self.is_json() {
            self.json_line(object);
        }
    }

    /// One line on stdout exactly as it is, in both forms: for what is
    /// compared byte by byte, such as canonical JSON.
    pub fn raw_line(&mut self, text: &str) {
        self.wipe_progress();
        self.out.write_line(text);
    }

    /// A result for people on stdout; nothing in JSON form. Line feeds stay,
    /// other control and direction characters are escaped.
    pub fn line(&mut self, text: &str) {
        if !self.is_json() {
            self.raw_line(&escape::lines(text));
        }
    }

    /// A heading for people on stdout, bold on a terminal.
    pub fn heading(&mut self, text: &str) {
        if !self.is_json() {
            let bold = self.out.paint("1", &escape::one_line(text));
            self.raw_line(&bold);
        }
    }

    /// A remark on stderr, unless `--quiet`.
    pub fn note(&mut self, text: &str) {
        if !self.quiet {
            self.diagnostic(&escape::lines(text));
        }
    }

    /// A warning on stderr, also with `--quiet`.
    pub fn warn(&mut self, text: &str) {
        let word = self.err.paint("1;33", "warning");
        self.diagnostic(&format!("{word}: {}", escape::lines(text)));
    }

    /// Replaces the progress line on the terminal, if there is one.
    pub fn progress(&mut self, text: &str) {
        if self.shows_progress() {
            self.err
                .write_part(&format!("\r{}\u{1b}[K", escape::one_line(text)));
            self.progress = true;
        }
    }

    /// Ends a verb that did what it was asked: `gm.result/1` in JSON form,
    /// with `fields` behind the common ones. Returns the exit code, 0.
    pub fn done<'a>(
        &mut self,
        verb: &str,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> u8 {
        self.stopped(verb, 0, fields)
    }

    /// The same for a verb that goes on until a signal, with the signal's
    /// exit code.
    pub fn stopped<'a>(
        &mut self,
        verb: &str,
        exit: u8,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> u8 {
        self.ended(verb, "ok", exit, fields)
    }

    /// The same with a result of its own, for a verb whose work may end badly
    /// without being refused.
    pub fn ended<'a>(
        &mut self,
        verb: &str,
        result: &str,
        exit: u8,
        fields: impl IntoIterator<Item = (&'a str, Value)>,
    ) -> u8 {
        let mut object = Map::new();
        object.insert("schema".into(), "gm.result/1".into());
        object.insert("result".into(), result.into());
        object.insert("exit".into(), exit.into());
        object.insert("verb".into(), verb.into());
        for (key, value) in fields {
            object.insert(key.into(), value);
        }
        self.record(&object);
        exit
    }

    /// The process's exit code, once everything is said. Results that could
    /// not be written (a full disk, not a reader that left) spoil a success.
    pub fn conclude(mut self, exit: u8) -> ExitCode {
        self.wipe_progress();
        match self.out.take_error() {
            Some(error) if exit == 0 => {
                self.diagnostic(&format!("error: could not write the results: {error}"));
                ExitCode::from(gm_manifest::Code::InternalPanic.exit())
            }
            _ => ExitCode::from(exit),
        }
    }

    fn json_line(&mut self, object: &impl Serialize) {
        let mut bytes = Vec::with_capacity(256);
        let mut writer = serde_json::Serializer::with_formatter(&mut bytes, escape::HarmlessJson);
        match object.serialize(&mut writer) {
            Ok(()) => self.raw_line(&String::from_utf8_lossy(&bytes)),
            Err(error) => self.diagnostic(&format!("error: could not write a record: {error}")),
        }
    }

    fn diagnostic(&mut self, text: &str) {
        self.wipe_progress();
        self.err.write_line(text);
    }

    fn wipe_progress(&mut self) {
        if std::mem::take(&mut self.progress) {
            self.err.write_part("\r\u{1b}[K");
        }
    }
}
