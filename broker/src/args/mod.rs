//! The command line, as typed.
//!
//! Everything a caller can say to `gm` and `gm-broker` is here and nowhere
//! else. What can't be understood is `usage/arguments` (exit 2), in JSON too;
//! an argument is never guessed and never ignored.

pub mod broker;
mod environment;
pub mod gm;
mod version;

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{ArgAction, Parser};
use gm_manifest::{Code, Refusal};

use crate::config::Config;
use crate::home::{self, Home};
use crate::output::escape::one_line;
use crate::output::{Format, Output};
pub use environment::Environment;

/// What may stand before or after every verb.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where trust, plugins, state and logs lie [default: $GM_HOME, else
    /// $XDG_DATA_HOME/gm, else $HOME/.local/share/gm; root must name it]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// How results are written
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "human"
    )]
    format: Format,
    /// Start no plugin; trust, revoke and list still work
    #[arg(long, global = true)]
    safe_mode: bool,
    /// No remarks and no progress on stderr
    #[arg(long, global = true)]
    quiet: bool,
    /// With --version: also api, ABI, engine and crypto backend
    #[arg(long, global = true, requires = "version")]
    verbose: bool,
    /// Print version
    #[arg(long, short = 'V', global = true, action = ArgAction::Version)]
    version: Option<bool>,
}

/// A command line with a verb.
pub trait CommandLine: Parser {
    /// What the verb is.
    type Verb;
    /// The executable's name.
    const NAME: &'static str;
    /// Takes it apart.
    fn split(self) -> (Global, Self::Verb);
}

/// What applies to the verb, checked.
#[derive(Debug)]
pub struct Invocation {
    home: Option<PathBuf>,
    environment: Environment,
    /// No plugin may start.
    pub safe_mode: bool,
}

impl Invocation {
    /// Opens the home (making it if it isn't there) and reads its
    /// `broker.toml`.
    ///
    /// # Errors
    /// `usage/arguments` if no home is named, `store/unsafe-permissions`,
    /// `config/*`.
    pub fn open_home(&self) -> Result<(Home, Config), Refusal> {
        home::open(&self.place()?)
    }

    /// The home for what must work whatever is written in broker.toml: taking trust
    /// away and ending what runs.
    ///
    /// # Errors
    /// As [`Self::open_home`], but never class `config`.
    pub fn open_home_to_stop(&self) -> Result<Home, Refusal> {
        home::open_to_stop(&self.place()?)
    }

    /// Where the home is, by option or environment; nothing is opened.
    ///
    /// # Errors
    /// `usage/arguments` if nothing names one.
    pub fn home_path(&self) -> Result<PathBuf, Refusal> {
        self.place()
    }

    /// That a verb may start plugins at all.
    ///
    /// # Errors
    /// `policy/safe-mode`
    pub(crate) fn may_start(&self) -> Result<(), Refusal> {
        match self.safe_mode {
            true => Err(
                Refusal::new(Code::PolicySafeMode, "safe mode starts no plugin")
                    .rule("--safe-mode"),
            ),
            false => Ok(()),
        }
    }

    /// The home that the option names.
    pub(crate) fn named_home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    fn place(&self) -> Result<PathBuf, Refusal> {
        let root = rustix::process::geteuid().is_root();
        home::resolve(self.home.as_deref(), &self.environment, root)
    }
}

/// Understands a command line. What needs no verb (`--help`, `--version`,
/// usage errors) is answered here; then the exit code comes back as `Err`.
///
/// # Errors
/// The exit code of an invocation that is already answered.
pub fn begin<C: CommandLine>(
    arguments: impl IntoIterator<Item = OsString>,
    environment: Environment,
) -> Result<(Invocation, C::Verb, Output), (u8, Output)> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = match C::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let mut output = Output::stdio(asked_format(&arguments), false, &environment);
            let exit = answer(
                &shown::<C>(error, &arguments),
                &arguments,
                C::NAME,
                &mut output,
            );
            return Err((exit, output));
        }
    };
    let (global, verb) = parsed.split();
    let mut output = Output::stdio(global.format, global.quiet, &environment);
    match invocation(global, environment) {
        Ok(invocation) => Ok((invocation, verb, output)),
        Err(refusal) => Err((output.refused(&refusal), output)),
    }
}

/// A command line as a test types it.
#[cfg(test)]
pub(crate) fn typed<C: CommandLine>(words: &[&str]) -> (Invocation, C::Verb) {
    let (global, verb) = C::try_parse_from(words).unwrap().split();
    (invocation(global, Environment::default()).unwrap(), verb)
}

fn invocation(global: Global, environment: Environment) -> Result<Invocation, Refusal> {
    let disabled = match environment.gm_plugins.as_deref() {
        None => false,
        Some(value) if value == "disabled" => true,
        // Somebody meant to switch something off: doing nothing would be unsafe.
        Some(value) => {
            return Err(usage(format!(
                "GM_PLUGINS is {:?}; the only value it may have is \"disabled\"",
                value.to_string_lossy()
            )));
        }
    };
    Ok(Invocation {
        home: global.home,
        safe_mode: global.safe_mode || disabled,
        environment,
    })
}

