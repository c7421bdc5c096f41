//! `gm plugin`: the plugins of a home, from load to unload.
//!
//! What is loaded was verified here, and its code was compiled behind walls; no
//! plugin is run but by `try`, `test` and `run`, which go the whole way of `gm-broker
//! run`.

mod check;
mod command;
mod load;
mod logs;
mod scaffold;
mod schema;
mod show;
mod state;
mod trial;
mod try_out;

use std::time::SystemTime;

use gm_manifest::{PluginId, Refusal};
use mind_gpg::{SignedPlugin, Step, TrustStore, VerifiedPlugin};

use crate::args::gm::PluginVerb;
use crate::args::{Invocation, usage};
use crate::home::Home;
use crate::output::Output;
pub use scaffold::NewKind;

/// Carries out one verb; gives the exit code of what was done.
///
/// # Errors
/// What wasn't done, and why; nothing was said about it yet.
pub fn run(verb: PluginVerb, invocation: &Invocation, output: &mut Output) -> Result<u8, Refusal> {
    match verb {
        PluginVerb::Load(args) => load::run(&args, invocation, output),
        PluginVerb::List => show::list(invocation, output),
        PluginVerb::Info { id } => show::info(&typed_id(&id)?, invocation, output),
        PluginVerb::Enable { id } => state::enable(&typed_id(&id)?, invocation, output),
        PluginVerb::Disable { id } => state::disable(&typed_id(&id)?, invocation, output),
        PluginVerb::Unload { id, purge } => {
            state::unload(&typed_id(&id)?, purge, invocation, output)
        }
        PluginVerb::Revoke { target } => state::revoke(&target, invocation, output),
        PluginVerb::Run(args) => command::run(&args, invocation, output),
        PluginVerb::Check(args) => check::run(&args, output),
        PluginVerb::New(args) => scaffold::run(&args, output),
        PluginVerb::Test(args) => trial::run(&args, invocation, output),
        PluginVerb::Try(args) => try_out::run(args, invocation, output),
        PluginVerb::Logs(args) => logs::run(&args, invocation, output),
        PluginVerb::Schema => schema::run(output),
    }
}

/// An id as somebody typed it.
fn typed_id(text: &str) -> Result<PluginId, Refusal> {
    PluginId::parse(text)
        .map_err(|unfit| usage(format!("{text:?} is no id of a plugin")).rule(unfit.rule()))
}

/// `1 case`, `2 cases`.
fn counted(count: usize, word: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {word}{s}")
}

fn trust(home: &Home) -> Result<TrustStore, Refusal> {
    TrustStore::open(home.trust()?.path())
}

/// Verifies a package; with its steps, if somebody wants to see them.
fn verified(
    trust: &TrustStore,
    signed: SignedPlugin,
) -> (Vec<Step>, Result<VerifiedPlugin, Refusal>) {
    let (verification, verdict) = trust.verify_explained(signed, SystemTime::now());
    (verification.steps, verdict)
}
