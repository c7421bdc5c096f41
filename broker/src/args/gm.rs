//! The verbs of `gm`, which authors and operators type.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::broker::{HostingOptions, PrintedOptions, RunOptions};
use super::{CommandLine, Global};
use crate::plugin_verbs::NewKind;

/// Signs, trusts and loads plugins.
#[derive(Debug, Parser)]
#[command(
    name = "gm",
    version,
    propagate_version = true,
    disable_version_flag = true
)]
pub struct Gm {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

impl CommandLine for Gm {
    type Verb = Verb;
    const NAME: &'static str = "gm";

    fn split(self) -> (Global, Verb) {
        (self.global, self.verb)
    }
}

/// What `gm` does.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Keys, signatures and whom to trust
    #[command(subcommand)]
    Gpg(GpgVerb),
    /// Plugins of this home
    #[command(subcommand)]
    Plugin(PluginVerb),
}

/// `gm gpg`.
#[derive(Debug, Subcommand)]
pub enum GpgVerb {
    /// Make a signing key
    Keygen(KeygenArgs),
    /// Sign a package
    Sign(SignArgs),
    /// Check a package's signature against the trust store; runs nothing
    Verify(VerifyArgs),
    /// Whom this home trusts
    #[command(subcommand)]
    Trust(TrustVerb),
    /// The same as `trust list`
    TrustList,
}

/// `gm gpg keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Whose key: "Name <mail@example.com>"
    #[arg(long, value_name = "U")]
    pub uid: String,
    /// How long it is valid: a number and d, w, m or y
    #[arg(long, value_name = "TIME", default_value = "2y")]
    pub expire: String,
    /// New or empty directory for secret.pgp, public.pgp and revocation.pgp
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Protect the secret key with this file's first line
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// `gm gpg sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    /// Package directory or the one above it, its manifest, or a file that it names
    pub path: PathBuf,
    /// The secret key
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The file whose first line unlocks the key
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// `gm gpg verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Package directory or the one above it, its manifest, or a file that it names
    pub path: PathBuf,
    /// Judge as if it were this time (RFC 3339); changes nothing about loading
    #[arg(long, value_name = "TIME")]
    pub at: Option<jiff::Timestamp>,
    /// Print every step with its outcome
    #[arg(long)]
    pub explain: bool,
    /// Write statement.pae and statement.sig there, for `gpg --verify`
    #[arg(long, value_name = "DIR")]
    pub export: Option<PathBuf>,
}

/// `gm gpg trust`.
#[derive(Debug, Subcommand)]
pub enum TrustVerb {
    /// Trust a certificate for the ids of some namespaces
    Add(TrustAddArgs),
    /// Trust a key no longer; its running plugins end
    Remove {
        /// Its full fingerprint
        #[arg(value_name = "FPR")]
        fingerprint: String,
    },
    /// Who is trusted for what
    List,
}

/// `gm gpg trust add`.
#[derive(Debug, Args)]
pub struct TrustAddArgs {
    /// The public certificate, or `-` for stdin
    pub file: PathBuf,
    /// Its fingerprint, as its owner told you: a file alone adds no trust
    #[arg(long, value_name = "FPR")]
    pub fingerprint: String,
    /// An id, or two or more segments and `.*`
    #[arg(long = "namespace", value_name = "PAT", required = true, num_args = 1..)]
    pub namespaces: Vec<String>,
    /// A kind that it may sign besides wasm, lua and js: native
    #[arg(long = "kind", value_name = "KIND", num_args = 1..)]
    pub kinds: Vec<String>,
}

/// `gm plugin`.
#[derive(Debug, Subcommand)]
pub enum PluginVerb {
    /// Verify a package, copy it into the home and enable it
    Load(LoadArgs),
    /// All loaded plugins
    List,
    /// One plugin: what it asks for, gets, and consists of
    Info {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Let a loaded plugin be hosted
    Enable {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Host it no longer, and end it where it runs
    Disable {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Take it out of the home; its pin and storage stay
    Unload {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        /// Also drop what it stored
        #[arg(long)]
        purge: bool,
    },
    /// Never run this id, key or artifact again, and end it where it runs
    Revoke {
        /// An id, a fingerprint, or the digest of a file
        #[arg(value_name = "ID|FPR|sha256:…")]
        target: String,
    },
    /// Carry out one of a plugin's own commands
    Run(CommandArgs),
    /// For authors: begin a plugin, with its README, cases and build
    New(NewArgs),
    /// For authors: what is wrong or too broad in a package; runs nothing
    Check(CheckArgs),
    /// For authors: run the cases of tests/*.toml behind the real walls
    Test(TestArgs),
    /// For authors: sign a copy with a throw-away key, run it once, unload it
    Try(TryArgs),
    /// What a plugin logged
    Logs(LogsArgs),
    /// The JSON Schema of plugin.manifest.toml, for editors and checks
    Schema,
}

/// `gm plugin load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Package directory or the one above it, its manifest, or a file that it names
    pub path: PathBuf,
    /// Print the proof (verification itself is always on)
    #[arg(long)]
    pub verify: bool,
    /// Take the wider permissions of exactly this digest
    #[arg(long, value_name = "DIGEST")]
    pub accept_permissions: Option<String>,
    /// Load without enabling
    #[arg(long)]
    pub disabled: bool,
}

/// `gm plugin new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// New or empty directory; its name is the plugin's
    pub name: PathBuf,
    /// What it is made of
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: NewKind,
    /// Its id [default: com.example.NAME]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// wasm-rust: use the crate gm-plugin there, instead of a copy of it
    #[arg(long, value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

/// `gm plugin check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Package directory or the one above it, its manifest, or a file that it names
    pub path: PathBuf,
}

/// `gm plugin test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Package directory or the one above it, its manifest, or a file that it names
    pub path: PathBuf,
    /// Where the cases lie [default: tests, beside the package's directory]
    #[arg(long, value_name = "DIR")]
    pub cases: Option<PathBuf>,
    /// What may be hosted.
    #[command(flatten)]
    pub hosting: HostingOptions,
}

/// `gm plugin try`.
#[derive(Debug, Args)]
pub struct TryArgs {
    /// Package directory or the one above it, its manifest, or a file that it names
    pub path: PathBuf,
    /// How to run it.
    #[command(flatten)]
    pub options: RunOptions,
}

/// `gm plugin run`.
#[derive(Debug, Args)]
pub struct CommandArgs {
    /// Its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// One of the commands that its manifest names
    #[arg(value_name = "CMD")]
    pub command: String,
    /// What the command gets
    #[arg(value_name = "ARGS", last = true)]
    pub args: Vec<String>,
    /// Repository; its graph is used too [default: none]
    #[arg(long, value_name = "DIR")]
    pub repo: Option<PathBuf>,
    /// Use the graph in this file [default: that of --repo, else an empty one]
    #[arg(long, value_name = "FILE")]
    pub graph: Option<PathBuf>,
    /// What may be hosted.
    #[command(flatten)]
    pub hosting: HostingOptions,
    /// What is printed of it.
    #[command(flatten)]
    pub printed: PrintedOptions,
}

impl CommandArgs {
    /// The same as options of a run.
    #[must_use]
    pub fn options(&self) -> RunOptions {
        RunOptions {
            repo: self.repo.clone(),
            graph: self.graph.clone(),
            hosting: self.hosting,
            printed: self.printed,
            ..RunOptions::default()
        }
    }
}

/// `gm plugin logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Only the newest N records
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
    /// Go on with new ones until interrupted
    #[arg(long)]
    pub follow: bool,
}