/// A call that can't be understood or that misses something.
pub fn usage(detail: impl AsRef<str>) -> Refusal {
    Refusal::new(Code::UsageArguments, detail)
}

/// The most bytes that a message repeats of one argument.
const MAX_REPEATED: usize = 256;

/// What clap stopped at, with the arguments as they may be shown: it repeats them, and
/// they may be somebody else's words, with line ends and more in them.
fn shown<C: CommandLine>(error: clap::Error, arguments: &[OsString]) -> clap::Error {
    let harmless = arguments.iter().map(harmless);
    match C::try_parse_from(harmless) {
        Err(shown) if shown.kind() == error.kind() => shown,
        _ => error,
    }
}

/// An argument that is one short line; what isn't UTF-8 stays so.
fn harmless(argument: &OsString) -> OsString {
    let mut bytes = Vec::new();
    for chunk in argument.as_bytes().utf8_chunks() {
        bytes.extend(one_line(chunk.valid()).into_bytes());
        bytes.extend(chunk.invalid());
    }
    if bytes.len() > MAX_REPEATED {
        let end = (0..=MAX_REPEATED).rev();
        let end = end
            .into_iter()
            .find(|at| bytes.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80));
        bytes.truncate(end.unwrap_or(0));
        bytes.extend("…".bytes());
    }
    OsString::from_vec(bytes)
}

/// Answers what clap stopped at.
fn answer(error: &clap::Error, arguments: &[OsString], name: &str, output: &mut Output) -> u8 {
    match error.kind() {
        ErrorKind::DisplayVersion => version::print(name, says(arguments, "--verbose"), output),
        ErrorKind::DisplayHelp => {
            let text = error.to_string();
            output.line(text.trim_end());
            output.done("help", [("text", text.into())])
        }
        _ => output.misused(
            &usage(summary(&error.to_string())),
            &error.render().to_string(),
        ),
    }
}

