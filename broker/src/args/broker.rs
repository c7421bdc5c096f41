//! The verbs of `gm-broker`, which hosts and proves.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{CommandLine, Global};
use crate::config::Level;

/// Hosts signed plugins behind kernel walls on a Git repository.
#[derive(Debug, Parser)]
#[command(
    name = "gm-broker",
    version,
    propagate_version = true,
    disable_version_flag = true
)]
pub struct GmBroker {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

impl CommandLine for GmBroker {
    type Verb = Verb;
    const NAME: &'static str = "gm-broker";

    fn split(self) -> (Global, Verb) {
        (self.global, self.verb)
    }
}

/// What `gm-broker` does.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Host plugins and feed them the commits of a repository
    Run(RunArgs),
    /// What plugins wrote about a repository
    #[command(subcommand)]
    Graph(GraphVerb),
    /// What a plugin may do: system calls, paths, limits, and why
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// What this machine can enforce, the level that follows, and what mends each gap
    Doctor(DoctorArgs),
}

/// `gm-broker doctor`.
#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArgs {
    /// Exit 30 below this level; raises broker.toml's, never lowers it
    #[arg(long, value_name = "LEVEL", value_parser = raised_level())]
    pub min_isolation: Option<Level>,
}

/// `gm-broker run`.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// Plugins to host [default: all that are enabled]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// How to run them.
    #[command(flatten)]
    pub options: RunOptions,
    /// Safe mode: no plugin may start. Not an option of the verb.
    #[arg(skip)]
    pub safe_mode: bool,
}

/// The options of a run, also of `gm plugin try`.
#[derive(Debug, Clone, Default, Args)]
pub struct RunOptions {
    /// Repository [default: the one round the current directory]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Commits of `git rev-list A..B`
    #[arg(long, value_name = "A..B", group = "source")]
    pub range: Option<String>,
    /// The newest N commits, oldest first
    #[arg(long, value_name = "N", group = "source", value_parser = clap::value_parser!(u64).range(1..))]
    pub last: Option<u64>,
    /// Events from a file of JSON lines, or from stdin with `-`
    #[arg(long, value_name = "FILE|-", group = "source")]
    pub events: Option<PathBuf>,
    /// Keep the graph in this file
    #[arg(long, value_name = "FILE")]
    pub graph: Option<PathBuf>,
    /// What may be hosted.
    #[command(flatten)]
    pub hosting: HostingOptions,
    /// Stop at the first refusal or ending that isn't `finished`
    #[arg(long)]
    pub fail_fast: bool,
    /// What is printed of it.
    #[command(flatten)]
    pub printed: PrintedOptions,
}

/// What may be hosted: of every verb that starts plugins.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct HostingOptions {
    /// Host native plugins that broker.toml allows
    #[arg(long)]
    pub allow_native: bool,
    /// Start nothing below this isolation level; raises broker.toml's, never lowers it
    #[arg(long, value_name = "LEVEL", value_parser = raised_level())]
    pub min_isolation: Option<Level>,
}

/// What is printed of a run, also of one that carries out a command.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct PrintedOptions {
    /// Leave out the `reply` records
    #[arg(long)]
    pub no_replies: bool,
    /// Also print what plugins log
    #[arg(long)]
    pub logs: bool,
}

/// `--min-isolation` knows no L2: it can only raise, and nothing is lower.
pub(super) fn raised_level() -> impl clap::builder::TypedValueParser<Value = Level> {
    PossibleValuesParser::new(["L3", "L4"]).map(|text| match text.as_str() {
        "L3" => Level::L3,
        _ => Level::L4,
    })
}

/// `gm-broker graph`.
#[derive(Debug, Subcommand)]
pub enum GraphVerb {
    /// All nodes, then all edges, one canonical JSON object a line
    Dump(GraphDumpArgs),
}

/// `gm-broker graph dump`.
#[derive(Debug, Args)]
pub struct GraphDumpArgs {
    /// The graph of this repository [default: the one round the current directory]
    #[arg(long, value_name = "DIR", conflicts_with = "graph")]
    pub repo: Option<PathBuf>,
    /// This graph file
    #[arg(long, value_name = "FILE")]
    pub graph: Option<PathBuf>,
    /// Only nodes and edges of this kind
    #[arg(long, value_name = "K")]
    pub kind: Option<String>,
    /// Leave out who wrote each
    #[arg(long)]
    pub no_writer: bool,
}

/// `gm-broker policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyVerb {
    /// Every rule with the manifest line that caused it, and the proof
    Show(PolicyShowArgs),
    /// The filter programs
    Dump(PolicyDumpArgs),
}

/// `gm-broker policy show`.
#[derive(Debug, Args)]
pub struct PolicyShowArgs {
    /// A manifest, or the ID of a loaded plugin
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,
    /// Which of the process's two stages
    #[arg(long, value_enum, default_value = "both")]
    pub stage: Stage,
    /// Which machine: this one, none in particular, or that of a saved `doctor --format json`
    #[arg(long, value_name = "this|none|FILE", default_value = "this")]
    pub host: PathBuf,
}

/// `gm-broker policy dump`.
#[derive(Debug, Args)]
pub struct PolicyDumpArgs {
    /// A manifest, or the ID of a loaded plugin
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,
    /// Write NAME.0.bpf … NAME.3.bpf instead
    #[arg(long, value_name = "NAME")]
    pub raw: Option<PathBuf>,
}

/// A stage of a plugin's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// While the code is loaded.
    Loading,
    /// From the first call on.
    Running,
    /// Both, one after the other.
    Both,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<RunArgs, clap::error::ErrorKind> {
        let words = std::iter::once("gm-broker run").chain(line.split_whitespace());
        let words = words.flat_map(str::split_whitespace);
        match GmBroker::try_parse_from(words).map(|parsed| parsed.split().1) {
            Ok(Verb::Run(args)) => Ok(args),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.kind()),
        }
    }

    #[test]
    fn a_run_without_arguments_asks_for_all_enabled_plugins() {
        let args = run("").unwrap();
        assert!(args.ids.is_empty() && !args.safe_mode && !args.options.hosting.allow_native);
        assert_eq!(args.options.hosting.min_isolation, None);
    }

    #[test]
    fn range_last_and_events_exclude_each_other() {
        for line in [
            "--range A..B --last 1",
            "--last 1 --events -",
            "--events f --range A..B",
        ] {
            assert_eq!(
                run(line).unwrap_err(),
                clap::error::ErrorKind::ArgumentConflict
            );
        }
    }

    #[test]
    fn the_isolation_level_cannot_be_asked_below_l3() {
        assert_eq!(
            run("--min-isolation L3")
                .unwrap()
                .options
                .hosting
                .min_isolation,
            Some(Level::L3)
        );
        for level in ["L2", "L1", "L0", "l4", "5"] {
            assert!(run(&format!("--min-isolation {level}")).is_err(), "{level}");
        }
    }

    #[test]
    fn what_a_later_stage_brings_does_not_exist() {
        for line in ["--watch", "--dev", "--no-verify", "--last 0", "--last x"] {
            assert!(run(line).is_err(), "{line}");
        }
    }
}
