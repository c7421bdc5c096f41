//! The command line of `gm-harness`.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::ablate::Without;
use super::report::Format;
use crate::mutation::PROFILES;

/// Attacks the walls, with a control and a twin for each attack.
#[derive(Debug, Parser)]
#[command(name = "gm-harness", bin_name = "gm-broker harness", version)]
pub struct CommandLine {
    /// How results are written to stdout.
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "human"
    )]
    format: Output,
    /// No progress on stderr.
    #[arg(long, global = true)]
    quiet: bool,
    /// The home of --plugin.
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What is asked for.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The table of probes.
    List(ListArgs),
    /// Run them.
    Run(RunArgs),
}

/// `harness list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only probes whose id or group fits, `*` stands for any part; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
}

/// `harness run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Only probes whose id or group fits, `*` stands for any part; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Reports: json, tap, junit, sarif, markdown or html, to stdout or a file; may be
    /// repeated.
    #[arg(long, value_name = "FMT[=FILE]", value_parser = report)]
    pub report: Vec<(Format, Option<PathBuf>)>,
    /// The level that is asked for: contained below it is DEGRADED.
    #[arg(long, value_enum, default_value = "L4")]
    pub level: Level,
    /// Probes behind the walls of this loaded plugin (needs --home).
    #[arg(long, value_name = "ID")]
    pub plugin: Option<String>,
    /// The home of `plugin`: an option of every verb, as of the broker's.
    #[arg(skip)]
    pub home: Option<PathBuf>,
    /// Only probes of this kind of plugin.
    #[arg(long, alias = "kind", value_enum, default_value = "all")]
    pub profile: Profile,
    /// So many variants may be vacuous, whichever [default: those of the reference list,
    /// where it knows the kernel]
    #[arg(long, value_name = "N")]
    pub max_vacuous: Option<usize>,
    /// Failures that somebody answers for until a day.
    #[arg(long, value_name = "FILE")]
    pub waivers: Option<PathBuf>,
    /// Stopped by another layer than the expected one is a failure.
    #[arg(long)]
    pub strict: bool,
    /// Also with the expected layer left out, or with these instead (needs the test-only
    /// gm-probe-host).
    #[arg(
        long,
        value_name = "LAYER,...",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = Without::EXPECTED,
        value_parser = Without::parse
    )]
    pub ablate: Option<Without>,
    /// Run the probes of machine code under another launcher: `CMD ... --`.
    #[arg(long, value_name = "CMD ... --", conflicts_with_all = ["ablate", "plugin", "profile"])]
    pub under: Option<String>,
    /// So many at once; those that need the machine for themselves run alone.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: Option<u8>,
}

/// Which kinds of plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// WebAssembly.
    Wasm,
    /// Luau.
    Lua,
    /// JavaScript.
    Js,
    /// Shared objects.
    Native,
    /// What attacks from outside: broker, protocol, trust.
    Host,
    /// All of them.
    All,
}

impl Profile {
    /// The policies behind it that can be changed, and whether all that is no filter is
    /// changed, too; none for attacks from outside.
    #[must_use]
    pub fn policies(self) -> Option<(&'static [&'static str], bool)> {
        match self {
            Self::Wasm => Some((&["wasm", "compile"], false)),
            Self::Lua => Some((&["lua"], false)),
            Self::Js => Some((&["js"], false)),
            Self::Native => Some((&["native", "program"], true)),
            Self::All => Some((&PROFILES, true)),
            Self::Host => None,
        }
    }
}

/// A level of isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Filters, Landlock, no capability.
    #[value(name = "L2")]
    L2,
    /// And namespaces.
    #[value(name = "L3")]
    L3,
    /// And groups, and a uid of its own.
    #[value(name = "L4")]
    L4,
}

impl Level {
    /// As records name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "L2",
            Self::L3 => "L3",
            Self::L4 => "L4",
        }
    }
}

/// A call that was understood.
pub struct Asked {
    /// The verb.
    pub verb: Verb,
    json: bool,
    /// No progress: it is for people who wait.
    pub quiet: bool,
}

impl Asked {
    /// Whether results are JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }
}

fn report(text: &str) -> Result<(Format, Option<PathBuf>), String> {
    let (name, file) = match text.split_once('=') {
        Some((name, "")) => return Err(format!("no file behind {name}=")),
        Some((name, file)) => (name, Some(PathBuf::from(file))),
        None => (text, None),
    };
    Ok((
        Format::by_name(name).ok_or_else(|| format!("no format {name}"))?,
        file,
    ))
}

/// Understands a command line; what needs no verb is answered here, with the exit code.
///
/// # Errors
/// The exit code of a call that is answered.
pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Asked, u8> {
    let words: Vec<OsString> = words.into_iter().collect();
    let json = words.windows(2).any(|pair| pair == ["--format", "json"])
        || words.iter().any(|word| word == "--format=json");
    match CommandLine::try_parse_from(&words) {
        Ok(mut line) => {
            if let Verb::Run(args) = &mut line.verb {
                args.home = line.home;
            }
            Ok(Asked {
                verb: line.verb,
                json: line.format == Output::Json,
                quiet: line.quiet || !std::io::stderr().is_terminal(),
            })
        }
        Err(error) => Err(answer(&error, json)),
    }
}

fn answer(error: &clap::Error, json: bool) -> u8 {
    let helped = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let exit = if helped { 0 } else { 2 };
    if json {
        let (result, code) = if helped {
            ("ok", None)
        } else {
            ("error", Some("usage/arguments"))
        };
        let object = serde_json::json!({
            "schema": super::SCHEMA, "kind": "error", "result": result, "exit": exit,
            "code": code, "detail": error.to_string(),
        });
        let _ = writeln!(std::io::stdout().lock(), "{object}");
        return exit;
    }
    // Help to stdout, errors to stderr, as clap does.
    let _ = error.print();
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Asked, u8> {
        let words = std::iter::once("gm-harness").chain(line.split_whitespace());
        read(words.map(OsString::from))
    }

    #[test]
    fn definitions_are_sound() {
        <CommandLine as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn options_stand_before_or_after_the_verb() {
        for line in [
            "--format json list",
            "list --format json",
            "run --format=json --strict",
        ] {
            assert!(parse(line).unwrap().is_json(), "{line}");
        }
        assert!(
            !parse("run --report tap=x.tap --report json --kind lua")
                .unwrap()
                .is_json()
        );
    }

    #[test]
    fn layers_are_left_out_where_that_is_asked_for() {
        let ablate = |line: &str| match parse(line).unwrap().verb {
            Verb::Run(args) => args.ablate,
            Verb::List(_) => None,
        };
        assert_eq!(ablate("run"), None);
        assert_eq!(ablate("run --ablate --strict"), Some(Without::Expected));
        let two = Without::These(vec!["seccomp", "mount"]);
        assert_eq!(ablate("run --ablate=seccomp,mount"), Some(two));
    }

    #[test]
    fn what_is_not_understood_is_exit_2() {
        for line in [
            "",
            "runs",
            "run --report pdf",
            "run --report tap=",
            "run --level L1",
            "run --jobs 0",
            "run --under true --ablate",
            "run --ablate=sekomp",
            "run --ablate=seccomp,seccomp",
            "run --ablate seccomp",
        ] {
            assert_eq!(parse(line).err(), Some(2), "{line}");
        }
        assert_eq!(parse("--help").err(), Some(0));
    }
}