/// What clap says before it explains the usage, on one line.
fn summary(text: &str) -> String {
    let words = text.split("\n\nUsage:").next().unwrap_or(text);
    let words = words.strip_prefix("error: ").unwrap_or(words);
    let words = words.split("\n\nFor more").next().unwrap_or(words);
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn says(arguments: &[OsString], option: &str) -> bool {
    before_dashes(arguments).any(|argument| argument == option)
}

/// The format that a command line asks for which couldn't be parsed.
fn asked_format(arguments: &[OsString]) -> Format {
    let mut words = before_dashes(arguments);
    let mut format = Format::Human;
    while let Some(word) = words.next() {
        let value = if word == "--format" {
            words.next().and_then(|value| value.to_str())
        } else {
            word.to_str()
                .and_then(|word| word.strip_prefix("--format="))
        };
        match value {
            Some("json") => format = Format::Json,
            Some("human") => format = Format::Human,
            _ => {}
        }
    }
    format
}

fn before_dashes(arguments: &[OsString]) -> impl Iterator<Item = &OsString> {
    arguments
        .iter()
        .skip(1)
        .take_while(|argument| *argument != "--")
}

#[cfg(test)]
mod tests {
    use super::gm::{Gm, PluginVerb, Verb};
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn parse(line: &str) -> Result<(Global, Verb), clap::Error> {
        Gm::try_parse_from(words(line)).map(Gm::split)
    }

    /// The one JSON object that answers a line which never reaches a verb.
    fn answered(line: &str) -> serde_json::Value {
        let arguments = words(&format!("{line} --format json"));
        let error = Gm::try_parse_from(&arguments).map(|_| ()).unwrap_err();
        let (mut output, seen) = Output::captured(asked_format(&arguments));
        let exit = answer(
            &shown::<Gm>(error, &arguments),
            &arguments,
            "gm",
            &mut output,
        );
        let text = seen.out.text();
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["exit"], exit);
        object
    }

    #[test]
    fn definitions_are_sound() {
        <Gm as clap::CommandFactory>::command().debug_assert();
        <broker::GmBroker as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_or_after_the_verb() {
        for line in [
            "gm --home /h --format json --safe-mode --quiet plugin list",
            "gm plugin --home /h --format json --safe-mode --quiet list",
            "gm plugin list --home /h --format json --safe-mode --quiet",
            "gm --home /h plugin --format=json list --safe-mode --quiet",
        ] {
            let (global, verb) = parse(line).unwrap();
            assert_eq!(global.home.as_deref(), Some("/h".as_ref()), "{line}");
            assert_eq!(global.format, Format::Json, "{line}");
            assert!(global.safe_mode && global.quiet, "{line}");
            assert!(matches!(verb, Verb::Plugin(PluginVerb::List)), "{line}");
        }
    }

    #[test]
    fn every_usage_error_is_one_json_object_with_exit_2() {
        for line in [
            "gm",
            "gm plugin",
            "gm plugin list extra",
            "gm plugin load",
            "gm plugin load x --verify=false",
            "gm plugin new x",
            "gm plugin list --verbose",
            "gm gpg keygen",
            "gm --format yaml plugin list",
        ] {
            let object = answered(line);
            assert_eq!(object["schema"], "gm.result/1", "{line}");
            assert_eq!(object["code"], "usage/arguments", "{line}");
            assert_eq!(object["exit"], 2, "{line}");
            assert_eq!(object["result"], "error", "{line}");
            assert_ne!(object["detail"], "", "{line}");
        }
    }

    #[test]
    fn a_usage_error_says_what_is_missing_without_the_usage_text() {
        assert_eq!(
            answered("gm plugin load")["detail"],
            "the following required arguments were not provided: <PATH>"
        );
    }

    #[test]
    fn version_is_answered_wherever_it_stands() {
        for line in ["gm --version", "gm plugin --version", "gm plugin load -V"] {
            let object = answered(line);
            assert_eq!(object["schema"], "gm.version/1", "{line}");
            assert_eq!(object["version"], env!("CARGO_PKG_VERSION"), "{line}");
            assert_eq!(object["exit"], 0, "{line}");
        }
        for line in ["gm --version --verbose", "gm --verbose --version"] {
            assert_eq!(answered(line)["api"], "2.0", "{line}");
        }
    }

    #[test]
    fn what_stands_behind_the_dashes_is_the_commands_own() {
        let line = "gm plugin run com.x.y suggest --logs -- --format yaml -- --help";
        let (global, verb) = parse(line).unwrap();
        let Verb::Plugin(PluginVerb::Run(args)) = verb else {
            panic!("{verb:?}");
        };
        assert_eq!(global.format, Format::Human);
        assert_eq!((&*args.id, &*args.command), ("com.x.y", "suggest"));
        assert_eq!(args.args, ["--format", "yaml", "--", "--help"]);
        assert!(args.options().printed.logs && !args.options().fail_fast);
        for line in [
            "gm plugin run com.x.y",
            "gm plugin run com.x.y suggest a",
            "gm plugin run com.x.y suggest --last 1",
            "gm plugin run com.x.y suggest --events -",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn an_argument_that_is_repeated_stays_a_short_part_of_its_line() {
        let long = "x".repeat(1 << 16);
        for (word, shown) in [
            ("x\nerror: y\u{1b}[2J", "x\\nerror: y\\u{1b}[2J"),
            ("x\n\nUsage: y\u{202e}", "x\\n\\nUsage: y\\u{202e}"),
            (&*long, "x…"),
        ] {
            let words = [&["gm"][..], &["plugin", "list"]].concat();
            for arguments in [
                [&words[..1], &[word]].concat(),
                [&words[..], &[word]].concat(),
            ] {
                let arguments: Vec<_> = arguments.into_iter().map(OsString::from).collect();
                let error = Gm::try_parse_from(&arguments).map(|_| ()).unwrap_err();
                let (mut output, seen) = Output::captured(Format::Human);
                let error = super::shown::<Gm>(error, &arguments);
                assert_eq!(answer(&error, &arguments, "gm", &mut output), 2);
                let text = seen.err.text();
                assert!(text.contains(shown) && text.len() < 2000, "{text}");
                assert!(!text.contains("\nerror: y"), "{text}");
                assert!(summary(&error.to_string()).contains(shown), "{error}");
            }
        }
    }

    #[test]
    fn an_argument_that_is_no_text_is_said_to_be_none() {
        use std::os::unix::ffi::OsStringExt as _;
        let mut arguments = words("gm plugin run com.x.y suggest --");
        arguments.push(OsString::from_vec(b"a\n\xff".to_vec()));
        let error = Gm::try_parse_from(&arguments).map(|_| ()).unwrap_err();
        let shown = super::shown::<Gm>(error, &arguments).to_string();
        assert!(summary(&shown).starts_with("invalid UTF-8"), "{shown}");
    }

    #[test]
    fn help_is_a_result_with_exit_0() {
        let object = answered("gm plugin load --help");
        assert_eq!(object["exit"], 0);
        assert!(
            object["text"]
                .as_str()
                .unwrap()
                .contains("--accept-permissions")
        );
    }

    #[test]
    fn safe_mode_comes_from_the_option_or_from_gm_plugins_and_nothing_else() {
        let with = |line: &str, value: Option<&str>| {
            let environment = Environment {
                gm_plugins: value.map(OsString::from),
                ..Environment::default()
            };
            invocation(parse(line).unwrap().0, environment).map(|invocation| invocation.safe_mode)
        };
        assert!(!with("gm plugin list", None).unwrap());
        assert!(with("gm plugin list --safe-mode", None).unwrap());
        assert!(with("gm plugin list", Some("disabled")).unwrap());
        for odd in ["1", "enabled", "Disabled", "0", "off"] {
            let refusal = with("gm plugin list", Some(odd)).unwrap_err();
            assert_eq!(refusal.code, Code::UsageArguments, "{odd}");
        }
    }
}
